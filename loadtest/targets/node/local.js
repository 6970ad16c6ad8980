// How is a request carried out where one server is the whole house? At once.
import { rowOf } from "./tallies.js";

export class Local {
  #core;
  #state;

  constructor(core, state) {
    this.#core = core;
    this.#state = state;
  }

  // Nothing has to be fetched first.
  async begin() {}

  // `method` of State for `who`; then `done(answer)` or `failed(error)`.
  run(method, who, args, done, failed) {
    let answer;
    try {
      answer = this.#state[method](who, ...args);
    } catch (error) {
      return failed(error);
    }
    done(answer);
  }

  // The same for those who can wait: the answer itself here, a promise of it elsewhere. Throws what State throws.
  ask(method, who, args) {
    return this.#state[method](who, ...args);
  }

  // The socket is back with its user and rooms.
  recovered(session) {
    this.#state.recovered(session);
  }

  // The socket is gone, whoever it belonged to.
  disconnected(session) {
    this.#state.disconnected(session);
  }

  // Time has passed.
  tick() {
    this.#state.tick();
  }

  // A fault that lasts begins, or all of them end.
  order(fault) {
    this.#state.order(fault);
  }

  // What has been counted, where there is nobody else to ask, and so nobody who needs a name.
  counts() {
    const { instance: _, ...row } = rowOf(this.#core);
    return row;
  }

  // Nobody has to be told of the end.
  async end() {}
}
