"""What did each operation come to, over all its seconds?

Histograms and counts add up; nothing here is a mean of means or a percentile of percentiles.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from loadtest.measure.histogram import Histogram, merged
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

COUNTS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")


class Name(NamedTuple):
    """Which series: rows of a summary are sorted by it."""

    operation: str
    transport: str
    phase: str


class Series:
    """The sum of a series over time: counts by name, histograms of nanoseconds."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self.latency = Histogram()
        self.service = Histogram()
        self.phases: dict[str, Histogram] = {}

    def add(self, row: SeriesRow) -> None:
        """Add one second."""
        for name in COUNTS:
            self.counts[name] += getattr(row, name)
        self.latency.merge(row.latency)
        self.service.merge(row.service)
        for name, counts in row.phases.items():
            self.phases.setdefault(name, Histogram()).merge(counts)

    def merge(self, other: Series) -> None:
        """Add another."""
        for name in COUNTS:
            self.counts[name] += other.counts[name]
        self.latency.merge(other.latency)
        self.service.merge(other.service)
        for name, histogram in other.phases.items():
            self.phases.setdefault(name, Histogram()).merge(histogram)

    @property
    def expected(self) -> int:
        """Delivered, late and lost; by the sum, so that percentiles agree with the histogram."""
        return self.latency.n + self.counts["late"] + self.counts["lost"]


def grouped(rows: Iterable[SeriesRow]) -> dict[Name, list[SeriesRow]]:
    """The seconds of each series, in the order of a summary."""
    found: dict[Name, list[SeriesRow]] = {}
    for row in rows:
        found.setdefault(Name(row.operation, row.transport, row.phase), []).append(row)
    return dict(sorted(found.items()))


def total(rows: Iterable[SeriesRow]) -> Series:
    """Their sum."""
    some = list(rows)
    whole = Series()
    for name in COUNTS:
        whole.counts[name] = sum(getattr(row, name) for row in some)
    whole.latency = merged(row.latency for row in some)
    whole.service = merged(row.service for row in some)
    parts = dict.fromkeys(part for row in some for part in row.phases)
    whole.phases = {part: merged(row.phases[part] for row in some if part in row.phases) for part in parts}
    return whole


def measured(run: Run, *operations: Operation, without: Container[int] = ()) -> Series:
    """Operations in the measured phase, over all transports; ``without``: seconds of the run to leave out."""
    return total(
        row
        for row in run.series
        if row.operation in operations and row.phase == Phase.MEASURE and row.second not in without
    )


def pooled(runs: Iterable[Run], operation: Operation) -> Series:
    """The same of several runs together."""
    whole = Series()
    for run in runs:
        whole.merge(measured(run, operation))
    return whole


def measured_ns(run: Run) -> int:
    """Length of the measured phase; 0 if the run never came to it."""
    edges = run.manifest.edges
    if edges.measure_ns is None:
        return 0
    end = edges.ended_ns if edges.drain_ns is None else min(edges.drain_ns, edges.ended_ns)
    return max(0, end - edges.measure_ns)


def measured_seconds(run: Run) -> float:
    """The same in seconds."""
    return measured_ns(run) / SECOND
