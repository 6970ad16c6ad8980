// How does what the book of live chats decides become rooms, memberships and events?
//
// An event that follows from a request carries that request's `meta`; what the server does by itself carries none.
import { CONVERSATION_ROOM, USER_ROOM } from "./rooms.js";

// Every socket of everybody who has declared a status as an operator, offline included.
const OPERATORS_ROOM = "operators";

export class SupportEvents {
  #conversations;
  #rooms;
  #feeds;
  #fanout;
  #clock;
  #book;

  constructor({ conversations, rooms, feeds, fanout, clock }, book) {
    this.#conversations = conversations;
    this.#rooms = rooms;
    this.#feeds = feeds.chats;
    this.#fanout = fanout;
    this.#clock = clock;
    this.#book = book;
  }

  // Everybody hears what has happened since the last call, in order.
  tell() {
    for (const change of this.#book.take()) this.#follow(change);
  }

  // One copy to each socket and feed of the chat, and of each of `others`.
  say(chat, name, data, { sender, others = [] }) {
    const rooms = [CONVERSATION_ROOM + chat.id, ...others.map((user) => USER_ROOM + user)];
    const members = [chat.visitor, ...(chat.operator === undefined ? [] : [chat.operator]), ...others];
    this.#fanout.toRooms(rooms, name, data, { sender, members, feeds: this.#feeds });
  }

  // -- who hears what

  // `user` belongs to the chat, and all their sockets hear it.
  admit(chat, user) {
    this.#conversations.join(chat.id, user);
    for (const session of this.#rooms.sessionsOf(user)) this.#rooms.enter(CONVERSATION_ROOM + chat.id, session);
  }

  // A socket of somebody who may have chats, or be an operator, hears what it should.
  admitSocket(session) {
    for (const chat of this.#book.ofUser(session.userId)) {
      this.#conversations.join(chat.id, session.userId);
      this.#rooms.enter(CONVERSATION_ROOM + chat.id, session);
    }
    if (session.role === "operator" && this.#book.isOperator(session.userId)) {
      this.#rooms.enter(OPERATORS_ROOM, session);
    }
  }

  // Nobody belongs to the chat any more, and nothing of what was said in it is kept.
  forget(chat) {
    this.#rooms.empty(CONVERSATION_ROOM + chat.id);
    this.#conversations.forget(chat.id);
  }

  sessionsOf(user) {
    return this.#rooms.sessionsOf(user);
  }

  // Whoever had the chat before neither hears nor reads on.
  #dismissOthers(chat) {
    for (const user of [...this.#conversations.open(chat.id).members]) {
      if (user === chat.visitor || user === chat.operator) continue;
      this.#conversations.leave(chat.id, user);
      for (const session of this.#rooms.sessionsOf(user)) this.#rooms.leave(CONVERSATION_ROOM + chat.id, session);
    }
  }

  // -- what is told

  #follow(change) {
    if (change.what === "assigned") this.#assigned(change);
    else if (change.what === "queued") this.#queued(change);
    else if (change.what === "onDuty") this.#onDuty(change);
    else {
      this.#tellStatus(change.chat, { status: "closed" }, change.meta);
      this.#rooms.empty(CONVERSATION_ROOM + change.chat.id);
    }
  }

  #assigned({ chat, operator, reason, meta }) {
    this.#dismissOthers(chat);
    this.admit(chat, operator);
    const { id: chatId, visitor } = chat;
    const data = { chatId, visitorId: visitor, operatorId: operator, reason, ts: this.#clock.ts(), meta };
    this.#fanout.toUsers([visitor, operator], "liveChat:assigned", data, { sender: visitor, feeds: this.#feeds });
    this.#tellStatus(chat, { status: "assigned" }, meta);
  }

  #queued({ chat, position, meta, moved }) {
    this.#dismissOthers(chat);
    // Where chats are taken by hand, whoever could take one hears of it.
    const takers = this.#book.automatic || moved ? [] : this.#book.operatorsOnline();
    this.#tellStatus(chat, { status: "queued", position }, meta, takers);
  }

  #onDuty({ operator, status, active, capacity, chats, meta }) {
    const data = { operatorId: operator, status, activeChats: active, capacity, ts: this.#clock.ts(), meta };
    const rooms = [OPERATORS_ROOM, ...chats.map(({ id }) => CONVERSATION_ROOM + id)];
    const members = [...this.#book.operators(), ...chats.map(({ visitor }) => visitor)];
    this.#fanout.toRooms(rooms, "liveChat:presence", data, { sender: operator, members, feeds: this.#feeds });
  }

  #tellStatus(chat, fields, meta, others = []) {
    const data = { chatId: chat.id, ...fields, ts: this.#clock.ts(), meta };
    this.say(chat, "liveChat:status", data, { sender: chat.visitor, others });
  }
}
