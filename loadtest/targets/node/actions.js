// What can be asked of the server, and what does it cost the asker?
//
// One table of actions for both doors. Each domain brings its rows; the doors know only `perform`. A row is
// `[name, run(actor, payload), charge]`: `run` returns the ack, or undefined for an event that has none, and an ack
// with a true `duplicate` says that nothing was done again. `charge` ("message", "event", "free" or "idle") says which
// rate limits count it: none the last two, and what is idle does not even look at anything.
import { isObject } from "./fields.js";
import { RATE_WINDOW_MS } from "./ratelimit.js";
import { Refusal } from "./refusal.js";

export const SOCKET_SCOPES = { messages: ["message"], all: ["message", "event"] };
export const HTTP_SCOPE = ["message", "event"];
export const HTTP_READS = [];

export function calibrationActions(clock) {
  const echo = (_actor, payload = null) => ({
    ...(isObject(payload) ? payload : { data: payload }),
    serverTime: clock.ts(),
  });
  return [["echo", echo, "idle"]];
}

export class Actions {
  #actions;
  #counters;
  #clock;

  constructor(rows, counters, clock) {
    this.#actions = new Map(rows.map(([name, run, charge]) => [name, { run, charge }]));
    this.#counters = counters;
    this.#clock = clock;
  }

  has(name) {
    return this.#actions.has(name);
  }

  // Does it neither change anything nor depend on anything?
  isIdle(name) {
    return this.#actions.get(name).charge === "idle";
  }

  // Carries an action out within the asker's rate limit. Throws Refusal; what is refused costs nothing.
  perform(name, actor, payload, scope) {
    const { run, charge } = this.#actions.get(name);
    this.#counters.count("received", name);
    const charged = scope.includes(charge);
    if (charged) this.#checkLimit(actor.window);
    const answer = run(actor, payload);
    if (!answer?.duplicate) {
      this.#counters.count("accepted", name);
      if (charged) actor.window.accept(this.#clock.now());
    }
    return answer;
  }

  #checkLimit(window) {
    const wait = window.wait(this.#clock.now());
    if (wait <= 0) return;
    this.#counters.limited();
    throw new Refusal("RATE_LIMITED", `${window.limit} per ${RATE_WINDOW_MS / 1000} s are allowed`, {
      detail: { limit: window.limit, windowMs: RATE_WINDOW_MS, retryAfterMs: Math.ceil(wait) },
    });
  }
}
