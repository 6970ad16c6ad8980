"""Which sockets hear a room?

A socket leaves its rooms with its connection; membership of a conversation is the user's and does not
end with it.
"""

from typing import Generic, Protocol, TypeVar

USER_ROOM = "user:"
CONVERSATION_ROOM = "conversation:"


class Listener(Protocol):
    @property
    def sid(self) -> str: ...

    @property
    def user_id(self) -> str: ...


L = TypeVar("L", bound=Listener)


class Rooms(Generic[L]):
    """Sockets by room, and rooms by socket. Every operation is idempotent."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[str, L]] = {}
        self._rooms_of: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def enter(self, room: str, listener: L) -> None:
        self._listeners.setdefault(room, {})[listener.sid] = listener
        self._rooms_of.setdefault(listener.sid, set()).add(room)

    def leave(self, room: str, sid: str) -> None:
        listeners = self._listeners.get(room)
        if listeners is None or listeners.pop(sid, None) is None:
            return
        self._rooms_of[sid].discard(room)
        if not listeners:
            del self._listeners[room]

    def drop(self, sid: str) -> set[str]:
        """The socket is gone; returns the rooms it was in."""
        rooms = set(self._rooms_of.get(sid, ()))
        for room in rooms:
            self.leave(room, sid)
        self._rooms_of.pop(sid, None)
        return rooms

    def listeners(self, room: str) -> dict[str, L]:
        """Sockets in the room by socket id. Not a copy: do not keep it across an await."""
        return self._listeners.get(room) or {}

    def hears(self, room: str, user: str) -> bool:
        """Is any socket of `user` in the room?"""
        return any(listener.user_id == user for listener in self.listeners(room).values())
