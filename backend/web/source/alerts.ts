// Alerts on the classes that the connected account holds. What was read is remembered per account
// in this browser: the key of the newest alert that was shown as read.

import { at, data, explain, language, make, note, say } from "./page.js";
import { moment, tonnes } from "./amounts.js";
import { type Listed, ask } from "./service.js";
import { connected, whenChanged } from "./wallet.js";

interface Alert {
  key: string;
  kind: string;
  class_id: string;
  at: string;
  tonnes: string | null;
  subject: string;
  reason: string;
}

const NEWEST = 20;
const names = data<{ classes: Record<string, string> }>("portfolio")?.classes ?? {};

function kept(account: string): string {
  return `causeway.alerts.${account.toLowerCase()}`;
}

/** What was read of an account; a browser that keeps nothing shows everything as new. */
function read(account: string): string {
  try {
    return localStorage.getItem(kept(account)) ?? "";
  } catch {
    return "";
  }
}

function remember(account: string, key: string): void {
  try {
    localStorage.setItem(kept(account), key);
  } catch {
    // Private windows may refuse: then it stays new.
  }
}

function line(alert: Alert, fresh: boolean): HTMLLIElement {
  const what = say(`script.alert_${alert.kind}`);
  const amount = alert.tonnes ? `, ${tonnes(BigInt(alert.tonnes) * 1000n)}` : "";
  return make(
    "li",
    {},
    fresh && make("span", { class: "badge bad" }, say("script.alerts_badge")),
    fresh && " ",
    make("strong", {}, alert.subject ? `${what}: ${alert.subject}` : what),
    ` · ${names[alert.class_id] ?? alert.class_id}${amount} `,
    make("small", {}, moment(Number(alert.at), language)),
    alert.reason && make("p", { class: "quiet" }, make("bdi", {}, alert.reason)),
  );
}

async function show(): Promise<void> {
  const account = connected();
  const place = at("alerts");
  if (!account) {
    place.replaceChildren();
    return;
  }
  const found = await ask<Listed<Alert>>(`/v1/accounts/${account}/alerts?limit=${NEWEST}`);
  if (connected() !== account) return;
  const newest = read(account);
  const fresh = found.data.filter((one) => one.key > newest).length;
  const all = make("ul", { class: "plain-list" });
  all.append(...found.data.map((one) => line(one, one.key > newest)));
  const head = make("p", { role: "status", class: "quiet" });
  if (!found.data.length) head.textContent = say("script.alerts_none");
  if (fresh) {
    const words = { type: "button", class: "plain small" };
    const done = make("button", words, say("script.alerts_read"));
    done.addEventListener("click", () => {
      remember(account, found.data[0]!.key);
      void refresh();
    });
    head.append(say("script.alerts_new", { count: fresh }), " ", done);
  }
  place.replaceChildren(head, all);
}

async function refresh(): Promise<void> {
  try {
    await show();
  } catch (error) {
    note(at("alerts-note"), explain(error), "bad");
  }
}

whenChanged(() => void refresh());
