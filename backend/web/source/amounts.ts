// Money and carbon as integers, written and read as people do. Nothing here is a float.

import { Told, say } from "./page.js";

const SIGNS: Record<string, string> = { HKD: "HK$", CNH: "CN¥", USD: "US$" };

export interface Money {
  address: string;
  symbol: string;
  decimals: number;
}

/** Thousands separated, as all our languages write them. */
export function grouped(value: bigint | string): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** A decimal text as an integer of `decimals` places; refuses what is finer or no number. */
export function parseDecimal(text: string, decimals: number): bigint {
  const match = /^(\d{1,30})(?:\.(\d{1,18}))?$/.exec(text.trim().replaceAll(",", ""));
  if (!match) throw new Told(say("script.not_a_number", { value: text }));
  const part = match[2] ?? "";
  if (/[1-9]/.test(part.slice(decimals)))
    throw new Told(say("script.too_fine", { value: text, decimals }));
  return BigInt(match[1]! + part.slice(0, decimals).padEnd(decimals, "0"));
}

function decimal(value: bigint, decimals: number, least: number): string {
  const negative = value < 0n;
  const digits = (negative ? -value : value).toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const part = digits
    .slice(digits.length - decimals)
    .replace(/0+$/, "")
    .padEnd(least, "0");
  return (negative ? "−" : "") + grouped(whole) + (part ? `.${part}` : "");
}

/** An amount of a settlement asset, exact, with the sign of its currency. */
export function money(value: bigint, asset: Money): string {
  const amount = decimal(value, asset.decimals, Math.min(2, asset.decimals));
  const sign = SIGNS[asset.symbol];
  return sign ? `${sign} ${amount}` : `${amount} ${asset.symbol}`;
}

/** A plain number for a field, without a currency. */
export function plain(value: bigint, decimals: number): string {
  return decimal(value, decimals, Math.min(2, decimals)).replaceAll(",", "");
}

/** Kilograms as tonnes, exact. */
export function tonnes(kilograms: bigint): string {
  const whole = kilograms / 1000n;
  const rest = kilograms % 1000n;
  return grouped(whole) + (rest ? `.${rest.toString().padStart(3, "0")}` : "") + " t";
}

/** floor(notional × bps / 10,000): every fee is rounded down (L11). */
export function fee(notional: bigint, bps: number): bigint {
  return (notional * BigInt(bps)) / 10_000n;
}

/** 0x1234…abcd */
export function short(address: string): string {
  return `${address.slice(0, 6)}…${address.slice(-4)}`;
}

/** The serials of a run; one of a single serial names it once. */
export function span(run: { series: string; first: string; last: string }): string {
  const first = `${run.series} / ${run.first}`;
  return run.last === run.first ? first : `${first} – ${run.last}`;
}

/** A time as the server writes it: in the page's language, in UTC and saying so. */
export function moment(seconds: number, language: string): string {
  const found = new Date(seconds * 1000);
  const day = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, {
    year: "numeric",
    month: "long",
    day: "numeric",
    timeZone: "UTC",
  }).format(found);
  return `${day} ${found.toISOString().slice(11, 16)} UTC`;
}
