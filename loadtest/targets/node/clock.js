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
  #turn;

  // `rate`: how many seconds pass in one. Tests let a minute pass in a second; several servers count from one `epoch`,
  // lest their hours drift apart. While a `turn` lasts that has a moment, it is that moment.
  constructor(rate, turn, epoch = this.#start) {
    this.#start = epoch + (this.#start - epoch) * rate;
    this.#rate = rate;
    this.#turn = turn;
  }

  // Milliseconds since 1970, with fractions; they never fall.
  now() {
    return this.#turn.moment ?? this.#start + (performance.now() - this.#origin) * this.#rate;
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
