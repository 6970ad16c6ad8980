"""How is a histogram added to once a second, while people wait?

A Histogram sorts what it has when somebody asks; here every bucket has its place, so that adding costs some
microseconds, however much is in it, and asking a sum over all buckets.
"""

from __future__ import annotations

import math

import numpy as np

from loadtest.measure.histogram import BUCKETS, Counts, IntArray, upper_edge


class Cells:
    """A histogram that only grows."""

    __slots__ = ("counts", "max_ns", "min_ns", "n", "sum_ns")

    def __init__(self) -> None:
        self.counts: IntArray = np.zeros(BUCKETS, np.int64)
        self.n = self.sum_ns = self.min_ns = self.max_ns = 0

    def add(self, part: Counts) -> None:
        """Add a part."""
        if part.n:
            buckets, counts = part.pairs()
            self.counts[buckets] += counts
            self.min_ns = min(self.min_ns, part.min_ns) if self.n else part.min_ns
            self.n += part.n
            self.sum_ns += part.sum_ns
            self.max_ns = max(self.max_ns, part.max_ns)

    def quantile_ns(self, q: float) -> int | None:
        """Nearest rank, the upper edge of its bucket; None while there is nothing."""
        if not self.n:
            return None
        rank = max(1, math.ceil(q * self.n - 1e-9))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return self.max_ns if bucket == BUCKETS - 1 else min(upper_edge(bucket), self.max_ns)
