// Retirement: words, serials before the signature, the certificate after it.

import { Told, at, data, during, explain, make, note, say } from "./page.js";
import { type Money, grouped, money, parseDecimal, tonnes } from "./amounts.js";
import { indexed, send } from "./chain.js";
import { type Terms, feeBps, inWords, expiryOf, place, theVenue } from "./orders.js";
import { type One, Refused, ask } from "./service.js";
import { signer } from "./wallet.js";

interface Here {
  credits: string;
  classes: Record<string, string>;
  numbers: Record<string, number>;
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
const NO_HASH = `0x${"0".repeat(64)}`;
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

interface Words {
  salt: string;
  beneficiary: string;
  purpose: string;
  period: string;
}

function words(): Words {
  const secret = value("visibility") === "private";
  const bytes = secret ? crypto.getRandomValues(new Uint8Array(32)) : new Uint8Array(32);
  const salt = `0x${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const said = {
    salt,
    beneficiary: value("beneficiary"),
    purpose: value("purpose"),
    period: value("period"),
  };
  for (const text of [said.beneficiary, said.purpose, said.period])
    if (new TextEncoder().encode(text).length > 256) throw new Told(say("script.text_too_long"));
  return said;
}

async function hashOf(said: Words): Promise<string> {
  const { encodeAbiParameters, keccak256 } = await import("./encode.js");
  const types = ["bytes32", "string", "string", "string", "bytes32"].map((type) => ({ type }));
  const values = [said.salt, said.beneficiary, said.purpose, said.period, NO_HASH];
  return keccak256(encodeAbiParameters(types, values));
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
      make("span", { class: "serial" }, `${run.series} / ${run.first} – ${run.last}`),
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
  const asset = here.assets.find((one) => one.address === value("asset"));
  if (!asset) throw new Told(say("script.no_market"));
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
    if (fromMarket()) {
      const wanted = terms(NO_HASH);
      lines.push(...inWords(wanted, feeBps(await theVenue()), expiryOf(wanted)));
    } else {
      const name = here.classes[value("class")] ?? "";
      lines.push(say("script.retire_line", { amount: tonnes(kilograms()), name }));
    }
    if (value("beneficiary")) lines.push(say("script.for_whom", { name: value("beneficiary") }));
    lines.push(say(`script.retire_${value("visibility")}`));
    at("preview").replaceChildren(...lines.map((line) => make("li", {}, line)));
  } catch (error) {
    at("preview").replaceChildren(make("li", { class: "quiet" }, explain(error)));
  }
}

let later: ReturnType<typeof setTimeout> | undefined;

function changed(): void {
  clearTimeout(later);
  later = setTimeout(() => {
    void preview();
    void showSerials();
  }, 200);
}

// ── the signature and what follows ───────────────────────────────────────────────────────────

async function retireHeld(said: Words): Promise<string> {
  const from = await signer();
  const id = BigInt(value("class"));
  const amount = kilograms();
  const isPrivate = said.salt !== NO_HASH;
  const call = isPrivate
    ? {
        abi: RETIRE,
        args: [from, id, amount, from, await hashOf(said)],
      }
    : {
        abi: RETIRE_PUBLICLY,
        args: [from, id, amount, from, said.beneficiary, said.purpose, said.period, NO_HASH],
      };
  const receipt = await send({ to: here.credits, ...call });
  await indexed(receipt);
  const retired = receipt.logs.find(
    (log) =>
      log.address.toLowerCase() === here.credits.toLowerCase() &&
      log.topics.length === CERTIFICATE_TOPIC + 1 &&
      BigInt(log.topics[1]!) === id &&
      BigInt(log.topics[CERTIFICATE_TOPIC]!) >> 32n === BigInt(here.numbers[value("class")] ?? 0),
  );
  if (retired) finish(`/certificates/${BigInt(retired.topics[CERTIFICATE_TOPIC]!)}`, said);
  return say("script.retired_now", { amount: tonnes(amount) });
}

async function buyAndRetire(said: Words): Promise<string> {
  const wanted = terms(await hashOf(said));
  const made = await place(wanted);
  if (!BigInt(made.filled ?? "0")) throw new Told(say("script.nothing_matched"));
  finish(`/explore?q=${await signer()}`, said);
  return say("script.bought_and_retired", {
    tonnes: grouped(made.filled ?? "0"),
    price: money(wanted.price, wanted.asset),
  });
}

function finish(link: string, said: Words): void {
  at<HTMLAnchorElement>("certificate").href = link;
  at("done").hidden = false;
  const secret = at("secret");
  secret.hidden = said.salt === NO_HASH;
  secret.textContent = say("script.keep_salt", { salt: said.salt });
}

form.addEventListener("input", changed);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void during(at<HTMLButtonElement>("sign"), at("retire-note"), async () => {
    const said = words();
    const told = await (fromMarket() ? buyAndRetire(said) : retireHeld(said));
    changed();
    return told;
  });
});
changed();
