"""How is something held back for a known time, and not for a millisecond less?"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

SECOND = 1_000_000_000


class Lane:
    """Does one thing after the other, each ``delay_ns`` after it was handed in; at once if that is 0."""

    def __init__(self, delay_ns: int) -> None:
        self._delay_ns = delay_ns
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, act: Callable[[], None]) -> None:
        """Hand something in."""
        if not self._delay_ns:
            act()
            return
        self._waiting.append((time.monotonic_ns() + self._delay_ns, act))
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        wait_s = max(0, self._waiting[0][0] - time.monotonic_ns()) / SECOND
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._advance)

    def _advance(self) -> None:
        self._timer = None
        # A timer of libuv has whole milliseconds and may run early: what is not due yet waits for the next.
        while self._waiting and self._waiting[0][0] <= time.monotonic_ns():
            self._waiting.popleft()[1]()
        if self._waiting:
            self._arm()
