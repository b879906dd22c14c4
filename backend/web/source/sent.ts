// Transactions of this tab until they are final: waiting, in a chain block, final, or taken back.

import { make, note, say } from "./page.js";
import { short } from "./amounts.js";
import { ask } from "./service.js";
import { decide } from "./taken.js";
import { connected, request, whenChanged } from "./wallet.js";

type State = "waiting" | "mined" | "final" | "refused" | "taken_back";

interface Sent {
  hash: string;
  account: string;
  what: string;
  state: State;
  block: number;
}

interface Head {
  number: string;
  hash: string | null;
  final_number: string;
}

interface Receipt {
  status: string;
  blockNumber: string;
}

const KEPT = "causeway.sent";
const EVERY_MS = 1_500;
const MOST = 20;
const SETTLED: State[] = ["final", "refused"];

let known = read();
let seen: string | null = null;
let running = false;
let moved: (() => void)[] = [];
let notes: { place: HTMLElement; takenBack: () => void }[] = [];

function read(): Sent[] {
  return JSON.parse(sessionStorage.getItem(KEPT) ?? "[]") as Sent[];
}

function keep(): void {
  sessionStorage.setItem(KEPT, JSON.stringify(known.slice(0, MOST)));
}

/** Shows a transaction from now on; `what` says in words what it does, `place` what came of it. */
export function follow(hash: string, what: string, place: HTMLElement): void {
  place.dataset.sent = `${place.dataset.sent ?? ""} ${hash}`.trim();
  const account = connected() ?? "";
  known = [
    { hash, account, what, state: "waiting" as State, block: 0 },
    ...known.filter((one) => one.hash !== hash),
  ].slice(0, MOST);
  keep();
  draw();
  void watch();
}

/** Called when the chain has moved while something is not final: what it shows may be another. */
export function whenMoved(listener: () => void): void {
  moved.push(listener);
}

/** What `place` says of something done is not so while the chain has taken it back: it says that
 *  instead, and nothing once every transaction stands in a chain block again. `takenBack` takes
 *  away what else the page shows of it. */
export function unsay(place: HTMLElement, takenBack = (): void => undefined): void {
  notes.push({ place, takenBack });
}

function unsayGone(): void {
  const gone = own().flatMap((one) => (one.state === "taken_back" ? [one.hash] : []));
  for (const { place, takenBack } of notes) {
    const hashes = (place.dataset.sent ?? "").split(" ").filter(Boolean);
    const kind = ["good", "warn"].find((one) => place.classList.contains(one)) ?? "";
    const verdict = decide({ hashes, kind }, gone);
    if (verdict === "leave") continue;
    note(place, verdict === "warn" ? say("script.sent_taken_back_words") : "", "warn");
    if (verdict === "warn") takenBack();
  }
}

function own(): Sent[] {
  const account = connected();
  return account ? known.filter((one) => one.account === account) : [];
}

function isOpen(one: Sent): boolean {
  return !SETTLED.includes(one.state);
}

async function watch(): Promise<void> {
  if (running) return;
  running = true;
  while (own().some(isOpen)) {
    try {
      await look();
    } catch {
      // No answer of the wallet or the service for now: what is shown stays as it was.
    }
    await new Promise((resume) => setTimeout(resume, EVERY_MS));
  }
  running = false;
}

async function look(): Promise<void> {
  const { head } = await ask<{ head: Head }>("/v1/classes?limit=1");
  for (const one of own().filter(isOpen)) {
    const receipt = await request<Receipt | null>("eth_getTransactionReceipt", [one.hash]);
    one.state = stateOf(one, receipt, Number(head.final_number));
    one.block = receipt ? Number(receipt.blockNumber) : one.block;
  }
  keep();
  unsayGone();
  draw(Number(head.final_number));
  if (seen !== null && seen !== head.hash) for (const listener of moved) listener();
  seen = head.hash;
}

/** A transaction that once stood in a chain block and stands in none was taken back. */
function stateOf(one: Sent, receipt: Receipt | null, final: number): State {
  if (!receipt) return one.block ? "taken_back" : "waiting";
  if (receipt.status !== "0x1") return "refused";
  return Number(receipt.blockNumber) <= final ? "final" : "mined";
}

const LOOKS: Record<State, string> = {
  waiting: "badge",
  mined: "badge",
  final: "badge good",
  refused: "badge bad",
  taken_back: "badge bad",
};

function draw(final = 0): void {
  const place = document.getElementById("sent");
  if (!place) return;
  const mine = own();
  place.hidden = !mine.length;
  place.replaceChildren(
    make("h2", {}, say("script.sent")),
    make(
      "ul",
      { class: "plain-list", role: "status" },
      ...mine.map((one) =>
        make(
          "li",
          { class: "sent" },
          make("span", { class: LOOKS[one.state] }, say(`script.sent_${one.state}`)),
          make("span", {}, one.what),
          make("small", { class: "quiet" }, words(one, final)),
          make("code", { title: one.hash }, short(one.hash)),
        ),
      ),
    ),
  );
}

function words(one: Sent, final: number): string {
  if (one.state === "mined")
    return say("script.sent_mined_words", { block: one.block, more: one.block - final });
  if (one.state === "final") return say("script.sent_final_words", { block: one.block });
  return say(`script.sent_${one.state}_words`);
}

whenChanged(() => {
  draw();
  void watch();
});
