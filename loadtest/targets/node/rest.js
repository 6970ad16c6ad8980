// What does a polling client get to see? The contract's HTTP door, over the same actions, store and feeds.
import { HTTP_READS, HTTP_SCOPE } from "./actions.js";
import { answer, get, route, wholeParameter } from "./answers.js";
import { isObject } from "./fields.js";
import { RATE_WINDOW_MS, SlidingWindow } from "./ratelimit.js";
import { Refusal } from "./refusal.js";
import { actorOf } from "./sessions.js";

export const PAGE_LIMIT = 500;
export const DEFAULT_PAGE = 100;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

// What all routes share, and the routes that belong to no domain.
export class Rest {
  #settings;
  #tokens;
  #clock;
  #actions;
  #domains;
  #windows = new Map();

  constructor({ settings, tokens, clock }, actions, domains) {
    this.#settings = settings;
    this.#tokens = tokens;
    this.#clock = clock;
    this.#actions = actions;
    this.#domains = domains;
  }

  routes() {
    return [get("/", () => answer({ status: "ok" })), get("/api/config", () => answer(this.#config()))];
  }

  // A route to read one's own feed among `feeds`.
  feed(path, feeds) {
    return get(path, (request) => this.#read(request, feeds));
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
    const actor = this.actor(request);
    const { method, params } = request;
    const payload = method === "GET" ? {} : await this.body(request, Object.keys(params).length > 0);
    return this.performWith(request, event, isObject(payload) ? { ...payload, ...params } : payload, actor);
  }

  // The same with a payload that the route has put together itself.
  performWith(request, event, payload, actor = this.actor(request)) {
    return this.#actions.perform(event, actor, payload, request.method === "GET" ? HTTP_READS : HTTP_SCOPE);
  }

  // Drops the rate windows of tokens that have written nothing for a minute.
  forgetIdleWindows() {
    const now = this.#clock.now();
    for (const [token, window] of this.#windows) {
      if (window.isEmpty(now)) this.#windows.delete(token);
    }
  }

  // Who asks. Throws Refusal NOT_AUTHENTICATED, AUTH_*.
  actor({ headers }) {
    const [, scheme, token = ""] = /^(\S*) ?(.*)$/s.exec(headers.authorization ?? "");
    if (scheme.toLowerCase() !== "bearer" || token === "") {
      throw new Refusal("NOT_AUTHENTICATED", "the header Authorization: Bearer <token> is missing");
    }
    const { userId, role } = this.#tokens.verify(token.trim(), this.#clock.now());
    let window = this.#windows.get(token);
    if (window === undefined) this.#windows.set(token, (window = new SlidingWindow(this.#settings.rateLimit)));
    return actorOf({ userId, role, window });
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
    const { enableWebsocket, rateLimit, faultControl } = this.#settings;
    return {
      websocket: enableWebsocket,
      socketPath: "/socket.io",
      poll: { messagesMs: 1500, callsMs: 3000, liveChatMs: 2000 },
      rateLimit: { limit: rateLimit, windowMs: RATE_WINDOW_MS },
      reconnect: { attempts: 5, delaysMs: [1000, 2000, 4000, 8000, 16000] },
      ...(faultControl && { faultControl }),
    };
  }

  #read(request, feeds) {
    const { userId } = this.actor(request);
    const limit = wholeParameter(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT);
    const now = this.#clock.now();
    this.#domains.polled(userId);
    const { items, cursor, pos, hasMore, moved } = feeds.read(userId, request.query.get("cursor"), limit, now);
    const etag = feeds.etag(userId, pos);
    const headers = { ETag: etag, "Cache-Control": "no-cache" };
    if (!moved && (request.headers["if-none-match"] ?? "").includes(etag)) return { status: 304, headers };
    return answer({ items, cursor, hasMore, serverTime: Math.floor(now) }, 200, headers);
  }
}
