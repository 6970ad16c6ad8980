// In which order do the requests of several servers happen? In that of one stream in Redis.
//
// Every server writes what it is asked, and carries out what it reads: its own as well as the others'. What it has
// written and not seen confirmed when a connection broke is written again; what is in the stream twice is read once.
import { randomUUID } from "node:crypto";

import { FIRST_ID } from "./footing.js";
import { isNo } from "./redis.js";

const READ_AT_MOST = 500;
const WAIT_MS = 2000;
const AGAIN_AFTER_MS = 50;

export class Log {
  // Of this start of this server: what an earlier one has written is somebody else's.
  life = randomUUID();
  // What Redis would not take; given the number and why.
  onRefused = () => {};
  #redis;
  #key;
  #name;
  #clock;
  #written = 0;
  // Not confirmed yet, by number, in their order.
  #open = new Map();
  #seen = new Map();
  #moment = 0;
  #following = false;

  // `key` is the stream's, `name` this server's.
  constructor(redis, key, name, clock) {
    this.#redis = redis;
    this.#key = key;
    this.#name = name;
    this.#clock = clock;
    redis.writer.on("ready", () => this.#again());
  }

  // Writes what `who` wants done; returns its number, by which `follow` brings it back.
  append(method, who, args) {
    const number = ++this.#written;
    this.#open.set(number, JSON.stringify([this.#name, this.life, number, this.#clock.now(), method, who, args]));
    if (this.#redis.writer.isReady) this.#write(number);
    return number;
  }

  // It has become pointless: not to be written again. It may have been written already.
  forget(number) {
    this.#open.delete(number);
  }

  // Reads from after the footing and goes on until `end`. `carryOut` gets {name, mine, number, moment, method, who,
  // args}; moments never fall.
  async follow(carryOut) {
    this.#following = true;
    let last = FIRST_ID;
    while (this.#following) {
      try {
        last = await this.#readOn(last, carryOut);
      } catch {
        // The connection broke, or Redis is not ready yet: whoever watches it says so.
        await new Promise((go) => setTimeout(go, AGAIN_AFTER_MS));
      }
    }
  }

  end() {
    this.#following = false;
  }

  // What a copy must know to read on as others do.
  toJSON() {
    return [[...this.#seen], this.#moment];
  }

  async #readOn(last, carryOut) {
    const command = ["XREAD", "COUNT", `${READ_AT_MOST}`, "BLOCK", `${WAIT_MS}`, "STREAMS", this.#key, last];
    const [[, entries] = [, []]] = (await this.#redis.waitFor(...command)) ?? [];
    for (const [id, [, text]] of entries) {
      if (!this.#following) return last;
      last = id;
      try {
        this.#take(JSON.parse(text), carryOut);
      } catch (error) {
        // One entry that goes wrong must not end the reading of all that follow.
        console.error(`entry ${id} failed:`, error);
      }
    }
    return last;
  }

  #take([name, life, number, moment, method, who, args], carryOut) {
    if (number <= (this.#seen.get(life) ?? 0)) return;
    this.#seen.set(life, number);
    this.#moment = Math.max(this.#moment, moment);
    const mine = life === this.life;
    if (mine) this.#open.delete(number);
    carryOut({ name, mine, number, moment: this.#moment, method, who, args });
  }

  #write(number) {
    const written = this.#redis.ask("XADD", this.#key, "*", "e", this.#open.get(number));
    written.then(
      () => this.#open.delete(number),
      (error) => {
        // A broken connection is no answer: whether it is in the stream, nobody knows.
        if (isNo(error) && this.#open.delete(number)) this.onRefused(number, error);
      },
    );
  }

  #again() {
    for (const number of this.#open.keys()) this.#write(number);
  }
}
