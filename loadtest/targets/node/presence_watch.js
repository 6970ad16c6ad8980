// Who is told that somebody has come or gone?
import { Domain } from "./domains.js";
import { isText, objectOf, USER_ID_LIMIT } from "./fields.js";
import { Refusal } from "./refusal.js";
import { CONVERSATION_ROOM } from "./rooms.js";

const ASKED_AT_MOST = 100;

// Keeps `presence` true, so it must hear of everything before the domains that look there.
//
// The conversations of a user hear of their coming and going. Whoever belongs to none costs nothing, and
// PRESENCE_BROADCAST=off spares the rest: a thousand people who come to one room at once are a million deliveries.
export class PresenceWatch extends Domain {
  #presence;
  #conversations;
  #fanout;
  #clock;
  #announces;

  constructor({ settings, presence, conversations, fanout, clock }) {
    super();
    this.#presence = presence;
    this.#conversations = conversations;
    this.#fanout = fanout;
    this.#clock = clock;
    this.#announces = settings.presenceBroadcast;
  }

  actions() {
    return [["presence:get", (...asked) => this.get(...asked), "free"]];
  }

  authenticated({ userId, sid, deviceId }) {
    if (this.#presence.arrived(userId, sid, deviceId)) this.#announce(userId, "online");
  }

  disconnected({ userId, sid }) {
    this.#presence.left(userId, sid, this.#clock.now());
  }

  polled(userId) {
    if (this.#presence.polled(userId, this.#clock.now())) this.#announce(userId, "online");
  }

  tick(now) {
    for (const user of this.#presence.gone(now)) this.#announce(user, "offline");
  }

  stats() {
    return { users: this.#presence.size };
  }

  // presence:get: who of up to a hundred users is here, and with how many devices? In the order of the question.
  get(_actor, payload) {
    const now = this.#clock.now();
    const presence = parsePresence(payload).map((userId) => ({
      userId,
      status: this.#presence.isOnline(userId) ? "online" : "offline",
      devices: this.#presence.devices(userId, now),
    }));
    return { ok: true, presence };
  }

  #announce(userId, status) {
    const conversations = this.#announces ? this.#conversations.ofUser(userId) : [];
    if (!conversations.length) return;
    const data = { userId, status, devices: this.#presence.devices(userId, this.#clock.now()), ts: this.#clock.ts() };
    const rooms = conversations.map(({ id }) => CONVERSATION_ROOM + id);
    const members = conversations.flatMap((conversation) => [...conversation.members]);
    this.#fanout.toRooms(rooms, "presence:update", data, { sender: userId, members, butUser: userId });
  }
}

// presence:get: `{userIds}`, each once. Throws PAYLOAD_INVALID.
function parsePresence(payload) {
  const { userIds } = objectOf(payload);
  if (!Array.isArray(userIds) || userIds.length < 1 || userIds.length > ASKED_AT_MOST) {
    throw new Refusal("PAYLOAD_INVALID", `userIds must be a list of 1-${ASKED_AT_MOST} strings`);
  }
  if (!userIds.every((user) => isText(user, USER_ID_LIMIT))) {
    throw new Refusal("PAYLOAD_INVALID", `each of userIds must be a string of 1-${USER_ID_LIMIT} characters`);
  }
  return [...new Set(userIds)];
}
