// How long a quote still holds, counted from when it was asked for: this browser's clock may be
// wrong, how long an answer holds is not. Nothing is imported: it is tested without a browser.

/** Unix seconds, as the service says them. */
export interface Span {
  quotedAt: number;
  validUntil: number;
}

/** Whole seconds that are left; 0 when it has to be asked for again. `asked` and `now`:
 *  milliseconds of the same clock, which may have been set back in between. */
export function secondsLeft(span: Span, asked: number, now: number): number {
  const passed = now - asked;
  if (!(passed >= 0)) return 0;
  return Math.max(0, Math.ceil(span.validUntil - span.quotedAt - passed / 1000));
}
