// The operator's pages: signing in, signing drafts, sending forms. What they show the server
// renders; after every act the section is fetched again: a page never guesses what became of it.

import { Told, at, during, explain, note, say } from "./page.js";
import { Refused, ask } from "./service.js";
import { forget, ownSigned, token } from "./session.js";
import { onOurChain, request, signer } from "./wallet.js";

interface Draft {
  data: { id: string; typed_data: unknown };
}

const HOME = "/operator";
const place = at("operator-note");
const frame = document.getElementById("operator");

/** The wallet's account, which must be the one that the page was made for. */
async function person(): Promise<string> {
  const account = await signer();
  const wanted = frame?.dataset["account"] ?? account;
  if (account.toLowerCase() !== wanted.toLowerCase())
    throw new Told(say("script.operator_other_account", { account: wanted }));
  return account;
}

async function open(): Promise<void> {
  await ownSigned<void>(`${HOME}/session`, { method: "POST" });
  const next = new URLSearchParams(location.search).get("next") ?? HOME;
  // Ours alone: what a link of a stranger says leads nowhere else.
  location.assign(/^\/operator(?:[/?]|$)/.test(next) ? next : HOME);
}

async function leave(): Promise<void> {
  const held = token();
  const ended = { method: "DELETE", token: held };
  if (held) await ask<void>("/v1/session", ended).catch(() => undefined);
  forget();
  await ask<void>(`${HOME}/session`, { method: "DELETE" });
  location.assign(HOME);
}

/** The section as the server has it now, in the place of the old one. */
async function refresh(): Promise<void> {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("operator-section");
  if (fresh) at("operator-section").replaceChildren(...fresh.childNodes);
}

async function sign(id: string): Promise<string> {
  const account = await person();
  const path = `/v1/operator/drafts/${id}`;
  const draft = await ownSigned<Draft>(path);
  await onOurChain();
  const signature = await request<string>("eth_signTypedData_v4", [
    account,
    JSON.stringify(draft.data.typed_data),
  ]);
  await send(`${path}/signatures`, { signature });
  return say("script.operator_signed");
}

/** Sends what a person decided; a conflict is told with what it is about. */
async function send(path: string, body: unknown): Promise<void> {
  try {
    await ownSigned(path, { body });
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "conflict") throw error;
    throw new Told(say("script.operator_conflict", { detail: error.problem.detail }));
  }
  await refresh();
}

async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32_768)
    text += String.fromCharCode(...bytes.subarray(start, start + 32_768));
  return btoa(text);
}

/** What a form says, as JSON: nothing for what was left empty, lists of lines, files in base64. */
async function saidBy(form: HTMLFormElement, button: HTMLButtonElement): Promise<object> {
  const body: Record<string, unknown> = {};
  for (const field of form.elements) {
    if (field instanceof HTMLInputElement && field.type === "file") {
      const file = field.files?.[0];
      if (!file) continue;
      body[field.name] = await base64(file);
      body[`${field.name}_name`] = file.name;
    } else if (field instanceof HTMLTextAreaElement && "lines" in field.dataset) {
      const lines = field.value.split("\n").map((line) => line.trim());
      if (lines.some(Boolean)) body[field.name] = lines.filter(Boolean);
    } else if (
      field instanceof HTMLInputElement ||
      field instanceof HTMLSelectElement ||
      field instanceof HTMLTextAreaElement
    ) {
      if (field.value.trim()) body[field.name] = field.value.trim();
    }
  }
  if (button.name) body[button.name] = button.value === "true";
  return body;
}

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest("button");
  if (!button) return;
  const { sign: id, copy } = button.dataset;
  if (button.id === "operator-sign-in") void during(button, place, open);
  else if (button.id === "operator-sign-out") void during(button, place, leave);
  else if (id) void during(button, place, () => sign(id));
  else if (copy !== undefined)
    navigator.clipboard.writeText(copy).then(
      () => note(place, say("script.operator_copied"), "good"),
      (error: unknown) => note(place, explain(error), "bad"),
    );
});

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  const path = form.dataset["post"];
  const button = event.submitter as HTMLButtonElement | null;
  if (!path || !button) return;
  event.preventDefault();
  void during(button, place, async () => {
    await person();
    await send(path, await saidBy(form, button));
    return say("script.operator_done");
  });
});
