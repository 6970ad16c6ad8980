// Who is here, by how many devices, and who has just come or gone?
//
// A user is here while a socket of theirs is authenticated, and for a while after: a grace after the last socket, ten
// seconds after the last poll. Coming and going are therefore no news while a page reloads.
const POLLING_TTL_MS = 10_000;

class Person {
  sockets = new Map();
  leftAt = -Infinity;
  polledAt = -Infinity;

  polls(now) {
    return now - this.polledAt < POLLING_TTL_MS;
  }
}

// Remembers nobody who is offline. Every operation is idempotent.
export class Presence {
  #grace;
  #people = new Map();
  // Who has no socket and will be looked at; later signs of life only move their end further away.
  #watched = new Set();

  constructor(graceMs) {
    this.#grace = graceMs;
  }

  // How many users are online.
  get size() {
    return this.#people.size;
  }

  // A socket of `user` is authenticated; true if they were offline until now.
  arrived(user, sid, device) {
    const [person, came] = this.#person(user);
    person.sockets.set(sid, device);
    return came;
  }

  // That socket is gone.
  left(user, sid, now) {
    const person = this.#people.get(user);
    if (!person?.sockets.delete(sid) || person.sockets.size) return;
    person.leftAt = now;
    this.#watched.add(user);
  }

  // `user` has read a feed; true if they were offline until now.
  polled(user, now) {
    const [person, came] = this.#person(user);
    person.polledAt = now;
    if (!person.sockets.size) this.#watched.add(user);
    return came;
  }

  // As everybody has been told: until `gone` has returned them.
  isOnline(user) {
    return this.#people.has(user);
  }

  hasSocket(user) {
    return Boolean(this.#people.get(user)?.sockets.size);
  }

  // Would an event reach them now, or with their next poll?
  isReachable(user, now) {
    const person = this.#people.get(user);
    return person !== undefined && (person.sockets.size > 0 || person.polls(now));
  }

  // Distinct device ids of their sockets, and one more if they poll.
  devices(user, now) {
    const person = this.#people.get(user);
    return person === undefined ? 0 : new Set(person.sockets.values()).size + (person.polls(now) ? 1 : 0);
  }

  // Whoever is offline from now on; to be called often, for nobody goes otherwise.
  gone(now) {
    const went = [];
    for (const user of this.#watched) {
      const person = this.#people.get(user);
      if (person.sockets.size) this.#watched.delete(user);
      else if (Math.max(person.leftAt + this.#grace, person.polledAt + POLLING_TTL_MS) <= now) {
        this.#watched.delete(user);
        this.#people.delete(user);
        went.push(user);
      }
    }
    return went;
  }

  toJSON() {
    return [[...this.#people].map(([user, one]) => [user, { ...one, sockets: [...one.sockets] }]), [...this.#watched]];
  }

  #person(user) {
    const known = this.#people.get(user);
    if (known !== undefined) return [known, false];
    const person = new Person();
    this.#people.set(user, person);
    return [person, true];
  }
}
