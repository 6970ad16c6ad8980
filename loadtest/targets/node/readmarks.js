// How far has each member read? A mark only ever moves forward.
export class ReadMarks {
  #marks = new Map();

  // Moves the mark of `user` to `upTo` if that is further; returns the mark and whether it moved.
  advance(user, upTo) {
    const mark = this.#marks.get(user) ?? 0;
    if (upTo <= mark) return { mark, advanced: false };
    this.#marks.set(user, upTo);
    return { mark: upTo, advanced: true };
  }

  toJSON() {
    return [...this.#marks];
  }
}
