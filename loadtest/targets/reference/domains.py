"""What does each part of the application (messaging, calls, presence, …) bring along, and what is it told?

A part brings actions, and hears of sockets that come and go, of polls and of the passing of time. Its HTTP
routes are a function of their own (`*_rest.py`), for they need the table of actions only.
"""

from collections.abc import Iterable
from typing import Any

from loadtest.targets.reference.actions import Action
from loadtest.targets.reference.sessions import Session


class Domain:
    """One part. Inherit and override what concerns it; nothing in here may await or take long."""

    def actions(self) -> list[Action]:
        """What can be asked of it, by socket and HTTP alike."""
        return []

    def authenticated(self, session: Session) -> None:
        """The socket has a user and hears `user:<id>`; again whenever it authenticates again."""

    def disconnected(self, session: Session) -> None:
        """The authenticated socket is gone, from all rooms too."""

    def polled(self, user_id: str) -> None:
        """The user has asked for one of their feeds."""

    def tick(self, now_ns: int) -> None:
        """Every 50 ms: what has come due? Must cost next to nothing when nothing has."""

    def stats(self) -> dict[str, Any]:
        """What it adds to /__stats."""
        return {}


class Domains:
    """All parts; each hears everything, in the order in which they are given."""

    def __init__(self, parts: Iterable[Domain]) -> None:
        self._parts = list(parts)

    def actions(self) -> list[Action]:
        return [action for part in self._parts for action in part.actions()]

    def authenticated(self, session: Session) -> None:
        for part in self._parts:
            part.authenticated(session)

    def disconnected(self, session: Session) -> None:
        for part in self._parts:
            part.disconnected(session)

    def polled(self, user_id: str) -> None:
        for part in self._parts:
            part.polled(user_id)

    def tick(self, now_ns: int) -> None:
        for part in self._parts:
            part.tick(now_ns)

    def stats(self) -> dict[str, Any]:
        return {name: value for part in self._parts for name, value in part.stats().items()}
