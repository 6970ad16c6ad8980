// Who is typing, and who has fallen silent?
export const TYPING_TTL_MS = 5000;

// Who types where, by source (a socket, or a user without one) and conversation. A note is whatever the caller needs
// to announce the end. All deadlines lie equally far ahead, so the order of the last key strokes is theirs.
export class Typists {
  #typing = new Map();

  start(source, conversation, now, note) {
    const key = JSON.stringify([source, conversation]);
    this.#typing.delete(key);
    this.#typing.set(key, { source, deadline: now + TYPING_TTL_MS, note });
  }

  stop(source, conversation) {
    this.#typing.delete(JSON.stringify([source, conversation]));
  }

  // The source has disconnected; what it was typing ends now.
  gone(source) {
    return this.#end(([, typing]) => typing.source === source, false);
  }

  // Whose five seconds have passed; they are typing no more.
  silent(now) {
    return this.#end(([, typing]) => typing.deadline <= now, true);
  }

  toJSON() {
    return [...this.#typing];
  }

  #end(ends, inOrder) {
    const ended = [];
    for (const entry of this.#typing) {
      if (ends(entry)) {
        this.#typing.delete(entry[0]);
        ended.push(entry[1].note);
      } else if (inOrder) break;
    }
    return ended;
  }
}
