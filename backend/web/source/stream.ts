// The stream of the venue: subscriptions that survive a lost connection. After a break each goes
// on after the last entry it was told whole: nothing is missed, the last entry may come twice.

export type State = "connecting" | "live" | "lost";

export interface Told {
  type: string;
  channel?: string;
  seq: string;
  [name: string]: unknown;
}

interface Wish {
  channel: "book" | "trades" | "orders";
  instrument?: string;
  asset?: string;
  token?: string;
}

interface Subscription {
  wish: Wish;
  /** The newest entry that was told whole: the one after it may have been cut by a break. */
  seen: bigint | null;
  newest: bigint | null;
  hear: (message: Told) => void;
  lost: () => void;
}

const PATIENCE = [250, 500, 1000, 2000, 5000];
/** The service beats every five seconds; two beats without a word and the connection is dead. */
const SILENCE = 12_000;

export class Stream {
  private socket: WebSocket | null = null;
  private subscriptions: Subscription[] = [];
  private failures = 0;
  private silence: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly show: (state: State) => void) {
    this.open();
    window.addEventListener("online", () => this.reopen());
  }

  /** `hear` gets every message; `lost` is called when the state must be read anew. */
  subscribe(wish: Wish, hear: (message: Told) => void, lost: () => void): void {
    const subscription = { wish, seen: null, newest: null, hear, lost };
    this.subscriptions.push(subscription);
    if (this.socket?.readyState === WebSocket.OPEN) this.ask(subscription);
  }

  private open(): void {
    this.show(this.failures ? "lost" : "connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v1/stream`);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.failures = 0;
      this.show("live");
      this.heard();
      for (const subscription of this.subscriptions) this.ask(subscription);
    });
    socket.addEventListener("message", (event) => {
      this.heard();
      this.take(JSON.parse(event.data as string) as Told);
    });
    socket.addEventListener("close", () => {
      if (this.socket === socket) this.retry();
    });
  }

  private heard(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket?.close(), SILENCE);
  }

  private retry(): void {
    this.show("lost");
    const wait = PATIENCE[Math.min(this.failures, PATIENCE.length - 1)]!;
    this.failures += 1;
    setTimeout(() => this.open(), wait);
  }

  private reopen(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) this.open();
  }

  private ask(subscription: Subscription): void {
    const { wish, seen } = subscription;
    // A book begins with a snapshot, always: changes told twice would add up.
    const from = seen === null || wish.channel === "book" ? {} : { from: String(seen + 1n) };
    this.socket?.send(JSON.stringify({ op: "subscribe", ...wish, ...from }));
  }

  private take(message: Told): void {
    for (const one of this.subscriptions) {
      if (message.type === "heartbeat") {
        // Everything up to here was told: after a break one need not ask for it again.
        this.advance(one, BigInt(message.seq), true);
        continue;
      }
      if (!concerns(one.wish, message)) continue;
      if (message.type === "snapshot_needed" || message.type === "error") {
        one.seen = null;
        one.lost();
        if (message.type === "snapshot_needed") this.ask(one);
        continue;
      }
      one.hear(message);
      this.advance(one, BigInt(message.seq ?? "0"), message.type === "subscribed");
    }
  }

  /** An entry has been told whole once a later one begins, or a heartbeat says so. */
  private advance(one: Subscription, seq: bigint, whole: boolean): void {
    if (whole) {
      if (one.seen === null || seq > one.seen) one.seen = seq;
    } else if (one.newest !== null && seq > one.newest) {
      one.seen = one.newest;
    }
    if (one.newest === null || seq > one.newest) one.newest = seq;
  }
}

function concerns(wish: Wish, message: Told): boolean {
  if (message.type === "halted" || message.type === "resumed") return true;
  if (message.channel !== wish.channel) return false;
  if (wish.instrument === undefined || message["instrument"] === undefined) return true;
  return (
    message["instrument"] === wish.instrument &&
    String(message["asset"]).toLowerCase() === wish.asset?.toLowerCase()
  );
}
