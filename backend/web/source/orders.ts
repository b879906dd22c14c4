// Orders as EIP-712 messages of the venue: made, shown in words, signed, sent until known.

import { Told, knows, language, say } from "./page.js";
import { type Money, fee, grouped, moment, money } from "./amounts.js";
import { type One, Refused, ask } from "./service.js";
import { ownSigned } from "./session.js";
import { onOurChain, request, signer } from "./wallet.js";

export interface Venue {
  chain_id: string;
  exchange: string;
  signing_domain: {
    name: string;
    version: string;
    chain_id: string;
    verifying_contract: string;
  };
  signing_types: Record<string, { name: string; type: string }[]>;
  status: string;
  maker_fee_bps: string;
  taker_fee_bps: string;
  window_seconds: string;
}

export interface Result {
  status: "accepted" | "refused" | "rejected";
  seq?: string;
  filled?: string;
  resting?: string;
  ended?: string | null;
  reason?: string | null;
  problem?: { type: string; detail: string };
}

export interface Terms {
  side: "buy" | "sell";
  instrument: string;
  asset: Money;
  quantity: bigint;
  price: bigint;
  timeInForce: "gtc" | "ioc" | "fok";
  postOnly: boolean;
  days: number;
  retire: boolean;
  detailsHash: string;
}

const NO_DETAILS = `0x${"0".repeat(64)}`;
const TIME_IN_FORCE = { gtc: 0, ioc: 1, fok: 2 };
const DOMAIN_TYPE = [
  { name: "name", type: "string" },
  { name: "version", type: "string" },
  { name: "chainId", type: "uint256" },
  { name: "verifyingContract", type: "address" },
];

let venue: Promise<Venue> | null = null;

/** The venue's rules, read once a page. */
export function theVenue(): Promise<Venue> {
  venue ??= ask<One<Venue>>("/v1/venue").then((answer) => answer.data);
  return venue;
}

/** Largest fee that the page's orders allow: what the venue charges the taker today. */
export function feeBps(rules: Venue): number {
  return Math.max(Number(rules.maker_fee_bps), Number(rules.taker_fee_bps));
}

/** What an order costs at most (buy) or brings at least (sell), its fee taken into account. */
export function total(terms: Terms, bps: number): bigint {
  const notional = terms.quantity * terms.price;
  const charged = fee(notional, bps);
  return terms.side === "buy" ? notional + charged : notional - charged;
}

/** The order in words, line by line: what the wallet is about to be asked to sign. */
export function inWords(terms: Terms, bps: number, expiry: number): string[] {
  const lines = [
    say(`script.order_${terms.side}`, {
      quantity: grouped(terms.quantity),
      price: money(terms.price, terms.asset),
    }),
    say(`script.order_total_${terms.side}`, { total: money(total(terms, bps), terms.asset) }),
    say("script.order_fee", {
      percent: `${Math.floor(bps / 100)}.${String(bps % 100).padStart(2, "0")}`,
    }),
    say(`script.order_${terms.timeInForce}`, { when: moment(expiry, language) }),
  ];
  if (terms.postOnly) lines.push(say("script.order_post_only"));
  if (terms.retire) lines.push(say("script.order_retire"));
  return lines;
}

/** Seconds until which an order of these terms stands. */
export function expiryOf(terms: Terms): number {
  return Math.floor(Date.now() / 1000) + terms.days * 86_400;
}

async function sign(
  rules: Venue,
  primaryType: string,
  message: Record<string, string>,
): Promise<string> {
  const domain = rules.signing_domain;
  await onOurChain();
  return await request<string>("eth_signTypedData_v4", [
    message["trader"],
    JSON.stringify({
      domain: {
        name: domain.name,
        version: domain.version,
        chainId: domain.chain_id,
        verifyingContract: domain.verifying_contract,
      },
      types: { EIP712Domain: DOMAIN_TYPE, [primaryType]: rules.signing_types[primaryType] },
      primaryType,
      message,
    }),
  ]);
}

/** Sends until the outcome is known: the same message twice has the effect of one (L10). */
async function send(path: string, body: unknown): Promise<Result> {
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await ask<{ results: Result[] }>(path, { body });
      const result = answer.results[0];
      if (!result) throw new Told(say("script.offline"));
      if (result.status === "refused") throw new Told(refusal(result.reason ?? ""));
      if (result.problem) throw new Told(result.problem.detail);
      return result;
    } catch (error) {
      const unknown = error instanceof Refused && error.code === "outcome-unknown";
      if (!unknown || tries >= 10) throw error;
      await new Promise((resume) => setTimeout(resume, 500));
    }
  }
}

/** Why the venue refused, in words where we have some. */
function refusal(reason: string): string {
  const key = `script.reason_${reason}`;
  return say("script.refused", { reason: knows(key) ? say(key) : reason });
}

async function nextNonce(account: string): Promise<string> {
  const answer = await ownSigned<One<{ next_nonce: string }>>(`/v1/venue/accounts/${account}`);
  return answer.data.next_nonce;
}

/** Signs and places an order; the wallet is asked once. */
export async function place(terms: Terms): Promise<Result> {
  const rules = await theVenue();
  const trader = await signer();
  const conditions =
    TIME_IN_FORCE[terms.timeInForce] | (terms.postOnly ? 4 : 0) | (terms.retire ? 32 : 0);
  const order = {
    trader,
    nonce: await nextNonce(trader),
    instrument: terms.instrument,
    asset: terms.asset.address,
    side: terms.side === "buy" ? "0" : "1",
    quantity: String(terms.quantity),
    price: String(terms.price),
    maxFeeBps: String(feeBps(rules)),
    signedAt: String(Math.floor(Date.now() / 1000)),
    expiry: String(expiryOf(terms)),
    conditions: String(conditions),
    detailsHash: terms.retire ? terms.detailsHash : NO_DETAILS,
    signatureKind: "0",
  };
  return await send("/v1/orders", { order, signature: await sign(rules, "Order", order) });
}

/** Signs and sends the cancel of one order. */
export async function cancel(nonce: string): Promise<Result> {
  const rules = await theVenue();
  const message = { trader: await signer(), nonce };
  const signature = await sign(rules, "Cancel", message);
  return await send("/v1/cancels", { cancel: message, signature });
}

/** Signs and sends a withdrawal of base units, or of kilograms of a class. */
export async function withdraw(asset: string, amount: bigint): Promise<Result> {
  const rules = await theVenue();
  const trader = await signer();
  const withdrawal = {
    trader,
    nonce: await nextNonce(trader),
    asset,
    amount: String(amount),
    signatureKind: "0",
  };
  const signature = await sign(rules, "Withdrawal", withdrawal);
  return await send("/v1/withdrawals", { withdrawal, signature });
}
