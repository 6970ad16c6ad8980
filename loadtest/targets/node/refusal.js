// In which words does the server say no?
//
// One exception carries the contract's code through both doors: an ack or an `error` event over sockets, a status
// and a body over HTTP.
const HTTP_STATUS = {
  AUTH_INVALID: 401,
  AUTH_EXPIRED: 401,
  AUTH_MISMATCH: 401,
  NOT_AUTHENTICATED: 401,
  FORBIDDEN: 403,
  ROOM_INVALID: 400,
  PAYLOAD_INVALID: 400,
  PAYLOAD_TOO_LARGE: 413,
  RATE_LIMITED: 429,
  USER_OFFLINE: 409,
  USER_BUSY: 409,
  CALL_NOT_FOUND: 404,
  CALL_NOT_RINGING: 409,
  CALL_ALREADY_ANSWERED: 409,
  CHAT_NOT_FOUND: 404,
  CHAT_CLOSED: 409,
  CHAT_ALREADY_ASSIGNED: 409,
  CURSOR_INVALID: 400,
  CURSOR_EXPIRED: 410,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  INTERNAL: 500,
};
export const AUTH_CODES = new Set(["AUTH_INVALID", "AUTH_EXPIRED", "AUTH_MISMATCH"]);
// What of the detail an ack and an HTTP body tell too: when to try again, who was faster.
const TOLD = ["retryAfterMs", "answeredBy", "operatorId"];

// A request that is not carried out. `status` is the HTTP answer where it differs from the code's usual one, `detail`
// is merged into the `error` event, `beside` into the HTTP body beside the error.
export class Refusal extends Error {
  constructor(code, message, { status = HTTP_STATUS[code], detail = {}, beside = {} } = {}) {
    super(message);
    Object.assign(this, { code, status, detail, beside });
  }

  // The error object of an ack or of an HTTP body.
  error() {
    const told = TOLD.filter((field) => field in this.detail).map((field) => [field, this.detail[field]]);
    return { code: this.code, message: this.message, ...Object.fromEntries(told) };
  }
}

// What becomes of a failure of ours: a refusal of its own, and a line in the log.
export function asRefusal(error, what) {
  if (error instanceof Refusal) return error;
  console.error(`${what} failed:`, error);
  return new Refusal("INTERNAL", "the server failed; its log says why");
}
