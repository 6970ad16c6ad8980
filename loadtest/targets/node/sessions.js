// Who is on the other end of a request: a socket, or a polling user with a token?

// A Socket.IO socket. It has a user from its authentication on; its rate window is its own and starts empty.
export class Session {
  userId = "";
  role = "";
  deviceId = "";
  expiresAtMs = 0;
  deadline = undefined;

  constructor(socket, window) {
    this.socket = socket;
    this.window = window;
  }

  get sid() {
    return this.socket.id;
  }

  get authenticated() {
    return this.userId !== "";
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
