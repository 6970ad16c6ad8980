// The chat of Socket.IO's tutorial: what somebody says, everybody hears.
const http = require("node:http").createServer();
const io = new (require("socket.io").Server)(http);

io.on("connection", (socket) => {
  socket.on("chat message", (text) => io.emit("chat message", text));
});

http.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${http.address().port}`));
