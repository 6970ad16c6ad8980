"""Who is on the other end of a request: a socket, or a polling user with a token?"""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from loadtest.targets.reference.engine import EngineSocket, Outgoing
from loadtest.targets.reference.ratelimit import SlidingWindow


class Receiver(Protocol):
    def push(self, outgoing: Outgoing) -> bool:
        """Hands one message over; False if nobody is there any more."""


@dataclass(eq=False, slots=True)
class Session:
    """A Socket.IO socket. It has a user from its authentication on; its rate window is its own and starts
    empty."""

    sid: str
    engine: Receiver
    window: SlidingWindow
    user_id: str = ""
    role: str = ""
    device_id: str = ""

    @property
    def authenticated(self) -> bool:
        return bool(self.user_id)


@dataclass(eq=False, slots=True)
class Connection(Session):
    """One whose other end is connected to this process; until `deadline` it has to authenticate."""

    engine: EngineSocket
    expires_at_ms: int = 0
    deadline: asyncio.TimerHandle | None = field(default=None, repr=False)

    def in_time(self) -> None:
        """It has authenticated."""
        if self.deadline is not None:
            self.deadline.cancel()


@dataclass(frozen=True, slots=True)
class Asker:
    """Whoever sends a request: what their token says, and the token, by which their writes are counted."""

    user_id: str
    role: str
    token: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for something: a user, by a socket (`session`) or over HTTP (None)."""

    user_id: str
    role: str
    window: SlidingWindow
    session: Session | None = None

    @property
    def source(self) -> str:
        """Names the socket, or the user's polling, as the origin of typing."""
        return self.session.sid if self.session is not None else f"http {self.user_id}"
