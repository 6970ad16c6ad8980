"""What time is it, for deadlines and for people alike?

One clock: nanoseconds since the epoch at start, driven by the monotonic clock from then on, so that a
wall clock that is set back neither extends a rate window nor lets two messages of a room carry falling
times.
"""

import time

MS = 1_000_000
SECOND = 1_000_000_000


class Clock:
    """`rate`: how many seconds pass in one. Tests let a minute pass in a second; `since_ns` is the moment of
    the epoch from which on they do, now if it is not given."""

    def __init__(self, rate: int = 1, since_ns: int | None = None) -> None:
        self._rate = rate
        wall_ns = time.time_ns()
        since_ns = wall_ns if since_ns is None else since_ns
        self._offset = since_ns + (wall_ns - since_ns) * rate - time.monotonic_ns() * rate

    def now_ns(self) -> int:
        return time.monotonic_ns() * self._rate + self._offset

    def wait_s(self, ns: int) -> float:
        """Real seconds until `ns` of this clock have passed."""
        return ns / (SECOND * self._rate)
