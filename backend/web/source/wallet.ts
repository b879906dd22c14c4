// Wallets: found by EIP-6963, spoken to by EIP-1193. Which one the person chose is remembered by
// its name only; nothing connects before they ask for it or have done so before on this page.

import { Told, chain, chainId, explain, make, note, say } from "./page.js";
import { short } from "./amounts.js";

export interface Provider {
  request(call: { method: string; params?: unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: unknown) => void): void;
}

interface Announced {
  info: { uuid: string; name: string; icon: string; rdns: string };
  provider: Provider;
}

const KEPT = "causeway.wallet";
const found = new Map<string, Announced>();
let chosen: Announced | null = null;
let account: string | null = null;
let listeners: (() => void)[] = [];

/** The connected address, checksummed as the wallet gave it; null when none is connected. */
export function connected(): string | null {
  return account;
}

/** Called now and whenever the account or the chain of the wallet changes. */
export function whenChanged(listener: () => void): void {
  listeners.push(listener);
  listener();
}

/** Tells every listener to look anew: another account, another chain, a session that ended. */
export function changed(): void {
  render();
  void showChain();
  for (const listener of listeners) listener();
}

/** One request to the wallet. */
export async function request<T>(method: string, params: unknown[] = []): Promise<T> {
  if (!chosen) throw new Told(say("script.connect_first"));
  return (await chosen.provider.request({ method, params })) as T;
}

/** The address that signs: connects when nothing is connected. */
export async function signer(): Promise<string> {
  if (!account) await connect();
  if (!account) throw new Told(say("script.connect_first"));
  return account;
}

async function currentChain(): Promise<number> {
  return Number(await request<string>("eth_chainId"));
}

/** Asks the wallet to switch to the page's chain (EIP-3326), or to add it first (EIP-3085). */
async function switchChain(): Promise<void> {
  const wanted = `0x${chainId.toString(16)}`;
  try {
    await request("wallet_switchEthereumChain", [{ chainId: wanted }]);
  } catch (error) {
    if ((error as { code?: number }).code !== 4902 || !chain) throw error;
    await request("wallet_addEthereumChain", [
      {
        chainId: wanted,
        chainName: chain.name,
        rpcUrls: [chain.rpc],
        nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      },
    ]);
  }
}

/** Asks the wallet to be on the page's chain; says in words when it is not. */
export async function onOurChain(): Promise<void> {
  const before = await currentChain();
  if (before === chainId) return;
  await switchChain().catch(() => undefined);
  const found = await currentChain();
  if (found !== chainId) throw new Told(say("script.wrong_chain", { wanted: chainId, found }));
}

/** A banner while the wallet is on another chain, with the switch as its button. */
async function showChain(): Promise<void> {
  const banner = document.getElementById("chain-note");
  if (!banner) return;
  const found = account ? await currentChain().catch(() => chainId) : chainId;
  banner.hidden = found === chainId;
  if (banner.hidden) return;
  const told = make("span", { role: "status" });
  const offer = make("button", { type: "button", class: "small" }, say("script.switch_chain"));
  offer.addEventListener("click", () => {
    switchChain()
      .then(() => showChain())
      .catch((error: unknown) => note(told, explain(error), "bad"));
  });
  const words = say("script.other_chain", { wanted: chainId, found });
  banner.replaceChildren(make("span", {}, words), " ", offer, " ", told);
}

async function use(wallet: Announced, method: string): Promise<void> {
  const accounts = (await wallet.provider.request({ method })) as string[];
  chosen = wallet;
  account = accounts[0] ?? null;
  if (account) localStorage.setItem(KEPT, wallet.info.rdns);
  wallet.provider.on?.("accountsChanged", (value) => {
    account = (value as string[])[0] ?? null;
    changed();
  });
  wallet.provider.on?.("chainChanged", () => changed());
  wallet.provider.on?.("disconnect", () => {
    account = null;
    changed();
  });
  changed();
}

/** Lets the person choose a wallet and connects it. */
export async function connect(): Promise<void> {
  const wallets = [...found.values()];
  if (!wallets.length) throw new Told(say("script.no_wallet"));
  const wallet = wallets.length === 1 ? wallets[0]! : await choose(wallets);
  if (wallet) await use(wallet, "eth_requestAccounts");
}

function choose(wallets: Announced[]): Promise<Announced | null> {
  return new Promise((resolve) => {
    const dialog = make("dialog", { class: "chooser", "aria-labelledby": "choose-wallet" });
    const finish = (wallet: Announced | null): void => {
      dialog.close();
      dialog.remove();
      resolve(wallet);
    };
    dialog.append(
      make("h2", { id: "choose-wallet" }, say("script.choose_wallet")),
      ...wallets.map((wallet) =>
        make(
          "button",
          { class: "plain", type: "button", click: () => finish(wallet) },
          wallet.info.name,
        ),
      ),
      make(
        "button",
        { class: "plain small", type: "button", click: () => finish(null) },
        say("script.close"),
      ),
    );
    dialog.addEventListener("cancel", () => finish(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Forgets the wallet on this page; the wallet's own permission stays its own matter. */
export function disconnect(): void {
  localStorage.removeItem(KEPT);
  account = null;
  chosen = null;
  changed();
}

function render(): void {
  const place = document.getElementById("wallet");
  if (!place) return;
  const problem = make("span", { class: "wallet-problem", role: "status" });
  const tell = (error: unknown): void => {
    problem.textContent = explain(error);
  };
  place.replaceChildren(
    account
      ? make(
          "button",
          {
            class: "plain small",
            type: "button",
            click: disconnect,
            title: say("script.disconnect"),
          },
          short(account),
        )
      : make(
          "button",
          { class: "small", type: "button", click: () => connect().catch(tell) },
          say("script.connect"),
        ),
    problem,
  );
}

window.addEventListener("eip6963:announceProvider", (event) => {
  const detail = (event as CustomEvent<Announced>).detail;
  if (found.has(detail.info.uuid)) return;
  found.set(detail.info.uuid, detail);
  // Whoever connected here before is connected again, without a question, when the wallet allows.
  if (!chosen && localStorage.getItem(KEPT) === detail.info.rdns) {
    use(detail, "eth_accounts").catch(() => undefined);
  }
});
window.dispatchEvent(new Event("eip6963:requestProvider"));
render();
