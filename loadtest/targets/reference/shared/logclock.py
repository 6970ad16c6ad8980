"""What time is it in the log?"""

from loadtest.targets.reference.clock import Clock


class LogClock(Clock):
    """While an entry is carried out, the moment of that entry, which is the same for all instances and never
    falls; this process's own time otherwise."""

    def __init__(self, rate: int, since_ns: int) -> None:
        super().__init__(rate, since_ns)
        self._latest_ns = 0
        self._entry_ns: int | None = None

    def now_ns(self) -> int:
        return super().now_ns() if self._entry_ns is None else self._entry_ns

    def enter(self, at_ns: int) -> None:
        """An entry is carried out from here on, written at `at_ns` by the clock of its origin."""
        self._latest_ns = self._entry_ns = max(self._latest_ns, at_ns)

    def leave(self) -> None:
        """It has been carried out."""
        self._entry_ns = None
