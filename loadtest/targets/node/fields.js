// Is one field of a payload well formed? What the parsers of all domains read their fields with.
import { Refusal } from "./refusal.js";

const BODY_LIMIT = 8192;
const META_LIMIT_BYTES = 1024;
export const CLIENT_ID_LIMIT = 64;
export const USER_ID_LIMIT = 128;
const CONVERSATION_ID = /^[A-Za-z0-9:_.-]{1,128}$/;

export const isConversationId = (text) => CONVERSATION_ID.test(text);

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// Characters as people count them: `length` counts those beyond 16 bits twice.
export function characters(text) {
  let pairs = 0;
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) >>> 10 === 0x36 && text.charCodeAt(at + 1) >>> 10 === 0x37) pairs++;
  }
  return text.length - pairs;
}

// Each of these throws PAYLOAD_INVALID, or PAYLOAD_TOO_LARGE for what has a limit of its own.

export function objectOf(payload) {
  if (!isObject(payload)) throw new Refusal("PAYLOAD_INVALID", "the payload must be one JSON object");
  return payload;
}

export function bodyOf(fields) {
  const { body } = fields;
  if (typeof body !== "string") throw new Refusal("PAYLOAD_INVALID", "body must be a string");
  const size = body.length > BODY_LIMIT ? characters(body) : 0;
  if (size > BODY_LIMIT) {
    throw new Refusal("PAYLOAD_TOO_LARGE", `body has ${size} characters, ${BODY_LIMIT} are allowed`);
  }
  return body;
}

export function conversationOf(fields) {
  const { conversationId } = fields;
  if (typeof conversationId !== "string" || !isConversationId(conversationId)) {
    throw new Refusal("PAYLOAD_INVALID", "conversationId must be 1-128 characters of A-Z a-z 0-9 : _ . -");
  }
  return conversationId;
}

export function whole(value, name) {
  if (!Number.isInteger(value) || value < 0) {
    throw new Refusal("PAYLOAD_INVALID", `${name} must be a whole number from 0`);
  }
  return value;
}

export const metaOf = (fields) => opaque(fields, "meta", META_LIMIT_BYTES);

// An object that is passed on unread; undefined if there is none.
export function opaque(fields, name, limit) {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (!isObject(value)) throw new Refusal("PAYLOAD_INVALID", `${name} must be an object`);
  const size = Buffer.byteLength(JSON.stringify(value));
  if (size > limit) throw new Refusal("PAYLOAD_TOO_LARGE", `${name} takes ${size} bytes, ${limit} are allowed`);
  return value;
}

export function isText(value, limit) {
  return typeof value === "string" && value.length > 0 && (value.length <= limit || characters(value) <= limit);
}

export function textOf(fields, name, limit) {
  if (!isText(fields[name], limit)) {
    throw new Refusal("PAYLOAD_INVALID", `${name} must be a string of 1-${limit} characters`);
  }
  return fields[name];
}

// As `textOf`; undefined if there is none.
export function optionalTextOf(fields, name, limit) {
  return (fields[name] ?? undefined) === undefined ? undefined : textOf(fields, name, limit);
}

// One of `allowed`; without a `fallback` it must be given.
export function choiceOf(fields, name, allowed, fallback) {
  const value = fields[name] === undefined ? fallback : fields[name];
  if (!allowed.includes(value)) throw new Refusal("PAYLOAD_INVALID", `${name} must be ${allowed.join(" or ")}`);
  return value;
}
