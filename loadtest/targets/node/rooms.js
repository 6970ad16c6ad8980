// Which sockets hear a room?
//
// The rooms are Socket.IO's own, so that broadcasts, adapters and recovery know them. A socket leaves its rooms with
// its connection; membership of a conversation is the user's and does not end with it.
export const USER_ROOM = "user:";
export const CONVERSATION_ROOM = "conversation:";
const NONE = new Set();

export class Rooms {
  #namespace;

  // `sessions`: those that can be in a room, by socket id.
  constructor(namespace, sessions) {
    this.#namespace = namespace;
    this.sessions = sessions;
  }

  // How many there are, without those that Socket.IO gives each socket for itself.
  get size() {
    const { rooms, sids } = this.#namespace.adapter;
    return rooms.size - [...sids.keys()].filter((sid) => rooms.has(sid)).length;
  }

  // The ids of the sockets in the room.
  sids(room) {
    return this.#namespace.adapter.rooms.get(room) ?? NONE;
  }

  enter(room, session) {
    session.socket.join(room);
  }

  leave(room, session) {
    session.socket.leave(room);
  }

  // Everybody out.
  empty(room) {
    for (const sid of [...this.sids(room)]) {
      const session = this.sessions.get(sid);
      if (session !== undefined) this.leave(room, session);
    }
  }

  // The sockets in any of `rooms`, each once, without one of them and without those of one user.
  listeners(rooms, { butSid, butUser } = {}) {
    const spared = butUser === undefined ? NONE : this.sids(USER_ROOM + butUser);
    const heard = rooms.length === 1 ? this.sids(rooms[0]) : new Set(rooms.flatMap((room) => [...this.sids(room)]));
    return [...heard].filter((sid) => sid !== butSid && !spared.has(sid));
  }

  // Where a broadcast to `sids`, who hear `rooms`, is to go.
  address(rooms, _sids) {
    return rooms;
  }

  // Is any socket of `user` in the room?
  hears(room, user) {
    const heard = this.sids(room);
    return [...this.sids(USER_ROOM + user)].some((sid) => heard.has(sid));
  }

  sessionsOf(user) {
    return [...this.sids(USER_ROOM + user)].flatMap((sid) => this.sessions.get(sid) ?? []);
  }

  // The rooms that the socket is in.
  of(session) {
    return [...session.socket.rooms].filter((room) => room !== session.sid);
  }
}
