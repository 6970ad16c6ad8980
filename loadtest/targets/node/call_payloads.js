// Is what a client says about a call well formed? Everything in here throws PAYLOAD_INVALID, PAYLOAD_TOO_LARGE.
import {
  choiceOf,
  CLIENT_ID_LIMIT,
  conversationOf,
  metaOf,
  objectOf,
  opaque,
  optionalTextOf,
  textOf,
  USER_ID_LIMIT,
} from "./fields.js";

const MEDIA = ["audio", "video"];
const REASONS = ["rejected", "busy"];
const SDP_LIMIT_BYTES = 16_384;
const CALL_ID_LIMIT = 64;
const DEVICE_ID_LIMIT = 128;

export function parseInitiate(payload) {
  const fields = objectOf(payload);
  return {
    calleeId: textOf(fields, "calleeId", USER_ID_LIMIT),
    media: choiceOf(fields, "media", MEDIA),
    conversationId: (fields.conversationId ?? null) === null ? undefined : conversationOf(fields),
    sdp: opaque(fields, "sdp", SDP_LIMIT_BYTES),
    clientId: optionalTextOf(fields, "clientCallId", CLIENT_ID_LIMIT),
    meta: metaOf(fields),
  };
}

// call:answer, call:end and call:status.
export function parseRequest(payload) {
  const fields = objectOf(payload);
  return {
    callId: textOf(fields, "callId", CALL_ID_LIMIT),
    deviceId: optionalTextOf(fields, "deviceId", DEVICE_ID_LIMIT),
    sdp: opaque(fields, "sdp", SDP_LIMIT_BYTES),
    meta: metaOf(fields),
  };
}

export function parseDecline(payload) {
  const reason = choiceOf(objectOf(payload), "reason", REASONS, "rejected");
  return { ...parseRequest(payload), reason };
}
