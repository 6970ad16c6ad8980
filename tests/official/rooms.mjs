// Who said what in which conversation? Plain data: no sockets here.
import { createHmac, timingSafeEqual } from "node:crypto";

const KEPT = 500;
const CONVERSATION = /^conversation:([A-Za-z0-9:_.-]{1,128})$/;

// An answer {ok: false, error: {code, message}}.
export class Refusal extends Error {
  constructor(code, message = code) {
    super(message);
    this.code = code;
  }
}

// The claims of an HS256 token. Without a secret whatever can be read is believed.
export function claimsOf(token, secret) {
  const [head, body, signature] = String(token ?? "").split(".");
  let claims;
  try {
    claims = JSON.parse(Buffer.from(body, "base64url").toString());
  } catch {
    if (secret) throw new Refusal("AUTH_INVALID", "not a token");
    return {};
  }
  if (!secret) return claims;
  const expected = createHmac("sha256", secret).update(`${head}.${body}`).digest();
  const given = Buffer.from(signature ?? "", "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new Refusal("AUTH_INVALID", "the signature is wrong");
  }
  if (claims.exp * 1000 <= Date.now()) throw new Refusal("AUTH_EXPIRED", "the token has expired");
  return claims;
}

export class Conversations {
  #all = new Map();

  #of(id) {
    if (!this.#all.has(id)) this.#all.set(id, { lastSeq: 0, log: [], receipts: new Map(), marks: new Map() });
    return this.#all.get(id);
  }

  // The room that a user may enter. Throws ROOM_INVALID, FORBIDDEN.
  room(payload, userId) {
    const room = typeof payload === "string" ? payload : payload?.room;
    if (room === `user:${userId}`) return room;
    if (String(room).startsWith("user:")) throw new Refusal("FORBIDDEN", `${room} belongs to another user`);
    if (!CONVERSATION.test(room)) throw new Refusal("ROOM_INVALID", `not a room: ${room}`);
    return room;
  }

  // What joinRoom answers about the past: {lastSeq, missed, truncated}.
  since(room, sinceSeq) {
    const conversation = CONVERSATION.exec(room);
    if (conversation === null) return { lastSeq: 0, missed: [], truncated: false };
    const { lastSeq, log } = this.#of(conversation[1]);
    if (!Number.isInteger(sinceSeq)) return { lastSeq, missed: [], truncated: false };
    const missed = log.filter((message) => message.seq > sinceSeq);
    return { lastSeq, missed, truncated: missed.length < lastSeq - sinceSeq };
  }

  // A message, stored once per sender and clientMsgId: [message, whether it was there already].
  say(senderId, { conversationId, body, clientMsgId, type = "text", meta }) {
    if (typeof body !== "string" || typeof clientMsgId !== "string") {
      throw new Refusal("PAYLOAD_INVALID", "body and clientMsgId must be strings");
    }
    const conversation = this.#of(conversationId);
    const key = `${senderId} ${clientMsgId}`;
    const known = conversation.receipts.get(key);
    if (known) return [known, true];
    const seq = ++conversation.lastSeq;
    const id = `${conversationId}-${seq}`;
    const message = { id, conversationId, seq, senderId, body, type, clientMsgId, ts: Date.now(), meta };
    conversation.log.push(message);
    if (conversation.log.length > KEPT) conversation.log.shift();
    conversation.receipts.set(key, message);
    return [message, false];
  }

  // The read mark only moves forward: [where it is, whether it moved].
  read(userId, { conversationId, upToSeq }) {
    const { marks } = this.#of(conversationId);
    const mark = marks.get(userId) ?? 0;
    if (!(upToSeq > mark)) return [mark, false];
    marks.set(userId, upToSeq);
    return [upToSeq, true];
  }
}
