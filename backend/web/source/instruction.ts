// The retirement instruction: the form that follows a programme's rules, and what the rules say of
// it. The service judges; the page marks each field that a rule refuses, in the reader's language.

import { Told, knows, language, make, say } from "./page.js";
import { Refused, ask } from "./service.js";

export interface Rules {
  beneficiary_required: boolean;
  identifier_required: boolean;
  claim_required: boolean;
  private_allowed: boolean;
  kinds: string[];
  countries: string[];
  uses: string[];
  reasons: string[];
  plain_reason: string;
  schemes: { name: string; periods: string[] }[];
  notices: string[];
}

export interface Instruction {
  beneficiary: string;
  kind: string;
  country: string;
  use_case: string;
  reason_code: string;
  identifier: string;
  scheme: string;
  scheme_period: string;
  claim_start: string | null;
  claim_end: string | null;
  is_public: boolean;
  note: string;
  salt: string;
}

/** The body of a request: the salts are of private ones, and made once for each retirement. */
export interface Request {
  class_id: string;
  instruction: Instruction;
  details_salt: string;
}

/** The words of the certificate, and the hashes that bind them. */
export interface Checked {
  instruction_hash: string;
  details_hash: string;
  beneficiary: string;
  purpose: string;
  period: string;
}

export const NO_HASH = `0x${"0".repeat(64)}`;

const form = document.getElementById("retire") as HTMLFormElement;

function field<T extends HTMLElement = HTMLInputElement>(name: string): T {
  return form.elements.namedItem(name) as unknown as T;
}

function value(name: string): string {
  return field(name).value.trim();
}

function listed(name: string): HTMLSelectElement {
  return field<HTMLSelectElement>(name);
}

/** A list's choices, the chosen one kept where it is still offered. */
function offer(list: HTMLSelectElement, choices: [string, string][], fallback = ""): void {
  const before = list.value || fallback;
  list.replaceChildren(
    ...choices.map(([key, text]) => make("option", { value: key }, text)),
  );
  const there = choices.some(([key]) => key === before);
  list.value = there ? before : (choices[0]?.[0] ?? "");
}

/** Shows the fields that this programme knows, with its own choices. */
export function adapt(rules: Rules, codes: string[]): void {
  const names = new Intl.DisplayNames(language, { type: "region" });
  const allowed = rules.countries.length ? rules.countries : codes;
  const countries = allowed
    .map((code): [string, string] => [code, names.of(code) ?? code])
    .sort(([, one], [, two]) => one.localeCompare(two, language));
  offer(listed("country"), [["", say("script.choose")], ...countries]);
  offer(
    listed("reason_listed"),
    rules.reasons.map((code) => [code, code]),
    rules.plain_reason,
  );
  offer(
    listed("scheme"),
    rules.schemes.map((one) => [one.name, one.name]),
  );
  hide("reason-listed", !rules.reasons.length);
  hide("reason-written", Boolean(rules.reasons.length));
  hide("scheme-fields", value("use_case") !== "compliance");
  for (const radio of form.querySelectorAll<HTMLInputElement>("[name=kind], [name=use_case]"))
    radio.disabled = !(radio.name === "kind" ? rules.kinds : rules.uses).includes(radio.value);
  for (const name of ["kind", "use_case"]) firstAllowed(name);
  const hidden = form.querySelector<HTMLInputElement>("[name=visibility][value=private]")!;
  hidden.disabled = !rules.private_allowed;
  firstAllowed("visibility");
  for (const mark of form.querySelectorAll<HTMLElement>("[data-needed]"))
    mark.hidden = !rules[mark.dataset["needed"] as "claim_required"];
  const periods = rules.schemes.find((one) => one.name === value("scheme"))?.periods ?? [];
  document
    .getElementById("periods")!
    .replaceChildren(...periods.map((period) => make("option", { value: period })));
  document
    .getElementById("notices")!
    .replaceChildren(...rules.notices.map((text) => make("li", {}, text)));
}

function hide(id: string, hidden: boolean): void {
  document.getElementById(id)!.hidden = hidden;
}

/** Moves the choice off an option that the programme does not have. */
function firstAllowed(name: string): void {
  const radios = [...form.querySelectorAll<HTMLInputElement>(`[name=${name}]`)];
  if (radios.some((radio) => radio.checked && !radio.disabled)) return;
  const free = radios.find((radio) => !radio.disabled);
  if (free) free.checked = true;
}

function random(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `0x${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** What the form says, with fresh salts when it is private. */
export function written(rules: Rules): Request {
  const secret = value("visibility") === "private";
  const compliance = value("use_case") === "compliance";
  return {
    class_id: value("class"),
    details_salt: secret ? random() : NO_HASH,
    instruction: {
      beneficiary: value("beneficiary"),
      kind: value("kind"),
      country: value("country"),
      use_case: value("use_case"),
      reason_code: value(rules.reasons.length ? "reason_listed" : "reason_written"),
      identifier: value("identifier"),
      scheme: compliance ? value("scheme") : "",
      scheme_period: compliance ? value("scheme_period") : "",
      claim_start: value("claim_start") || null,
      claim_end: value("claim_end") || null,
      is_public: !secret,
      note: value("note"),
      salt: secret ? random() : NO_HASH,
    },
  };
}

/** How often the rules were asked: only the newest answer marks fields. */
let asked = 0;

/** What would be signed. A rule that refuses it is told at its field; Told says that there is one.
 *  `quietly`: fields that nobody has filled in yet are not marked as missing.
 */
export async function check(request: Request, quietly = false): Promise<Checked> {
  const question = ++asked;
  clear();
  try {
    return await ask<Checked>("/v1/retirement-instructions/check", { body: request });
  } catch (error) {
    const newest = question === asked;
    const marked = error instanceof Refused && newest ? mark(error, quietly) : 0;
    if (!marked) throw error;
    throw new Told(say("script.see_fields", { count: marked }));
  }
}

function clear(): void {
  for (const place of form.querySelectorAll<HTMLElement>(".error")) {
    place.hidden = true;
    place.textContent = "";
  }
  for (const wrong of form.querySelectorAll("[aria-invalid]"))
    wrong.removeAttribute("aria-invalid");
}

/** Marks every field that was refused; how many there are. */
function mark(error: Refused, quietly: boolean): number {
  const { values, errors } = error.problem;
  const fields = (values?.["fields"] as unknown as string[] | undefined) ?? [];
  const codes = (values?.["codes"] as unknown as string[] | undefined) ?? [];
  const reasons = (values?.["reasons"] as unknown as string[] | undefined) ?? [];
  const found = fields.map((name, at): [string, string, string] => [
    name,
    codes[at] ?? "",
    reasons[at] ?? "",
  ]);
  for (const one of errors ?? [])
    found.push([one.field.split(".").pop() ?? "", "", one.rule]);
  for (const [name, code, reason] of found) {
    const place = document.getElementById(`error-${name}`);
    if (!place) continue;
    if (quietly && code === "missing") continue;
    const key = `script.breach_${code}`;
    place.textContent = knows(key) ? say(key) : reason;
    place.hidden = false;
    for (const input of inputs(name)) input.setAttribute("aria-invalid", "true");
  }
  return found.filter(([name]) => document.getElementById(`error-${name}`)).length;
}

function inputs(name: string): HTMLElement[] {
  const names = name === "reason_code" ? ["reason_listed", "reason_written"] : [name];
  return names
    .map((one) => form.elements.namedItem(one))
    .filter((one): one is HTMLInputElement => one instanceof HTMLElement);
}
