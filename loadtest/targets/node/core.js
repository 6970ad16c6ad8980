// What do both doors share? The store, the way out, and what watches or disturbs them.
import { randomBytes } from "node:crypto";

import { Clock } from "./clock.js";
import { Conversations } from "./conversations.js";
import { Counters } from "./counters.js";
import { Fanout } from "./fanout.js";
import { Faults } from "./faults.js";
import { Feeds } from "./feed.js";
import { Presence } from "./presence.js";
import { Rooms } from "./rooms.js";
import { Tokens } from "./tokens.js";

// One of each. `boot` names this start of the server: ids and cursors of two starts never meet. `sessions` are the
// sockets of this server, by id.
export function buildCore(settings, io) {
  const boot = randomBytes(4).toString("hex");
  const sessions = new Map();
  const rooms = new Rooms(io.sockets, sessions);
  const clock = new Clock(settings.clockRate);
  const faults = new Faults();
  const counters = new Counters();
  const feeds = { messageFeeds: new Feeds(boot, "m"), callFeeds: new Feeds(boot, "c"), chatFeeds: new Feeds(boot, "l") };
  const shared = settings.redisUrl !== "" || settings.workers > 1;
  return {
    settings,
    boot,
    io,
    sessions,
    rooms,
    clock,
    faults,
    counters,
    ...feeds,
    feeds: Object.values(feeds),
    tokens: new Tokens(settings.tokenSecret),
    conversations: new Conversations(),
    presence: new Presence(settings.presenceGraceMs),
    fanout: new Fanout({ io, rooms, sessions, feeds: feeds.messageFeeds, faults, counters, clock, shared }),
  };
}
