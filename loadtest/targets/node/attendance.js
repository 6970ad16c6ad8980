// Who is here, who has just gone, and for whom is it too late?
//
// A user is here by a socket, or by polling: then each request vouches for them for one grace. Whoever has neither is
// gone, and lost once the grace has passed.

// Watches the users it has been shown by `seen`, until `forget`. Times are milliseconds that never fall.
export class Attendance {
  #grace;
  #states = new Map();
  // The last sign of life of everybody without a socket; the oldest is first, for each new one is the newest.
  #fading = new Map();

  constructor(graceMs) {
    this.#grace = graceMs;
  }

  // `user` has a socket, or has asked for something without one; returns what they were before: "socket", "polling",
  // "gone", "lost" or undefined.
  seen(user, bySocket, now) {
    const before = this.#states.get(user);
    if (bySocket) {
      this.#states.set(user, "socket");
      this.#fading.delete(user);
    } else if (before !== "socket") {
      this.#states.set(user, "polling");
      this.#touch(user, now);
    }
    return before;
  }

  // The last socket of `user` is gone.
  went(user, now) {
    if (this.#states.get(user) !== "socket") return;
    this.#states.set(user, "gone");
    this.#touch(user, now);
  }

  // Whose grace has passed; each is named once, those who went first come first.
  lose(now) {
    const lost = [];
    for (const [user, since] of this.#fading) {
      if (now - since <= this.#grace) break;
      this.#fading.delete(user);
      this.#states.set(user, "lost");
      lost.push(user);
    }
    return lost;
  }

  isHere(user) {
    return ["socket", "polling"].includes(this.#states.get(user));
  }

  forget(user) {
    this.#states.delete(user);
    this.#fading.delete(user);
  }

  toJSON() {
    return [[...this.#states], [...this.#fading]];
  }

  #touch(user, now) {
    this.#fading.delete(user);
    this.#fading.set(user, now);
  }
}
