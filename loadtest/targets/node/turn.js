// Whose request is being carried out right now, and at which moment?

// A server alone carries out its own requests, each when it comes.
export class OwnTurn {
  mine = true;
  moment = undefined;

  // After the answer to whoever asks now.
  after(run) {
    setImmediate(run);
  }
}

// One of several servers follows a log: what happens has the moment that the log gives it, and only the server to which
// a request came (`mine`) answers it and delivers what follows from it. Between two entries everything is our own.
export class LogTurn {
  mine = true;
  moment = undefined;
  // The server that wrote the entry; "" between two of them.
  origin = "";
  #after = [];

  // Carries `run` out as the entry of `origin` at `moment`, and then what it has put off.
  take(mine, moment, origin, run) {
    Object.assign(this, { mine, moment, origin });
    try {
      run();
      for (const next of this.#after) next();
    } finally {
      this.#after = [];
      Object.assign(this, { mine: true, moment: undefined, origin: "" });
    }
  }

  // After the answer, and still at the same moment: the next entry finds it done.
  after(run) {
    this.#after.push(run);
  }
}
