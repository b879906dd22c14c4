// Retirement: words and serials before the signature, the certificate after it.

import { Told, at, data, during, explain, make, note, say } from "./page.js";
import { type Money, grouped, money, parseDecimal, plain, span, tonnes } from "./amounts.js";
import { indexed, send, word } from "./chain.js";
import {
  type Checked,
  type Request,
  type Rules,
  NO_HASH,
  adapt,
  check,
  written,
} from "./instruction.js";
import { type Terms, feeBps, inWords, expiryOf, place, theVenue } from "./orders.js";
import { Quoted } from "./quotes.js";
import { type One, Refused, ask } from "./service.js";
import { unsay } from "./sent.js";
import { ownSigned } from "./session.js";
import { signer } from "./wallet.js";

interface Here {
  credits: string;
  classes: Record<string, { name: string; number: number; programme: string }>;
  programmes: Record<string, Rules>;
  countries: string[];
  assets: Money[];
}

interface Run {
  series: string;
  first: string;
  last: string;
}

interface Piece {
  kind: string;
  kilograms: string;
  serials: Run[];
}

const here = data<Here>("retire-data")!;
const form = at<HTMLFormElement>("retire");
/** CreditsRetired(uint256 indexed id, address indexed from, uint256 indexed certificateId, …) */
const CERTIFICATE_TOPIC = 3;
const RETIRE =
  "function retire(address from, uint256 id, uint256 kilograms, address certificateOwner, " +
  "bytes32 detailsHash) returns (uint256)";
const RETIRE_PUBLICLY =
  "function retirePublicly(address from, uint256 id, uint256 kilograms, " +
  "address certificateOwner, string beneficiary, string purpose, string period, " +
  "bytes32 instructionHash) returns (uint256)";

function value(name: string): string {
  const found = form.elements.namedItem(name);
  return (found as unknown as { value: string }).value.trim();
}

function fromMarket(): boolean {
  return value("source") === "market";
}

function kilograms(): bigint {
  const unit = value("unit");
  const amount = parseDecimal(value("amount"), unit === "kg" ? 0 : 3);
  if (!amount) throw new Told(say("script.amount_zero"));
  if (fromMarket() && amount % 1000n) throw new Told(say("script.whole_tonnes"));
  return amount;
}

/** The class that is chosen; Told when there is none. */
function chosen(): Here["classes"][string] {
  const found = here.classes[value("class")];
  if (!found) throw new Told(say("script.nothing_whole"));
  return found;
}

function rules(): Here["programmes"][string] {
  return here.programmes[chosen().programme]!;
}

// ── before the signature ─────────────────────────────────────────────────────────────────────

async function showSerials(): Promise<void> {
  const shown = at("serials");
  if (fromMarket()) {
    shown.replaceChildren(make("p", { class: "quiet" }, say("script.serials_after_match")));
    return;
  }
  try {
    const path = `/v1/classes/${value("class")}/upcoming?kilograms=${kilograms()}`;
    const found = await ask<One<{ pieces: Piece[] }>>(path);
    shown.replaceChildren(
      make("ul", { class: "plain-list" }, ...found.data.pieces.flatMap(pieceLines)),
      make("p", { class: "quiet" }, say("script.serials_if_first")),
    );
  } catch (error) {
    const short = error instanceof Refused && error.code === "not-enough";
    note(shown, short ? error.problem.detail : explain(error), "bad");
  }
}

function pieceLines(piece: Piece): HTMLElement[] {
  return piece.serials.map((run, index) =>
    make(
      "li",
      {},
      make("span", { class: "serial" }, span(run)),
      " ",
      make(
        "small",
        {},
        index ? "" : `${tonnes(BigInt(piece.kilograms))}, ${say(`script.piece_${piece.kind}`)}`,
      ),
    ),
  );
}

function terms(detailsHash: string): Terms {
  const asset = paidIn();
  const price = parseDecimal(value("price"), asset.decimals);
  if (!price) throw new Told(say("script.quantity_and_price"));
  return {
    side: "buy",
    instrument: value("class"),
    asset,
    quantity: kilograms() / 1000n,
    price,
    timeInForce: "ioc",
    postOnly: false,
    days: 1,
    retire: true,
    detailsHash,
  };
}

async function preview(): Promise<void> {
  at("market-fields").hidden = !fromMarket();
  const lines: string[] = [];
  try {
    adapt(rules(), here.countries);
    if (fromMarket()) {
      const wanted = terms(NO_HASH);
      lines.push(...inWords(wanted, feeBps(await theVenue()), expiryOf(wanted)));
    } else {
      const name = chosen().name;
      lines.push(say("script.retire_line", { amount: tonnes(kilograms()), name }));
    }
    const said = await check(written(rules()), true);
    if (said.beneficiary) lines.push(say("script.for_whom", { name: said.beneficiary }));
    if (said.purpose) lines.push(say("script.for_what", { purpose: said.purpose }));
    if (said.period) lines.push(say("script.for_when", { period: said.period }));
    lines.push(say(`script.retire_${value("visibility")}`));
    at("preview").replaceChildren(...lines.map((line) => make("li", {}, line)));
  } catch (error) {
    const all = [...lines.map((line) => make("li", {}, line))];
    all.push(make("li", { class: "quiet" }, explain(error)));
    at("preview").replaceChildren(...all);
  }
}

/** The asset that is paid in; Told when none is listed. */
function paidIn(): Money {
  const asset = here.assets.find((one) => one.address === value("asset"));
  if (!asset) throw new Told(say("script.no_market"));
  return asset;
}

const quoted = new Quoted(
  at("quoted"),
  () => ({
    action: fromMarket() ? "buy-and-retire" : "retire",
    class: value("class"),
    amount: value("amount"),
    unit: value("unit"),
    asset: fromMarket() ? value("asset") : "",
  }),
  (price) => ({
    text: money(price, paidIn()),
    take: () => {
      const limit = form.elements.namedItem("price") as HTMLInputElement;
      limit.value = plain(price, paidIn().decimals);
      void preview();
    },
  }),
);

let later: ReturnType<typeof setTimeout> | undefined;

function changed(): void {
  clearTimeout(later);
  later = setTimeout(() => {
    void preview();
    void showSerials();
    void quoted.refresh();
  }, 200);
}

// ── the signature and what follows ───────────────────────────────────────────────────────────

/** Told when the wallet holds less than it shall retire: no signature is asked for nothing. */
async function requireHeld(from: string, amount: bigint): Promise<void> {
  const abi = "function balanceOf(address account, uint256 id) view returns (uint256)";
  const have = await word({ to: here.credits, abi, args: [from, BigInt(value("class"))] });
  if (have < amount)
    throw new Told(say("script.too_little", { have: tonnes(have), name: chosen().name }));
}

async function retireHeld(said: Request): Promise<string> {
  const from = await signer();
  const id = BigInt(value("class"));
  const amount = kilograms();
  await requireHeld(from, amount);
  const kept = await keep(said);
  const isPrivate = said.details_salt !== NO_HASH;
  const words = [kept.beneficiary, kept.purpose, kept.period, kept.instruction_hash];
  const call = isPrivate
    ? { abi: RETIRE, args: [from, id, amount, from, kept.details_hash] }
    : { abi: RETIRE_PUBLICLY, args: [from, id, amount, from, ...words] };
  const what = say("script.retire_line", { amount: tonnes(amount), name: chosen().name });
  const place = at("retire-note");
  const receipt = await send({ what, place, to: here.credits, ...call });
  await indexed(receipt);
  const retired = receipt.logs.find(
    (log) =>
      log.address.toLowerCase() === here.credits.toLowerCase() &&
      log.topics.length === CERTIFICATE_TOPIC + 1 &&
      BigInt(log.topics[1]!) === id &&
      BigInt(log.topics[CERTIFICATE_TOPIC]!) >> 32n === BigInt(chosen().number),
  );
  if (retired) {
    const number = BigInt(retired.topics[CERTIFICATE_TOPIC]!);
    finish(`/certificates/${number}`, said, kept, isPrivate);
  }
  return say("script.retired_now", { amount: tonnes(amount) });
}

async function buyAndRetire(said: Request): Promise<string> {
  terms(NO_HASH);
  const kept = await keep(said);
  const wanted = terms(kept.details_hash);
  const made = await place(wanted);
  if (!BigInt(made.filled ?? "0")) throw new Told(say("script.nothing_matched"));
  // The worker completes it publicly when the instruction is public.
  finish(`/explore?q=${await signer()}`, said, kept, said.details_salt !== NO_HASH);
  return say("script.bought_and_retired", {
    tonnes: grouped(made.filled ?? "0"),
    price: money(wanted.price, wanted.asset),
  });
}

/** The instruction stands with the service before anything is signed: the registry is told it. */
function keep(said: Request): Promise<Checked> {
  return ownSigned<Checked>("/v1/retirement-instructions", { body: said });
}

/** The certificate's link; and, where the chain has only a hash, the texts that prove it. */
function finish(link: string, said: Request, kept: Checked, onlyHash: boolean): void {
  at<HTMLAnchorElement>("certificate").href = link;
  at("done").hidden = false;
  at("secret").hidden = !onlyHash;
  at("salt").textContent = said.details_salt;
  at<HTMLButtonElement>("keep").onclick = () => {
    const { beneficiary, purpose, period, instruction_hash, details_hash } = kept;
    const words = { salt: said.details_salt, beneficiary, purpose, period, instruction_hash };
    const all = { words, details_hash, instruction: said.instruction, link };
    const blob = new Blob([JSON.stringify(all, null, 2)], { type: "application/json" });
    const save = make("a", {
      href: URL.createObjectURL(blob),
      download: `causeway-retirement-${details_hash.slice(2, 10)}.json`,
    });
    save.click();
    setTimeout(() => URL.revokeObjectURL(save.href), 10_000);
  };
}

/** A link or a salt of another retirement, or of one that the chain took back, is none of this. */
function hideDone(): void {
  at("done").hidden = true;
}

form.addEventListener("input", changed);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void during(at<HTMLButtonElement>("sign"), at("retire-note"), async () => {
    // What is under way quietly would take the marks away again.
    clearTimeout(later);
    hideDone();
    // Whoever is quicker than the quiet look has the programme's own choices all the same.
    adapt(rules(), here.countries);
    kilograms();
    const said = written(rules());
    await check(said);
    const told = await (fromMarket() ? buyAndRetire(said) : retireHeld(said));
    changed();
    return told;
  });
});
changed();
unsay(at("retire-note"), hideDone);
