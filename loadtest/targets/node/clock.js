// What time is it, for deadlines and for people alike?
//
// One clock: the time of day at start, driven by the monotonic clock from then on, so that a wall clock that is
// set back neither extends a rate window nor lets two messages of a room carry falling times.
import { performance } from "node:perf_hooks";

export const SECOND = 1000;

export class Clock {
  #start = performance.timeOrigin + performance.now();
  #origin = performance.now();
  #rate;

  // `rate`: how many seconds pass in one. Tests let a minute pass in a second.
  constructor(rate = 1) {
    this.#rate = rate;
  }

  // Milliseconds since 1970, with fractions; they never fall.
  now() {
    return this.#start + (performance.now() - this.#origin) * this.#rate;
  }

  // The same as people are told it.
  ts() {
    return Math.floor(this.now());
  }

  // Real milliseconds until `ms` of this clock have passed.
  wait(ms) {
    return ms / this.#rate;
  }
}
