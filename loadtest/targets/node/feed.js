// What has a polling user not fetched yet?
//
// A user's log begins with their first read and is forgotten after minutes of silence, so that a load of sockets alone
// pays nothing. A cursor names the log it belongs to: after a forgotten log or a restarted server it has expired
// instead of pointing somewhere else.
import { SECOND } from "./clock.js";
import { Refusal } from "./refusal.js";

const KEPT_ITEMS = 2000;
const FORGET_AFTER_MS = 300 * SECOND;
const TYPING_FRESH_MS = 5 * SECOND;
const CURSOR = /^([0-9a-z]{1,32})\.([0-9]{1,15})$/;

// The newest events of one user; `pos` counts up from 1 without a gap.
class FeedLog {
  pos = 0;
  #items = [];

  constructor(name, now) {
    this.name = name;
    this.readAt = now;
  }

  append(event, data, now) {
    this.pos++;
    this.#items[this.pos % KEPT_ITEMS] = { at: now, item: { event, data, pos: this.pos } };
  }

  cursor(pos) {
    return `${this.name}.${pos}`;
  }

  // Up to `limit` items after `pos`. Typing that nobody would still show is skipped, its position is passed.
  since(pos, limit, now) {
    const reached = Math.min(this.pos, pos + limit);
    const items = [];
    for (let at = pos + 1; at <= reached; at++) {
      const entry = this.#items[at % KEPT_ITEMS];
      if (now - entry.at < TYPING_FRESH_MS || !entry.item.event.startsWith("typing:")) items.push(entry.item);
    }
    return { items, cursor: this.cursor(reached), pos: reached, hasMore: reached < this.pos, moved: reached > pos };
  }

  reachesBackTo(pos) {
    return this.pos - pos <= KEPT_ITEMS;
  }

  toJSON() {
    return [this.name, this.readAt, this.pos, this.#items];
  }
}

// The logs of one kind of feed, of all users who poll. `boot` must differ between two starts of the server, `letter`
// between two kinds of feeds: a cursor or an ETag of one then says nothing to another.
export class Feeds {
  #prefix;
  #letter;
  #begun = 0;
  #logs = new Map();

  constructor(boot, letter) {
    this.#prefix = boot + letter;
    this.#letter = letter;
  }

  get anybody() {
    return this.#logs.size > 0;
  }

  // The weak ETag of a feed that has been read up to `pos`. A user's name may hold quotes and line ends, a header may
  // not.
  etag(user, pos) {
    const name = encodeURIComponent(Buffer.from(user).toString()).replaceAll("%3A", ":").replaceAll("%40", "@");
    return `W/"${name}-${this.#letter}-${pos}"`;
  }

  reads(user) {
    return this.#logs.has(user);
  }

  // Writes to the log of a user who polls; false for anybody else.
  append(user, event, data, now) {
    const log = this.#logs.get(user);
    log?.append(event, data, now);
    return log !== undefined;
  }

  // The next page of `user`. Without a cursor: nothing, and the place to go on from. Throws Refusal CURSOR_INVALID
  // (never given out) or CURSOR_EXPIRED (with the cursor to go on from after a resync).
  read(user, cursor, limit, now) {
    let log = this.#logs.get(user);
    if (log === undefined) this.#logs.set(user, (log = new FeedLog(`${this.#prefix}${++this.#begun}`, now)));
    log.readAt = now;
    if (cursor === null) return { items: [], cursor: log.cursor(log.pos), pos: log.pos, hasMore: false, moved: true };
    const [, name, digits] = CURSOR.exec(cursor) ?? [];
    if (name === undefined) throw new Refusal("CURSOR_INVALID", "the cursor is not one this server gave out");
    const pos = Number(digits);
    if (name === log.name && pos > log.pos) throw new Refusal("CURSOR_INVALID", "the cursor lies ahead of the feed");
    if (name !== log.name || !log.reachesBackTo(pos)) {
      throw new Refusal(
        "CURSOR_EXPIRED",
        "events after this cursor are gone: fetch the conversations, then go on from the new cursor",
        { beside: { cursor: log.cursor(log.pos) } },
      );
    }
    return log.since(pos, limit, now);
  }

  // Drops the logs nobody has read for minutes.
  forgetSilent(now) {
    for (const [user, log] of this.#logs) {
      if (now - log.readAt >= FORGET_AFTER_MS) this.#logs.delete(user);
    }
  }

  toJSON() {
    return [this.#begun, [...this.#logs]];
  }
}
