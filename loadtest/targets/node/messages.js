// What was said in a conversation, in which order, and what has somebody missed?
const RESYNC_LIMIT = 500;
// Four resyncs: a room of a long run must not grow without end.
const KEPT_MESSAGES = 2000;
const KEPT_RECEIPTS = 1000;

// The newest messages of one conversation. `seq` counts up from 1 without a gap.
export class MessageLog {
  lastSeq = 0;
  #kept = [];

  nextSeq() {
    return this.lastSeq + 1;
  }

  // Stores the message that was made with `nextSeq()`.
  append(message) {
    this.#kept[this.lastSeq % KEPT_MESSAGES] = message;
    this.lastSeq++;
  }

  // The newest messages after `seq`, oldest first, and whether older ones had to be left out.
  newestSince(seq) {
    const wanted = Math.max(0, this.lastSeq - seq);
    const given = Math.min(wanted, RESYNC_LIMIT, this.#kept.length);
    return { missed: this.#slice(this.lastSeq - given, given), truncated: given < wanted };
  }

  // The oldest kept messages after `afterSeq`, and whether more follow.
  page(afterSeq, limit) {
    const start = Math.max(afterSeq, this.lastSeq - this.#kept.length);
    const items = this.#slice(start, Math.max(0, Math.min(limit, this.lastSeq - start)));
    return { items, hasMore: start + items.length < this.lastSeq };
  }

  toJSON() {
    return [this.lastSeq, this.#kept];
  }

  #slice(afterSeq, count) {
    return Array.from({ length: count }, (_, index) => this.#kept[(afterSeq + index) % KEPT_MESSAGES]);
  }
}

// Which of a sender's `clientMsgId`s have been carried out already? The newest of each sender are remembered.
export class Receipts {
  #senders = new Map();

  find(sender, clientId) {
    return this.#senders.get(sender)?.get(clientId);
  }

  remember(sender, clientId, receipt) {
    let sent = this.#senders.get(sender);
    if (sent === undefined) this.#senders.set(sender, (sent = new Map()));
    sent.set(clientId, receipt);
    if (sent.size > KEPT_RECEIPTS) sent.delete(sent.keys().next().value);
  }

  forget(sender) {
    this.#senders.delete(sender);
  }

  toJSON() {
    return [...this.#senders].map(([sender, sent]) => [sender, [...sent]]);
  }
}

// What a sender is told: `{id, seq, ts}` of the message, and whether it is one that was known.
export const told = ({ id, seq, ts }, duplicate) => ({ ok: true, id, seq, ts, duplicate });
