// What can become of a call, and which calls are open?
//
// The table below is the whole life of a call. The book knows no clock and sends nothing: times are given and never
// fall, and what follows from their passing is asked for with `due`.
import { Attendance } from "./attendance.js";
import { SECOND } from "./clock.js";
import { Refusal } from "./refusal.js";

const FORGET_AFTER_MS = 300 * SECOND;
// Whatever is missing changes nothing; asked for by a party, it is refused.
const ENDS = { endByCaller: "ended", endByCallee: "ended", callerGone: "ended", calleeGone: "ended" };
const TRANSITIONS = {
  ringing: { answer: "active", decline: "declined", ringTimeout: "missed", ...ENDS },
  active: ENDS,
};
const OPEN = ["ringing", "active"];

// `state` changes by the table only; times are milliseconds. A device is `{userId, deviceId, socketId?}`.
class Call {
  state = "ringing";
  answeredBy = undefined;
  answeredAt = undefined;
  endedAt = undefined;

  constructor(fields) {
    Object.assign(this, fields);
  }

  get parties() {
    return [this.caller, this.callee];
  }

  // Whole milliseconds from the answer to the end; 0 for a call that nobody answered, or that goes on.
  get durationMs() {
    if (this.answeredAt === undefined || this.endedAt === undefined) return 0;
    return Math.floor(this.endedAt - this.answeredAt);
  }
}

// All open calls, at most one for each user, and for some minutes those that have ended. `prefix` must differ between
// two starts of the server. A party without a socket and without a poll for longer than a grace is gone.
export class Calls {
  #prefix;
  #ringMs;
  #parties;
  #begun = 0;
  #calls = new Map();
  #ofParty = new Map();
  // All ring equally long, so the order of their beginnings is the order of their deadlines.
  #ringing = new Map();
  #over = [];
  #outcomes = { declined: 0, missed: 0, ended: 0 };

  constructor(prefix, ringMs, graceMs) {
    this.#prefix = prefix;
    this.#ringMs = ringMs;
    this.#parties = new Attendance(graceMs);
  }

  // -- what a party does

  // The open call that `caller` began with that id already.
  begunWith(caller, clientId) {
    const call = this.#ofParty.get(caller);
    return clientId !== undefined && call?.caller === caller && call.clientId === clientId ? call : undefined;
  }

  // A new call rings. Throws Refusal USER_BUSY while either party is in another one. Both count as seen now; say
  // `attached` or `heard` for each.
  initiate(caller, callee, media, clientId, now) {
    for (const user of [caller, callee]) {
      if (this.#ofParty.has(user)) throw new Refusal("USER_BUSY", `${user} is in another call`);
    }
    const id = `${this.#prefix}-${++this.#begun}`;
    const call = new Call({ id, caller, callee, media, clientId, startedAt: now, ringsUntil: now + this.#ringMs });
    this.#calls.set(id, call);
    this.#ringing.set(id, call);
    for (const user of call.parties) {
      this.#ofParty.set(user, call);
      this.#parties.seen(user, false, now);
    }
    return call;
  }

  // The call, if `user` is a party. Throws Refusal CALL_NOT_FOUND, FORBIDDEN.
  of(id, user) {
    const call = this.#calls.get(id);
    if (call === undefined) throw new Refusal("CALL_NOT_FOUND", `there is no call ${id}`);
    if (!call.parties.includes(user)) throw new Refusal("FORBIDDEN", `${user} is no party of ${id}`);
    return call;
  }

  // The first device of the callee wins. Throws Refusal FORBIDDEN, CALL_ALREADY_ANSWERED, CALL_NOT_RINGING.
  answer(call, device, now) {
    this.#forCallee(call, device.userId);
    if (call.state === "active") {
      const { answeredBy } = call;
      throw new Refusal("CALL_ALREADY_ANSWERED", `${call.id} was answered by ${answeredBy.deviceId}`, {
        detail: { answeredBy },
      });
    }
    this.#ask(call, "answer", now);
    Object.assign(call, { answeredBy: device, answeredAt: now });
  }

  // One device of the callee declines for all. Throws Refusal FORBIDDEN, CALL_NOT_RINGING.
  decline(call, user, now) {
    this.#forCallee(call, user);
    this.#ask(call, "decline", now);
  }

  // Either party hangs up; false if the call has ended before: both may hang up at once. Throws Refusal
  // CALL_NOT_RINGING for a call that was declined or missed.
  end(call, user, now) {
    if (call.state === "ended") return false;
    this.#ask(call, user === call.caller ? "endByCaller" : "endByCallee", now);
    return true;
  }

  // -- signs of life, and the passing of time

  // `user` has a socket.
  attached(user, now) {
    if (this.#ofParty.has(user)) this.#parties.seen(user, true, now);
  }

  // `user`, who has no socket, has asked for something.
  heard(user, now) {
    if (this.#ofParty.has(user)) this.#parties.seen(user, false, now);
  }

  // The last socket of `user` is gone.
  detached(user, now) {
    if (this.#ofParty.has(user)) this.#parties.went(user, now);
  }

  // The calls that have become missed, or ended because a party is gone; to be called often.
  due(now) {
    const changed = [];
    for (const call of this.#ringing.values()) {
      if (call.ringsUntil > now) break;
      this.#apply(call, "ringTimeout", now);
      changed.push(call);
    }
    for (const user of this.#parties.lose(now)) {
      // The end of the call makes the other party forgotten, so nobody is lost twice.
      const call = this.#ofParty.get(user);
      if (call === undefined) continue;
      this.#apply(call, user === call.caller ? "callerGone" : "calleeGone", now);
      changed.push(call);
    }
    while (this.#over.length && now - this.#over[0].endedAt >= FORGET_AFTER_MS) {
      this.#calls.delete(this.#over.shift().id);
    }
    return changed;
  }

  // How many calls ring and are active now, and how many have ended in which way since the start.
  tally() {
    const ringing = this.#ringing.size;
    return { ringing, active: this.#ofParty.size / 2 - ringing, ...this.#outcomes };
  }

  toJSON() {
    return [
      this.#begun,
      [...this.#calls],
      [...this.#ofParty.keys()],
      [...this.#ringing.keys()],
      this.#over.map(({ id }) => id),
      this.#parties,
      this.#outcomes,
    ];
  }

  // -- the table

  #forCallee(call, user) {
    if (user !== call.callee) {
      throw new Refusal("FORBIDDEN", `${call.id} is for ${call.callee} to answer or decline`);
    }
  }

  #ask(call, input, now) {
    if (!this.#apply(call, input, now)) throw new Refusal("CALL_NOT_RINGING", `${call.id} is ${call.state}`);
  }

  #apply(call, input, now) {
    const after = TRANSITIONS[call.state]?.[input];
    if (after === undefined) return false;
    call.state = after;
    this.#ringing.delete(call.id);
    if (!OPEN.includes(after)) {
      call.endedAt = now;
      this.#outcomes[after]++;
      this.#over.push(call);
      for (const user of call.parties) {
        this.#ofParty.delete(user);
        this.#parties.forget(user);
      }
    }
    return true;
  }
}
