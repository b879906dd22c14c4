// The list of alerts on what the connected account holds: new ones are marked until they are read.

import { at, data, explain, language, make, note, say } from "./page.js";
import { moment, tonnes } from "./amounts.js";
import { type Alert, type Alerts, markRead, whenAlerts } from "./unread.js";

const names = data<{ classes: Record<string, string> }>("portfolio")?.classes ?? {};

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

function show(found: Alerts | null, problem: unknown): void {
  note(at("alerts-note"), problem ? explain(problem) : "", "bad");
  const place = at("alerts");
  if (!found) {
    place.replaceChildren();
    return;
  }
  const fresh = found.all.filter((one) => one.key > found.read).length;
  const all = make("ul", { class: "plain-list" });
  all.append(...found.all.map((one) => line(one, one.key > found.read)));
  const head = make("p", { role: "status", class: "quiet" });
  if (!found.all.length) head.textContent = say("script.alerts_none");
  if (fresh) {
    const words = { type: "button", class: "plain small", click: markRead };
    const done = make("button", words, say("script.alerts_read"));
    head.append(say("script.alerts_new", { count: fresh }), " ", done);
  }
  place.replaceChildren(head, all);
}

whenAlerts(show);
