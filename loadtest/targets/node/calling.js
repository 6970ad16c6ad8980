// What happens when somebody calls, answers, declines, hangs up or vanishes?
//
// The use cases of calls, the same for a socket and for a polling user. What follows from a request carries that
// request's `meta`; what the server does by itself (timeout, disconnect) carries none.
import { parseDecline, parseInitiate, parseRequest } from "./call_payloads.js";
import { Calls } from "./calls.js";
import { Domain } from "./domains.js";
import { Refusal } from "./refusal.js";

// What a polling user who names no device answers and declines with.
const POLLING_DEVICE = "polling";

export class Calling extends Domain {
  #presence;
  #feeds;
  #fanout;
  #clock;
  #calls;

  constructor({ settings, boot, presence, feeds, fanout, clock }) {
    super();
    this.#presence = presence;
    this.#feeds = feeds.calls;
    this.#fanout = fanout;
    this.#clock = clock;
    this.#calls = new Calls(`c${boot}`, settings.ringTimeoutMs, settings.partyGraceMs);
  }

  actions() {
    return [
      ["call:initiate", (...asked) => this.initiate(...asked), "event"],
      ["call:answer", (...asked) => this.answer(...asked), "event"],
      ["call:decline", (...asked) => this.decline(...asked), "event"],
      ["call:end", (...asked) => this.end(...asked), "event"],
      ["call:status", (...asked) => this.status(...asked), "event"],
    ];
  }

  // -- what is asked for

  // call:initiate: every device of the callee rings. The same clientCallId again, while that call is open, gets the
  // same call.
  initiate({ userId: caller }, payload) {
    const { calleeId: callee, media, conversationId, sdp, clientId, meta } = parseInitiate(payload);
    const now = this.#clock.now();
    if (callee === caller) throw new Refusal("PAYLOAD_INVALID", "calleeId must be somebody else");
    const begun = this.#calls.begunWith(caller, clientId);
    if (begun !== undefined) return { ...this.#initiated(begun, now), duplicate: true };
    if (!this.#presence.isReachable(callee, now)) {
      throw new Refusal("USER_OFFLINE", `${callee} has no socket and does not poll`);
    }
    const call = this.#calls.initiate(caller, callee, media, clientId, now);
    for (const user of call.parties) this.#signOfLife(user, now);
    const incoming = {
      callId: call.id,
      callerId: caller,
      calleeId: callee,
      media,
      conversationId,
      sdp,
      ts: Math.floor(now),
      expiresAt: Math.floor(call.ringsUntil),
      meta,
    };
    this.#fanout.toUsers([callee], "call:incoming", incoming, { sender: caller, feeds: this.#feeds });
    this.#tellStatus(call, now, meta);
    return this.#initiated(call, now);
  }

  // call:answer: the first device wins; both parties learn which, so that the others stop ringing.
  answer(actor, payload) {
    const { callId, deviceId, sdp, meta } = parseRequest(payload);
    const [call, now] = this.#of(actor, callId);
    const device = { ...deviceOf(actor, deviceId), socketId: actor.session?.sid };
    this.#calls.answer(call, device, now);
    this.#tell(call, "call:answered", { answeredBy: device, sdp }, now, meta);
    return { ok: true, callId: call.id, status: call.state };
  }

  // call:decline: one device declines for the user.
  decline(actor, payload) {
    const { callId, deviceId, reason, meta } = parseDecline(payload);
    const [call, now] = this.#of(actor, callId);
    this.#calls.decline(call, actor.userId, now);
    this.#tell(call, "call:declined", { declinedBy: deviceOf(actor, deviceId), reason }, now, meta);
    return { ok: true, callId: call.id, status: call.state };
  }

  // call:end: either party hangs up, ringing or not. Who comes second is told how it ended.
  end(actor, payload) {
    const { callId, deviceId, meta } = parseRequest(payload);
    const [call, now] = this.#of(actor, callId);
    const endedNow = this.#calls.end(call, actor.userId, now);
    const ack = { ok: true, callId: call.id, status: call.state, durationMs: call.durationMs };
    if (!endedNow) return { ...ack, duplicate: true };
    this.#tellEnd(call, { endedBy: deviceOf(actor, deviceId), reason: "hangup" }, now, meta);
    return ack;
  }

  // call:status: how does it stand? What a client asks that was away for a while.
  status(actor, payload) {
    const [call] = this.#of(actor, parseRequest(payload).callId);
    return {
      ok: true,
      call: {
        callId: call.id,
        callerId: call.caller,
        calleeId: call.callee,
        media: call.media,
        status: call.state,
        answeredBy: call.answeredBy,
        startedAt: Math.floor(call.startedAt),
        endedAt: call.endedAt && Math.floor(call.endedAt),
      },
    };
  }

  // -- what happens by itself

  authenticated(session) {
    this.#calls.attached(session.userId, this.#clock.now());
  }

  disconnected(session) {
    if (!this.#presence.hasSocket(session.userId)) this.#calls.detached(session.userId, this.#clock.now());
  }

  polled(userId) {
    this.#calls.heard(userId, this.#clock.now());
  }

  tick(now) {
    for (const call of this.#calls.due(now)) {
      this.#tellEnd(call, { reason: call.state === "missed" ? "timeout" : "disconnect" }, now);
    }
  }

  stats() {
    return { calls: this.#calls.tally() };
  }

  toJSON() {
    return this.#calls;
  }

  // -- what is told

  // The event of a transition to both parties, and the new status after it.
  #tell(call, name, fields, now, meta) {
    const data = { callId: call.id, ...fields, ts: Math.floor(now), meta };
    this.#fanout.toUsers(call.parties, name, data, { sender: call.caller, feeds: this.#feeds });
    this.#tellStatus(call, now, meta);
  }

  #tellEnd(call, fields, now, meta) {
    this.#tell(call, "call:ended", { ...fields, durationMs: call.durationMs }, now, meta);
  }

  #tellStatus(call, now, meta) {
    const data = { callId: call.id, status: call.state, ts: Math.floor(now), meta };
    this.#fanout.toUsers(call.parties, "call:status", data, { sender: call.caller, feeds: this.#feeds });
  }

  #initiated(call, now) {
    return {
      ok: true,
      callId: call.id,
      status: call.state,
      expiresAt: Math.floor(call.ringsUntil),
      devices: this.#presence.devices(call.callee, now),
    };
  }

  // -- who asks

  // The call, for one of its parties, and the time. Throws Refusal CALL_NOT_FOUND, FORBIDDEN.
  #of({ userId }, callId) {
    const now = this.#clock.now();
    const call = this.#calls.of(callId, userId);
    this.#signOfLife(userId, now);
    return [call, now];
  }

  #signOfLife(user, now) {
    if (this.#presence.hasSocket(user)) this.#calls.attached(user, now);
    else this.#calls.heard(user, now);
  }
}

function deviceOf({ userId, session }, named) {
  return { userId, deviceId: named ?? session?.deviceId ?? POLLING_DEVICE };
}
