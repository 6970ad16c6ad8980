// What does a Socket.IO client get to see? The contract's socket door: CONNECT, authenticate, events and their acks.
import { SOCKET_SCOPES } from "./actions.js";
import { SECOND } from "./clock.js";
import { chosen } from "./faults.js";
import { isObject } from "./fields.js";
import { SlidingWindow } from "./ratelimit.js";
import { asRefusal, AUTH_CODES, Refusal } from "./refusal.js";
import { CONVERSATION_ROOM } from "./rooms.js";
import { Session } from "./sessions.js";

const AUTHENTICATE_WITHIN_MS = 10 * SECOND;

export class Gateway {
  #core;
  #actions;
  #way;
  #scope;
  // What a token in CONNECT said, until its socket is connected.
  #welcome = new WeakMap();

  constructor(core, actions, way) {
    this.#core = core;
    this.#actions = actions;
    this.#way = way;
    this.#scope = SOCKET_SCOPES[core.settings.rateLimitScope];
    core.io.use((socket, next) => this.#admit(socket, next));
    core.io.on("connection", (socket) => this.#connected(socket));
  }

  // -- coming and going

  async #admit(socket, next) {
    const { faults } = this.#core;
    const delay = faults.lasting("acceptDelay");
    if (delay !== undefined && faults.strikes("acceptDelay")) await new Promise((go) => setTimeout(go, delay.ms));
    const { auth } = socket.handshake;
    if (!isObject(auth) || !("token" in auth)) return next();
    try {
      this.#welcome.set(socket, this.#claims(auth));
      next();
    } catch (error) {
      const { code } = asRefusal(error, "CONNECT");
      next(Object.assign(new Error(code), { data: { code } }));
    }
  }

  #connected(socket) {
    const { sessions, clock, fanout, settings } = this.#core;
    const session = new Session(socket, new SlidingWindow(settings.rateLimit));
    sessions.set(socket.id, session);
    socket.onAny((name, ...args) => this.#heard(session, name, args));
    socket.on("disconnect", () => this.#disconnected(session));
    const claims = this.#welcome.get(socket);
    if (socket.recovered && socket.data.userId !== undefined) {
      this.#recovered(session);
    } else if (claims !== undefined) {
      const welcome = (hello) => fanout.toSession(session, "authenticated", hello);
      this.#bind(session, claims, socket.handshake.auth, welcome, (error) => {
        this.#refuse(session, "authenticate", undefined, asRefusal(error, "CONNECT"), false);
        socket.disconnect();
      });
    } else {
      session.deadline = setTimeout(() => socket.disconnect(), clock.wait(AUTHENTICATE_WITHIN_MS));
    }
  }

  // Socket.IO has restored the socket and its rooms: some may have become others' business meanwhile.
  #recovered(session) {
    const { rooms, conversations } = this.#core;
    session.recall();
    for (const room of rooms.of(session).filter((one) => one.startsWith(CONVERSATION_ROOM))) {
      const conversation = conversations.find(room.slice(CONVERSATION_ROOM.length));
      if (!conversation?.members.has(session.userId)) rooms.leave(room, session);
    }
    this.#way.recovered(session);
  }

  #disconnected(session) {
    clearTimeout(session.deadline);
    this.#core.sessions.delete(session.sid);
    this.#way.disconnected(session);
  }

  // The others hold this server for gone, and with it the sockets of `lost`: whoever is there all the same comes anew.
  hangUp(lost) {
    for (const { socket } of lost) socket?.disconnect();
  }

  // -- authentication

  // What the token says that was given. Throws Refusal AUTH_*.
  #claims(given) {
    const { faults, tokens, clock } = this.#core;
    if (!isObject(given)) throw new Refusal("AUTH_INVALID", "the payload must be {userId, token}");
    if (faults.strikes("denyAuth")) throw new Refusal("AUTH_INVALID", "denied by an ordered fault");
    const claims = tokens.verify(given.token, clock.now());
    if (given.userId !== undefined && given.userId !== claims.userId) {
      throw new Refusal("AUTH_MISMATCH", "the token was issued to another user");
    }
    return claims;
  }

  // Binds the socket to the token's user; `done` gets what `authenticated` says, `failed` AUTH_MISMATCH.
  #bind(session, claims, { deviceId }, done, failed) {
    session.introduced = true;
    const welcome = (hello) => {
      session.remember();
      clearTimeout(session.deadline);
      done(hello);
    };
    this.#way.run("authenticate", session, [claims, deviceId], welcome, failed);
  }

  // -- events

  #heard(session, name, args) {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    const [payload] = args;
    const done = (answer) => (answer === undefined ? ack?.() : ack?.(answer));
    const failed = (error) => done(this.#refuse(session, name, payload, asRefusal(error, name), ack !== undefined));
    if (name === "authenticate") return this.#authenticate(session, payload, done, failed);
    if (!session.authenticated && !session.introduced) {
      return failed(new Refusal("NOT_AUTHENTICATED", "authenticate first"));
    }
    if (!this.#actions.has(name)) return failed(new Refusal("PAYLOAD_INVALID", "there is no such event"));
    this.#way.run("act", session, [name, payload, this.#scope], done, failed);
  }

  #authenticate(session, payload, done, failed) {
    const { counters, fanout } = this.#core;
    counters.count("received", "authenticate");
    let claims;
    try {
      claims = this.#claims(payload);
    } catch (error) {
      return failed(error);
    }
    const welcome = (hello) => {
      counters.count("accepted", "authenticate");
      fanout.toSession(session, "authenticated", hello);
      done(hello);
    };
    this.#bind(session, claims, payload, welcome, failed);
  }

  // The ack of a refusal; the `error` event too where nobody waits for an ack or the contract wants both.
  #refuse(session, name, payload, no, acked) {
    const { code, message, detail } = no;
    const fatal = AUTH_CODES.has(code);
    if (fatal || !acked || code === "RATE_LIMITED") {
      const named = typeof payload?.clientMsgId === "string" ? { clientMsgId: payload.clientMsgId } : {};
      this.#core.fanout.toSession(session, "error", { code, message, event: name, ...detail, fatal, ...named });
    }
    // After the ack, which goes out when this returns.
    if (fatal) setImmediate(() => session.socket.disconnect());
    return { ok: false, error: no.error() };
  }

  // -- ordered faults

  // Carries out dropSockets or kick once; returns the ids of the sockets it struck.
  strike(fault) {
    const { sessions } = this.#core;
    const exposed = [...sessions.values()].filter(({ transport }) => ["", transport].includes(fault.transport));
    const struck = chosen(fault, exposed.map(({ sid }) => sid));
    for (const session of struck.map((sid) => sessions.get(sid))) {
      if (fault.kind === "dropSockets") session.cut();
      else session.socket.disconnect();
    }
    return struck;
  }
}
