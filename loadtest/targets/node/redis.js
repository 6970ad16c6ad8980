// Is Redis there, and who says so when it goes?
//
// Four connections: two for Socket.IO's adapter, one to write with, one to wait on. Each is made again when it breaks.
// One that stays and says nothing (a Redis that is stopped, a network that swallows) is found out by asking.
import { require } from "./packages.js";

const ASK_EVERY_MS = 500;
const SILENT_AFTER_MS = 1000;
const RETRY_AT_MOST_MS = 1000;
const ANSWER_WITHIN_MS = 5000;

export class Redis {
  // What to do when it is back.
  onBack = () => {};
  #url;
  #say;
  #clients;
  #there = false;
  #lost = false;
  #timer;
  #askedAt;

  // Throws where there is no Redis at `url`. `say` takes a line for people.
  static async at(url, say) {
    const redis = new Redis(url, say);
    await inTime(redis.#open());
    return redis;
  }

  constructor(url, say) {
    this.#url = url;
    this.#say = say;
    // At first it must be there; lost on the way it is waited for.
    const reconnectStrategy = (tries) => (this.#there ? Math.min(50 * (tries + 1), RETRY_AT_MOST_MS) : false);
    const { createClient } = require("redis");
    const client = (options) => createClient({ url, socket: { reconnectStrategy }, ...options });
    this.publisher = client();
    this.subscriber = client();
    this.reader = client();
    // What is to be written is kept by whoever writes: only they know what has become pointless meanwhile.
    this.writer = client({ disableOfflineQueue: true });
    this.#clients = [this.publisher, this.subscriber, this.reader, this.writer];
    for (const one of this.#clients) {
      one.on("error", (error) => this.#isLost(reason(error)));
      one.on("ready", () => this.#mayBeBack());
    }
    // The adapter does not wait for what becomes of a broadcast: one that a broken connection took along is lost.
    const publish = this.publisher.publish.bind(this.publisher);
    this.publisher.publish = (...message) => publish(...message).catch(() => {});
  }

  // Does everybody know that it is not there?
  get lost() {
    return this.#lost;
  }

  // What Redis answers to one command. Throws what the client does, at once where there is no connection.
  ask(...command) {
    return this.writer.sendCommand(command);
  }

  // Over a connection of its own: the answer may take its time.
  waitFor(...command) {
    return this.reader.sendCommand(command);
  }

  close() {
    clearInterval(this.#timer);
    this.#there = false;
    for (const client of this.#clients) if (client.isOpen) client.destroy();
  }

  async #open() {
    await Promise.all(this.#clients.map((client) => client.connect()));
    await this.ask("PING");
    this.#there = true;
    this.#timer = setInterval(() => this.#look(), ASK_EVERY_MS);
    this.#timer.unref();
  }

  #look() {
    if (this.#askedAt !== undefined) {
      if (performance.now() - this.#askedAt > SILENT_AFTER_MS) this.#isLost("it does not answer");
      return;
    }
    this.#askedAt = performance.now();
    const answered = () => {
      this.#askedAt = undefined;
      this.#mayBeBack();
    };
    this.ask("PING").then(answered, () => (this.#askedAt = undefined));
  }

  #isLost(why) {
    if (this.#there && !this.#lost) this.#say(`Redis at ${shown(this.#url)} is lost, requests wait: ${why}`);
    this.#lost ||= this.#there;
  }

  #mayBeBack() {
    const quiet = this.#askedAt !== undefined && performance.now() - this.#askedAt > SILENT_AFTER_MS;
    if (!this.#lost || quiet || !this.#clients.every(({ isReady }) => isReady)) return;
    this.#lost = false;
    this.#say(`Redis at ${shown(this.#url)} is back`);
    this.onBack();
  }
}

// Has Redis said no, rather than nothing?
export const isNo = (error) => error instanceof require("redis").ErrorReply;

// Where several addresses were tried, the error has no words of its own.
export const reason = (error) => error.message || error.errors?.[0]?.message || error.code || String(error);

// The URL without its password.
export const shown = (url) => url.replace(/(\/\/[^:@/]*:)[^@/]*@/, "$1***@");

// The answer, if it comes before long. Throws.
export async function inTime(answer, ms = ANSWER_WITHIN_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it does not answer")), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
