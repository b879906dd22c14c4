// What one owns: in the wallet, on the exchange, in orders; and every way in and out.

import { Told, at, data, during, explain, knows, language, make, note, say } from "./page.js";
import { type Money, grouped, moment, money, parseDecimal, short, tonnes } from "./amounts.js";
import { indexed, send, word } from "./chain.js";
import { cancel, withdraw } from "./orders.js";
import { type Listed, type One, ask } from "./service.js";
import { unsay, whenMoved } from "./sent.js";
import { invitation, own, ownSigned, signIn, token } from "./session.js";
import { connected, whenChanged } from "./wallet.js";

interface Here {
  exchange: string;
  credits: string;
  window: number;
  assets: Money[];
  classes: Record<string, string>;
}

const here = data<Here>("portfolio")!;

interface Balance {
  asset: string;
  total: string;
  available: string;
  reserved: string;
}

interface OnChain {
  asset: string;
  balance: string;
  claimable: string;
  exit_requested_at: string | null;
}

/** What can be held, with the way people read amounts of it. */
interface Held {
  key: string;
  id: bigint;
  name: string;
  money: Money | null;
}

function heldOf(asset: string): Held {
  const found = here.assets.find((one) => one.address.toLowerCase() === asset.toLowerCase());
  if (found) return { key: asset, id: BigInt(asset), name: found.symbol, money: found };
  return {
    key: asset,
    id: BigInt(asset),
    name: here.classes[asset] ?? short(asset),
    money: null,
  };
}

function shown(held: Held, amount: bigint): string {
  return held.money ? money(amount, held.money) : tonnes(amount);
}

function parsed(held: Held, text: string): bigint {
  const amount = parseDecimal(text, held.money ? held.money.decimals : 3);
  if (!amount) throw new Told(say("script.amount_zero"));
  return amount;
}

function row(...cells: (string | Node)[]): HTMLTableRowElement {
  return make(
    "tr",
    {},
    ...cells.map((cell, index) => make("td", index ? { class: "num" } : {}, cell)),
  );
}

function table(columns: string[], rows: HTMLTableRowElement[], nothing: string): HTMLElement {
  if (!rows.length) return make("p", { class: "quiet" }, say(nothing));
  const heads = columns.map((column) => (column ? say(column) : ""));
  // A phone shows each row as a list of its own: every cell says what it is.
  for (const one of rows)
    heads.slice(1).forEach((head, index) => {
      if (head) one.cells[index + 1]!.dataset["label"] = head;
    });
  return make(
    "table",
    { class: "list" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...heads.map((head, index) =>
          make("th", { scope: "col", class: index ? "num" : "" }, head),
        ),
      ),
    ),
    make("tbody", {}, ...rows),
  );
}

function act(
  label: string,
  place: HTMLElement,
  action: () => Promise<string | void>,
): HTMLElement {
  const button = make("button", { type: "button", class: "plain small" }, say(label));
  button.addEventListener("click", () => {
    void during(button, place, async () => {
      const said = await action();
      void refresh();
      return said;
    });
  });
  return button;
}

// ── in the wallet ────────────────────────────────────────────────────────────────────────────

interface Holding {
  credit_class: { class_id: string };
  kilograms: string;
  retired_kilograms: string;
}

async function showWallet(account: string): Promise<void> {
  const place = at("wallet-note");
  const rows: HTMLTableRowElement[] = [];
  for (const asset of here.assets) {
    const held = heldOf(asset.address);
    const amount = await balanceOf(held, account);
    if (!amount) continue;
    rows.push(
      row(
        held.name,
        money(amount, asset),
        act("script.deposit", place, () => putIn(held)),
      ),
    );
  }
  const found = await ask<Listed<Holding>>(`/v1/accounts/${account}/holdings?limit=500`);
  for (const one of found.data) {
    if (one.kilograms === "0") continue;
    const held = heldOf(one.credit_class.class_id);
    const there = { class: "button plain small", href: `/retire?class=${held.key}` };
    const retire = make("a", there, say("script.retire"));
    const actions = make("span", { class: "row-actions" }, retire);
    actions.append(
      " ",
      act("script.deposit", place, () => putIn(held)),
    );
    rows.push(row(held.name, tonnes(BigInt(one.kilograms)), actions));
  }
  at("in-wallet").replaceChildren(
    table(["script.asset", "script.amount", ""], rows, "script.nothing_in_wallet"),
  );
}

async function asked(held: Held, title: string): Promise<bigint | null> {
  const field = make("input", { inputmode: "decimal", required: true, name: "amount" });
  const place = make("p", { role: "alert" });
  const dialog = make("dialog", { class: "chooser", "aria-labelledby": "ask-title" });
  return await new Promise((resolve) => {
    const finish = (amount: bigint | null): void => {
      dialog.close();
      dialog.remove();
      resolve(amount);
    };
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", { id: "ask-title" }, say(title, { name: held.name })),
      make("label", {}, say(held.money ? "script.amount" : "script.amount_tonnes"), field),
      place,
      make("button", {}, say("script.go_on")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      try {
        finish(parsed(held, field.value));
      } catch (error) {
        note(place, explain(error), "bad");
      }
    });
    dialog.append(form);
    dialog.addEventListener("cancel", () => finish(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}

function balanceOf(held: Held, account: string): Promise<bigint> {
  if (held.money) {
    const abi = "function balanceOf(address account) view returns (uint256)";
    return word({ to: held.money.address, abi, args: [account] });
  }
  const abi = "function balanceOf(address account, uint256 id) view returns (uint256)";
  return word({ to: here.credits, abi, args: [account, held.id] });
}

async function putIn(held: Held): Promise<string | void> {
  const amount = await asked(held, "script.deposit_of");
  const account = connected();
  if (amount === null || !account) return;
  const have = await balanceOf(held, account);
  if (have < amount)
    throw new Told(say("script.too_little", { have: shown(held, have), name: held.name }));
  const amounts = `${held.name}: ${shown(held, amount)}`;
  const what = `${say("script.deposit")} · ${amounts}`;
  const place = at("wallet-note");
  if (held.money) {
    await send({
      what: `${say("script.approve")} · ${amounts}`,
      place,
      to: held.money.address,
      abi: "function approve(address spender, uint256 amount) returns (bool)",
      args: [here.exchange, amount],
    });
    await indexed(
      await send({
        what,
        place,
        to: here.exchange,
        abi: "function deposit(address asset, uint256 amount) returns (uint256)",
        args: [held.money.address, amount],
      }),
    );
  } else {
    const abi =
      "function safeTransferFrom(address from, address to, uint256 id, uint256 value, bytes data)";
    const args = [account, here.exchange, held.id, amount, "0x"];
    await indexed(await send({ what, place, to: here.credits, abi, args }));
  }
  return say("script.deposited", { amount: shown(held, amount) });
}

// ── on the exchange ──────────────────────────────────────────────────────────────────────────

async function showExchange(account: string): Promise<void> {
  const place = at("exchange-note");
  const onChain = await ask<Listed<OnChain>>(`/v1/accounts/${account}/exchange?limit=500`);
  const chain = new Map(onChain.data.map((one) => [one.asset.toLowerCase(), one]));
  const venue = token()
    ? await own<One<{ balances: Balance[] }>>(`/v1/venue/accounts/${account}`)
    : null;
  const trading = new Map(
    venue?.data.balances.map((one) => [one.asset.toLowerCase(), one]) ?? [],
  );
  const rows: HTMLTableRowElement[] = [];
  for (const key of new Set([...trading.keys(), ...chain.keys()])) {
    const at_venue = trading.get(key);
    const held = heldOf(at_venue?.asset ?? chain.get(key)!.asset);
    const settled = chain.get(key);
    const free = BigInt(at_venue?.available ?? settled?.balance ?? "0");
    const actions = make("span", { class: "row-actions" });
    if (at_venue && free) {
      actions.append(
        act("script.withdraw", place, () => takeOut(held)),
        " ",
      );
    }
    const claimable = BigInt(settled?.claimable ?? "0");
    if (claimable)
      actions.append(
        act("script.claim", place, () => claim(account, held)),
        " ",
      );
    actions.append(exitOf(account, held, settled, place));
    rows.push(
      row(
        held.name,
        shown(held, free),
        shown(held, BigInt(at_venue?.reserved ?? "0")),
        shown(held, claimable),
        actions,
      ),
    );
  }
  const columns = ["script.asset", "script.free", "script.reserved", "script.claimable", ""];
  at("on-exchange").replaceChildren(table(columns, rows, "script.nothing_on_exchange"));
}

async function takeOut(held: Held): Promise<string | void> {
  const amount = await asked(held, "script.withdraw_of");
  if (amount === null) return;
  const asset = held.money ? BigInt(held.money.address).toString() : held.key;
  await withdraw(asset, amount);
  return say("script.withdrawn", { amount: shown(held, amount) });
}

async function claim(account: string, held: Held): Promise<string> {
  const abi = "function claim(address account, uint256 asset) returns (uint256)";
  const what = `${say("script.claim")} · ${held.name}`;
  const args = [account, held.id];
  const place = at("exchange-note");
  await indexed(await send({ what, place, to: here.exchange, abi, args }));
  return say("script.claimed");
}

/** Leaving without the operator: requested, two windows later executed, then claimed. */
function exitOf(
  account: string,
  held: Held,
  settled: OnChain | undefined,
  place: HTMLElement,
): HTMLElement {
  const requested = settled?.exit_requested_at ? Number(settled.exit_requested_at) : null;
  const now = Date.now() / 1000;
  const due = (requested ?? 0) + 2 * here.window;
  const lapses = due + here.window;
  if (requested === null || now > lapses) {
    if (!settled || settled.balance === "0") return make("span");
    return act("script.exit", place, async () => {
      const abi = "function requestExit(uint256[] assets)";
      const what = `${say("script.exit")} · ${held.name}`;
      await indexed(await send({ what, place, to: here.exchange, abi, args: [[held.id]] }));
      return say("script.exit_requested", { window: Math.ceil((2 * here.window) / 60) });
    });
  }
  if (now <= due) {
    const left = make("span", { class: "countdown", role: "timer" });
    const count = (): void => {
      const seconds = Math.max(0, Math.ceil(due - Date.now() / 1000));
      const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      left.textContent = say("script.exit_in", { time: clock });
      if (seconds && left.isConnected) setTimeout(count, 1000);
      else if (!seconds) void refresh();
    };
    setTimeout(count, 0);
    return left;
  }
  return act("script.exit_execute", place, async () => {
    const abi = "function executeExit(address account, uint256[] assets)";
    const what = `${say("script.exit_execute")} · ${held.name}`;
    const args = [account, [held.id]];
    await indexed(await send({ what, place, to: here.exchange, abi, args }));
    return say("script.exit_executed");
  });
}

// ── orders, trades, statement ────────────────────────────────────────────────────────────────

interface Order {
  nonce: string;
  instrument: string;
  asset: string;
  side: "buy" | "sell";
  price: string;
  quantity: string;
  filled: string;
  state: string;
  time_ms: string;
}

interface Trade {
  number: string;
  instrument: string;
  asset: string;
  side: "buy" | "sell";
  price: string;
  quantity: string;
  fee: string;
  state: string;
  time_ms: string;
}

async function showActivity(account: string): Promise<void> {
  const base = `/v1/venue/accounts/${account}`;
  const place = at("activity-note");
  const orders = await own<Listed<Order>>(`${base}/orders?limit=50`);
  at("orders").replaceChildren(
    table(
      ["script.order", "script.price", "script.filled", "script.state", ""],
      orders.data.map((one) => {
        const paid = heldOf(one.asset);
        const open = one.state === "open";
        return row(
          `${say(`script.${one.side}`)} ${here.classes[one.instrument] ?? short(one.instrument)}`,
          shown(paid, BigInt(one.price)),
          `${grouped(one.filled)} / ${grouped(one.quantity)} t`,
          say(`script.state_${one.state}`),
          open ? act("script.cancel", place, () => cancel(one.nonce).then(() => undefined)) : "",
        );
      }),
      "script.no_orders_yet",
    ),
  );
  const trades = await own<Listed<Trade>>(`${base}/trades?limit=50`);
  at("trades").replaceChildren(
    table(
      [
        "script.order",
        "script.time",
        "script.price",
        "script.quantity",
        "script.fee",
        "script.state",
      ],
      trades.data.map((one) => {
        const paid = heldOf(one.asset);
        return row(
          `${say(`script.${one.side}`)} ${here.classes[one.instrument] ?? short(one.instrument)}`,
          moment(Math.floor(Number(one.time_ms) / 1000), language),
          shown(paid, BigInt(one.price)),
          `${grouped(one.quantity)} t`,
          shown(paid, BigInt(one.fee)),
          say(`script.trade_${one.state}`),
        );
      }),
      "script.no_trades_yet",
    ),
  );
}

interface Line {
  seq: string;
  ordinal: string;
  time_ms: string;
  asset: string;
  change: string;
  balance: string;
  kind: string;
  reference: string | null;
}

/** Every line of the statement as CSV (RFC 4180): integers in base units or kilograms, exact. */
async function statement(account: string): Promise<string> {
  const lines = ["seq,ordinal,time_utc,asset,name,change,balance,kind,reference"];
  let cursor: string | null = null;
  do {
    const next: string = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const page: Listed<Line> = await ownSigned(
      `/v1/venue/accounts/${account}/statement?limit=500${next}`,
    );
    for (const one of page.data) {
      const name = heldOf(one.asset).name.replaceAll('"', '""');
      const time = new Date(Number(one.time_ms)).toISOString();
      lines.push(
        `${one.seq},${one.ordinal},${time},${one.asset},"${name}",${one.change},${one.balance},` +
          `${one.kind},${one.reference ?? ""}`,
      );
    }
    cursor = page.next_cursor;
  } while (cursor);
  const link = make("a", {
    href: URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" })),
    download: `causeway-statement-${account}.csv`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return say("script.statement_saved", { count: lines.length - 1 });
}

at("statement").addEventListener("click", () => {
  void during(at<HTMLButtonElement>("statement"), at("activity-note"), async () => {
    const account = connected();
    if (!account) throw new Told(say("script.connect_first"));
    return await statement(account);
  });
});

// ── together ─────────────────────────────────────────────────────────────────────────────────

async function refresh(): Promise<void> {
  const account = connected();
  at("when-connected").hidden = !account;
  at("when-not").hidden = Boolean(account);
  if (!account) return;
  at("account").textContent = account;
  const inside = Boolean(token());
  at("when-signed-in").hidden = !inside;
  at("sign-in-box").hidden = inside;
  at("invitation").textContent = invitation();
  const parts = [showAdmission(account), showWallet(account), showExchange(account)];
  if (inside) parts.push(showActivity(account));
  for (const result of await Promise.allSettled(parts)) {
    if (result.status === "rejected") note(at("page-note"), explain(result.reason), "bad");
  }
}

async function showAdmission(account: string): Promise<void> {
  const found = await ask<One<{ state: string; tier_name: string }>>(`/v1/accounts/${account}`);
  const place = at("admission");
  const tier = `script.tier_${found.data.tier_name}`;
  const words = { tier: knows(tier) ? say(tier) : found.data.tier_name };
  place.textContent = say(`script.admission_${found.data.state}`, words);
  place.className = `badge ${found.data.state === "admitted" ? "good" : "bad"}`;
}

at("sign-in").addEventListener("click", () => {
  void during(at<HTMLButtonElement>("sign-in"), at("page-note"), async () => {
    await signIn();
    void refresh();
  });
});
whenMoved(() => void refresh());
unsay(at("wallet-note"));
unsay(at("exchange-note"));
whenChanged(() => void refresh());
