// What does each part of the application (messaging, calls, presence, …) bring along, and what is it told?

// One part. Inherit and override what concerns it; nothing in here may wait or take long.
export class Domain {
  // What can be asked of it, by socket and HTTP alike: rows of the table of actions.
  actions() {
    return [];
  }

  // The socket has a user and hears `user:<id>`; again whenever it authenticates again.
  authenticated(_session) {}

  // The authenticated socket is gone, from all rooms too.
  disconnected(_session) {}

  // The user has asked for one of their feeds.
  polled(_userId) {}

  // Every 50 ms: what has come due? Must cost next to nothing when nothing has.
  tick(_now) {}

  // What it adds to /__stats. (`toJSON`, here and in all that a part keeps, is whatever servers with one log must know
  // alike.)
  stats() {
    return {};
  }
}

// All parts; each hears everything, in the order in which they are given.
export class Domains {
  #parts;

  constructor(parts) {
    this.#parts = parts;
  }

  actions() {
    return this.#parts.flatMap((part) => part.actions());
  }

  authenticated(session) {
    for (const part of this.#parts) part.authenticated(session);
  }

  disconnected(session) {
    for (const part of this.#parts) part.disconnected(session);
  }

  polled(userId) {
    for (const part of this.#parts) part.polled(userId);
  }

  tick(now) {
    for (const part of this.#parts) part.tick(now);
  }

  stats() {
    return Object.assign({}, ...this.#parts.map((part) => part.stats()));
  }

  toJSON() {
    return this.#parts;
  }
}
