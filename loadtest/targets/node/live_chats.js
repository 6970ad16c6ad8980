// Who chats with whom, who waits, and what follows when somebody acts, goes or comes back?
//
// Knows no sockets and no clock: times are given and never fall, and what people are to hear waits for `take`. In
// automatic mode a chat waits only while nobody has room for it.
import { Attendance } from "./attendance.js";
import { assigned, Chat, closed, onDuty, queued } from "./chats.js";
import { SECOND } from "./clock.js";
import { Operators } from "./operators.js";
import { Refusal } from "./refusal.js";

const KEPT_MS = 300 * SECOND;
const TOLD_EVERY_MS = SECOND;
const byNumber = (one, other) => one.number - other.number;

// Each method first does what has come due by `now`, so it does not matter how often `tick` is called. `prefix` begins
// the ids of chats. Whoever has been gone for longer than their grace is lost: an operator's chats go to others, a
// visitor's chat is closed. Where a method takes `who`, it is `{user, bySocket, now}`.
export class LiveChats {
  #prefix;
  #operators;
  #visitors;
  #started = 0;
  #chats = new Map();
  #open = new Map();
  // In the order of the starts: whoever loses an operator has waited longest.
  #queue = [];
  #closed = [];
  #outbox = [];
  #queueShrank = false;
  #toldAt = 0;

  constructor(prefix, { automatic, operatorGraceMs, visitorGraceMs }) {
    this.#prefix = prefix;
    this.automatic = automatic;
    this.#operators = new Operators(operatorGraceMs);
    this.#visitors = new Attendance(visitorGraceMs);
  }

  // -- what people do

  // The open chat of a visitor, and whether it begins now: a new one if there was none.
  start(who, meta) {
    this.#expire(who.now);
    let chat = this.#open.get(who.user);
    const begins = chat === undefined;
    if (begins) {
      const number = ++this.#started;
      chat = new Chat(number, `${this.#prefix}${number}`, who.user, meta);
      this.#chats.set(chat.id, chat);
      this.#open.set(who.user, chat);
      this.#queue.push(chat);
    }
    this.seen(who);
    if (begins) {
      this.#assignWaiting();
      this.#tellWaiting([chat]);
    }
    return [chat, begins];
  }

  // What an operator says of themselves; offline gives their chats to others at once.
  declare({ user, bySocket, now }, status, capacity, meta) {
    this.#expire(now);
    // An operator may be somebody's visitor, too: this is a sign of life of theirs.
    if (this.#open.has(user)) this.#visitors.seen(user, bySocket, now);
    const operator = this.#operators.declare(user, status, capacity, bySocket, now);
    const chats = this.#chatsOf(operator);
    const waiting = status === "offline" ? this.#release(operator) : [];
    const at = this.#outbox.length;
    this.#assignWaiting();
    this.#tellWaiting(waiting);
    // People hear first why, and with the number of chats that it led to.
    this.#outbox.splice(at, 0, onDuty(operator, chats, meta));
    return operator;
  }

  // A user takes a waiting chat; false if they have it already. Throws CHAT_NOT_FOUND, CHAT_ALREADY_ASSIGNED,
  // CHAT_CLOSED, FORBIDDEN.
  accept(who, chatId, meta) {
    const { user } = who;
    this.seen(who);
    const chat = this.find(chatId);
    if (chat.state === "assigned" && chat.operator === user) return false;
    chat.after("accept");
    const operator = this.#operators.find(user);
    if (user === chat.visitor) throw new Refusal("FORBIDDEN", "nobody chats with themselves");
    if (operator === undefined || !this.#operators.hasRoom(operator)) {
      throw new Refusal("FORBIDDEN", "only an operator who is online and below capacity takes a chat");
    }
    this.#give(chat, operator, "accept", meta);
    return true;
  }

  // The chat in which a user may say something. Throws CHAT_NOT_FOUND, FORBIDDEN, CHAT_CLOSED.
  speaks(who, chatId) {
    this.seen(who);
    const chat = this.find(chatId);
    chat.roleOf(who.user);
    chat.after("say");
    return chat;
  }

  // Ends a chat; false if it has ended before. Throws CHAT_NOT_FOUND, FORBIDDEN.
  close(who, chatId, meta) {
    this.seen(who);
    const chat = this.find(chatId);
    chat.roleOf(who.user);
    if (chat.state === "closed") return false;
    this.#end(chat, "close", meta, who.now);
    this.#assignWaiting();
    return true;
  }

  // -- coming and going

  // A sign of life: a user has a socket, or has asked for something without one.
  seen({ user, bySocket, now }) {
    this.#expire(now);
    if (this.#open.has(user)) this.#visitors.seen(user, bySocket, now);
    const before = this.#operators.seen(user, bySocket, now);
    if (before !== "gone" && before !== "lost") return;
    const at = this.#outbox.length;
    this.#assignWaiting();
    if (before === "lost") this.#outbox.splice(at, 0, onDuty(this.#operators.find(user), []));
  }

  // The last socket of `user` is gone.
  went(user, now) {
    this.#expire(now);
    this.#visitors.went(user, now);
    this.#operators.went(user, now);
  }

  // Time has passed: who is lost, and who has come closer to their turn?
  tick(now) {
    this.#expire(now);
    if (!this.#queueShrank || now - this.#toldAt < TOLD_EVERY_MS) return;
    // Once a second at most: with every turn there would be as many events as people wait.
    this.#queueShrank = false;
    this.#toldAt = now;
    this.#queue.forEach((chat, index) => {
      if (index + 1 >= chat.told) return;
      chat.told = index + 1;
      this.#outbox.push(queued(chat, undefined, true));
    });
  }

  // What has happened since the last call, in order.
  take() {
    return this.#outbox.splice(0);
  }

  // Drops chats and operators that ended five minutes ago; returns the chats, and whose name nothing in here knows any
  // more.
  forget(now) {
    const gone = [];
    while (this.#closed.length && now - this.#closed[0].closedAt > KEPT_MS) gone.push(this.#closed.shift());
    for (const { id } of gone) this.#chats.delete(id);
    const names = [...gone.map(({ visitor }) => visitor), ...this.#operators.forgetIdle(now, KEPT_MS)];
    return [gone, names.filter((name) => !this.#open.has(name) && this.#operators.find(name) === undefined)];
  }

  // -- questions

  // Throws Refusal CHAT_NOT_FOUND.
  find(chatId) {
    const chat = this.#chats.get(chatId);
    if (chat === undefined) throw new Refusal("CHAT_NOT_FOUND", `there is no chat ${chatId}`);
    return chat;
  }

  // Its place in the queue, from 1; 0 if it does not wait.
  position(chat) {
    return this.#queue.indexOf(chat) + 1;
  }

  // The open chats of `user`, on either side.
  ofUser(user) {
    const own = this.#open.get(user);
    const operator = this.#operators.find(user);
    return [...(own === undefined ? [] : [own]), ...(operator === undefined ? [] : this.#chatsOf(operator))];
  }

  isOperator(user) {
    return this.#operators.find(user) !== undefined;
  }

  operators() {
    return this.#operators.ids();
  }

  operatorsOnline() {
    return this.#operators.online();
  }

  // `orphaned`: assigned to somebody who is gone, within their grace.
  counts() {
    const taken = [...this.#open.values()].filter(({ state }) => state === "assigned");
    const orphaned = taken.filter(({ operator }) => !this.#operators.isHere(operator)).length;
    return { open: this.#open.size, queued: this.#queue.length, assigned: taken.length, orphaned };
  }

  toJSON() {
    return [
      [this.#started, this.#queueShrank, this.#toldAt],
      [...this.#chats],
      [...this.#open.keys()],
      this.#queue.map(({ id }) => id),
      this.#closed.map(({ id }) => id),
      this.#outbox,
      this.#operators,
      this.#visitors,
    ];
  }

  // -- what follows

  #expire(now) {
    const visitors = this.#visitors.lose(now);
    const operators = this.#operators.lose(now);
    if (!visitors.length && !operators.length) return;
    // Everybody who is lost by now goes before anything is given away: none of it to them, nor for them.
    for (const visitor of visitors) this.#end(this.#open.get(visitor), "visitorGone", undefined, now);
    const waiting = [];
    for (const operator of operators) {
      const chats = this.#chatsOf(operator);
      waiting.push(...this.#release(operator));
      this.#outbox.push(onDuty(operator, chats));
    }
    this.#assignWaiting();
    this.#tellWaiting(waiting);
  }

  #assignWaiting() {
    if (!this.automatic || !this.#queue.length || !this.#operators.anybodyHasRoom()) return;
    for (const chat of [...this.#queue]) {
      const operator = this.#operators.nextFor(chat.visitor);
      if (operator !== undefined) this.#give(chat, operator, "assign", chat.meta);
      else if (!this.#operators.anybodyHasRoom()) return;
    }
  }

  #tellWaiting(chats) {
    for (const chat of chats.filter(({ state }) => state === "queued")) {
      chat.told = this.position(chat);
      this.#outbox.push(queued(chat, chat.meta));
    }
  }

  #give(chat, operator, input, meta) {
    this.#leaveQueue(chat);
    chat.state = chat.after(input);
    chat.operator = operator.id;
    operator.chats.set(chat.id, chat.number);
    this.#outbox.push(assigned(chat, meta));
  }

  #release(operator) {
    const chats = this.#chatsOf(operator);
    operator.chats.clear();
    for (const chat of chats) {
      const state = chat.after("operatorGone");
      Object.assign(chat, { state, operator: undefined, reason: "reassigned", meta: undefined });
    }
    this.#queue.push(...chats);
    this.#queue.sort(byNumber);
    return chats;
  }

  #end(chat, input, meta, now) {
    this.#operators.find(chat.operator)?.chats.delete(chat.id);
    if (chat.state === "queued") this.#leaveQueue(chat);
    chat.state = chat.after(input);
    chat.closedAt = now;
    this.#open.delete(chat.visitor);
    this.#visitors.forget(chat.visitor);
    this.#closed.push(chat);
    this.#outbox.push(closed(chat, meta));
  }

  #leaveQueue(chat) {
    this.#queue.splice(this.#queue.indexOf(chat), 1);
    this.#queueShrank = true;
  }

  #chatsOf(operator) {
    return [...operator.chats.keys()].map((id) => this.#chats.get(id)).sort(byNumber);
  }
}
