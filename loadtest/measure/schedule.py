"""When should a user act, and what becomes of moments it could not keep?

An open schedule: the moments are fixed by a seed before the run and never moved, so a server that stalls
cannot slow the questions down to the pace of its answers (coordinated omission; wrk2 explains it best).
Gaps are exponential, because people are independent of one another; a common phase would make a queue of
the generator's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from loadtest.measure.units import SECOND

if TYPE_CHECKING:
    from random import Random

CATCH_UP = 2.0
"""Late moments are made up for at no more than this many times the scheduled rate, as wrk2 does."""
BACKLOG_NS = 30 * SECOND
BACKLOG_OPERATIONS = 100


class Turn(NamedTuple):
    """What to do about the next planned moment.

    ``planned_ns`` never changes; ``wake_ns`` is when to act, at once if it is not in the future.
    ``overdue`` says that the backlog is too long: the operation is recorded as not sent.
    """

    planned_ns: int
    wake_ns: int
    overdue: bool


class Schedule:
    """The planned moments of one user, as ``turn`` by ``turn``.

    rate: operations per second, finite and > 0. start_ns: where the moments count from (the plan's start,
    not the user's spawn). rng: seeded by run and user, so two runs of one seed ask the same at the same
    moments.
    """

    def __init__(self, rate: float, start_ns: int, rng: Random) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"a schedule needs a finite rate above zero, not {rate}")
        self._rate = rate
        self._gap = rng.expovariate
        self._catch_up_gap_ns = round(SECOND / (rate * CATCH_UP))
        self._next_ns = start_ns + self._draw()
        self._caught_up_ns: int | None = None

    def _draw(self) -> int:
        return round(self._gap(self._rate) * SECOND)

    def skip_to(self, now_ns: int) -> None:
        """Forget the moments before ``now_ns``: a user that joined later was never asked to keep them."""
        while self._next_ns < now_ns:
            self._next_ns += self._draw()

    def turn(self, now_ns: int) -> Turn:
        """The next moment. A moment still ahead is kept exactly; one missed is made up for, spaced out.

        Only a backlog is spaced out: moments missed by more than half a mean gap, each from the late one before
        it. Spacing every moment would delay each pair that an exponential draw put close together, and spacing
        one missed by a millisecond would hold it back for seconds: lateness of our own making.
        """
        planned = self._next_ns
        self._next_ns += self._draw()
        if planned >= now_ns:
            wake = planned
            self._caught_up_ns = None
        elif self._too_far_behind(planned, now_ns):
            return Turn(planned, now_ns, True)
        else:
            wake = now_ns
            if self._caught_up_ns is not None and now_ns - planned > self._catch_up_gap_ns:
                wake = max(now_ns, self._caught_up_ns + self._catch_up_gap_ns)
            self._caught_up_ns = wake
        return Turn(planned, wake, False)

    def _too_far_behind(self, planned_ns: int, now_ns: int) -> bool:
        behind = now_ns - planned_ns
        return behind > BACKLOG_NS or behind * self._rate > BACKLOG_OPERATIONS * SECOND
