// How does an event reach everybody in some rooms, over sockets and feeds, with the faults that are ordered on the way?
//
// Nothing in here waits: whoever assigns a `seq` and fans out in the same breath has every receiver see messages in
// order. Without faults a delivery is one broadcast of Socket.IO's adapter; with them, one emit for each socket.
//
// Where several servers carry out the same request, the one that it came to broadcasts, and each writes its own copy of
// the feeds. With faults they all throw the same dice, and each delivers to the sockets that it has; what is held back
// goes out when time passes for all of them.
import { HELD_AT_MOST_MS, Pacing } from "./faults.js";
import { USER_ROOM } from "./rooms.js";
import { LogTurn } from "./turn.js";

const FAULTY_EVENT = "message:new";

export class Fanout {
  #io;
  #turn;
  #rooms;
  #sessions;
  #feeds;
  #faults;
  #counters;
  #clock;
  #copies;
  #eventsOnly;
  #pacing = new Pacing();
  #lane = [];
  #laneTimer;

  // `feeds` are those of messages; `eventsOnly`: sockets hear the rooms that cannot be seen from here.
  constructor({ io, turn, rooms, sessions, feeds, faults, counters, clock, eventsOnly }) {
    this.#io = io;
    this.#turn = turn;
    this.#rooms = rooms;
    this.#sessions = sessions;
    this.#feeds = feeds;
    this.#faults = faults;
    this.#counters = counters;
    this.#clock = clock;
    this.#copies = turn instanceof LogTurn;
    this.#eventsOnly = eventsOnly;
  }

  // An event for one socket alone (`authenticated`, `error`). No fault touches it.
  toSession(session, name, data) {
    if (!session.socket.connected) return;
    session.socket.emit(name, data);
    this.#counters.handed(name);
  }

  // One copy to each socket in any of `rooms`, and to the feed of each of `members` who polls; none for the socket
  // `butSid`, nor for the user `butUser` (by socket) and `butReader` (by feed). `feeds` are those of messages if none
  // are given.
  toRooms(rooms, name, data, { sender, members = [], butSid, butUser, butReader = butUser, feeds = this.#feeds }) {
    const readers = feeds.anybody ? [...new Set(members)].filter((user) => user !== butReader) : [];
    if (this.#faults.quiet && !this.#lane.length) {
      const now = this.#clock.now();
      const read = readers.filter((user) => feeds.append(user, name, data, now)).length;
      this.#counters.count("emitted", name, read);
      if (this.#turn.mine) this.#broadcast(rooms, name, data, butSid, butUser);
      return;
    }
    const line = rooms.length === 1 ? rooms[0] : "";
    const sids = this.#rooms.listeners(rooms, { butSid, butUser });
    for (const sid of sids) this.#beset([line, sender, sid], { name, data, sid });
    for (const user of readers) {
      if (feeds.reads(user)) this.#beset([line, sender, `feed ${user}`], { name, data, user, feeds });
    }
  }

  // One copy to each socket in the rooms `user:<id>` and to the feed of each of `users` who polls.
  toUsers(users, name, data, { sender, feeds }) {
    const rooms = users.map((user) => USER_ROOM + user);
    this.toRooms(rooms, name, data, { sender, members: users, feeds });
  }

  // All faults are over: what was held back or queued goes out now, in order.
  endFaults() {
    const held = this.#faults.stop();
    this.#pacing = new Pacing();
    clearTimeout(this.#laneTimer);
    this.#laneTimer = undefined;
    for (const { delivery } of this.#lane.splice(0)) this.#handOver(delivery);
    for (const delivery of held) this.#handOver(delivery);
  }

  // What faults have held back for long enough goes out; for whoever has no timers.
  passTime() {
    if (!this.#copies || (this.#faults.quiet && !this.#lane.length)) return;
    this.#releaseOverdue();
    this.#advance();
  }

  toJSON() {
    const lane = this.#lane.map(({ due, delivery: { name, data, sid, user } }) => [due, name, data, sid, user]);
    return [this.#faults, this.#pacing, lane];
  }

  #broadcast(rooms, name, data, butSid, butUser) {
    const sids = this.#rooms.listeners(rooms, { butSid, butUser });
    if (!sids.length && !this.#eventsOnly) return;
    const spared = [];
    if (butSid !== undefined) spared.push(butSid);
    if (butUser !== undefined) spared.push(USER_ROOM + butUser);
    this.#io.to(this.#rooms.address(rooms, sids)).except(spared).emit(name, data);
    this.#counters.count("emitted", name, sids.length);
  }

  #beset(line, delivery) {
    if (delivery.name !== FAULTY_EVENT) return this.#queue(delivery);
    const out = this.#faults.shape(JSON.stringify(line), delivery, this.#clock.now());
    if (!this.#copies && !out.length && this.#faults.lasting("reorder") !== undefined) {
      setTimeout(() => this.#releaseOverdue(), this.#clock.wait(HELD_AT_MOST_MS) + 50).unref();
    }
    for (const one of out) this.#queue(one);
  }

  #releaseOverdue() {
    for (const delivery of this.#faults.overdue(this.#clock.now())) this.#queue(delivery);
  }

  #queue(delivery) {
    const delay = this.#faults.lasting("delay");
    const throughput = this.#faults.lasting("limitThroughput");
    if (delay === undefined && throughput === undefined && !this.#lane.length) return this.#handOver(delivery);
    const now = this.#clock.now();
    this.#lane.push({ due: this.#pacing.due(now, delay, throughput), delivery });
    if (this.#laneTimer === undefined) this.#arm(now);
  }

  #arm(now) {
    if (this.#copies) return;
    const wait = this.#clock.wait(Math.max(0, this.#lane[0].due - now));
    this.#laneTimer = setTimeout(() => this.#advance(), wait);
  }

  #advance() {
    this.#laneTimer = undefined;
    const now = this.#clock.now();
    let due = 0;
    while (due < this.#lane.length && this.#lane[due].due <= now) due++;
    for (const { delivery } of this.#lane.splice(0, due)) this.#handOver(delivery);
    if (this.#lane.length) this.#arm(now);
  }

  #handOver({ name, data, sid, user, feeds }) {
    const session = sid === undefined ? undefined : this.#sessions.get(sid);
    if (session !== undefined) this.toSession(session, name, data);
    else if (user !== undefined && feeds.append(user, name, data, this.#clock.now())) {
      this.#counters.count("emitted", name);
    }
  }
}
