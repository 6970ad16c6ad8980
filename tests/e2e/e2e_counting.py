"""Sums over a Run, and when a known-answer test may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from loadtest.analysis.validity import VALID, judge
from loadtest.measure.histogram import Histogram
from loadtest.measure.run import Run

DELIVERIES = ("message.deliver", "message.echo", "message.resync")
_COUNTS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")

_T = TypeVar("_T")


class Totals:
    """Sums of a Run's series over all seconds, and over all phases unless one is named."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def count(self, name: str, *operations: str, phase: str | None = None) -> int:
        """The sum of one counter, or of ``n``, over some operations."""
        return sum(
            row.latency.n if name == "n" else getattr(row, name)
            for row in self._run.series
            if row.operation in operations and phase in (None, row.phase)
        )

    def counts(self, *operations: str) -> dict[str, int]:
        """All counters, and n."""
        return {name: self.count(name, *operations) for name in ("n", *_COUNTS)}

    def histogram(self, operation: str, which: str = "latency", phase: str | None = None) -> Histogram:
        """The distribution of ``latency`` or ``service``."""
        whole = Histogram()
        for row in self._run.series:
            if row.operation == operation and phase in (None, row.phase):
                whole.merge(getattr(row, which))
        return whole

    def mean_ms(self, operation: str, which: str, phase: str = "measure") -> float:
        """Exact mean in milliseconds."""
        histogram = self.histogram(operation, which, phase)
        assert histogram.n, f"no {operation} in {phase}"
        return histogram.sum_ns / histogram.n / 1e6


def repeated(
    measure: Callable[[], _T], check: Callable[[_T], None], runs_of: Callable[[_T], list[Any]]
) -> _T:
    """Measure and check; at most twice more, and only if the generator itself was not fit to measure."""
    for left in (2, 1, 0):
        measured = measure()
        try:
            check(measured)
            return measured
        except AssertionError:
            unfit = [one for one in runs_of(measured) if judge(one.run).state != VALID]
            if not left or not unfit:
                raise
    raise AssertionError("unreachable")
