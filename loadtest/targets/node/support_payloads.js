// Is what a client says about a live chat well formed? Everything in here throws PAYLOAD_INVALID, PAYLOAD_TOO_LARGE.
import {
  bodyOf,
  choiceOf,
  CLIENT_ID_LIMIT,
  metaOf,
  objectOf,
  optionalTextOf,
  textOf,
  whole,
} from "./fields.js";
import { Refusal } from "./refusal.js";

const STATUSES = ["online", "away", "offline"];
const TOPIC_LIMIT = 256;
const CHAT_ID_LIMIT = 64;
const CAPACITY_LIMIT = 100;

// Its `meta`. `topic` is checked only, for no event carries it.
export function parseStart(payload) {
  const fields = objectOf(payload);
  optionalTextOf(fields, "topic", TOPIC_LIMIT);
  return metaOf(fields);
}

export function parseDeclaration(payload) {
  const fields = objectOf(payload);
  const status = choiceOf(fields, "status", STATUSES);
  const capacity = fields.capacity ?? undefined;
  if (capacity !== undefined && (whole(capacity, "capacity") < 1 || capacity > CAPACITY_LIMIT)) {
    throw new Refusal("PAYLOAD_INVALID", `capacity must be a whole number from 1 to ${CAPACITY_LIMIT}`);
  }
  return { status, capacity, meta: metaOf(fields) };
}

// liveChat:accept and liveChat:close.
export function parseAboutChat(payload) {
  const fields = objectOf(payload);
  return { chatId: textOf(fields, "chatId", CHAT_ID_LIMIT), meta: metaOf(fields) };
}

export function parseSay(payload) {
  const fields = objectOf(payload);
  return {
    chatId: textOf(fields, "chatId", CHAT_ID_LIMIT),
    body: bodyOf(fields),
    clientId: textOf(fields, "clientMsgId", CLIENT_ID_LIMIT),
    meta: metaOf(fields),
  };
}
