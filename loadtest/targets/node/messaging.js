// What happens when somebody joins, says, reads or types something?
//
// The use cases of messaging, the same for a socket and for a polling user. Nothing in here waits, so a message gets
// its `seq` and goes out before the next one is looked at.
import { Domain } from "./domains.js";
import { Receipts, told } from "./messages.js";
import { parseJoin, parseRead, parseSend, parseTyping } from "./payloads.js";
import { Refusal } from "./refusal.js";
import { CONVERSATION_ROOM, USER_ROOM } from "./rooms.js";
import { Typists, TYPING_TTL_MS } from "./typists.js";

export class Messaging extends Domain {
  #conversations;
  #rooms;
  #fanout;
  #clock;
  #boot;
  #sent = 0;
  #receipts = new Receipts();
  #typists = new Typists();

  constructor({ conversations, rooms, fanout, clock, boot }) {
    super();
    this.#conversations = conversations;
    this.#rooms = rooms;
    this.#fanout = fanout;
    this.#clock = clock;
    this.#boot = boot;
  }

  actions() {
    return [
      ["joinRoom", (...asked) => this.join(...asked), "free"],
      ["leaveRoom", (...asked) => this.leave(...asked), "free"],
      ["message:send", (...asked) => this.send(...asked), "message"],
      ["message:read", (...asked) => this.read(...asked), "event"],
      ["typing:start", (...asked) => this.startTyping(...asked), "event"],
      ["typing:stop", (...asked) => this.stopTyping(...asked), "event"],
    ];
  }

  // joinRoom: the socket hears the room, the user belongs to the conversation. `missed` is filled if asked for.
  join({ userId, session }, payload) {
    const { room, conversationId, sinceSeq } = parseJoin(payload);
    let answer = { members: 1, lastSeq: 0, missed: [], truncated: false };
    if (conversationId !== undefined) {
      const { members, log } = this.#conversations.openTo(conversationId, userId);
      const since = sinceSeq === undefined ? {} : log.newestSince(sinceSeq);
      answer = { ...answer, members: members.size, lastSeq: log.lastSeq, ...since };
    } else if (room !== USER_ROOM + userId) {
      throw new Refusal("FORBIDDEN", `${room} belongs to another user`);
    }
    if (session !== undefined) this.#rooms.enter(room, session);
    return { ok: true, room, ...answer };
  }

  // leaveRoom: membership ends unless another socket of the user still hears the room, or it is a live chat: that is
  // left by closing it.
  leave({ userId, session }, payload) {
    const { room, conversationId } = parseJoin(payload);
    if (session !== undefined) this.#rooms.leave(room, session);
    if (conversationId !== undefined && !this.#rooms.hears(room, userId)) {
      const conversation = this.#conversations.find(conversationId);
      if (conversation !== undefined && !conversation.liveChat) this.#conversations.leave(conversationId, userId);
    }
    return { ok: true, room };
  }

  // message:send: stored and fanned out once per clientMsgId; a repetition gets the first answer again.
  send({ userId }, payload) {
    const { conversationId, body, clientId, type, meta } = parseSend(payload);
    const { id: conversation, log, members, liveChat } = this.#conversations.ofMember(conversationId, userId);
    if (liveChat) throw new Refusal("FORBIDDEN", `${conversation} is a live chat: use liveChat:message`);
    const known = this.#receipts.find(userId, clientId);
    if (known !== undefined) return told(known, true);
    const message = {
      id: `m${this.#boot}-${++this.#sent}`,
      conversationId,
      seq: log.nextSeq(),
      senderId: userId,
      body,
      type,
      clientMsgId: clientId,
      ts: this.#clock.ts(),
      meta,
    };
    log.append(message);
    this.#receipts.remember(userId, clientId, message);
    this.#fanout.toRooms([CONVERSATION_ROOM + conversationId], "message:new", message, { sender: userId, members });
    return told(message, false);
  }

  // message:read: the mark moves forward; the others hear of it only if it moved.
  read({ userId, session }, payload) {
    const { conversationId, upTo, meta } = parseRead(payload);
    const { mark, advanced } = this.#conversations.ofMember(conversationId, userId).marks.advance(userId, upTo);
    if (advanced) {
      const fields = { conversationId, userId, upToSeq: mark, ts: this.#clock.ts(), meta };
      this.#toOthers(conversationId, "message:read", fields, session?.sid);
    }
    return { ok: true, upToSeq: mark };
  }

  // typing:start: announced now, ended by a stop, by five seconds of silence or by the end of the socket.
  startTyping({ userId, session, source }, payload) {
    const { conversationId, meta } = parseTyping(payload);
    this.#conversations.ofMember(conversationId, userId);
    const typist = { userId, sid: session?.sid, conversationId, meta };
    this.#typists.start(source, conversationId, this.#clock.now(), typist);
    this.#announce("typing:start", typist, { expiresInMs: TYPING_TTL_MS });
  }

  stopTyping({ userId, session, source }, payload) {
    const { conversationId, meta } = parseTyping(payload);
    this.#conversations.ofMember(conversationId, userId);
    this.#typists.stop(source, conversationId);
    this.#announce("typing:stop", { userId, sid: session?.sid, conversationId, meta });
  }

  // Announces the end for everybody who has been silent for five seconds.
  tick(now) {
    for (const typist of this.#typists.silent(now)) this.#announce("typing:stop", typist);
  }

  // The socket is gone and types nothing any more; its user remains a member.
  disconnected(session) {
    for (const typist of this.#typists.gone(session.sid)) this.#announce("typing:stop", typist);
  }

  toJSON() {
    return [this.#sent, this.#receipts, this.#typists];
  }

  #announce(name, { userId, sid, conversationId, meta }, more = {}) {
    this.#toOthers(conversationId, name, { conversationId, userId, ts: this.#clock.ts(), ...more, meta }, sid);
  }

  #toOthers(conversationId, name, data, butSid) {
    const members = this.#conversations.find(conversationId)?.members;
    const user = data.userId;
    const to = { sender: user, members, butSid, butReader: user };
    this.#fanout.toRooms([CONVERSATION_ROOM + conversationId], name, data, to);
  }
}
