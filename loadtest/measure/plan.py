"""Which phase of a run does a moment belong to?

A run is connect, warmup, measure, drain. *connect* lasts until every user has joined; *drain* is the last
part of a run with a time limit, in which nothing new is sent. A sample belongs to the phase in which its
planned moment lies, never to that of its arrival: by arrival, the slow samples at the end of measure would
move into the drain and vanish.
"""

from __future__ import annotations

from enum import StrEnum

from loadtest.measure.units import SECOND

DEFAULT_WARMUP_NS = 30 * SECOND
DEFAULT_DRAIN_NS = 10 * SECOND
_SHARE = 5  # defaults take at most a fifth of the run time
_NEVER = 1 << 63  # later than any moment


class Phase(StrEnum):
    """The four parts of a run, in their order."""

    CONNECT = "connect"
    WARMUP = "warmup"
    MEASURE = "measure"
    DRAIN = "drain"


_CONNECT, _WARMUP, _MEASURE, _DRAIN = Phase  # a member is slower to reach through its class


class Plan:
    """The edges of the phases, in nanoseconds of the run's clock.

    ``started_ns`` is the start of the run (before the first spawn); the rest of the plan begins when
    ``begin`` is told that every user has joined. Without ``run_time_ns`` measure lasts until ``hold``.
    """

    def __init__(
        self,
        started_ns: int,
        run_time_ns: int | None = None,
        warmup_ns: int | None = None,
        drain_ns: int | None = None,
    ) -> None:
        self.started_ns = started_ns
        self.run_time_ns = run_time_ns
        self.warmup_ns = _default(warmup_ns, DEFAULT_WARMUP_NS, run_time_ns)
        self.drain_ns = _default(drain_ns, DEFAULT_DRAIN_NS, run_time_ns)
        self.begun_ns: int | None = None
        self.held_ns: int | None = None
        self._edges = self._work_out_edges()

    def begin(self, now_ns: int) -> None:
        """Every user has joined: the schedules count from here. A second call changes nothing."""
        if self.begun_ns is None:
            self.begun_ns = now_ns
            self._edges = self._work_out_edges()

    def hold(self, now_ns: int) -> None:
        """Nothing is sent from ``now_ns`` on, whatever the time limit said. The first call counts."""
        if self.held_ns is None:
            self.held_ns = now_ns
            self._edges = self._work_out_edges()

    def _work_out_edges(self) -> tuple[int, int, int]:
        # Kept, because `phase` is asked several times for every message.
        begun, measure, drain = self.begun_ns, self.measure_ns, self.drain_from_ns
        return (
            _NEVER if begun is None else begun,
            _NEVER if measure is None else measure,
            _NEVER if drain is None else drain,
        )

    @property
    def ends_ns(self) -> int | None:
        """End of the run; None without a time limit."""
        return None if self.run_time_ns is None else self.started_ns + self.run_time_ns

    @property
    def measure_ns(self) -> int | None:
        """First moment of measure; None until the plan has begun."""
        return None if self.begun_ns is None else self.begun_ns + self.warmup_ns

    @property
    def drain_from_ns(self) -> int | None:
        """First moment at which nothing new is sent; None if neither a limit nor a hold set one."""
        ends = None if self.ends_ns is None else self.ends_ns - self.drain_ns
        if self.held_ns is None:
            return ends
        return self.held_ns if ends is None else min(ends, self.held_ns)

    def phase(self, planned_ns: int) -> Phase:
        """The phase in which a moment lies."""
        begun, measure, drain = self._edges
        if planned_ns < begun:
            return _CONNECT
        if planned_ns >= drain:
            return _DRAIN
        return _WARMUP if planned_ns < measure else _MEASURE

    def second(self, planned_ns: int) -> int:
        """The second of the run, from 0, in which a moment lies."""
        return (planned_ns - self.started_ns) // SECOND

    def measured_ns(self, now_ns: int) -> int:
        """Length of measure so far, or in all once it is over."""
        if self.measure_ns is None:
            return 0
        drain_from = self.drain_from_ns
        end = now_ns if drain_from is None else min(now_ns, drain_from)
        return max(0, end - self.measure_ns)


def _default(given: int | None, most: int, run_time_ns: int | None) -> int:
    if given is not None:
        return given
    return most if run_time_ns is None else min(most, run_time_ns // _SHARE)
