// What goes wrong on purpose, and to whom?
//
// Faults prove that a harness sees failures, so they are countable: seeded, or every n-th, and counted where they
// strike. Delivery faults (loseDeliveries, duplicate, reorder) strike single deliveries of `message:new`: one message
// on its way to one socket or one feed.
import { isObject } from "./fields.js";
import { Refusal } from "./refusal.js";

const AT_ONCE = ["dropSockets", "kick", "freeze"];
const LASTING = [
  "delay",
  "acceptDelay",
  "refuseUpgrade",
  "limitThroughput",
  "loseDeliveries",
  "duplicate",
  "reorder",
  "denyAuth",
];
const AT_DOORS = ["acceptDelay", "refuseUpgrade", "denyAuth"];
const KINDS = [...AT_ONCE, ...LASTING, "none"];
export const STRIKES_SOCKETS = ["dropSockets", "kick"];
const NEEDS_MS = ["freeze", "delay", "acceptDelay"];
const TRANSPORTS = ["websocket", "polling"];
export const HELD_AT_MOST_MS = 2000;

// `{kind, ratio?, ms?, perSecond?, seed?, everyNth?, transport?}`: strike `ratio` of the cases by chance, or every n-th
// case if `everyNth` is given. Throws PAYLOAD_INVALID.
export function parseFault(payload) {
  const no = (message) => new Refusal("PAYLOAD_INVALID", message);
  if (!isObject(payload)) throw no("the payload must be one JSON object");
  const { kind, transport = "" } = payload;
  if (!KINDS.includes(kind)) throw no(`kind must be one of ${KINDS.slice(0, -1).sort().join(", ")}, none`);
  const fault = {
    kind,
    ratio: number(payload, "ratio", 1, 1),
    ms: number(payload, "ms", 0, 600_000),
    perSecond: number(payload, "perSecond", 0, 1e9),
    seed: Math.floor(number(payload, "seed", 1, 2 ** 53)),
    everyNth: Math.floor(number(payload, "everyNth", 0, 1e9)),
    transport,
  };
  if ("transport" in payload && !(STRIKES_SOCKETS.includes(kind) && TRANSPORTS.includes(transport))) {
    throw no("transport must be websocket or polling, and the fault dropSockets or kick");
  }
  if (NEEDS_MS.includes(kind) && fault.ms <= 0) throw no(`${kind} needs ms, the milliseconds it lasts`);
  if (kind === "limitThroughput" && fault.perSecond <= 0) {
    throw no("limitThroughput needs perSecond, the deliveries it lets through");
  }
  return fault;
}

function number(payload, name, fallback, highest) {
  const value = payload[name] === undefined ? fallback : payload[name];
  if (typeof value !== "number" || !(value >= 0 && value <= highest)) {
    throw new Refusal("PAYLOAD_INVALID", `${name} must be a number from 0 to ${highest}`);
  }
  return value;
}

// Numbers from 0 to 1, the same for the same seed: mulberry32 (Tommy Ettinger, 2017).
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Decides case by case whether a fault strikes, the same way in every run.
class Dice {
  #random;
  #cases = 0;

  constructor(fault) {
    this.fault = fault;
    this.#random = seeded(fault.seed);
  }

  strikes() {
    this.#cases++;
    if (this.fault.everyNth) return this.#cases % this.fault.everyNth === 0;
    return this.#random() < this.fault.ratio;
  }

  // How often it was thrown decides what comes next.
  toJSON() {
    return [this.fault, this.#cases];
  }
}

// Whom a fault at once strikes: exactly the ratio (rounded half up), or every n-th, of the candidates in order.
export function chosen({ everyNth, ratio, seed }, candidates) {
  const ordered = [...candidates].sort();
  if (everyNth) return ordered.filter((_, index) => (index + 1) % everyNth === 0);
  const random = seeded(seed);
  const count = Math.floor(ratio * ordered.length + 0.5);
  // The first steps of a shuffle (Durstenfeld, 1964) choose without repetition.
  for (let at = 0; at < count; at++) {
    const other = at + Math.floor(random() * (ordered.length - at));
    [ordered[at], ordered[other]] = [ordered[other], ordered[at]];
  }
  return ordered.slice(0, count);
}

// The faults under way, and the deliveries that `reorder` holds back.
export class Faults {
  counts = { lost: 0, duplicated: 0, reordered: 0 };
  #dice = new Map();
  #held = new Map();

  // True while no fault can touch a delivery.
  get quiet() {
    return !this.#dice.size && !this.#held.size;
  }

  start(fault) {
    this.#dice.set(fault.kind, new Dice(fault));
  }

  // Ends everything; returns the deliveries held back, to be made now.
  stop() {
    const held = [...this.#held.values()].map(({ delivery }) => delivery);
    this.#dice.clear();
    this.#held.clear();
    return held;
  }

  strikes(kind) {
    return this.#dice.get(kind)?.strikes() ?? false;
  }

  // At its own doors each server throws its own dice.
  toJSON() {
    const dice = [...this.#dice].filter(([kind]) => !AT_DOORS.includes(kind));
    return [dice, [...this.#held.keys()], this.counts];
  }

  lasting(kind) {
    return this.#dice.get(kind)?.fault;
  }

  // What becomes of one delivery: nothing, itself, itself twice, itself and the one held back before it.
  //
  // `line` names (room, sender, receiver). A delivery held back goes out right after the next one of its line that is
  // not lost, so each makes exactly one inversion; that next one is never held back itself.
  shape(line, delivery, now) {
    if (this.strikes("loseDeliveries")) {
      this.counts.lost++;
      return [];
    }
    const out = [delivery];
    if (this.strikes("duplicate")) {
      this.counts.duplicated++;
      out.push(delivery);
    }
    const struck = this.strikes("reorder");
    const held = this.#held.get(line);
    if (held !== undefined) {
      this.#held.delete(line);
      out.push(held.delivery);
      this.counts.reordered++;
    } else if (struck && out.length === 1) {
      this.#held.set(line, { since: now, delivery });
      return [];
    }
    return out;
  }

  // Deliveries held back for two seconds without a successor: late, but not lost.
  overdue(now) {
    const late = [...this.#held].filter(([, { since }]) => now - since >= HELD_AT_MOST_MS);
    for (const [line] of late) this.#held.delete(line);
    return late.map(([, { delivery }]) => delivery);
  }
}

// When does a delivery leave under `delay` and `limitThroughput`? Times never fall, so order is kept.
export class Pacing {
  #last = 0;
  #slot = 0;

  due(now, delay, throughput) {
    let due = Math.max(this.#last, now + (delay?.ms ?? 0));
    if (throughput !== undefined) {
      due = Math.max(due, this.#slot);
      this.#slot = due + 1000 / throughput.perSecond;
    }
    this.#last = due;
    return due;
  }

  toJSON() {
    return [this.#last, this.#slot];
  }
}
