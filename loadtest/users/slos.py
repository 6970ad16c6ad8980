"""What may a running test not do, and when does it end for that?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from loadtest.measure.plan import Plan
from loadtest.measure.rows import Row, SeriesRow
from loadtest.measure.slo import Slo, SloError, understand
from loadtest.measure.threshold import Selector, Tally, Threshold
from loadtest.measure.units import SECOND
from loadtest.users.options import Settings
from loadtest.users.target import Refused

_NO_BOUND = 0.05
"""While q**n is above it, n values bound their q-quantile on neither side at 95 %: nothing is broken yet."""


def slos_of(settings: Settings) -> list[Slo]:
    """The SLOs that were asked for. Raises Refused, with every fault at once."""
    try:
        return understand(settings.slo, lambda name: Path(name).read_text("utf-8"))
    except SloError as error:
        raise Refused("\n".join(f"--rt-slo: {fault}" for fault in error.faults)) from None


class _Watched:
    """One SLO that may end the run, and the sums it looks at."""

    def __init__(self, slo: Slo) -> None:
        self.slo = slo
        self.selector: Selector
        self.threshold: Threshold
        self.selector, self.threshold = slo.parsed()
        self.tally = Tally()

    def broken(self, measured_ns: int) -> bool:
        if measured_ns < max(SECOND, round(self.slo.delay_abort_s * SECOND)):
            return False
        if not self.slo.delay_abort_s and self.threshold.may_yet_hold(self.tally):
            return False
        quantile = self.threshold.quantile
        if quantile is not None and quantile**self.tally.settled > _NO_BOUND:
            return False
        return self.threshold.holds(self.tally) is False


class Watch:
    """The SLOs with ``abort_on_fail``, judged by what was measured so far, as in k6: by the value alone.

    Intervals come with the report; a run that is thrown away must not wait for them.
    """

    def __init__(self, slos: Sequence[Slo]) -> None:
        self._watched = [_Watched(one) for one in slos if one.abort_on_fail]

    def add(self, rows: Iterable[Row]) -> None:
        """What was measured since; rows of one second may come in parts, they add up."""
        for row in rows:
            if isinstance(row, SeriesRow):
                for one in self._watched:
                    if one.selector.selects(row):
                        one.tally.add(row)

    def broken(self, plan: Plan, now_ns: int) -> tuple[Slo, float] | None:
        """The first SLO that is broken, and by which value; infinity for a percentile among what never came."""
        measured_ns = plan.measured_ns(now_ns)
        for one in self._watched:
            if one.broken(measured_ns):
                value = one.threshold.observe(one.tally)
                return one.slo, math.inf if value is None else value
        return None
