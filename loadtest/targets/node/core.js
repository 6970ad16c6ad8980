// What do both doors share? The store, the way out, and what watches or disturbs them.
import { createHash, randomBytes } from "node:crypto";

import { Clock } from "./clock.js";
import { Conversations } from "./conversations.js";
import { Counters } from "./counters.js";
import { Fanout } from "./fanout.js";
import { Faults } from "./faults.js";
import { Feeds } from "./feed.js";
import { Presence } from "./presence.js";
import { Rooms } from "./rooms.js";
import { SharedRooms } from "./shared_rooms.js";
import { Tokens } from "./tokens.js";
import { LogTurn, OwnTurn } from "./turn.js";

// One of each. `boot` names this start of the server, or of all that follow one log: ids and cursors of two starts
// never meet. `sessions` are the sockets of this server, by id; `sharing` is what sharing.js says of the other servers.
export function buildCore(settings, io, sharing) {
  const { footing, eventsOnly = false } = sharing;
  const alone = footing === undefined;
  const turn = alone ? new OwnTurn() : new LogTurn();
  const boot = alone ? randomBytes(4).toString("hex") : digest(`${settings.cluster} ${footing.epoch}`, 8);
  const sessions = new Map();
  const rooms = alone ? new Rooms(io.sockets, sessions) : new SharedRooms(turn);
  const clock = new Clock(settings.clockRate, turn, footing?.epoch);
  const faults = new Faults();
  const counters = new Counters(turn);
  const feeds = { messages: new Feeds(boot, "m"), calls: new Feeds(boot, "c"), chats: new Feeds(boot, "l") };
  return {
    settings,
    boot,
    io,
    turn,
    sessions,
    rooms,
    clock,
    faults,
    counters,
    feeds,
    tokens: new Tokens(settings.tokenSecret),
    conversations: new Conversations(),
    presence: new Presence(settings.presenceGraceMs),
    fanout: new Fanout({ io, turn, rooms, sessions, feeds: feeds.messages, faults, counters, clock, eventsOnly }),
  };
}

// Of some text, as so many hexadecimal digits.
export function digest(text, digits) {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}
