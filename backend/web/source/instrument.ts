// One market, live: depth, tape, chart, the order ticket, one's own orders.

import { Told, at, data, during, explain, language, make, note, say } from "./page.js";
import { type Money, grouped, moment, money, parseDecimal, plain } from "./amounts.js";
import type { Candle, Chart } from "./chart.js";
import {
  type Terms,
  cancel,
  expiryOf,
  feeBps,
  inWords,
  place,
  theVenue,
  total,
} from "./orders.js";
import { Quoted } from "./quotes.js";
import { type Listed, ask } from "./service.js";
import { invitation, own, signIn, token } from "./session.js";
import { type Told as Message, type State, Stream } from "./stream.js";
import { connected, whenChanged } from "./wallet.js";

interface Here {
  instrument: string;
  asset: Money;
}

const here = data<Here>("market")!;
const MOST_LEVELS = 12;
const MOST_TRADES = 30;
const market = `/v1/markets/${here.instrument}/${here.asset.address}`;

// ── depth ────────────────────────────────────────────────────────────────────────────────────

const sides = { buy: new Map<bigint, bigint>(), sell: new Map<bigint, bigint>() };
type Side = keyof typeof sides;

function readBook(message: Message): void {
  if (message.type === "snapshot") {
    for (const [side, name] of [
      ["buy", "bids"],
      ["sell", "asks"],
    ] as const) {
      const levels = message[name] as [string, string][];
      sides[side] = new Map(levels.map(([price, tonnes]) => [BigInt(price), BigInt(tonnes)]));
    }
  } else if (message.type === "level_change") {
    const levels = sides[message["side"] as Side];
    const price = BigInt(message["price"] as string);
    const left = (levels.get(price) ?? 0n) + BigInt(message["change"] as string);
    if (left > 0n) levels.set(price, left);
    else levels.delete(price);
  } else if (message.type === "halted" || message.type === "resumed") {
    at("halted").hidden = message.type === "resumed";
    return;
  } else {
    return;
  }
  soon();
}

let waiting = false;

/** Draws once a frame, however much came meanwhile. */
function soon(): void {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawBook();
  });
}

function drawBook(): void {
  const best = (side: Side): [bigint, bigint][] =>
    [...sides[side]]
      .sort(([one], [two]) => (side === "buy" ? Number(two - one) : Number(one - two)))
      .slice(0, MOST_LEVELS);
  const bids = best("buy");
  const asks = best("sell");
  const most = [...bids, ...asks].reduce((top, [, tonnes]) => (tonnes > top ? tonnes : top), 1n);
  at("bids").replaceChildren(...levels("buy", bids, most));
  at("asks").replaceChildren(...levels("sell", asks.reverse(), most));
  const [bid] = bids[0] ?? [];
  const ask = asks[asks.length - 1]?.[0];
  at("spread").textContent =
    bid !== undefined && ask !== undefined
      ? say("script.spread", { spread: money(ask - bid, here.asset) })
      : "–";
}

function levels(side: Side, found: [bigint, bigint][], most: bigint): HTMLElement[] {
  if (!found.length)
    return [make("tr", {}, make("td", { colspan: 2, class: "quiet" }, say("script.no_orders")))];
  return found.map(([price, tonnes]) => {
    const meter = make("meter", { min: 0, max: 100, value: Number((tonnes * 100n) / most) });
    meter.className = side;
    meter.ariaHidden = "true";
    const take = make(
      "button",
      {
        type: "button",
        class: "level",
        click: () => {
          field("price").value = plain(price, here.asset.decimals);
          preview();
        },
      },
      money(price, here.asset),
    );
    return make(
      "tr",
      { class: side },
      make("td", { class: "num" }, take),
      make("td", { class: "num" }, meter, `${grouped(tonnes)} t`),
    );
  });
}

// ── tape and chart ───────────────────────────────────────────────────────────────────────────

function readTape(message: Message): void {
  if (message.type === "trade") {
    const number = String(message["number"]);
    if (document.getElementById(`trade-${number}`)) return;
    const side = message["taker_side"] as Side;
    const price = BigInt(message["price"] as string);
    at("tape").prepend(
      make(
        "tr",
        { id: `trade-${number}`, class: `${side} fresh` },
        make("td", {}, moment(Math.floor(Number(message["time_ms"]) / 1000), language)),
        make("td", { class: "num" }, money(price, here.asset)),
        make("td", { class: "num" }, `${grouped(String(message["quantity"]))} t`),
      ),
    );
    while (at("tape").childElementCount > MOST_TRADES) at("tape").lastElementChild?.remove();
    at("no-trades").hidden = true;
    at("last").textContent = money(price, here.asset);
    refreshChart();
  } else if (message.type === "voided") {
    const last = BigInt(message["last"] as string);
    for (let number = BigInt(message["first"] as string); number <= last; number += 1n) {
      const line = document.getElementById(`trade-${number}`);
      if (line) line.classList.add("voided");
      if (last - number > 1000n) break;
    }
  }
}

let chart: Chart | null = null;
let interval = "1h";
let later: ReturnType<typeof setTimeout> | undefined;

async function loadChart(): Promise<void> {
  const found = await ask<Listed<Candle>>(`${market}/candles?interval=${interval}&limit=300`);
  at("chart-box").hidden = !found.data.length;
  if (!found.data.length) return;
  if (!chart) {
    const { draw } = await import("./chart.js");
    chart = draw(at("chart"), here.asset.decimals, language);
  }
  chart.show(found.data);
}

function refreshChart(): void {
  clearTimeout(later);
  later = setTimeout(() => void loadChart().catch(() => undefined), 400);
}

for (const button of document.querySelectorAll<HTMLButtonElement>("[data-interval]")) {
  button.addEventListener("click", () => {
    interval = button.dataset["interval"]!;
    for (const other of document.querySelectorAll("[data-interval]"))
      other.setAttribute("aria-pressed", String(other === button));
    void loadChart().catch(() => undefined);
  });
}

// ── the ticket ───────────────────────────────────────────────────────────────────────────────

function field(name: string): HTMLInputElement {
  return at<HTMLFormElement>("ticket").elements.namedItem(name) as HTMLInputElement;
}

function terms(): Terms {
  const quantity = parseDecimal(field("quantity").value, 0);
  const price = parseDecimal(field("price").value, here.asset.decimals);
  if (!quantity || !price) throw new Told(say("script.quantity_and_price"));
  return {
    side: field("side").value as Side,
    instrument: here.instrument,
    asset: here.asset,
    quantity,
    price,
    timeInForce: field("time_in_force").value as Terms["timeInForce"],
    postOnly: field("post_only").checked,
    days: Number(field("days").value),
    retire: false,
    detailsHash: "",
  };
}

async function preview(): Promise<void> {
  const place = at("preview");
  if (!field("price").value) {
    place.replaceChildren(make("li", { class: "quiet" }, say("script.quantity_and_price")));
    return;
  }
  try {
    const wanted = terms();
    const bps = feeBps(await theVenue());
    place.replaceChildren(
      ...inWords(wanted, bps, expiryOf(wanted)).map((line) => make("li", {}, line)),
    );
    at("total").textContent = money(total(wanted, bps), here.asset);
  } catch (error) {
    place.replaceChildren(make("li", { class: "quiet" }, explain(error)));
    at("total").textContent = "–";
  }
}

/** What the tonnes cost now, whatever limit is written beside them; a sale has no such quote. */
const quoted = new Quoted(
  at("quoted"),
  () => {
    at("now").hidden = field("side").value !== "buy";
    if (at("now").hidden) return null;
    const amount = field("quantity").value.trim();
    const { instrument, asset } = here;
    return { action: "buy", class: instrument, amount, unit: "t", asset: asset.address };
  },
  (price) => ({
    text: money(price, here.asset),
    take: () => {
      field("price").value = plain(price, here.asset.decimals);
      void preview();
    },
  }),
);

at<HTMLFormElement>("ticket").addEventListener("input", (event) => {
  void preview();
  if (["side", "quantity"].includes((event.target as HTMLInputElement).name)) quoted.later();
});
at<HTMLFormElement>("ticket").addEventListener("submit", (event) => {
  event.preventDefault();
  void during(at<HTMLButtonElement>("place"), at("ticket-note"), async () => {
    const made = await place(terms());
    void showOwn(made.seq).catch(() => undefined);
    followOwn();
    return say("script.placed", { filled: made.filled ?? "0", resting: made.resting ?? "0" });
  });
});

// ── one's own orders ─────────────────────────────────────────────────────────────────────────

interface OwnOrder {
  nonce: string;
  side: Side;
  price: string;
  quantity: string;
  filled: string;
  remaining: string;
}

/** As they stand at journal entry `seq` at least: what was just placed is in them. */
async function showOwn(seq?: string): Promise<void> {
  const place = at("own-orders");
  const account = connected();
  if (!account || !token()) {
    const open = make("button", { type: "button", class: "plain small" }, say("script.sign_in"));
    open.addEventListener("click", () => {
      void signIn()
        .then(() => showOwn())
        .then(() => followOwn())
        .catch((error: unknown) => note(at("own-note"), explain(error), "bad"));
    });
    place.replaceChildren(make("p", { class: "quiet" }, `${invitation()} `), open);
    return;
  }
  const found = await own<Listed<OwnOrder>>(
    `/v1/venue/accounts/${account}/orders?state=open&instrument=${here.instrument}&limit=100` +
      (seq ? `&min_seq=${seq}` : ""),
  );
  // The same rows stay: one that is replaced under a pointer loses its click.
  const now = JSON.stringify(found.data);
  if (now === shownOrders && place.querySelector("table")) return;
  shownOrders = now;
  place.replaceChildren(
    found.data.length
      ? ownTable(found.data)
      : make("p", { class: "quiet" }, say("script.no_open_orders")),
  );
}

let shownOrders = "";

function ownTable(orders: OwnOrder[]): HTMLElement {
  return make(
    "table",
    { class: "list" },
    make(
      "tbody",
      {},
      ...orders.map((order) => {
        const button = make(
          "button",
          { type: "button", class: "plain small" },
          say("script.cancel"),
        );
        button.addEventListener("click", () => {
          void during(button, at("own-note"), async () => {
            await showOwn((await cancel(order.nonce)).seq);
            return say("script.cancelled");
          });
        });
        return make(
          "tr",
          {},
          make("td", { class: order.side }, say(`script.${order.side}`)),
          make("td", { class: "num" }, money(BigInt(order.price), here.asset)),
          make("td", { class: "num" }, `${order.remaining} / ${order.quantity} t`),
          make("td", { class: "num" }, button),
        );
      }),
    ),
  );
}

// ── live ─────────────────────────────────────────────────────────────────────────────────────

function showState(state: State): void {
  const place = at("connection");
  place.dataset["state"] = state;
  at("desk").dataset["state"] = state;
  place.textContent = say(`script.stream_${state}`);
}

const stream = new Stream(showState);
const wish = { instrument: here.instrument, asset: here.asset.address.toLowerCase() };
stream.subscribe({ channel: "book", ...wish }, readBook, () => undefined);
stream.subscribe({ channel: "trades", ...wish }, readTape, () => location.reload());

let followed = "";

function followOwn(): void {
  const open = token();
  if (!open || followed === open) return;
  followed = open;
  let soonOwn: ReturnType<typeof setTimeout> | undefined;
  stream.subscribe(
    { channel: "orders", token: open },
    (message) => {
      clearTimeout(soonOwn);
      soonOwn = setTimeout(() => void showOwn(message.seq).catch(() => undefined), 150);
    },
    () => void showOwn().catch(() => undefined),
  );
}

void loadChart().catch(() => undefined);
void preview();
void quoted.refresh();
whenChanged(() => {
  void showOwn().catch(() => undefined);
  followOwn();
});
