// Sign-In with Ethereum (EIP-4361): reading what is one's own. The token lives in this tab.

import { Refused, ask } from "./service.js";
import { chainId, say } from "./page.js";
import { connected, request, signer } from "./wallet.js";

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
  return opened.token;
}

async function checksummed(account: string): Promise<string> {
  const { getAddress } = await import("./encode.js");
  return getAddress(account);
}

/** A request with the session; an expired one is opened anew, once. */
export async function own<T>(
  path: string,
  options: { body?: unknown; method?: string } = {},
): Promise<T> {
  try {
    return await ask<T>(path, { ...options, token: await signIn() });
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "not-signed-in") throw error;
    forget();
    return await ask<T>(path, { ...options, token: await signIn() });
  }
}

/** Why a page shows nothing of one's own yet. */
export function invitation(): string {
  return connected() ? say("script.sign_in_first") : say("script.connect_first");
}
