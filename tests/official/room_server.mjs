// A room server on the official Socket.IO: the messaging half of the contract, for our clients to be tried on.
//
//   PORT=0              where to listen on 127.0.0.1; 0 picks a free port
//   CSR=1               connection state recovery
//   PING_INTERVAL=25    seconds between heartbeats     PING_TIMEOUT=20    seconds one may stay unanswered
//   TRANSPORTS=polling,websocket
//   TOKEN_SECRET=       check tokens with this secret; without one every token is believed
//
// GET /__stats counts what was done; POST /__drop {"userIds": [...]} cuts the transports of these users, or of all.
import { createServer } from "node:http";

import { endWithParent, require } from "./modules.mjs";
import { claimsOf, Conversations, Refusal } from "./rooms.mjs";

const { Server } = require("socket.io");
const { PORT = "0", CSR, PING_INTERVAL = "25", PING_TIMEOUT = "20", TRANSPORTS, TOKEN_SECRET } = process.env;

const counts = { received: {}, accepted: {}, emitted: {}, connections: 0, recovered: 0 };
const count = (kind, name, n = 1) => {
  counts[kind][name] = (counts[kind][name] ?? 0) + n;
};
const conversations = new Conversations();

const http = createServer((request, response) => {
  const handler = routes[`${request.method} ${request.url.split("?")[0]}`];
  const answer = (status, body) => {
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  };
  if (!handler) return answer(404, { ok: false, error: { code: "NOT_FOUND", message: request.url } });
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
    try {
      answer(200, handler(chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {}));
    } catch (error) {
      answer(400, { ok: false, error: { code: "PAYLOAD_INVALID", message: String(error) } });
    }
  });
});

const io = new Server(http, {
  pingInterval: Number(PING_INTERVAL) * 1000,
  pingTimeout: Number(PING_TIMEOUT) * 1000,
  ...(TRANSPORTS && { transports: TRANSPORTS.split(",") }),
  ...(CSR === "1" && { connectionStateRecovery: {} }),
});

const routes = {
  "GET /": () => ({ status: "ok" }),
  "GET /api/config": () => ({ websocket: true, socketPath: "/socket.io", rateLimit: { limit: 0, windowMs: 60_000 } }),
  "GET /__stats": () => ({
    ...counts,
    sockets: io.engine.clientsCount,
    transports: [...io.sockets.sockets.values()].map((socket) => socket.conn.transport.name),
    pid: process.pid,
    rssBytes: process.memoryUsage.rss(),
    cpuSeconds: (process.cpuUsage().user + process.cpuUsage().system) / 1e6,
  }),
  "POST /__drop": ({ userIds }) => {
    const struck = [...io.sockets.sockets.values()].filter(
      (socket) => !userIds || userIds.includes(socket.data.userId),
    );
    for (const socket of struck) socket.conn.close(true);
    return { ok: true, dropped: struck.length };
  },
};

// One copy for every socket in the room; `but` is left out.
function tell(room, name, payload, { but, volatile = false } = {}) {
  const members = io.sockets.adapter.rooms.get(room) ?? new Set();
  count("emitted", name, members.size - (but && members.has(but.id) ? 1 : 0));
  let target = but ? but.to(room) : io.to(room);
  if (volatile) target = target.volatile;
  target.emit(name, payload);
}

function enter(socket, userId, claims) {
  Object.assign(socket.data, { userId, role: claims.role ?? "user", expiresAt: (claims.exp ?? 0) * 1000 });
  socket.join(`user:${userId}`);
}

function inside(socket, conversationId) {
  const room = `conversation:${conversationId}`;
  if (!socket.rooms.has(room)) throw new Refusal("FORBIDDEN", `not in ${room}`);
  return room;
}

const actions = {
  authenticate(socket, { userId, token, deviceId }) {
    const claims = claimsOf(token, TOKEN_SECRET);
    if (TOKEN_SECRET && claims.sub !== userId) throw new Refusal("AUTH_MISMATCH", "the token is of another user");
    enter(socket, userId, claims);
    const { role, expiresAt } = socket.data;
    const rooms = [`user:${userId}`];
    const said = { ok: true, userId, role, deviceId, socketId: socket.id, rooms, serverTime: Date.now(), expiresAt };
    socket.emit("authenticated", said);
    return said;
  },
  joinRoom(socket, payload) {
    const room = conversations.room(payload, socket.data.userId);
    socket.join(room);
    const members = io.sockets.adapter.rooms.get(room).size;
    return { ok: true, room, members, ...conversations.since(room, payload.sinceSeq) };
  },
  leaveRoom(socket, payload) {
    const room = conversations.room(payload, socket.data.userId);
    socket.leave(room);
    return { ok: true, room };
  },
  "message:send"(socket, payload) {
    const room = inside(socket, payload.conversationId);
    const [message, duplicate] = conversations.say(socket.data.userId, payload);
    if (!duplicate) tell(room, "message:new", message);
    return { ok: true, id: message.id, seq: message.seq, ts: message.ts, duplicate };
  },
  "message:read"(socket, payload) {
    const { conversationId, meta } = payload;
    const room = inside(socket, conversationId);
    const { userId } = socket.data;
    const [upToSeq, moved] = conversations.read(userId, payload);
    const news = { conversationId, userId, upToSeq, ts: Date.now(), meta };
    if (moved) tell(room, "message:read", news, { but: socket });
    return { ok: true, upToSeq };
  },
  "typing:start": (socket, payload) => typing(socket, "typing:start", payload),
  "typing:stop": (socket, payload) => typing(socket, "typing:stop", payload),
};

function typing(socket, name, { conversationId, meta }) {
  const news = { conversationId, userId: socket.data.userId, ts: Date.now(), meta };
  tell(inside(socket, conversationId), name, news, { but: socket, volatile: true });
}

function perform(socket, name, payload, answer) {
  count("received", name);
  let reply;
  try {
    if (!socket.data.userId && name !== "authenticate") throw new Refusal("NOT_AUTHENTICATED");
    reply = actions[name](socket, payload ?? {});
    if (!reply?.duplicate) count("accepted", name);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message } = error;
    reply = { ok: false, error: { code, message } };
    const fatal = name === "authenticate";
    if (fatal || typeof answer !== "function") socket.emit("error", { code, message, event: name, fatal });
    if (fatal) setImmediate(() => socket.disconnect());
  }
  if (typeof answer === "function") answer(reply);
}

io.use((socket, next) => {
  const { token, userId } = socket.handshake.auth;
  if (!token) return next();
  try {
    const claims = claimsOf(token, TOKEN_SECRET);
    enter(socket, claims.sub ?? userId, claims);
    next();
  } catch (error) {
    next(Object.assign(new Error(error.code), { data: { code: error.code } }));
  }
});

io.on("connection", (socket) => {
  counts.connections += 1;
  counts.recovered += socket.recovered ? 1 : 0;
  for (const name of Object.keys(actions)) {
    socket.on(name, (payload, answer) => perform(socket, name, payload, answer));
  }
});

http.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
  endWithParent();
});
