// May this event still pass? A sliding window: at most `limit` events in any `windowMs` up to now.

export const RATE_WINDOW_MS = 60_000;

// Counts what was accepted; a refused event is not recorded and therefore never extends the window. `limit` 0 means
// no limit.
export class SlidingWindow {
  #accepted = [];
  #first = 0;

  constructor(limit, windowMs = RATE_WINDOW_MS) {
    this.limit = limit;
    this.windowMs = windowMs;
  }

  // Milliseconds until an event may pass; 0 if it may now.
  wait(now) {
    if (!this.limit) return 0;
    this.#forget(now);
    if (this.#accepted.length - this.#first < this.limit) return 0;
    return this.#accepted[this.#first] + this.windowMs - now;
  }

  accept(now) {
    if (this.limit) this.#accepted.push(now);
  }

  isEmpty(now) {
    this.#forget(now);
    return this.#accepted.length === this.#first;
  }

  toJSON() {
    return this.#accepted.slice(this.#first);
  }

  #forget(now) {
    const horizon = now - this.windowMs;
    while (this.#accepted[this.#first] <= horizon) this.#first++;
    if (this.#first > this.limit) {
      this.#accepted = this.#accepted.slice(this.#first);
      this.#first = 0;
    }
  }
}
