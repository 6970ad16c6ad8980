// The official client on strings: JSON commands on stdin, one per line, and all that happens on stdout.
//
//   {"do": "connect", "id": "a", "url": "http://…", "options": {…}}       options of socket.io-client
//   {"do": "open", "id": "a"}                                             connect again, where that is not automatic
//   {"do": "emit", "id": "a", "name": "…", "args": […]}
//   {"do": "ask", "id": "a", "name": "…", "args": […], "ref": 1, "timeoutMs": 5000}
//   {"do": "disconnect", "id": "a"}
//
// Every line said has "at" (ms, monotonic), "id" and "what".
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";

import { require } from "./modules.mjs";

// How much later than asked the timer came that is running now. Negative too: Node counts from the beginning of the
// turn of its loop in which a timer was set. Wrapped before the client is made, which takes the timers it finds.
let lateMs = 0;
const { setTimeout: plain } = globalThis;
globalThis.setTimeout = (act, ms, ...rest) => {
  const due = performance.now() + (ms ?? 0);
  const late = (...given) => {
    lateMs = performance.now() - due;
    act(...given);
  };
  return plain(late, ms, ...rest);
};

const { io } = require("socket.io-client");
const sockets = new Map();

function say(id, what, more = {}) {
  process.stdout.write(`${JSON.stringify({ at: performance.now(), id, what, ...more })}\n`);
}

function listen(id, socket) {
  const manager = socket.io;
  socket.on("connect", () => {
    say(id, "connect", { sid: socket.id, recovered: socket.recovered, transport: manager.engine.transport.name });
  });
  socket.on("disconnect", (reason) => say(id, "disconnect", { reason, active: socket.active }));
  socket.on("connect_error", ({ message, data }) => {
    say(id, "connect_error", { message, data, active: socket.active });
  });
  socket.onAny((name, ...args) => say(id, "event", { name, args }));
  manager.on("open", () => {
    manager.engine.on("upgrade", (transport) => say(id, "upgrade", { transport: transport.name }));
  });
  manager.on("error", (error) => say(id, "error", { message: error.message }));
  manager.on("reconnect_attempt", (attempt) => say(id, "reconnect_attempt", { attempt, lateMs }));
  manager.on("reconnect_failed", () => say(id, "reconnect_failed"));
  manager.on("reconnect", (attempt) => say(id, "reconnect", { attempt }));
}

const commands = {
  connect({ id, url, options }) {
    // Without autoConnect: the listeners must be there before the first attempt, which may fail at once.
    const socket = io(url, { forceNew: true, autoConnect: false, ...options });
    sockets.set(id, socket);
    listen(id, socket);
    socket.connect();
  },
  open: ({ id }) => sockets.get(id).connect(),
  emit: ({ id, name, args }) => sockets.get(id).emit(name, ...args),
  ask: ({ id, name, args, ref, timeoutMs }) =>
    sockets
      .get(id)
      .timeout(timeoutMs)
      .emit(name, ...args, (error, ...answer) => {
        say(id, "ack", error ? { ref, error: error.message } : { ref, answer });
      }),
  disconnect: ({ id }) => sockets.get(id).disconnect(),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on("close", () => process.exit(0));
