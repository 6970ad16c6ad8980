// Which conversations exist, what belongs to one, and who belongs to which?
import { MessageLog } from "./messages.js";
import { ReadMarks } from "./readmarks.js";
import { Refusal } from "./refusal.js";

// `members` changes by Conversations.join and .leave only: it has a reverse there. Strangers may join by asking for
// the room, unless it is a live chat, where `liveChat:message` is the only way to say something.
class Conversation {
  log = new MessageLog();
  marks = new ReadMarks();
  members = new Set();
  liveChat = false;

  constructor(id) {
    this.id = id;
  }

  toJSON() {
    return [this.log, this.marks, [...this.members], this.liveChat];
  }
}

// A conversation comes into being when the first user joins it, and outlives its members.
export class Conversations {
  #known = new Map();
  #ofUser = new Map();

  open(id) {
    let conversation = this.#known.get(id);
    if (conversation === undefined) this.#known.set(id, (conversation = new Conversation(id)));
    return conversation;
  }

  find(id) {
    return this.#known.get(id);
  }

  // `user` belongs to the conversation from now on, invited or not.
  join(id, user) {
    const conversation = this.open(id);
    conversation.members.add(user);
    let mine = this.#ofUser.get(user);
    if (mine === undefined) this.#ofUser.set(user, (mine = new Map()));
    mine.set(id, conversation);
    return conversation;
  }

  // The same for whoever comes by themselves. Throws Refusal FORBIDDEN.
  openTo(id, user) {
    const conversation = this.#known.get(id);
    if (conversation?.liveChat && !conversation.members.has(user)) {
      throw new Refusal("FORBIDDEN", `${user} is not a member of ${id}`);
    }
    return this.join(id, user);
  }

  leave(id, user) {
    const mine = this.#ofUser.get(user);
    const conversation = mine?.get(id);
    if (conversation === undefined) return;
    conversation.members.delete(user);
    mine.delete(id);
    if (!mine.size) this.#ofUser.delete(user);
  }

  // Nobody belongs to it any more, and nothing of it is kept.
  forget(id) {
    const conversation = this.#known.get(id);
    this.#known.delete(id);
    for (const user of [...(conversation?.members ?? [])]) this.leave(id, user);
  }

  // The conversations `user` belongs to.
  ofUser(user) {
    return [...(this.#ofUser.get(user)?.values() ?? [])];
  }

  // The conversation, if `user` belongs to it. Throws Refusal FORBIDDEN (404 over HTTP if there is none).
  ofMember(id, user) {
    const conversation = this.#known.get(id);
    if (conversation === undefined) {
      throw new Refusal("FORBIDDEN", `there is no conversation ${id}`, { status: 404 });
    }
    if (!conversation.members.has(user)) {
      throw new Refusal("FORBIDDEN", `${user} is not a member of ${id}: join its room first`);
    }
    return conversation;
  }

  toJSON() {
    return [[...this.#known], [...this.#ofUser].map(([user, mine]) => [user, [...mine.keys()]])];
  }
}
