// Transactions: encoded, shown to the wallet, waited for until the service's index shows them.

import { Told, say } from "./page.js";
import { ask } from "./service.js";
import { follow } from "./sent.js";
import { onOurChain, request, signer } from "./wallet.js";

interface Receipt {
  status: string;
  blockNumber: string;
  logs: { address: string; topics: string[]; data: string }[];
}

export interface Call {
  to: string;
  /** Solidity, as in the contract's interface: `function claim(address account, uint256 asset)`. */
  abi: string;
  args: unknown[];
}

/** A call that the wallet signs, and what it does in words: the page shows it until it is final.
 *  `place`: the note that says what came of it. */
export interface Act extends Call {
  what: string;
  place: HTMLElement;
}

const PATIENCE_MS = 120_000;

function pause(milliseconds: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, milliseconds));
}

async function encode(call: Call): Promise<string> {
  const { encodeFunctionData, parseAbi } = await import("./encode.js");
  // One function, so that its name need not be said; what fits it is known only at run time.
  const anything = encodeFunctionData as (call: { abi: unknown; args: unknown[] }) => string;
  return anything({ abi: parseAbi([call.abi]), args: call.args });
}

/** Sends one call and waits for its receipt; a revert is told in words. */
export async function send(call: Act): Promise<Receipt> {
  const from = await signer();
  await onOurChain();
  const data = await encode(call);
  const hash = await request<string>("eth_sendTransaction", [{ from, to: call.to, data }]);
  follow(hash, call.what, call.place);
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const receipt = await request<Receipt | null>("eth_getTransactionReceipt", [hash]);
    if (receipt) {
      if (receipt.status !== "0x1") throw new Told(say("script.reverted", { hash }));
      return receipt;
    }
    if (Date.now() > until) throw new Told(say("script.not_mined", { hash }));
    await pause(300);
  }
}

/** Waits until the index shows a chain block; gives up quietly, the page then shows what it has. */
export async function indexed(receipt: Receipt): Promise<void> {
  const number = BigInt(receipt.blockNumber).toString();
  for (let tries = 0; tries < 20; tries += 1) {
    try {
      await ask(`/v1/classes?limit=1&min_block=${number}`);
      return;
    } catch {
      await pause(300);
    }
  }
}

/** One word that a view of a contract returns. */
export async function word(call: Call): Promise<bigint> {
  const data = await encode(call);
  const answer = await request<string>("eth_call", [{ to: call.to, data }, "latest"]);
  return BigInt(answer.slice(0, 66));
}
