"""How was each generator process while it measured?

Seconds of a storm are left out: what the generator does while everybody comes back at once is judged with the
storm, against the time that the coming back took.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis import storm
from loadtest.analysis.figures import count_above, nearest_rank
from loadtest.measure.histogram import Histogram
from loadtest.measure.plan import Phase
from loadtest.measure.rows import HealthRow
from loadtest.measure.run import Run

MEAN_OVER = 5
"""Seconds over which sustained CPU is looked at."""


class Vitals(NamedTuple):
    """One worker in the measured phase, outside of storms; percents are of one core, histograms in ns."""

    worker: str
    cpu_p95: float
    cpu_5s: float | None
    steal_p95: float
    gc_pause_ns: int
    planned: int
    sent: int
    receive_lag: Histogram
    loop_lag: Histogram
    send_lag: Histogram

    @property
    def off_plan_percent(self) -> float | None:
        """How far sent is from planned, in percent of planned; None if nothing was planned."""
        return abs(self.sent - self.planned) / self.planned * 100 if self.planned else None


def vitals(run: Run) -> list[Vitals]:
    """One per worker that has a health row in the measured phase outside of storms, by name."""
    stormy = storm.unwell(run)
    of: dict[str, list[HealthRow]] = {}
    for row in run.health:
        if row.phase == Phase.MEASURE and row.second not in stormy:
            of.setdefault(row.worker, []).append(row)
    return [_vitals(worker, rows) for worker, rows in sorted(of.items())]


def _vitals(worker: str, rows: list[HealthRow]) -> Vitals:
    rows = sorted(rows, key=lambda row: row.second)
    lags = {name: Histogram() for name in ("receive_lag", "loop_lag", "send_lag")}
    for row in rows:
        for name, histogram in lags.items():
            histogram.merge(getattr(row, name))
    cpu = [row.cpu_percent for row in rows]
    return Vitals(
        worker,
        nearest_rank(cpu, 0.95),
        _highest_mean(rows),
        nearest_rank([row.steal_percent for row in rows], 0.95),
        max(row.gc_pause_ns for row in rows),
        sum(row.planned for row in rows),
        sum(row.sent for row in rows),
        **lags,
    )


def _highest_mean(rows: Sequence[HealthRow]) -> float | None:
    """Highest mean CPU of MEAN_OVER samples in a row; None if there are fewer."""
    windows = [rows[i : i + MEAN_OVER] for i in range(len(rows) - MEAN_OVER + 1)]
    # One second may lie between two samples; what lies on both sides of a storm is not in a row.
    joined = [some for some in windows if some[-1].second - some[0].second <= MEAN_OVER]
    return max((sum(row.cpu_percent for row in some) / MEAN_OVER for some in joined), default=None)


def percent_above(histogram: Histogram, limit_ns: float) -> float | None:
    """Percent of values above ``limit_ns``, each taken at its bucket's upper edge; None if there are none."""
    return count_above(histogram, limit_ns) / histogram.n * 100 if histogram.n else None
