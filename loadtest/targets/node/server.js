// How does the server run, and how does it end?
//
// `node server.js` with the switches of settings.js; SIGTERM and SIGINT end it with exit code 0.
import cluster from "node:cluster";
import { createServer } from "node:http";

import { Application } from "./application.js";
import { SECOND } from "./clock.js";
import { settingsFrom, SettingsError } from "./settings.js";
import { joinWorkers, leadWorkers, reason, redisAdapter, workerAdapter } from "./sharing.js";

const TICK_MS = 50;
const SWEEP_MS = 30 * SECOND;
const BACKLOG = 4096;
const END_WITHIN_MS = 1000;

const say = (line) => console.error(`loadtest serve: ${line}`);

function fail(...lines) {
  lines.forEach(say);
  process.exit(2);
}

async function main() {
  const settings = read();
  if (settings.workers > 1) return cluster.isPrimary ? lead(settings) : work(settings);
  const application = new Application(settings, await adapterOf(settings));
  const stopKeeping = keepHouse(application);
  listen(application.http, settings);
  endWith(() => {
    stopKeeping();
    close(application);
  });
}

function read() {
  try {
    return settingsFrom(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return fail(...error.faults);
  }
}

async function adapterOf({ redisUrl }) {
  if (!redisUrl) return undefined;
  try {
    const adapter = await redisAdapter(redisUrl, say);
    say("REDIS_URL: events cross servers; sequence numbers, presence, calls, chats and feeds are each server's own");
    return adapter;
  } catch (error) {
    return fail(`cannot reach Redis (REDIS_URL): ${reason(error)}`);
  }
}

// -- one of several processes

function lead(settings) {
  const http = createServer();
  leadWorkers(http);
  cluster.setupPrimary({ serialization: "advanced" });
  let ready = 0;
  cluster.on("message", (_worker, message) => {
    if (message === "ready" && ++ready === settings.workers) listen(http, settings);
  });
  cluster.on("exit", (worker, code) => {
    if (!worker.exitedAfterDisconnect && code) fail(`a worker ended with code ${code}`);
  });
  for (let started = 0; started < settings.workers; started++) cluster.fork();
  endWith(() => {
    for (const worker of Object.values(cluster.workers)) worker.kill();
    process.exit(0);
  });
}

function work(settings) {
  const application = new Application(settings, workerAdapter());
  joinWorkers(application.io);
  keepHouse(application);
  process.on("SIGINT", () => {}); // Ctrl-C is for the one that leads
  process.send("ready");
}

// -- the beginning and the end

function listen(http, settings) {
  const { bind, port } = settings;
  http.on("error", (error) => {
    if (error.code !== "EADDRINUSE") fail(`cannot listen on ${bind}: ${error.message}`);
    fail(`port ${port} on ${bind} is taken: stop the other server, or use --port 0 for a free one`);
  });
  http.listen({ port, host: bind, backlog: BACKLOG }, () => {
    const host = bind.includes(":") ? `[${bind}]` : bind;
    announce(settings, `http://${host}:${http.address().port}`);
  });
}

function announce({ rateLimit, testHooks, enableWebsocket }, url) {
  const limit = rateLimit ? `${rateLimit} messages/min per socket` : "none";
  const hooks = testHooks ? "on (/__stats, /__fault, /api/auth/token)" : "off";
  console.log(`listening on ${url}`);
  console.log(`try: locust -f scenarios/messaging.py -H ${url}`);
  const websocket = enableWebsocket ? "" : "; Socket.IO is off, HTTP polling only";
  console.log(`rate limit: ${limit}; test hooks: ${hooks}${websocket}`);
}

function endWith(end) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, end);
}

// Ends every session, and with it every pending poll, so that the server can stop at once.
async function close({ io, http }) {
  setTimeout(() => process.exit(0), END_WITHIN_MS).unref();
  http.close();
  if (io.engine !== undefined) await io.close();
  http.closeAllConnections();
  process.exit(0);
}

// Every 50 ms: how late is the loop, what has come due? Every 30 s: whom may we forget? Returns what ends it.
function keepHouse({ core, domains, rest }) {
  const { clock, counters } = core;
  let due = performance.now() + TICK_MS;
  let sweep = clock.now() + SWEEP_MS;
  let timer = setTimeout(tick, TICK_MS);
  function tick() {
    const woke = performance.now();
    counters.lagged(Math.max(0, woke - due));
    const now = clock.now();
    domains.tick(now);
    if (now >= sweep) {
      for (const feeds of core.feeds) feeds.forgetSilent(now);
      rest.forgetIdleWindows();
      sweep = now + SWEEP_MS;
    }
    due = woke + TICK_MS;
    timer = setTimeout(tick, Math.max(0, due - performance.now()));
  }
  return () => clearTimeout(timer);
}

await main();
