// The certificate while it is not final: a reorganisation that takes it back is said at once. And
// printing, which needs no more than the browser.

import { at, data, note, say } from "./page.js";
import { type One, Refused, ask } from "./service.js";

interface Here {
  id: string;
  block: string;
  transaction: string;
  provisional: boolean;
}

interface Found {
  retirement: { block_number: string; transaction_hash: string; provisional: boolean };
}

const EVERY_MS = 2_000;
const here = data<Here>("certificate-data")!;

/** What the chain says of the certificate now; null when there is none of this number. */
async function look(): Promise<Found["retirement"] | null> {
  try {
    return (await ask<One<Found>>(`/v1/certificates/${here.id}`)).data.retirement;
  } catch (error) {
    if (error instanceof Refused && error.problem.status === 404) return null;
    throw error;
  }
}

/** Says what became of it; true when there is nothing left to wait for. */
function tell(found: Found["retirement"] | null): boolean {
  const place = at("what-happened");
  place.hidden = false;
  at("certificate").classList.toggle("taken-back", found === null);
  if (found === null) {
    note(place, say("script.cert_taken_back"), "bad");
    return false;
  }
  if (found.transaction_hash !== here.transaction) {
    note(place, say("script.cert_other"), "bad");
    return true;
  }
  const moved = found.block_number !== here.block;
  const places = { block: found.block_number };
  if (found.provisional) {
    note(place, say(moved ? "script.cert_moved" : "script.cert_provisional", places), "warn");
    return false;
  }
  at("provisional").hidden = true;
  note(place, say("script.cert_final", places), "good");
  return true;
}

async function watch(): Promise<void> {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, EVERY_MS));
    try {
      if (tell(await look())) return;
    } catch {
      // The service does not answer for now: what is shown stays as it was.
    }
  }
}

const print = at<HTMLButtonElement>("print");
print.hidden = false;
print.addEventListener("click", () => window.print());
if (here.provisional) void watch();
