// How is the server to run? Environment switches, checked together: every fault is named at once.
import { isIP } from "node:net";
import { hostname } from "node:os";

// Public, and the same that load tests sign with: a server that can be reached from elsewhere refuses it.
export const DEVELOPMENT_SECRET = "loadtest-development-secret-never-off-loopback";
const TRUE = ["1", "true", "yes", "on"];
const FALSE = ["0", "false", "no", "off"];
const NAME = /^[A-Za-z0-9_.-]{1,64}$/;

// Every switch that is wrong, in `faults`, one line each.
export class SettingsError extends Error {
  constructor(faults) {
    super(faults.join("; "));
    this.faults = faults;
  }
}

// Reads one switch at a time and goes on after a fault, with the default in its place.
class Reader {
  faults = [];
  #environment;

  constructor(environment) {
    this.#environment = environment;
  }

  text(name, fallback) {
    return this.#environment[name]?.trim() || fallback;
  }

  whole(name, fallback, lowest, highest) {
    const given = this.text(name, String(fallback));
    if (/^[0-9]+$/.test(given) && Number(given) >= lowest && Number(given) <= highest) return Number(given);
    return this.#fault(`${name}=${given} must be a whole number from ${lowest} to ${highest}`, fallback);
  }

  // Milliseconds of what is given in seconds.
  seconds(name, fallback) {
    const given = this.text(name, String(fallback));
    if (Number(given) >= 0.01 && Number(given) <= 86_400) return Number(given) * 1000;
    return this.#fault(`${name}=${given} must be a number of seconds from 0.01 to 86400`, fallback * 1000);
  }

  switch(name, fallback) {
    const given = this.text(name, fallback ? "1" : "0").toLowerCase();
    if (TRUE.includes(given) || FALSE.includes(given)) return TRUE.includes(given);
    return this.#fault(`${name}=${given} must be true or false`, fallback);
  }

  // What keys and lists are made of.
  name(name, fallback) {
    const given = this.text(name, fallback);
    if (NAME.test(given)) return given;
    return this.#fault(`${name}=${given} must be 1-64 characters of A-Z a-z 0-9 _ . -`, fallback);
  }

  choice(name, allowed) {
    const given = this.text(name, allowed[0]);
    if (allowed.includes(given)) return given;
    return this.#fault(`${name}=${given} must be ${allowed.join(" or ")}`, allowed[0]);
  }

  #fault(line, fallback) {
    this.faults.push(line);
    return fallback;
  }
}

// The switches of the reference server, and of this one alone: CSR (recovery of connection state), ADMIN_UI and WORKERS
// (processes, one beside the other). REDIS_URL, CLUSTER, INSTANCE and INSTANCE_TIMEOUT make it one of several that are
// one. Throws SettingsError with all faults.
export function settingsFrom(environment) {
  const read = new Reader(environment);
  const bind = read.text("BIND", "127.0.0.1");
  const onLoopback = isLoopback(bind);
  const settings = {
    port: read.whole("PORT", 3000, 0, 65_535),
    bind,
    onLoopback,
    enableWebsocket: read.switch("ENABLE_WEBSOCKET", true),
    rateLimit: read.whole("RATE_LIMIT", 100, 0, 1_000_000_000),
    rateLimitScope: read.choice("RATE_LIMIT_SCOPE", ["messages", "all"]),
    pingIntervalMs: read.seconds("PING_INTERVAL", 25),
    pingTimeoutMs: read.seconds("PING_TIMEOUT", 20),
    maxHttpBufferBytes: read.whole("MAX_HTTP_BUFFER_SIZE", 1_000_000, 1000, 1_000_000_000),
    websocketCompression: read.switch("WEBSOCKET_COMPRESSION", false),
    corsOrigin: read.text("CORS_ORIGIN", "*"),
    tokenSecret: read.text("TOKEN_SECRET", DEVELOPMENT_SECRET),
    // Whoever reaches the hooks can freeze the server, so they exist on loopback only.
    testHooks: read.switch("TEST_HOOKS", true) && onLoopback,
    ringTimeoutMs: read.seconds("RING_TIMEOUT", 30),
    partyGraceMs: read.seconds("PARTY_GRACE", 10),
    presenceGraceMs: read.seconds("PRESENCE_GRACE", 5),
    presenceBroadcast: read.switch("PRESENCE_BROADCAST", true),
    livechatAssign: read.choice("LIVECHAT_ASSIGN", ["auto", "manual"]),
    visitorGraceMs: read.seconds("VISITOR_GRACE", 60),
    faultControl: read.text("FAULT_CONTROL", ""),
    clockRate: read.whole("CLOCK_RATE", 1, 1, 1000),
    recovery: read.switch("CSR", false),
    adminUi: read.switch("ADMIN_UI", false),
    redisUrl: read.text("REDIS_URL", ""),
    cluster: read.name("CLUSTER", "loadtest-node"),
    instance: read.name("INSTANCE", ownName()),
    instanceTimeoutMs: read.seconds("INSTANCE_TIMEOUT", 5),
    workers: read.whole("WORKERS", 1, 1, 256),
  };
  const faults = [...read.faults, ...contradictions(settings)];
  if (faults.length) throw new SettingsError(faults);
  return settings;
}

function ownName() {
  const host = hostname().replaceAll(/[^A-Za-z0-9_.-]/g, "-").slice(0, 48);
  return `${host}-${process.pid}`;
}

function isLoopback(bind) {
  if (bind === "localhost" || bind === "::1") return true;
  return isIP(bind) === 4 && bind.startsWith("127.");
}

function contradictions(settings) {
  const { bind, onLoopback, tokenSecret, testHooks, clockRate, adminUi, redisUrl, workers, recovery } = settings;
  const faults = [];
  if (Buffer.byteLength(tokenSecret) < 32) {
    faults.push("TOKEN_SECRET must have at least 32 bytes (HS256 is weaker than its key)");
  }
  if (tokenSecret === DEVELOPMENT_SECRET && !onLoopback) {
    faults.push(
      `BIND=${bind} is reachable from elsewhere and the development token secret is public: ` +
        "set TOKEN_SECRET, or bind 127.0.0.1",
    );
  }
  if (clockRate !== 1 && !testHooks) faults.push("CLOCK_RATE is for tests: it needs the test hooks");
  if (adminUi && !onLoopback) faults.push("ADMIN_UI has no password here: bind 127.0.0.1");
  if (recovery && (redisUrl || workers > 1)) {
    faults.push("CSR is for one server: Socket.IO's adapters for several recover no connection");
  }
  if (redisUrl && !(URL.canParse(redisUrl) && /^rediss?:$/.test(new URL(redisUrl).protocol))) {
    faults.push(`REDIS_URL=${redisUrl} must be a URL: redis://127.0.0.1:6379/0`);
  }
  return faults;
}
