// A form to log in, a cookie, a namespace, and messages that are known by the server's id alone.
const { randomUUID } = require("node:crypto");
const names = new Map();
let newest = 0;

const http = require("node:http").createServer(async (request, response) => {
  const form = new URLSearchParams(Buffer.concat(await request.toArray()).toString());
  if (form.get("password") !== "open sesame") return response.writeHead(403).end("wrong password");
  const sid = randomUUID();
  names.set(sid, form.get("name"));
  response.writeHead(303, { "Set-Cookie": [`sid=${sid}; HttpOnly`, "theme=dark"], Location: "/" }).end();
});

const chat = new (require("socket.io").Server)(http, { path: "/ws" }).of("/chat");
chat.use((socket, next) => {
  socket.data.name = names.get(/sid=([^;]+)/.exec(socket.handshake.headers.cookie)?.[1]);
  next(socket.data.name ? undefined : new Error("not logged in"));
});
chat.on("connection", (socket) => {
  const seat = randomUUID();
  socket.emit("session", { seat });
  socket.on("enter", (room, mine, done) => done(mine === seat ? socket.join(room) && null : "wrong seat"));
  socket.on("exit", (room, done) => done(socket.leave(room) && null));
  socket.on("say", (room, text, done) => {
    if (!socket.rooms.has(room)) return done("not in that room");
    const id = ++newest;
    chat.to(room).emit("said", id, { room, by: socket.data.name, length: text.length });
    done(null, { id });
  });
});

http.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${http.address().port}`));
