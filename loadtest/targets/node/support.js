// What happens when a visitor asks for help, an operator takes a chat, and either of them leaves?
//
// The use cases of live chat, the same for a socket and for a polling user. `LiveChats` decides what becomes of a chat,
// `SupportEvents` tells.
import { SECOND } from "./clock.js";
import { Domain } from "./domains.js";
import { LiveChats } from "./live_chats.js";
import { Receipts, told } from "./messages.js";
import { Refusal } from "./refusal.js";
import { SupportEvents } from "./support_events.js";
import { parseAboutChat, parseDeclaration, parseSay, parseStart } from "./support_payloads.js";

const SWEEP_MS = 30 * SECOND;

export class Support extends Domain {
  #presence;
  #conversations;
  #clock;
  #turn;
  #messagePrefix;
  #said = 0;
  #receipts = new Receipts();
  #sweptAt = 0;
  #book;
  #events;

  constructor(core) {
    super();
    const { settings, boot } = core;
    this.#presence = core.presence;
    this.#conversations = core.conversations;
    this.#clock = core.clock;
    this.#turn = core.turn;
    this.#messagePrefix = `l${boot}-`;
    this.#book = new LiveChats(`lc${boot}-`, {
      automatic: settings.livechatAssign === "auto",
      operatorGraceMs: settings.partyGraceMs,
      visitorGraceMs: settings.visitorGraceMs,
    });
    this.#events = new SupportEvents(core, this.#book);
  }

  actions() {
    const thenTell = (run) => (...asked) => {
      // What is due by itself is told even if the request is refused.
      try {
        return run.apply(this, asked);
      } finally {
        this.#events.tell();
      }
    };
    return [
      ["liveChat:start", thenTell(this.start), "event"],
      ["liveChat:operatorStatus", thenTell(this.declare), "event"],
      ["liveChat:accept", thenTell(this.accept), "event"],
      ["liveChat:message", thenTell(this.message), "message"],
      ["liveChat:close", thenTell(this.close), "event"],
    ];
  }

  // -- what is asked for

  // liveChat:start: somebody takes care at once, or the visitor waits. Who has an open chat gets that one again.
  start({ userId }, payload) {
    const meta = parseStart(payload);
    const [chat, begins] = this.#book.start(this.#who(userId), meta);
    if (begins) this.#conversations.open(chat.id).liveChat = true;
    this.#events.admit(chat, chat.visitor);
    const position = this.#book.position(chat);
    const ack = { ok: true, chatId: chat.id, status: chat.state, operatorId: chat.operator, position };
    return { ...ack, ...repeated(!begins) };
  }

  // liveChat:operatorStatus: online takes waiting chats, away keeps what there is, offline gives it to others.
  declare(actor, payload) {
    forOperators(actor);
    const { status, capacity, meta } = parseDeclaration(payload);
    const operator = this.#book.declare(this.#who(actor.userId), status, capacity, meta);
    for (const session of this.#events.sessionsOf(actor.userId)) this.#events.admitSocket(session);
    return { ok: true, status: operator.status, activeChats: operator.chats.size, capacity: operator.capacity };
  }

  // liveChat:accept: the first operator gets the chat.
  accept(actor, payload) {
    forOperators(actor);
    const { chatId, meta } = parseAboutChat(payload);
    const taken = this.#book.accept(this.#who(actor.userId), chatId, meta);
    return { ok: true, chatId, operatorId: actor.userId, ...repeated(!taken) };
  }

  // liveChat:message: stored and fanned out once per clientMsgId; a repetition gets the first answer again, even when
  // the chat has been closed since.
  message({ userId }, payload) {
    const { chatId, body, clientId, meta } = parseSay(payload);
    this.#book.find(chatId);
    const known = this.#receipts.find(userId, clientId);
    if (known !== undefined) return told(known, true);
    const chat = this.#book.speaks(this.#who(userId), chatId);
    // Whoever has the chat from this moment on is to hear the message too.
    this.#events.tell();
    const { log } = this.#conversations.open(chatId);
    const message = {
      id: `${this.#messagePrefix}${++this.#said}`,
      chatId,
      seq: log.nextSeq(),
      senderId: userId,
      senderRole: chat.roleOf(userId),
      body,
      clientMsgId: clientId,
      ts: this.#clock.ts(),
      meta,
    };
    log.append(message);
    this.#receipts.remember(userId, clientId, message);
    this.#events.say(chat, "liveChat:message", message, { sender: userId });
    return told(message, false);
  }

  // liveChat:close: either side ends the chat.
  close({ userId }, payload) {
    const { chatId, meta } = parseAboutChat(payload);
    const closed = this.#book.close(this.#who(userId), chatId, meta);
    return { ok: true, chatId, ...repeated(!closed) };
  }

  // -- what happens by itself

  authenticated(session) {
    this.#book.seen(this.#who(session.userId, true));
    this.#events.admitSocket(session);
    // After the answer to whoever authenticates: it comes first.
    this.#turn.after(() => this.#events.tell());
  }

  disconnected({ userId }) {
    if (this.#presence.hasSocket(userId)) return;
    this.#book.went(userId, this.#clock.now());
    this.#events.tell();
  }

  polled(userId) {
    this.#book.seen(this.#who(userId));
    this.#events.tell();
  }

  tick(now) {
    this.#book.tick(now);
    this.#events.tell();
    if (now - this.#sweptAt >= SWEEP_MS) {
      this.#sweptAt = now;
      this.#forget(now);
    }
  }

  stats() {
    return { chats: this.#book.counts() };
  }

  toJSON() {
    return [this.#said, this.#receipts, this.#sweptAt, this.#book];
  }

  // -- plumbing

  #who(user, bySocket = this.#presence.hasSocket(user)) {
    return { user, bySocket, now: this.#clock.now() };
  }

  #forget(now) {
    const [chats, names] = this.#book.forget(now);
    for (const chat of chats) this.#events.forget(chat);
    for (const name of names) this.#receipts.forget(name);
  }
}

function forOperators({ userId, role }) {
  if (role !== "operator") throw new Refusal("FORBIDDEN", `${userId} is no operator`);
}

// Marks the ack of what had been done before.
const repeated = (isSo) => (isSo ? { duplicate: true } : {});
