"""May this event still pass? A sliding window: at most `limit` events in any `window_ns` up to now."""

from collections import deque


class SlidingWindow:
    """Counts what was accepted; a refused event is not recorded and therefore never extends the window.

    `limit` 0 means no limit.
    """

    __slots__ = ("_accepted", "limit", "window_ns")

    def __init__(self, limit: int, window_ns: int) -> None:
        self.limit = limit
        self.window_ns = window_ns
        self._accepted: deque[int] = deque()

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until an event may pass; 0 if it may now."""
        if not self.limit:
            return 0
        self._forget(now_ns)
        if len(self._accepted) < self.limit:
            return 0
        return self._accepted[0] + self.window_ns - now_ns

    def accept(self, now_ns: int) -> None:
        if self.limit:
            self._accepted.append(now_ns)

    def is_empty(self, now_ns: int) -> bool:
        self._forget(now_ns)
        return not self._accepted

    def _forget(self, now_ns: int) -> None:
        horizon = now_ns - self.window_ns
        accepted = self._accepted
        while accepted and accepted[0] <= horizon:
            accepted.popleft()


class Windows:
    """One for each key (a token); those of whoever has been silent for long are forgotten."""

    def __init__(self, limit: int, window_ns: int) -> None:
        self._limit = limit
        self._window_ns = window_ns
        self._windows: dict[str, SlidingWindow] = {}

    def new(self) -> SlidingWindow:
        """One that belongs to nobody else."""
        return SlidingWindow(self._limit, self._window_ns)

    def of(self, key: str) -> SlidingWindow:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = self.new()
        return window

    def forget_idle(self, now_ns: int) -> None:
        """Drops the windows in which nothing is counted any more."""
        for key in [key for key, window in self._windows.items() if window.is_empty(now_ns)]:
            del self._windows[key]
