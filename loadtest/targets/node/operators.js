// Which operators are on duty, and who of them takes the next chat?
import { Attendance } from "./attendance.js";

const DEFAULT_CAPACITY = 5;

// `declared` is what they said last, `chats` those they have, by id, with the numbers of their starts. Whoever has
// been online longer has the smaller `turn`; `idleAt` is when they went off duty, undefined while they are on it.
class Operator {
  declared = "offline";
  capacity = DEFAULT_CAPACITY;
  chats = new Map();
  turn = 0;

  constructor(id, idleAt) {
    this.id = id;
    this.idleAt = idleAt;
  }

  // As everybody is told: who is lost counts as offline.
  get status() {
    return this.idleAt === undefined ? this.declared : "offline";
  }
}

// Everybody who has declared a status and was not forgotten since.
//
// Who is gone keeps their chats and gets no new one. Who is lost is off duty, and what they declared holds again when
// they come back.
export class Operators {
  #known = new Map();
  #attendance;
  #turns = 0;

  constructor(graceMs) {
    this.#attendance = new Attendance(graceMs);
  }

  find(user) {
    return this.#known.get(user);
  }

  ids() {
    return [...this.#known.keys()];
  }

  online() {
    return [...this.#known.values()].filter(({ status }) => status === "online").map(({ id }) => id);
  }

  // What `user` says of themselves. Without a capacity the one before holds, at first DEFAULT_CAPACITY.
  declare(user, status, capacity, bySocket, now) {
    let operator = this.#known.get(user);
    if (operator === undefined) this.#known.set(user, (operator = new Operator(user, now)));
    const before = operator.status;
    operator.declared = status;
    operator.capacity = capacity ?? operator.capacity;
    if (status === "offline") {
      operator.idleAt = now;
      this.#attendance.forget(user);
    } else {
      operator.idleAt = undefined;
      this.#attendance.seen(user, bySocket, now);
    }
    this.#takeTurn(operator, before);
    return operator;
  }

  // A sign of life; returns what they were before it, undefined if nobody waits for them.
  seen(user, bySocket, now) {
    const operator = this.#known.get(user);
    if (operator === undefined || operator.declared === "offline") return undefined;
    const before = this.#attendance.seen(user, bySocket, now);
    if (before === "lost") {
      operator.idleAt = undefined;
      this.#takeTurn(operator, "offline");
    }
    return before;
  }

  // The last socket of `user` is gone.
  went(user, now) {
    this.#attendance.went(user, now);
  }

  // Who has been gone for longer than is forgiven; they are off duty from now on.
  lose(now) {
    const lost = this.#attendance.lose(now).map((user) => this.#known.get(user));
    for (const operator of lost) operator.idleAt = now;
    return lost;
  }

  isHere(user) {
    return this.#attendance.isHere(user);
  }

  // Could they take one more chat now?
  hasRoom(operator) {
    const onDuty = operator.status === "online" && this.#attendance.isHere(operator.id);
    return onDuty && operator.chats.size < operator.capacity;
  }

  // The least busy with room, among equals the longest online; nobody chats with themselves.
  nextFor(visitor) {
    let next;
    for (const one of this.#known.values()) {
      if (one.id === visitor || !this.hasRoom(one)) continue;
      const fewer = next === undefined ? -1 : one.chats.size - next.chats.size;
      if (fewer < 0 || (fewer === 0 && one.turn < next.turn)) next = one;
    }
    return next;
  }

  anybodyHasRoom() {
    return [...this.#known.values()].some((operator) => this.hasRoom(operator));
  }

  // Drops those who have been off duty for that long; returns who it was.
  forgetIdle(now, afterMs) {
    const idle = [...this.#known.values()].filter(({ idleAt }) => idleAt !== undefined && now - idleAt > afterMs);
    for (const { id } of idle) {
      this.#known.delete(id);
      this.#attendance.forget(id);
    }
    return idle.map(({ id }) => id);
  }

  toJSON() {
    const known = [...this.#known].map(([id, one]) => [id, { ...one, chats: [...one.chats] }]);
    return [this.#turns, known, this.#attendance];
  }

  #takeTurn(operator, before) {
    if (operator.status === "online" && before !== "online") operator.turn = ++this.#turns;
  }
}
