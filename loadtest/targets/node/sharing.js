// How do several servers share their rooms?
//
// Events cross from one to the other; sequence numbers, membership, presence, calls, chats and feeds do not: each
// server keeps its own.
import { require } from "./packages.js";

// The adapter for Socket.IO over Redis. Throws if Redis is not there.
export async function redisAdapter(url, say) {
  const { createAdapter } = require("@socket.io/redis-adapter");
  const { createClient } = require("redis");
  let connected = false;
  let lost = false;
  // At first it must be there; lost on the way it is waited for.
  const reconnectStrategy = (tries) => (connected ? Math.min(50 * (tries + 1), 1000) : false);
  const clients = [0, 1].map(() => createClient({ url, socket: { reconnectStrategy } }));
  for (const client of clients) {
    client.on("error", (error) => {
      if (connected && !lost) say(`Redis is lost, and with it what is meant for other servers: ${reason(error)}`);
      lost ||= connected;
    });
    client.on("ready", () => {
      if (lost && clients.every(({ isReady }) => isReady)) {
        lost = false;
        say("Redis is back");
      }
    });
  }
  await Promise.all(clients.map((client) => client.connect()));
  connected = true;
  return createAdapter(...clients);
}

// Where several addresses were tried, the error has no words of its own.
export const reason = (error) => error.message || error.errors?.[0]?.message || error.code || String(error);

// The adapter of one of several workers, and what makes connections reach it.
export function workerAdapter() {
  return require("@socket.io/cluster-adapter").createAdapter();
}

export function joinWorkers(io) {
  require("@socket.io/sticky").setupWorker(io);
}

// The process that takes connections and hands each to a worker, always the same for a session.
export function leadWorkers(http) {
  require("@socket.io/sticky").setupMaster(http, { loadBalancingMethod: "least-connection" });
  require("@socket.io/cluster-adapter").setupPrimary();
}
