// How does the server run, and how does it end?
//
// `node server.js` with the switches of settings.js; SIGTERM and SIGINT end it with exit code 0.
import cluster from "node:cluster";
import { createServer } from "node:http";

import { Application } from "./application.js";
import { settingsFrom, SettingsError } from "./settings.js";
import { joinWorkers, leadWorkers, sharingOf, useless } from "./sharing.js";

const TICK_MS = 50;
const BACKLOG = 4096;
const END_WITHIN_MS = 1000;

const say = (line) => console.error(`loadtest serve: ${line}`);

function fail(...lines) {
  lines.forEach(say);
  process.exit(2);
}

async function main() {
  const settings = read();
  if (settings.workers > 1 && cluster.isPrimary) return lead(settings);
  const application = await begun(settings);
  const stopKeeping = keepHouse(application);
  const end = () => {
    stopKeeping();
    close(application);
  };
  process.once("SIGTERM", end);
  if (settings.workers > 1) return work(application);
  process.once("SIGINT", end);
  listen(application.http, settings);
}

function read() {
  try {
    return settingsFrom(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return fail(...error.faults);
  }
}

// The application, once it knows what the other servers know.
async function begun(settings) {
  const application = new Application(settings, await withRedis(settings, sharingOf(settings, say)));
  await withRedis(settings, application.way.begin());
  return application;
}

async function withRedis({ redisUrl }, promise) {
  try {
    return await promise;
  } catch (error) {
    if (!redisUrl) throw error;
    return fail(useless(redisUrl, error));
  }
}

// -- one of several processes

async function lead(settings) {
  const http = createServer();
  leadWorkers(http, settings);
  // One complaint is enough, however many workers there are to be.
  if (settings.redisUrl) (await withRedis(settings, sharingOf(settings, say))).redis.close();
  else say("WORKERS without REDIS_URL: events cross workers; messages, presence, calls, chats are each worker's own");
  cluster.setupPrimary({ serialization: "advanced" });
  let ready = 0;
  cluster.on("message", (_worker, message) => {
    if (message === "ready" && ++ready === settings.workers) listen(http, settings);
  });
  cluster.on("exit", (worker, code) => {
    if (!worker.exitedAfterDisconnect && code) fail(`a worker ended with code ${code}`);
  });
  for (let number = 1; number <= settings.workers; number++) {
    cluster.fork({ INSTANCE: `${settings.instance}-${number}` });
  }
  const end = () => {
    setTimeout(() => process.exit(0), END_WITHIN_MS);
    let left = settings.workers;
    cluster.on("exit", () => --left || process.exit(0));
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, end);
}

function work({ io }) {
  joinWorkers(io);
  // Ctrl-C is for the one that leads: it ends the others.
  process.on("SIGINT", () => {});
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

// Ends every session, and with it every pending poll, so that the server can stop at once.
async function close({ io, http, way }) {
  setTimeout(() => process.exit(0), END_WITHIN_MS).unref();
  http.close();
  await way.end();
  if (io.engine !== undefined) await io.close();
  http.closeAllConnections();
  process.exit(0);
}

// Every 50 ms: how late is the loop, and what has come due? Returns what ends it.
function keepHouse({ core: { counters }, way }) {
  let due = performance.now() + TICK_MS;
  let timer = setTimeout(tick, TICK_MS);
  function tick() {
    const woke = performance.now();
    counters.lagged(Math.max(0, woke - due));
    way.tick();
    due = woke + TICK_MS;
    timer = setTimeout(tick, Math.max(0, due - performance.now()));
  }
  return () => clearTimeout(timer);
}

await main();
