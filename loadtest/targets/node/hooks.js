// How does a test look into the server and disturb it? `/__stats`, `/__fault` and tokens for the asking.
import { answer, get, post } from "./answers.js";
import { SECOND } from "./clock.js";
import { parseFault, STRIKES_SOCKETS } from "./faults.js";
import { isText, USER_ID_LIMIT } from "./fields.js";
import { Refusal } from "./refusal.js";
import { ROLES } from "./tokens.js";

// The answer has to be on the wire before everything stands still.
const FREEZE_AFTER_MS = 20;

export class Hooks {
  #core;
  #rest;
  #gateway;
  #domains;
  #way;

  constructor(core, rest, gateway, domains, way) {
    this.#core = core;
    this.#rest = rest;
    this.#gateway = gateway;
    this.#domains = domains;
    this.#way = way;
  }

  routes() {
    return [
      post("/api/auth/token", (request) => this.#token(request)),
      get("/__stats", () => this.#stats()),
      post("/__fault", (request) => this.#fault(request)),
      ...(this.#core.settings.redisUrl ? [get("/__digest", async () => answer(await this.#way.digests()))] : []),
    ];
  }

  async #token(request) {
    const { tokens, clock } = this.#core;
    const { userId, role = "user", ttlSec = 3600 } = (await this.#rest.body(request)) ?? {};
    const no = (message) => new Refusal("PAYLOAD_INVALID", message);
    if (!isText(userId, USER_ID_LIMIT)) throw no("userId must be a string of 1-128 characters");
    if (!ROLES.includes(role)) throw no("role must be user or operator");
    if (!Number.isInteger(ttlSec) || Math.abs(ttlSec) > 1e9) throw no("ttlSec must be a whole number of seconds");
    // exp has whole seconds: announce what the token really says.
    const expiresAtS = Math.floor(clock.now() / SECOND) + ttlSec;
    return answer({ token: tokens.issue(userId, role, expiresAtS), userId, expiresAt: expiresAtS * 1000 }, 201);
  }

  async #stats() {
    const counts = await this.#way.counts();
    const { rooms, faults } = this.#core;
    return answer({ ...counts, rooms: rooms.size, faulted: faults.counts, ...this.#domains.stats() });
  }

  async #fault(request) {
    const fault = parseFault(await this.#rest.body(request));
    const { kind } = fault;
    if (STRIKES_SOCKETS.includes(kind)) {
      const sids = this.#gateway.strike(fault);
      return answer({ ok: true, kind, struck: sids.length, sids });
    }
    if (kind === "freeze") setTimeout(stand, FREEZE_AFTER_MS, fault.ms);
    else await this.#way.order(fault);
    return answer({ ok: true, kind, struck: 0 });
  }
}

// Nothing at all happens for so long: not even the event loop turns.
function stand(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
