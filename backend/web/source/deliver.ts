// Deliveries: tokens burnt for serials at a registry account, and the holder's own refunds.

import { Told, at, data, during, explain, language, make, note, say } from "./page.js";
import { grouped, moment, parseDecimal, short, span, tonnes } from "./amounts.js";
import { indexed, send } from "./chain.js";
import { Quoted } from "./quotes.js";
import { type Listed, ask } from "./service.js";
import { unsay, whenMoved } from "./sent.js";
import { connected, signer, whenChanged } from "./wallet.js";

interface Here {
  deliveries: string;
  classes: Record<string, string>;
}

interface Delivery {
  delivery_id: string;
  class_id: string;
  tonnes: string;
  series: string;
  first: string;
  last: string;
  state: string;
  registry_account: string;
  deadline: string;
  second_deadline: string | null;
  reference: string | null;
}

const here = data<Here>("deliver-data")!;
let shown = "";
const form = at<HTMLFormElement>("deliver");

function field<T extends HTMLElement>(name: string): T {
  return form.elements.namedItem(name) as unknown as T;
}

async function showHoldings(account: string): Promise<void> {
  const found = await ask<Listed<{ credit_class: { class_id: string }; kilograms: string }>>(
    `/v1/accounts/${account}/holdings?limit=500`,
  );
  const whole = found.data.filter((one) => BigInt(one.kilograms) >= 1000n);
  const choice = field<HTMLSelectElement>("class");
  const chosen = choice.value;
  choice.replaceChildren(
    ...whole.map((one) => {
      const id = one.credit_class.class_id;
      const name = here.classes[id] ?? short(id);
      const held = tonnes(BigInt(one.kilograms));
      return make("option", { value: id, selected: id === chosen }, `${name} (${held})`);
    }),
  );
  if (!whole.length) choice.append(make("option", { value: "" }, say("script.nothing_whole")));
}

/** From when on the holder takes the refund alone; null when there is nothing to take. */
function refundFrom(one: Delivery): number | null {
  if (one.state === "requested") return Number(one.deadline);
  if (one.state === "rejected") return 0;
  if (one.state === "begun" || one.state === "dispatched")
    return one.second_deadline ? Number(one.second_deadline) : null;
  return null;
}

const LOOKS: Record<string, string> = { finalised: "badge good", rejected: "badge bad" };

function line(one: Delivery): HTMLElement {
  const from = refundFrom(one);
  const due = from !== null && Date.now() / 1000 >= from;
  const action = make("p", { class: "quiet" });
  if (due) {
    const button = make("button", { type: "button", class: "small" }, say("script.refund"));
    button.addEventListener("click", () => {
      void during(button, at("own-note"), async () => {
        const abi = "function refund(uint64 deliveryId)";
        const what = `${say("script.refund")} · ${one.delivery_id}`;
        const args = [BigInt(one.delivery_id)];
        const place = at("own-note");
        await indexed(await send({ what, place, to: here.deliveries, abi, args }));
        await refresh();
        return say("script.refunded", { tonnes: grouped(one.tonnes) });
      });
    });
    action.append(button);
  } else if (from !== null) {
    action.textContent = say("script.refund_from", { when: moment(from, language) });
  }
  return make(
    "li",
    { class: "card" },
    make(
      "div",
      { class: "card-head" },
      make(
        "h3",
        {},
        `${one.delivery_id}: ${grouped(one.tonnes)} t, ${here.classes[one.class_id] ?? ""}`,
      ),
      make("span", { class: LOOKS[one.state] ?? "badge" }, say(`script.delivery_${one.state}`)),
    ),
    make("p", { class: "serial" }, span(one)),
    make("p", {}, say("script.delivery_to", { account: one.registry_account })),
    one.reference &&
      make("p", {}, say("script.delivery_reference", { reference: one.reference })),
    action,
  );
}

const EVERY_MS = 3_000;
const ENDED = ["finalised", "refunded", "refunded_disputed"];
let later: ReturnType<typeof setTimeout> | undefined;

/** Every delivery of the account; while one is under way the list is read again by itself. */
async function showOwn(account: string): Promise<void> {
  const found = await ask<Listed<Delivery>>(`/v1/deliveries?holder=${account}&limit=50`);
  clearTimeout(later);
  if (found.data.some((one) => !ENDED.includes(one.state)))
    later = setTimeout(() => void showOwn(account).catch(() => undefined), EVERY_MS);
  // A list that says the same is left alone: nobody's click or reading is lost.
  const says = JSON.stringify(found.data);
  if (says === shown) return;
  shown = says;
  at("own-deliveries").replaceChildren(
    found.data.length
      ? make("ul", { class: "plain-list cards" }, ...found.data.map(line))
      : make("p", { class: "quiet" }, say("script.no_deliveries")),
  );
}

async function refresh(): Promise<void> {
  const account = connected();
  if (!account) return;
  try {
    await Promise.all([showHoldings(account), showOwn(account)]);
  } catch (error) {
    note(at("own-note"), explain(error), "bad");
  }
}

const quoted = new Quoted(at("quoted"), () => ({
  action: "deliver",
  class: field<HTMLSelectElement>("class").value,
  amount: field<HTMLInputElement>("tonnes").value.trim(),
  unit: "t",
  asset: "",
}));

form.addEventListener("input", (event) => {
  if (["class", "tonnes"].includes((event.target as HTMLInputElement).name)) quoted.later();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void during(at<HTMLButtonElement>("request"), at("deliver-note"), async () => {
    const holder = await signer();
    const id = field<HTMLSelectElement>("class").value;
    if (!id) throw new Told(say("script.nothing_whole"));
    const count = parseDecimal(field<HTMLInputElement>("tonnes").value, 0);
    if (!count) throw new Told(say("script.amount_zero"));
    const account = field<HTMLInputElement>("account").value.trim();
    const abi =
      "function request(address holder, uint256 classId, uint256 tonnes, " +
      "string registryAccount) returns (uint64)";
    const args = [holder, BigInt(id), count, account];
    const what = say("script.deliver_line", {
      tonnes: grouped(count),
      name: here.classes[id] ?? "",
      account,
    });
    const place = at("deliver-note");
    await indexed(await send({ what, place, to: here.deliveries, abi, args }));
    await refresh();
    return say("script.delivery_made", { tonnes: grouped(count) });
  });
});

whenMoved(() => void refresh());
unsay(at("deliver-note"));
unsay(at("own-note"));
whenChanged(() => void refresh());
