// Which sockets of all servers hear a room?
//
// Every server keeps the whole list. Those of its own sockets that are connected are in Socket.IO's rooms too, from
// where broadcasts reach them.
import { Rooms } from "./rooms.js";

const NONE = new Set();

export class SharedRooms extends Rooms {
  #turn;
  #heard = new Map();
  #ofSid = new Map();
  // Rooms into which a request has put a socket of another server than its own.
  #put = new Set();

  // `sessions` are the authenticated sockets of all servers, by id.
  constructor(turn) {
    super(undefined, new Map());
    this.#turn = turn;
  }

  get size() {
    return this.#heard.size;
  }

  sids(room) {
    return this.#heard.get(room) ?? NONE;
  }

  enter(room, session) {
    const { sid, socket } = session;
    entered(this.#heard, room, sid);
    entered(this.#ofSid, sid, room);
    if (session.instance !== this.#turn.origin) this.#put.add(room);
    if (socket?.connected) socket.join(room);
  }

  leave(room, { sid, socket }) {
    left(this.#heard, room, sid);
    left(this.#ofSid, sid, room);
    if (!this.#heard.has(room)) this.#put.delete(room);
    socket?.leave(room);
  }

  // The socket is gone, from everywhere.
  drop(session) {
    for (const room of [...(this.#ofSid.get(session.sid) ?? NONE)]) this.leave(room, session);
    this.sessions.delete(session.sid);
  }

  // The server of a socket that we have put into a room may learn of that after the broadcast, for the two come by
  // different ways: such a socket is called by its own name.
  address(rooms, sids) {
    return rooms.some((room) => this.#put.has(room)) ? sids : rooms;
  }

  toJSON() {
    return [[...this.sessions], [...this.#heard].map(([room, sids]) => [room, [...sids]]), [...this.#put]];
  }
}

function entered(sets, key, value) {
  let set = sets.get(key);
  if (set === undefined) sets.set(key, (set = new Set()));
  set.add(value);
}

function left(sets, key, value) {
  const set = sets.get(key);
  if (set?.delete(value) && !set.size) sets.delete(key);
}
