"""Who is on the other end of a request: a socket, or a polling user with a token?"""

import asyncio
from dataclasses import dataclass, field

from loadtest.targets.reference.engine import EngineSocket
from loadtest.targets.reference.ratelimit import SlidingWindow


@dataclass(eq=False, slots=True)
class Session:
    """A Socket.IO socket. It has a user from its authentication on; its rate window is its own and starts
    empty."""

    sid: str
    engine: EngineSocket
    window: SlidingWindow
    user_id: str = ""
    role: str = ""
    device_id: str = ""
    expires_at_ms: int = 0
    deadline: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def authenticated(self) -> bool:
        return bool(self.user_id)


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
