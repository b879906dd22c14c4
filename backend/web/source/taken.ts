// What becomes of a note of something done while the chain takes transactions back. Nothing is
// imported: it is tested without a browser.

export interface Noted {
  /** Of the action that the note tells of. */
  hashes: string[];
  /** `good`: something is done; `warn`: it said so and was overwritten; else neither. */
  kind: string;
}

/** `warn` overwrites the note, `clear` takes the warning away, `leave` leaves it as it is.
 *  `gone`: every transaction of the tab that stands in no chain block any more. */
export function decide(noted: Noted, gone: string[]): "warn" | "clear" | "leave" {
  if (noted.kind === "good" && noted.hashes.some((one) => gone.includes(one))) return "warn";
  if (noted.kind === "warn" && noted.hashes.length && !gone.length) return "clear";
  return "leave";
}
