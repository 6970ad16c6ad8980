"""Who is here, who has just gone, and for whom is it too late?

A user is here by a socket, or by polling: then each request vouches for them for one grace. Whoever has
neither is gone, and lost once the grace has passed.
"""

from collections import OrderedDict
from typing import Literal

State = Literal["socket", "polling", "gone", "lost"]


class Attendance:
    """Watches the users it has been shown by `seen`, until `forget`. Times are nanoseconds that never fall."""

    def __init__(self, grace_ns: int) -> None:
        self._grace_ns = grace_ns
        self._states: dict[str, State] = {}
        # The last sign of life of everybody without a socket; the oldest is first, for each new one is
        # the newest.
        self._fading: OrderedDict[str, int] = OrderedDict()

    def seen(self, user: str, *, by_socket: bool, now_ns: int) -> State | None:
        """`user` has a socket, or has asked for something without one; returns what they were before."""
        before = self._states.get(user)
        if by_socket:
            self._states[user] = "socket"
            self._fading.pop(user, None)
        elif before != "socket":
            self._states[user] = "polling"
            self._touch(user, now_ns)
        return before

    def went(self, user: str, now_ns: int) -> None:
        """The last socket of `user` is gone."""
        if self._states.get(user) == "socket":
            self._states[user] = "gone"
            self._touch(user, now_ns)

    def lose(self, now_ns: int) -> list[str]:
        """Whose grace has passed; each is named once, those who went first come first."""
        lost: list[str] = []
        while self._fading:
            user, since_ns = next(iter(self._fading.items()))
            if now_ns - since_ns <= self._grace_ns:
                break
            del self._fading[user]
            self._states[user] = "lost"
            lost.append(user)
        return lost

    def is_here(self, user: str) -> bool:
        return self._states.get(user) in ("socket", "polling")

    def forget(self, user: str) -> None:
        self._states.pop(user, None)
        self._fading.pop(user, None)

    def _touch(self, user: str, now_ns: int) -> None:
        self._fading[user] = now_ns
        self._fading.move_to_end(user)
