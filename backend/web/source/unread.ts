// Alerts on the classes that the connected account holds, and how many are new: the header of every
// page says so. What was read is remembered per account in this browser, for all of its tabs: the
// key of the newest alert that somebody marked as read.

import { make, say } from "./page.js";
import { type Listed, ask } from "./service.js";
import { connected, whenChanged } from "./wallet.js";

export interface Alert {
  key: string;
  kind: string;
  class_id: string;
  at: string;
  tonnes: string | null;
  subject: string;
  reason: string;
}

/** What is known of an account: its alerts, the newest first, and the newest key that was read. */
export interface Alerts {
  all: Alert[];
  read: string;
}

type Listener = (found: Alerts | null, problem: unknown) => void;

const NEWEST = 20;
/** Whose alerts `newest` are. */
let holder: string | null = null;
let newest: Alert[] | null = null;
let problem: unknown = null;
let listeners: Listener[] = [];

/** Called now and whenever there is something else to say; null: nobody is connected, or it is
 *  not known yet, or there was no answer, which is the second argument then. */
export function whenAlerts(listener: Listener): void {
  listeners.push(listener);
  listener(known(), problem);
}

/** Every alert that is shown now is read from now on, in every tab. */
export function markRead(): void {
  const account = connected();
  if (!account || !newest?.length) return;
  try {
    localStorage.setItem(kept(account), newest[0]!.key);
  } catch {
    // Private windows may refuse: then it stays new.
  }
  tell();
}

function kept(account: string): string {
  return `causeway.alerts.${account.toLowerCase()}`;
}

/** What was read of an account; a browser that keeps nothing shows everything as new. */
function read(account: string): string {
  try {
    return localStorage.getItem(kept(account)) ?? "";
  } catch {
    return "";
  }
}

function known(): Alerts | null {
  const account = connected();
  return account && newest ? { all: newest, read: read(account) } : null;
}

function tell(): void {
  const found = known();
  showInHeader(found?.all.filter((one) => one.key > found.read).length ?? 0);
  for (const listener of listeners) listener(found, problem);
}

function showInHeader(count: number): void {
  const link = document.querySelector('.bar nav a[href="/portfolio"]');
  link?.querySelector(".count")?.remove();
  if (!count) return;
  const words = { class: "count", role: "img", "aria-label": say("script.alerts_new", { count }) };
  link?.append(make("span", words, count < NEWEST ? String(count) : `${NEWEST}+`));
}

async function look(): Promise<void> {
  const account = connected();
  // Asked again for the same account, what is shown stays until there is an answer.
  if (account !== holder) newest = null;
  holder = account;
  problem = null;
  tell();
  if (!account) return;
  try {
    const found = await ask<Listed<Alert>>(`/v1/accounts/${account}/alerts?limit=${NEWEST}`);
    if (connected() !== account) return;
    newest = found.data;
  } catch (error) {
    if (connected() !== account) return;
    problem = error;
  }
  tell();
}

window.addEventListener("storage", (event) => {
  const account = connected();
  if (account && event.key === kept(account)) tell();
});
whenChanged(() => void look());
