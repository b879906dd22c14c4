// What every script of a page uses: its texts, the data the server put into it, elements.

type Values = Record<string, string | number>;

interface Common {
  language: string;
  chainId: number;
  /** How a wallet that does not know the chain reaches it; null when nobody said. */
  chain: { name: string; rpc: string } | null;
  texts: Record<string, string>;
}

/** A JSON block of the page, null when the page has none of this id. */
export function data<T>(id: string): T | null {
  const block = document.getElementById(id);
  return block?.textContent ? (JSON.parse(block.textContent) as T) : null;
}

const common = data<Common>("common") ?? {
  language: "en",
  chainId: 0,
  chain: null,
  texts: {},
};

export const language = common.language;
export const chainId = common.chainId;
export const chain = common.chain;

/** A text in the page's language with its places filled; the key itself when there is none. */
export function say(key: string, values: Values = {}): string {
  const text = common.texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** Whether the page's language has this text. */
export function knows(key: string): boolean {
  return key in common.texts;
}

type Child = Node | string | null | undefined | false;

/** An element; attributes that are functions are listeners, `true` sets an empty attribute. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

/** The element of an id, which the template has. */
export function at<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** Shows a note in a live region: good, bad, warn or plain. An empty text takes it away. */
export function note(place: HTMLElement, text: string, kind = ""): void {
  place.className = text ? `note ${kind}`.trim() : "";
  place.textContent = text;
}

/** Runs an action with its button disabled; what goes wrong is told in words in `place`. */
export async function during(
  button: HTMLButtonElement,
  place: HTMLElement,
  action: () => Promise<string | void>,
): Promise<void> {
  button.disabled = true;
  // What an earlier action sent to the chain is nothing of this one.
  delete place.dataset.sent;
  note(place, say("script.working"));
  try {
    note(place, (await action()) ?? "", "good");
  } catch (error) {
    note(place, explain(error), "bad");
  } finally {
    button.disabled = false;
  }
}

/** Something that went wrong and has words of ours. */
export class Told extends Error {}

interface WalletError {
  code?: number;
  message?: string;
  shortMessage?: string;
  data?: unknown;
}

/** Any error in plain language. EIP-1193: 4001 the person refused, 4900 and 4901 disconnected. */
export function explain(error: unknown): string {
  if (error instanceof Told) return error.message;
  const found = error as WalletError;
  if (found.code === 4001) return say("script.wallet_refused");
  if (found.code === 4900 || found.code === 4901) return say("script.wallet_disconnected");
  if (found.code === -32002) return say("script.wallet_busy");
  const detail = found.shortMessage ?? found.message ?? String(error);
  if (/insufficient funds/i.test(detail)) return say("script.no_gas");
  return say("script.failed", { detail: detail.slice(0, 300) });
}
