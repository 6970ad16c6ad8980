"""Who is in which room, and who hears what is said there? All that the null server knows."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from loadtest.targets.null.lane import Lane
from loadtest.targets.reference.engine import EngineSocket, Outgoing
from loadtest.targets.reference.rooms import CONVERSATION_ROOM, Rooms

Fields = dict[str, Any]


class Guest:
    """A socket, and the name that it gave."""

    __slots__ = ("engine", "sid", "user_id")

    def __init__(self, sid: str, engine: EngineSocket) -> None:
        self.sid = sid
        self.engine = engine
        self.user_id = ""


class Parlour:
    """Carries out what sockets ask for, and refuses nothing.

    The numbers of a room's messages are all that is kept: whoever listens needs them to tell an order.
    """

    def __init__(self, delay_ns: int) -> None:
        """delay_ns: how long whatever is said to a room is held back on its way."""
        self._lane = Lane(delay_ns)
        self._rooms: Rooms[Guest] = Rooms()
        self._last_seq: Counter[str] = Counter()
        self.guests: dict[str, Guest] = {}
        self.received: Counter[str] = Counter()
        self.emitted: Counter[str] = Counter()
        self._asks: dict[str, Callable[[Guest, Fields], Fields]] = {
            "authenticate": self._authenticate,
            "joinRoom": self._join,
            "leaveRoom": self._leave,
            "message:send": self._send,
            "message:read": self._read,
            "typing:start": self._type,
        }

    def __len__(self) -> int:
        return len(self._rooms)

    def come(self, sid: str, engine: EngineSocket) -> None:
        """A socket is here."""
        self.guests[sid] = Guest(sid, engine)

    def go(self, sid: str) -> None:
        """It has gone."""
        self._rooms.drop(sid)
        self.guests.pop(sid, None)

    def hear(self, sid: str, ack_id: int | None, data: list[Any]) -> None:
        """An event of a socket; one that is not known comes back in its ack, as it was."""
        guest = self.guests.get(sid)
        if guest is None:
            return
        name, payload = data[0], data[1] if len(data) > 1 else None
        fields = payload if isinstance(payload, dict) else {}
        self.received[name] += 1
        answer = self._asks[name](guest, fields) if name in self._asks else fields
        if ack_id is not None:
            body = msgspec.json.encode({"ok": True, **answer})
            guest.engine.push(Outgoing(b"43%d[%b]" % (ack_id, body)))

    def _authenticate(self, guest: Guest, fields: Fields) -> Fields:
        guest.user_id = str(fields.get("userId", ""))
        return {"userId": guest.user_id}

    def _join(self, guest: Guest, fields: Fields) -> Fields:
        room = str(fields.get("room", ""))
        self._rooms.enter(room, guest)
        return {"room": room, "lastSeq": self._last_seq[room], "missed": []}

    def _leave(self, guest: Guest, fields: Fields) -> Fields:
        room = str(fields.get("room", ""))
        self._rooms.leave(room, guest.sid)
        return {"room": room}

    def _send(self, guest: Guest, fields: Fields) -> Fields:
        room = _room(fields)
        self._last_seq[room] += 1
        told = {"seq": self._last_seq[room]}
        self._say(room, "message:new", {**fields, **told, "senderId": guest.user_id})
        return told

    def _read(self, guest: Guest, fields: Fields) -> Fields:
        self._say(_room(fields), "message:read", {**fields, "userId": guest.user_id}, without=guest.sid)
        return {"upToSeq": fields.get("upToSeq")}

    def _type(self, guest: Guest, fields: Fields) -> Fields:
        self._say(_room(fields), "typing:start", {**fields, "userId": guest.user_id}, without=guest.sid)
        return {}

    def _say(self, room: str, name: str, fields: Fields, without: str = "") -> None:
        """Tell everybody in a room but one, encoded once for all."""
        outgoing = Outgoing(b'42["' + name.encode() + b'",' + msgspec.json.encode(fields) + b"]")
        # Whoever hears it is settled now: held back or not, it is for those who were there.
        hearers = [one for sid, one in self._rooms.listeners(room).items() if sid != without]

        def tell() -> None:
            self.emitted[name] += sum(one.engine.push(outgoing) for one in hearers)

        self._lane.put(tell)


def _room(fields: Fields) -> str:
    return CONVERSATION_ROOM + str(fields.get("conversationId", ""))
