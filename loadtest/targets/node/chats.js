// What is a live chat, what may become of it, and what is told about it?
import { Refusal } from "./refusal.js";

// What is in neither table cannot happen: the server assigns only what waits, and nobody is missed in a closed chat.
const TRANSITIONS = {
  queued: { assign: "assigned", accept: "assigned", say: "queued", visitorGone: "closed", close: "closed" },
  assigned: { say: "assigned", operatorGone: "queued", visitorGone: "closed", close: "closed" },
  closed: { close: "closed" },
};
const REFUSALS = {
  queued: {},
  assigned: { accept: "CHAT_ALREADY_ASSIGNED" },
  closed: { accept: "CHAT_CLOSED", say: "CHAT_CLOSED" },
};

// `number` counts all chats in the order of their starts; `operator` is the last one, also when closed. `meta` is that
// of the start, until an operator is lost: what follows then is the server's own doing. `told` is the position in the
// queue that the visitor knows of.
export class Chat {
  state = "queued";
  operator = undefined;
  reason = "new";
  told = 0;
  closedAt = 0;

  constructor(number, id, visitor, meta) {
    Object.assign(this, { number, id, visitor, meta });
  }

  // The state to which an input leads. Throws Refusal with the code of the table.
  after(input) {
    const code = REFUSALS[this.state][input];
    if (code === undefined) return TRANSITIONS[this.state][input];
    const detail = code === "CHAT_ALREADY_ASSIGNED" ? { operatorId: this.operator } : {};
    throw new Refusal(code, `the chat ${this.id} is ${this.state}`, { detail });
  }

  // Which side `user` is on. Throws Refusal FORBIDDEN.
  roleOf(user) {
    if (user === this.visitor) return "visitor";
    if (user === this.operator) return "operator";
    throw new Refusal("FORBIDDEN", `${user} takes no part in the chat ${this.id}`);
  }
}

// What happens to chats and operators, for others to tell:
//   queued   {chat, position, meta, moved}   a chat waits, or (`moved`) has come closer to its turn
//   assigned {chat, operator, reason, meta}
//   closed   {chat, meta}
//   onDuty   {operator, status, active, capacity, chats, meta}   `chats` are those they had when it happened
export const queued = (chat, meta, moved = false) => ({ what: "queued", chat, position: chat.told, meta, moved });
export const assigned = (chat, meta) => ({
  what: "assigned",
  chat,
  operator: chat.operator,
  reason: chat.reason,
  meta,
});
export const closed = (chat, meta) => ({ what: "closed", chat, meta });
export const onDuty = ({ id, status, chats: { size }, capacity }, chats, meta) => ({
  what: "onDuty",
  operator: id,
  status,
  active: size,
  capacity,
  chats,
  meta,
});
