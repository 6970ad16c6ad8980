// Who is on the other end of a request: a socket, or a polling user with a token?

// A socket as all servers know it. It has a user from its authentication on; its rate window is its own and starts
// empty. `instance` is the server that has it, where there are several; `socket` is there on that one only.
export class KnownSocket {
  instance = undefined;
  userId = "";
  role = "";
  deviceId = "";
  expiresAtMs = 0;
  socket = undefined;

  constructor(sid, window) {
    this.sid = sid;
    this.window = window;
  }

  // As if it had just come to `instance`: whatever it was before, servers that know it and servers that do not are to
  // begin alike.
  begin(instance, window) {
    Object.assign(this, { instance, window, userId: "", role: "", deviceId: "", expiresAtMs: 0 });
  }

  get authenticated() {
    return this.userId !== "";
  }

  toJSON() {
    const { sid, instance, userId, role, deviceId, expiresAtMs, window } = this;
    return [sid, instance, userId, role, deviceId, expiresAtMs, window];
  }
}

// A Socket.IO socket of this server. `underWay` counts what it has asked for and not been answered; `introduced` is
// true once it has shown a token that holds, whether it has its user yet or not.
export class Session extends KnownSocket {
  deadline = undefined;
  underWay = 0;
  introduced = false;

  constructor(socket, window) {
    super(socket.id, window);
    this.socket = socket;
  }

  get transport() {
    return this.socket.conn.transport.name;
  }

  // What outlives the connection where Socket.IO recovers it.
  remember() {
    const { userId, role, deviceId, expiresAtMs } = this;
    Object.assign(this.socket.data, { userId, role, deviceId, expiresAtMs });
  }

  recall() {
    Object.assign(this, this.socket.data);
  }

  // Cuts the connection, as a network would.
  cut() {
    const { conn } = this.socket;
    if (this.transport === "websocket") conn.transport.socket.terminate();
    else if (conn.transport.req) conn.transport.req.socket.destroy();
    else conn.close(true);
  }
}

// Who asks for something: a user, by a socket (`session`) or over HTTP (undefined). `source` names the socket, or the
// user's polling, as the origin of typing.
export function actorOf({ userId, role, window }, session) {
  return { userId, role, window, session, source: session?.sid ?? `http ${userId}` };
}
