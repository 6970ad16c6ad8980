"""Who is told that somebody has come or gone?"""

from typing import Any

from loadtest.targets.reference.actions import Action
from loadtest.targets.reference.clock import MS
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domain
from loadtest.targets.reference.fanout import Event
from loadtest.targets.reference.fields import USER_ID_LIMIT, object_of
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rooms import CONVERSATION_ROOM
from loadtest.targets.reference.sessions import Actor, Session

ASKED_AT_MOST = 100


class PresenceWatch(Domain):
    """Keeps `core.presence` true, so it must hear of everything before the domains that look there.

    The conversations of a user hear of their coming and going. Whoever belongs to none costs nothing, and
    PRESENCE_BROADCAST=off spares the rest: a thousand people who come to one room at once are a million
    deliveries.
    """

    def __init__(self, core: Core) -> None:
        self._presence = core.presence
        self._conversations = core.conversations
        self._fanout = core.fanout
        self._clock = core.clock
        self._announces = core.settings.presence_broadcast

    def actions(self) -> list[Action]:
        return [Action("presence:get", self.get, "free")]

    def authenticated(self, session: Session) -> None:
        if self._presence.arrived(session.user_id, session.sid, session.device_id):
            self._announce(session.user_id, "online")

    def disconnected(self, session: Session) -> None:
        self._presence.left(session.user_id, session.sid, self._clock.now_ns())

    def polled(self, user_id: str) -> None:
        if self._presence.polled(user_id, self._clock.now_ns()):
            self._announce(user_id, "online")

    def tick(self, now_ns: int) -> None:
        for user in self._presence.gone(now_ns):
            self._announce(user, "offline")

    def stats(self) -> dict[str, Any]:
        return {"users": len(self._presence)}

    def get(self, _actor: Actor, payload: object) -> dict[str, Any]:
        """presence:get: who of up to a hundred users is here, and with how many devices? In the order of
        the question."""
        now_ns = self._clock.now_ns()
        users = parse_presence(payload)
        return {
            "ok": True,
            "presence": [
                {
                    "userId": user,
                    "status": self._status(user),
                    "devices": self._presence.devices(user, now_ns),
                }
                for user in users
            ],
        }

    def _status(self, user: str) -> str:
        return "online" if self._presence.is_online(user) else "offline"

    def _announce(self, user: str, status: str) -> None:
        conversations = self._conversations.of_user(user) if self._announces else ()
        if not conversations:
            return
        now_ns = self._clock.now_ns()
        fields = {
            "userId": user,
            "status": status,
            "devices": self._presence.devices(user, now_ns),
            "ts": now_ns // MS,
        }
        self._fanout.to_rooms(
            [CONVERSATION_ROOM + conversation.id for conversation in conversations],
            Event.of("presence:update", fields),
            sender=user,
            members=(member for conversation in conversations for member in conversation.members),
            skip_user=user,
        )


def parse_presence(payload: object) -> list[str]:
    """presence:get: `{userIds}`, each once. Raises PAYLOAD_INVALID."""
    users = object_of(payload).get("userIds")
    if not isinstance(users, list) or not 1 <= len(users) <= ASKED_AT_MOST:
        raise Refusal("PAYLOAD_INVALID", f"userIds must be a list of 1-{ASKED_AT_MOST} strings")
    if not all(isinstance(user, str) and 1 <= len(user) <= USER_ID_LIMIT for user in users):
        raise Refusal("PAYLOAD_INVALID", f"each of userIds must be a string of 1-{USER_ID_LIMIT} characters")
    return list(dict.fromkeys(users))
