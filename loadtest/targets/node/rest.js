// What does a polling client get to see? The contract's HTTP door, to the same state.
import { HTTP_READS, HTTP_SCOPE } from "./actions.js";
import { answer, get, route, wholeParameter } from "./answers.js";
import { isObject } from "./fields.js";
import { RATE_WINDOW_MS } from "./ratelimit.js";
import { Refusal } from "./refusal.js";

export const PAGE_LIMIT = 500;
export const DEFAULT_PAGE = 100;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

// What all routes share, and the routes that belong to no domain.
export class Rest {
  #settings;
  #tokens;
  #clock;
  #feeds;
  #way;

  constructor({ settings, tokens, clock, feeds }, way) {
    this.#settings = settings;
    this.#tokens = tokens;
    this.#clock = clock;
    this.#feeds = feeds;
    this.#way = way;
  }

  routes() {
    return [get("/", () => answer({ status: "ok" })), get("/api/config", () => answer(this.#config()))];
  }

  // A route to read one's own feed of one kind.
  feed(path, kind) {
    return get(path, (request) => this.#read(request, kind));
  }

  // What `method` of State answers to a polling user, or a promise of it. Throws Refusal.
  ask(method, poller, args) {
    return this.#way.ask(method, poller, args);
  }

  // A route that carries out `event` and answers its ack.
  //
  // The payload is the body, and over it what the path names (`/api/calls/:callId`); where the path names something
  // the body may be missing. A repetition (`duplicate`) is answered 200. GET is charged to no rate limit.
  action(method, path, event, status = 200) {
    return route(method, path, async (request) => {
      const ack = await this.perform(request, event);
      return answer(ack, ack.duplicate ? 200 : status);
    });
  }

  // Carries `event` out for whoever asks, as `action` describes it. Throws Refusal.
  async perform(request, event) {
    const poller = this.poller(request);
    const { method, params } = request;
    const payload = method === "GET" ? {} : await this.body(request, Object.keys(params).length > 0);
    return this.performWith(request, event, isObject(payload) ? { ...payload, ...params } : payload, poller);
  }

  // The same with a payload that the route has put together itself.
  performWith(request, event, payload, poller = this.poller(request)) {
    return this.ask("act", poller, [event, payload, request.method === "GET" ? HTTP_READS : HTTP_SCOPE]);
  }

  // Who asks. Throws Refusal NOT_AUTHENTICATED, AUTH_*.
  poller({ headers }) {
    const [, scheme, token = ""] = /^(\S*) ?(.*)$/s.exec(headers.authorization ?? "");
    if (scheme.toLowerCase() !== "bearer" || token === "") {
      throw new Refusal("NOT_AUTHENTICATED", "the header Authorization: Bearer <token> is missing");
    }
    const { userId, role } = this.#tokens.verify(token.trim(), this.#clock.now());
    return { userId, role, key: token };
  }

  // The JSON of a request; `{}` where nothing was said and that is allowed. Throws PAYLOAD_TOO_LARGE, PAYLOAD_INVALID.
  async body({ raw }, mayBeEmpty = false) {
    const received = await this.#received(raw);
    if (!received.length && mayBeEmpty) return {};
    try {
      return JSON.parse(UTF8.decode(received));
    } catch (bad) {
      throw new Refusal("PAYLOAD_INVALID", `the body is not JSON: ${bad.message}`);
    }
  }

  #received(raw) {
    const limit = this.#settings.maxHttpBufferBytes;
    const chunks = [];
    let size = 0;
    return new Promise((resolve, reject) => {
      raw.on("data", (chunk) => {
        size += chunk.length;
        // What comes beyond is read and thrown away, so that the answer finds somebody who listens.
        if (size <= limit) chunks.push(chunk);
        else reject(new Refusal("PAYLOAD_TOO_LARGE", `${limit} bytes are allowed`));
      });
      raw.on("end", () => resolve(Buffer.concat(chunks)));
      raw.on("error", () => reject(new Refusal("PAYLOAD_INVALID", "the request broke off")));
    });
  }

  #config() {
    const { enableWebsocket, rateLimit, faultControl, redisUrl, instance } = this.#settings;
    return {
      websocket: enableWebsocket,
      socketPath: "/socket.io",
      poll: { messagesMs: 1500, callsMs: 3000, liveChatMs: 2000 },
      rateLimit: { limit: rateLimit, windowMs: RATE_WINDOW_MS },
      reconnect: { attempts: 5, delaysMs: [1000, 2000, 4000, 8000, 16000] },
      ...(faultControl && { faultControl }),
      ...(redisUrl && { instance }),
    };
  }

  async #read(request, kind) {
    const poller = this.poller(request);
    const limit = wholeParameter(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT);
    const page = await this.ask("read", poller, [kind, request.query.get("cursor"), limit]);
    const { items, cursor, pos, hasMore, moved, now } = page;
    const etag = this.#feeds[kind].etag(poller.userId, pos);
    const headers = { ETag: etag, "Cache-Control": "no-cache" };
    if (!moved && (request.headers["if-none-match"] ?? "").includes(etag)) return { status: 304, headers };
    return answer({ items, cursor, hasMore, serverTime: Math.floor(now) }, 200, headers);
  }
}
