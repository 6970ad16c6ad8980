// What can be done to what the house knows, whoever asks and through whichever door?
//
// Nothing in here waits, reads another clock than the one it was given, or leaves anything to chance: servers that
// carry out the same things in the same order know the same afterwards. `who` asks: a socket (Session), or a polling
// user `{userId, role, key}`, where `key` stands for the token.
import { SECOND } from "./clock.js";
import { SlidingWindow } from "./ratelimit.js";
import { Refusal } from "./refusal.js";
import { USER_ROOM } from "./rooms.js";
import { actorOf } from "./sessions.js";

const SWEEP_MS = 30 * SECOND;

export class State {
  #core;
  #actions;
  #domains;
  #windows = new Map();
  #sweepAt = 0;

  constructor(core, actions, domains) {
    this.#core = core;
    this.#actions = actions;
    this.#domains = domains;
  }

  // Does an action neither change anything nor depend on anything?
  isIdle(name) {
    return this.#actions.isIdle(name);
  }

  // Binds the socket to the user of its token; returns what `authenticated` says. Throws Refusal AUTH_MISMATCH.
  authenticate(session, { userId, role, expiresAtMs }, device) {
    const { rooms, clock, settings } = this.#core;
    if (session.authenticated && session.userId !== userId) {
      throw new Refusal("AUTH_MISMATCH", `the socket already belongs to ${session.userId}`);
    }
    const named = typeof device === "string" && device !== "" ? device : session.deviceId;
    Object.assign(session, { userId, role, deviceId: named || session.sid, expiresAtMs });
    rooms.enter(USER_ROOM + userId, session);
    this.#domains.authenticated(session);
    return {
      ok: true,
      userId,
      role,
      deviceId: session.deviceId,
      socketId: session.sid,
      rooms: [USER_ROOM + userId],
      serverTime: clock.ts(),
      expiresAt: expiresAtMs,
      ...(settings.redisUrl && { instance: settings.instance }),
    };
  }

  // The socket is back with the user and the rooms it had, as Socket.IO has kept them.
  recovered(session) {
    this.#domains.authenticated(session);
  }

  // The socket is gone, from all rooms too.
  disconnected(session) {
    if (session.authenticated) this.#domains.disconnected(session);
  }

  // An action of the table, within the asker's rate limit. Throws Refusal.
  act(who, name, payload, scope) {
    return this.#actions.perform(name, this.#actor(who), payload, scope);
  }

  // A page of the asker's feed of one kind, and when it was read. Throws Refusal CURSOR_*.
  read({ userId }, kind, cursor, limit) {
    const now = this.#core.clock.now();
    this.#domains.polled(userId);
    return { ...this.#core.feeds[kind].read(userId, cursor, limit, now), now };
  }

  // Messages of a conversation, for a member. Throws Refusal FORBIDDEN.
  history({ userId }, id, afterSeq, limit) {
    const { log } = this.#core.conversations.ofMember(id, userId);
    const { items, hasMore } = log.page(afterSeq, limit);
    return { items, lastSeq: log.lastSeq, hasMore };
  }

  // A fault that lasts begins, or all of them end.
  order(fault) {
    if (fault.kind === "none") this.#core.fanout.endFaults();
    else this.#core.faults.start(fault);
  }

  // What has come due? Every 30 s also: whom may we forget?
  tick() {
    const now = this.#core.clock.now();
    this.#domains.tick(now);
    this.#core.fanout.passTime();
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_MS;
    for (const feeds of Object.values(this.#core.feeds)) feeds.forgetSilent(now);
    for (const [key, window] of this.#windows) {
      if (window.isEmpty(now)) this.#windows.delete(key);
    }
  }

  // All that two servers must know alike.
  toJSON() {
    const { conversations, presence, feeds, fanout } = this.#core;
    return [this.#domains, conversations, presence, feeds, fanout, [...this.#windows], this.#sweepAt];
  }

  #actor(who) {
    if (who.sid !== undefined) return actorOf(who, who);
    const { userId, role, key } = who;
    let window = this.#windows.get(key);
    if (window === undefined) {
      this.#windows.set(key, (window = new SlidingWindow(this.#core.settings.rateLimit)));
    }
    return actorOf({ userId, role, window });
  }
}
