// A total-cost quote inside a page: asked for, counted down, visibly expired, asked for again.
// The service writes its lines, in the reader's language: they are the same on every page.

import { make, note, say } from "./page.js";
import { secondsLeft } from "./validity.js";

export interface Wanted {
  action: "buy" | "retire" | "buy-and-retire" | "deliver";
  class: string;
  amount: string;
  unit: string;
  asset: string;
}

const TYPING_MS = 300;

/** What to offer for the dearest price of a purchase: its text, and how the page takes it. */
type Offer = (price: bigint) => { text: string; take: () => void };

/** Counts the quote in `place` down from when it was asked; what it returns stops the count. */
export function countDown(place: HTMLElement, asked: number, again: () => void): () => void {
  const lines = place.querySelector<HTMLElement>(".quote-lines");
  const holds = place.querySelector<HTMLElement>(".holds");
  if (!lines || !holds) return () => undefined;
  const span = {
    quotedAt: Number(lines.dataset["quotedAt"]),
    validUntil: Number(lines.dataset["validUntil"]),
  };
  const tick = (): void => {
    const left = secondsLeft(span, asked, Date.now());
    if (left) {
      holds.textContent = say("script.quote_left", { seconds: left });
      return;
    }
    clearInterval(timer);
    lines.dataset["state"] = "expired";
    // A price that has expired is no limit to offer.
    for (const offered of lines.querySelectorAll("button")) offered.remove();
    const button = make(
      "button",
      { type: "button", class: "plain small", click: again },
      say("script.quote_again"),
    );
    const told = make("span", { role: "status" }, say("script.quote_expired"));
    holds.replaceChildren(told, " ", button);
  };
  const timer = setInterval(tick, 1000);
  tick();
  return () => clearInterval(timer);
}

/** The place of a page's quote; `wanted` says what is asked, null where there is nothing to ask. */
export class Quoted {
  private questions = 0;
  private typing: ReturnType<typeof setTimeout> | undefined;
  private stop = (): void => undefined;

  constructor(
    private readonly place: HTMLElement,
    private readonly wanted: () => Wanted | null,
    private readonly offer: Offer | null = null,
  ) {}

  /** Asks once nobody has typed for a moment. */
  later(): void {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => void this.refresh(), TYPING_MS);
  }

  /** Asks for what is wanted now; an answer that another question has overtaken is dropped. */
  async refresh(): Promise<void> {
    const question = ++this.questions;
    const wanted = this.wanted();
    const asked = Date.now();
    const text = wanted && wanted.class && wanted.amount ? await read(wanted) : "";
    if (question !== this.questions) return;
    this.stop();
    if (text === null) {
      note(this.place, say("script.offline"), "bad");
      return;
    }
    note(this.place, "");
    // No script of a parsed document runs; the lines are the service's own, escaped there.
    const parsed = new DOMParser().parseFromString(text, "text/html");
    this.place.replaceChildren(...parsed.body.childNodes);
    this.offerLimit();
    this.stop = countDown(this.place, asked, () => void this.refresh());
  }

  private offerLimit(): void {
    const lines = this.place.querySelector<HTMLElement>("[data-worst-price]");
    if (!lines || !this.offer) return;
    const { text, take } = this.offer(BigInt(lines.dataset["worstPrice"]!));
    const limit = say("script.quote_limit", { price: text });
    lines.append(make("button", { type: "button", class: "plain small", click: take }, limit));
  }
}

/** The lines as the service writes them; null when it does not answer. */
async function read(wanted: Wanted): Promise<string | null> {
  try {
    const query = new URLSearchParams({ ...wanted });
    const answer = await fetch(`/quote/lines?${query}`, { credentials: "same-origin" });
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}
