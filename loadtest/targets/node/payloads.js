// Is what a client says in messaging well formed? JSON in, a command or a Refusal out; unknown fields are ignored.
import {
  bodyOf,
  choiceOf,
  CLIENT_ID_LIMIT,
  conversationOf,
  isConversationId,
  isObject,
  metaOf,
  objectOf,
  textOf,
  whole,
} from "./fields.js";
import { Refusal } from "./refusal.js";
import { CONVERSATION_ROOM, USER_ROOM } from "./rooms.js";

const MESSAGE_TYPES = ["text", "image", "file"];

// joinRoom and leaveRoom: `{room, sinceSeq?}` or the bare room name. `conversationId` is undefined for a user's own
// room; `sinceSeq` undefined asks for no resync. Throws ROOM_INVALID, PAYLOAD_INVALID.
export function parseJoin(payload) {
  const fields = typeof payload === "string" ? { room: payload } : payload;
  if (!isObject(fields) || typeof fields.room !== "string") {
    throw new Refusal("ROOM_INVALID", "room must be a string such as conversation:<id>");
  }
  const { room } = fields;
  const since = fields.sinceSeq ?? undefined;
  const sinceSeq = since === undefined ? undefined : whole(since, "sinceSeq");
  const conversationId = room.startsWith(CONVERSATION_ROOM) ? room.slice(CONVERSATION_ROOM.length) : "";
  if (isConversationId(conversationId)) return { room, conversationId, sinceSeq };
  if (room.startsWith(USER_ROOM) && room.length > USER_ROOM.length) return { room, sinceSeq };
  throw new Refusal(
    "ROOM_INVALID",
    "room must be user:<id> or conversation:<id>, an id 1-128 characters of A-Z a-z 0-9 : _ . -",
  );
}

// Throws PAYLOAD_INVALID, PAYLOAD_TOO_LARGE, as the two below.
export function parseSend(payload) {
  const fields = objectOf(payload);
  const body = bodyOf(fields);
  const clientId = textOf(fields, "clientMsgId", CLIENT_ID_LIMIT);
  const type = choiceOf(fields, "type", MESSAGE_TYPES, "text");
  return { conversationId: conversationOf(fields), body, clientId, type, meta: metaOf(fields) };
}

export function parseRead(payload) {
  const fields = objectOf(payload);
  return { conversationId: conversationOf(fields), upTo: whole(fields.upToSeq, "upToSeq"), meta: metaOf(fields) };
}

export function parseTyping(payload) {
  const fields = objectOf(payload);
  return { conversationId: conversationOf(fields), meta: metaOf(fields) };
}
