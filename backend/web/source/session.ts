// Sign-In with Ethereum (EIP-4361): reading what is one's own. The token lives in this tab.

import { Refused, ask } from "./service.js";
import { Told, chainId, say } from "./page.js";
import { changed, connected, request, signer } from "./wallet.js";

const KEPT = "causeway.session";

interface Kept {
  account: string;
  token: string;
}

/** The session's token when the connected account has one, else null. */
export function token(): string | null {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Kept | null;
  const account = connected();
  return kept && account && kept.account.toLowerCase() === account.toLowerCase()
    ? kept.token
    : null;
}

export function forget(): void {
  sessionStorage.removeItem(KEPT);
}

/** Signs in with the wallet; asks nothing when a session is there. */
export async function signIn(): Promise<string> {
  const account = await signer();
  const known = token();
  if (known) return known;
  const { nonce } = await ask<{ nonce: string }>("/v1/session/nonce");
  const message = [
    `${location.host} wants you to sign in with your Ethereum account:`,
    await checksummed(account),
    "",
    "Read what is yours at Causeway, and act by the role that your account has.",
    "",
    `URI: ${location.origin}`,
    "Version: 1",
    `Chain ID: ${chainId}`,
    `Nonce: ${nonce}`,
    `Issued At: ${new Date().toISOString().replace(/\.\d+Z$/, "Z")}`,
  ].join("\n");
  const hex = `0x${[...new TextEncoder().encode(message)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("")}`;
  const signature = await request<string>("personal_sign", [hex, account]);
  const opened = await ask<{ token: string }>("/v1/session", { body: { message, signature } });
  sessionStorage.setItem(KEPT, JSON.stringify({ account, token: opened.token }));
  ended = false;
  return opened.token;
}

async function checksummed(account: string): Promise<string> {
  const { getAddress } = await import("./encode.js");
  return getAddress(account);
}

/** A read of one's own to be shown: it never opens the wallet. A session that has ended is
 *  forgotten and the page told, so that it says so and offers to sign in again. */
export async function own<T>(path: string): Promise<T> {
  const known = token();
  if (!known) throw new Told(invitation());
  try {
    return await ask<T>(path, { token: known });
  } catch (error) {
    if (hasEnded(error)) end();
    throw error;
  }
}

/** The same within an action of the person: signs in where that is needed, an ended session too. */
export async function ownSigned<T>(
  path: string,
  options: { body?: unknown; method?: string } = {},
): Promise<T> {
  try {
    return await ask<T>(path, { ...options, token: await signIn() });
  } catch (error) {
    if (!hasEnded(error)) throw error;
    forget();
    return await ask<T>(path, { ...options, token: await signIn() });
  }
}

let ended = false;

function hasEnded(error: unknown): boolean {
  return error instanceof Refused && error.code === "not-signed-in";
}

function end(): void {
  forget();
  ended = true;
  changed();
}

/** Why a page shows nothing of one's own yet. */
export function invitation(): string {
  if (!connected()) return say("script.connect_first");
  return say(ended ? "problem.not-signed-in" : "script.sign_in_first");
}
