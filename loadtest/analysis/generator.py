"""How was each generator process while it measured?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from loadtest.measure.histogram import Histogram, upper_edge
from loadtest.measure.plan import Phase
from loadtest.measure.rows import HealthRow
from loadtest.measure.run import Run

MEAN_OVER = 5
"""Seconds over which sustained CPU is looked at."""


class Vitals(NamedTuple):
    """One worker in the measured phase; percents are of one core, histograms in ns."""

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
    """One per worker that has a health row in the measured phase, by name."""
    of: dict[str, list[HealthRow]] = {}
    for row in run.health:
        if row.phase == Phase.MEASURE:
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
        _highest_mean(cpu),
        nearest_rank([row.steal_percent for row in rows], 0.95),
        max(row.gc_pause_ns for row in rows),
        sum(row.planned for row in rows),
        sum(row.sent for row in rows),
        **lags,
    )


def nearest_rank(values: Iterable[float], q: float) -> float:
    """The ceil(q n)-th smallest of ``values``, which must not be empty."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(q * len(ordered) - 1e-9)) - 1]


def _highest_mean(samples: Sequence[float]) -> float | None:
    """Highest mean of MEAN_OVER samples in a row; None if there are fewer."""
    windows = range(len(samples) - MEAN_OVER + 1)
    return max((sum(samples[i : i + MEAN_OVER]) / MEAN_OVER for i in windows), default=None)


def percent_above(histogram: Histogram, limit_ns: float) -> float | None:
    """Percent of values above ``limit_ns``, each taken at its bucket's upper edge; None if there are none."""
    histogram.fold()
    if not histogram.n:
        return None
    buckets, counts = histogram.counts().pairs()
    above: int = sum(
        count
        for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True)
        if min(upper_edge(bucket), histogram.max_ns) > limit_ns
    )
    return above / histogram.n * 100
