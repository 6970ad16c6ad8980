// What do several servers share, and by which way?
//
// With REDIS_URL everything: one log in Redis tells all of them what happens (shared.js), and Socket.IO's Redis adapter
// carries events to the sockets of all. With WORKERS and no Redis, events alone, by Socket.IO's cluster adapter.
import { agree, Disagreement } from "./footing.js";
import { require } from "./packages.js";
import { reason, Redis, shown } from "./redis.js";

// All begin with the name of the cluster, so that clusters may share a Redis.
const KEYS = ["log", "instances", "lease"];

// `{}` where there is one server; `{adapter, eventsOnly}` for workers without Redis; with it `{adapter, redis, keys,
// footing, say}`. Throws Disagreement, and what Redis does if it is not there.
export async function sharingOf(settings, say) {
  if (settings.redisUrl) return overRedis(settings, say);
  if (settings.workers === 1) return {};
  return { adapter: require("@socket.io/cluster-adapter").createAdapter(), eventsOnly: true };
}

async function overRedis(settings, say) {
  const { redisUrl, cluster } = settings;
  const redis = await Redis.at(redisUrl, say);
  const keys = Object.fromEntries(KEYS.map((key) => [key, `${cluster}:${key}`]));
  const footing = await agree(redis, keys.log, settings);
  const { createAdapter } = require("@socket.io/redis-adapter");
  const adapter = createAdapter(redis.publisher, redis.subscriber, { key: `${cluster}:io` });
  return { adapter, redis, keys, footing, say };
}

// The line for a Redis that is of no use.
export function useless(url, error) {
  if (error instanceof Disagreement) return error.message;
  const advice = "start one with redis-server, or correct the URL";
  return `cannot use the Redis at ${shown(url)} (REDIS_URL): ${reason(error)}: ${advice}`;
}

// What makes connections reach one of several workers.
export function joinWorkers(io) {
  require("@socket.io/sticky").setupWorker(io);
}

// The process that takes connections and hands each to a worker, always the same for a session.
export function leadWorkers(http, { redisUrl }) {
  require("@socket.io/sticky").setupMaster(http, { loadBalancingMethod: "least-connection" });
  if (!redisUrl) require("@socket.io/cluster-adapter").setupPrimary();
}
