// How do several servers carry out one another's requests, all of them in one order?
//
// Each has a copy of the whole state and does to it what the log says, entry by entry. The server that a request came
// to answers when it meets it in the log, and delivers what follows; the others only know it from then on. A request
// that Redis keeps waiting is refused after some seconds. It may be carried out all the same, for nobody can take back
// what has been written: so a client asks again under the same `clientMsgId`.
import { createHash } from "node:crypto";

import { digest } from "./core.js";
import { footingOf } from "./footing.js";
import { Instances } from "./instances.js";
import { Log } from "./log.js";
import { inTime } from "./redis.js";
import { SlidingWindow } from "./ratelimit.js";
import { asRefusal, Refusal } from "./refusal.js";
import { KnownSocket } from "./sessions.js";
import { rowOf, together } from "./tallies.js";

const WAIT_AT_MOST_MS = 5000;
const LOOK_EVERY_MS = 250;
const LOOK_AT_MOST_MS = 1000;
const AGAIN_AFTER_MS = 200;
// What happens to the servers themselves, and who asks for it.
const NOBODY = null;
const nothing = () => {};

export class Shared {
  // Told which sockets of this server have been given up by the others.
  onGivenUp = nothing;
  #core;
  #state;
  #redis;
  #keys;
  #log;
  #instances;
  #say;
  // What this server has written and not met yet: {method, who, args, done, failed, since, must}.
  #waiting = new Map();
  #askings = 0;
  #ending = false;
  #timer;

  constructor(core, state, { redis, keys, footing, say }) {
    const { settings, clock } = core;
    this.#core = core;
    this.#state = state;
    this.#redis = redis;
    this.#say = say;
    this.#keys = keys;
    this.#log = new Log(redis, keys.log, settings.instance, clock);
    this.#log.onRefused = (number, error) => this.#refused(number, error);
    this.#instances = new Instances(redis, keys, settings, this.#log.life, {
      row: () => rowOf(core),
      tick: () => this.#promise("tick", NOBODY, []),
      gone: (name) => this.#write("gone", NOBODY, [name], nothing, nothing, true),
    });
    redis.onBack = () => this.#checkFooting(footing);
  }

  // Follows the log until it has met its own beginning: everything before is known by then. Throws.
  async begin() {
    await inTime(this.#instances.retire());
    this.#timer = setInterval(() => this.#giveUpLate(), LOOK_EVERY_MS).unref();
    const { instance } = this.#core.settings;
    const begun = new Promise((done, failed) => this.#write("begun", NOBODY, [instance], done, failed, true));
    this.#log.follow((entry) => this.#carryOut(entry));
    await begun;
    await this.#instances.begin();
  }

  // `method` of State for `who`; then `done(answer)` or `failed(error)`, at the moment that the log gives it.
  run(method, who, args, done, failed) {
    const idle = method === "act" && this.#state.isIdle(args[0]);
    // Not before the answers that the same socket still waits for.
    if (idle && !who.underWay) return done(this.#state.act(who, ...args));
    this.#write(method, who, args, done, failed);
  }

  ask(method, who, args) {
    return this.#promise(method, who, args);
  }

  // Recovery belongs to Socket.IO's adapter in memory, and there are several servers here.
  recovered() {}

  disconnected(session) {
    if (this.#ending || !(session.authenticated || session.introduced)) return;
    this.#write("disconnected", session, [], nothing, nothing, true);
  }

  // Time passes for all when one of the servers says so.
  tick() {
    this.#instances.tick();
  }

  // A fault that lasts begins on all servers, or all end.
  order(fault) {
    return this.#promise("order", NOBODY, [fault]);
  }

  // What all servers have counted at one moment of the log, or as much as can be known while Redis says nothing.
  async counts() {
    const asked = this.#redis.lost ? Promise.resolve(0) : this.#promise("count", NOBODY, [false]);
    const at = await inTime(asked, LOOK_AT_MOST_MS).catch(() => 0);
    const others = await this.#instances.others(at);
    return together(rowOf(this.#core), others.map(({ digest: _, ...row }) => row));
  }

  // What the copies of the state come to at one moment of the log, by the name of the server: they are equal. Throws
  // Refusal.
  async digests() {
    const id = await this.#promise("count", NOBODY, [true]);
    const others = (await this.#instances.others(id)).filter(({ gone }) => !gone);
    const told = others.map(({ instance, digest }) => [instance, digest]);
    return { id, digests: { [this.#core.settings.instance]: this.#instances.digest, ...Object.fromEntries(told) } };
  }

  // The sockets of this server are gone, and everybody is to know at once.
  async end() {
    this.#ending = true;
    await this.#promise("gone", NOBODY, [this.#core.settings.instance]).catch(nothing);
    await this.#instances.end().catch(nothing);
    clearInterval(this.#timer);
    this.#log.end();
  }

  // -- what is written

  #promise(method, who, args) {
    return new Promise((done, failed) => this.#write(method, who, args, done, failed));
  }

  // `must`: it has happened whether it can be written now or not.
  #write(method, who, args, done = nothing, failed = nothing, must = false) {
    const number = this.#log.append(method, written(who), args);
    const since = performance.now();
    this.#waiting.set(number, { method, who, args, done, failed, since, must });
    if (who?.sid !== undefined) who.underWay++;
  }

  #settle(number) {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (waiting?.who?.sid !== undefined) waiting.who.underWay--;
    return waiting;
  }

  // The oldest come first.
  #giveUpLate() {
    const horizon = performance.now() - WAIT_AT_MOST_MS;
    for (const [number, { since, must }] of this.#waiting) {
      if (since > horizon) break;
      if (must) continue;
      this.#log.forget(number);
      this.#settle(number).failed(unreachable());
    }
  }

  #refused(number, { message }) {
    const waiting = this.#settle(number);
    if (waiting === undefined) return;
    const { method, who, args, done, failed, must } = waiting;
    if (must) setTimeout(() => this.#write(method, who, args, done, failed, must), AGAIN_AFTER_MS).unref();
    else failed(unreachable(`: it says ${message}`));
  }

  // -- what is read

  #carryOut({ name, mine, number, moment, method, who, args }) {
    const waiting = mine ? this.#settle(number) : undefined;
    this.#core.turn.take(mine, moment, name, () => {
      let answer;
      try {
        answer = this.#perform(method, who, args, name);
      } catch (error) {
        if (waiting !== undefined) waiting.failed(error);
        else if (mine) asRefusal(error, method); // for the log, if it is a fault of ours
        return;
      }
      waiting?.done(answer);
    });
  }

  #perform(method, who, args, name) {
    const { rooms } = this.#core;
    if (method === "authenticate") return this.#state.authenticate(this.#socket(who.sid, name), ...args);
    if (method === "disconnected") return this.#drop([rooms.sessions.get(who.sid)]);
    if (method === "begun" || method === "gone") return this.#end(args[0]);
    if (method === "count") return this.#count(args[0]);
    if (method === "tick" || method === "order") return this.#state[method](...args);
    if (who.sid === undefined) return this.#state[method](who, ...args);
    const session = rooms.sessions.get(who.sid);
    if (session === undefined) throw new Refusal("NOT_AUTHENTICATED", "authenticate first");
    return this.#state[method](session, ...args);
  }

  // The socket that authenticates, known from now on.
  #socket(sid, name) {
    const { rooms, sessions, settings } = this.#core;
    const known = rooms.sessions.get(sid);
    if (known !== undefined) return known;
    const session = sessions.get(sid) ?? new KnownSocket(sid);
    session.begin(name, new SlidingWindow(settings.rateLimit));
    rooms.sessions.set(sid, session);
    return session;
  }

  #drop(sessions) {
    for (const session of sessions) {
      if (session === undefined) continue;
      this.#core.rooms.drop(session);
      this.#state.disconnected(session);
    }
  }

  // The server of that name has just begun, or is gone: either way it has none of the sockets it had.
  #end(name) {
    const lost = [...this.#core.rooms.sessions.values()].filter(({ instance }) => instance === name);
    this.#drop(lost);
    if (name !== this.#core.settings.instance || this.#ending || !lost.some(({ socket }) => socket?.connected)) return;
    this.#say("the other servers have given this one up: its sockets are hung up on");
    this.onGivenUp(lost);
  }

  // Everybody tells what they have counted, and what the state comes to if that is asked.
  #count(digested) {
    const at = ++this.#askings;
    const { turn, rooms } = this.#core;
    const told = digested ? digest(JSON.stringify([this.#state, rooms, this.#log, at]), 32) : undefined;
    turn.after(() => this.#instances.tell(at, told));
    return at;
  }

  // The state in our memory belongs to a log: without it nobody could ever know the same again.
  async #checkFooting({ epoch }) {
    const found = await footingOf(this.#redis, this.#keys.log).catch(() => ({ epoch }));
    if (found?.epoch === epoch) return;
    this.#say("Redis came back without the log of this cluster: start its servers anew");
    process.exit(2);
  }
}

// Who asks, as the log names them: no token is left in Redis.
function written(who) {
  if (who === NOBODY) return who;
  const { sid, userId, role, key } = who;
  if (sid !== undefined) return { sid };
  return { userId, role, key: createHash("sha256").update(key).digest("base64url").slice(0, 22) };
}

const unreachable = (why = "") => new Refusal("INTERNAL", `the shared state (Redis) cannot be reached${why}`);
