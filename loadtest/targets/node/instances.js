// Which servers are there, how does each of them do, and which of them says that time passes?
//
// Each writes a row about itself now and then, with a number that changes. One of them holds a lease: it appends the
// ticks, and says who is gone: whose number it has read unchanged too often. It counts its own readings, not the time:
// while Redis stands still nobody can write, and nobody is gone for that.
import { inTime } from "./redis.js";

const BEATS_IN_A_LIFE = 4;
const BEAT_AT_MOST_MS = 1000;
// Nobody cleans up behind the last server of a cluster but Redis itself.
const KEPT_S = "3600";
const ANSWERS_WITHIN_MS = 1000;
const LOOK_AGAIN_MS = 5;
// What a server has counted stays when it goes; what it had does not.
const GONE = { sockets: 0, rssBytes: 0, loopLagMsP99: 0, gone: true };

export class Instances {
  #redis;
  #keys;
  #name;
  #life;
  #timeoutMs;
  #beatMs;
  #calls;
  #beats = 0;
  #beating = false;
  #holds = false;
  #ticking = false;
  #timer;
  // By name: the number read last and how often; the last rows; what was asked of all and answered last.
  #unchanged = new Map();
  #rows = new Map();
  #told = {};

  // `life` is of this start of this server. `row()` is what to write, `tick()` passes time and returns a promise,
  // `gone(name)` says that one has gone.
  constructor(redis, keys, { instance, instanceTimeoutMs }, life, calls) {
    this.#redis = redis;
    this.#keys = keys;
    this.#name = instance;
    this.#life = life;
    this.#timeoutMs = instanceTimeoutMs;
    this.#beatMs = Math.min(BEAT_AT_MOST_MS, instanceTimeoutMs / BEATS_IN_A_LIFE);
    this.#calls = calls;
  }

  // What a server has counted that had this name before stays, beside what this one will count. Throws.
  async retire() {
    const { instances } = this.#keys;
    const text = await this.#redis.ask("HGET", instances, this.#name);
    if (text === null) return;
    const row = { ...JSON.parse(text), ...GONE };
    await this.#redis.ask("HSET", instances, `${this.#name} until ${Date.now()}`, JSON.stringify(row));
  }

  async begin() {
    await this.#beat();
    this.#timer = setInterval(() => this.#beat(), this.#beatMs);
  }

  // One tick at a time, by whoever holds the lease.
  async tick() {
    if (!this.#holds || this.#ticking) return;
    this.#ticking = true;
    await this.#calls.tick().catch(() => {});
    this.#ticking = false;
  }

  // The log has come to where somebody asks all for their rows, for the `at`-th time; each writes its own.
  tell(at, digest) {
    this.#told = { at, digest };
    // Who is still catching up was not asked.
    if (this.#timer !== undefined) this.#write(this.#row()).catch(() => {});
  }

  // The rows of the other servers, written since the asking `at`; of those who do not answer the last one read.
  async others(at) {
    const end = performance.now() + ANSWERS_WITHIN_MS;
    while (!this.#redis.lost && performance.now() < end) {
      await inTime(this.#read(), end - performance.now()).catch(() => {});
      if (this.#othersRead().every((row) => row.gone || row.at >= at)) break;
      await new Promise((go) => setTimeout(go, LOOK_AGAIN_MS));
    }
    return this.#othersRead().map(({ beat: _beat, at: _at, ...row }) => row);
  }

  // What this one has told beside its row.
  get digest() {
    return this.#told.digest;
  }

  // A last row, which says so.
  async end() {
    clearInterval(this.#timer);
    await this.#write({ ...this.#row(), ...GONE });
    if (this.#holds) await this.#redis.ask("DEL", this.#keys.lease);
  }

  #row() {
    return { ...this.#calls.row(), ...this.#told };
  }

  async #beat() {
    if (this.#beating) return;
    this.#beating = true;
    try {
      await this.#write(this.#row());
      this.#holds = await this.#takeLease();
      if (this.#holds) await this.#lookAfterOthers();
    } catch {
      // No Redis: whoever watches it says so, and nobody can hold anything.
      this.#holds = false;
    }
    this.#beating = false;
  }

  #write(row) {
    return this.#redis.ask("HSET", this.#keys.instances, this.#name, JSON.stringify({ ...row, beat: ++this.#beats }));
  }

  async #takeLease() {
    const { lease } = this.#keys;
    const ttl = String(Math.ceil(this.#timeoutMs));
    if ((await this.#redis.ask("SET", lease, this.#life, "NX", "PX", ttl)) === "OK") return true;
    if ((await this.#redis.ask("GET", lease)) !== this.#life) return false;
    await this.#redis.ask("PEXPIRE", lease, ttl);
    return true;
  }

  async #lookAfterOthers() {
    const { log, instances } = this.#keys;
    for (const key of [log, instances]) await this.#redis.ask("EXPIRE", key, KEPT_S);
    for (const [name, row] of await this.#read()) {
      if (row.gone || name === this.#name) continue;
      const last = this.#unchanged.get(name);
      const times = last?.beat === row.beat ? last.times + 1 : 0;
      this.#unchanged.set(name, { beat: row.beat, times });
      if (times * this.#beatMs < this.#timeoutMs) continue;
      this.#unchanged.delete(name);
      await this.#redis.ask("HSET", instances, name, JSON.stringify({ ...row, ...GONE }));
      this.#calls.gone(name);
    }
  }

  // By name, the former selves of servers too.
  async #read() {
    const flat = await this.#redis.ask("HGETALL", this.#keys.instances);
    const rows = new Map();
    for (let at = 0; at < flat.length; at += 2) rows.set(flat[at], JSON.parse(flat[at + 1]));
    return (this.#rows = rows);
  }

  #othersRead() {
    return [...this.#rows].filter(([name]) => name !== this.#name).map(([, row]) => row);
  }
}
