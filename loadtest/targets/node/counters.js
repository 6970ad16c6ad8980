// What has the server done so far? The oracle against which a harness checks its own counts.
const LAG_SAMPLES = 1200;

// `received`: events and their REST equivalents, under the event's name. `emitted`: one per recipient socket or feed
// it was handed to. `accepted`: carried out, neither refused nor a repetition. Where several servers carry out the same
// request, the one that it came to counts it.
export class Counters {
  received = {};
  emitted = {};
  accepted = {};
  rateLimited = 0;
  #lags = [];
  #next = 0;
  #turn;

  constructor(turn) {
    this.#turn = turn;
  }

  count(kind, name, times = 1) {
    if (times && this.#turn.mine) this[kind][name] = (this[kind][name] ?? 0) + times;
  }

  // Given to one socket of this server, whoever asked for it.
  handed(name) {
    this.emitted[name] = (this.emitted[name] ?? 0) + 1;
  }

  limited() {
    if (this.#turn.mine) this.rateLimited++;
  }

  // One sample of how much later than asked the event loop came round.
  lagged(ms) {
    this.#lags[this.#next] = ms;
    this.#next = (this.#next + 1) % LAG_SAMPLES;
  }

  // Nearest-rank 99th percentile of the newest samples; 0 before the first.
  lagP99() {
    const ordered = [...this.#lags].sort((a, b) => a - b);
    return ordered.length ? ordered[Math.ceil((99 * ordered.length) / 100) - 1] : 0;
  }
}
