"""How does a series fall into seconds, so that what shares its fate can be resampled together?

What was due within one stall of a server was late together: thirty deliveries of that moment say hardly more
than one. So a series is kept by the second, and seconds are taken or left as blocks. Counts add up, hence so do
windows: a block is the exact sum of its seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from loadtest.measure.histogram import BUCKETS, Counts, IntArray, upper_edge
from loadtest.measure.rows import SeriesRow

FloatArray = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64] | FloatArray
BLOCK_S = 5
"""Seconds that a block has at least: the stalls of a server are shorter, so that blocks are nearly independent."""
LATENCY, SERVICE = "latency", "service"


class Windows(msgspec.Struct, frozen=True, eq=False):
    """A series of W windows, and the B buckets that something fell into, ascending.

    edges_ns: (B,) upper edges, capped at the exact maximum of the whole. counts: (W, B) what came. sums_ns: (W,)
    exact sums of that. missing: (W,) what was late or lost: expected, and ranks above all that came.
    """

    edges_ns: IntArray
    counts: IntArray
    sums_ns: IntArray
    missing: IntArray

    @property
    def n(self) -> int:
        """How many came."""
        return int(self.counts.sum())

    @property
    def expected(self) -> int:
        """How many should have come."""
        return self.n + int(self.missing.sum())

    @property
    def size(self) -> int:
        """W, how many windows."""
        return len(self.counts)


def windows(rows: Iterable[SeriesRow], first: int, last: int, of: str = LATENCY) -> Windows:
    """``rows``, all of which belong to it, by the second; seconds ``first`` to ``last`` are there, empty or not.

    Rows of one second add up. One outside counts in the nearest second: a worker's clock may have begun a moment
    before the master's, and what it measured must not vanish. ``of`` "service" is the time from the real send,
    in which nothing is missing: what never came has none.
    Raises ValueError if there is no second, or nothing of that name.
    """
    if last < first:
        raise ValueError(f"no second from {first} to {last}")
    if of not in (LATENCY, SERVICE):
        raise ValueError(f"{of!r} is neither {LATENCY} nor {SERVICE}")
    size = last - first + 1
    sums_ns, missing = np.zeros(size, np.int64), np.zeros(size, np.int64)
    parts: list[tuple[int, Counts]] = []
    for row in rows:
        window = min(max(row.second, first), last) - first
        counts = row.latency if of == LATENCY else row.service
        parts.append((window, counts))
        sums_ns[window] += counts.sum_ns
        missing[window] += row.late + row.lost if of == LATENCY else 0
    edges_ns, table = _table(parts, size)
    return Windows(edges_ns, table, sums_ns, missing)


def _table(parts: list[tuple[int, Counts]], size: int) -> tuple[IntArray, IntArray]:
    """(edges, counts) of all parts, each of which belongs to a window."""
    pairs = [(window, *counts.pairs()) for window, counts in parts if counts.n]
    if not pairs:
        return np.empty(0, np.int64), np.zeros((size, 0), np.int64)
    of_window = np.repeat([window for window, _, _ in pairs], [len(buckets) for _, buckets, _ in pairs])
    used, column = np.unique(np.concatenate([buckets for _, buckets, _ in pairs]), return_inverse=True)
    table = np.zeros((size, len(used)), np.int64)
    np.add.at(table, (of_window, column), np.concatenate([counts for _, _, counts in pairs]))
    max_ns = max(counts.max_ns for _, counts in parts if counts.n)
    # The top bucket has no upper edge: what lies beyond it counts there too, and reads as the exact maximum.
    edges = [max_ns if bucket == BUCKETS - 1 else min(upper_edge(bucket), max_ns) for bucket in used.tolist()]
    return np.array(edges, np.int64), table


def block_starts(size: int, seconds: int = BLOCK_S) -> IntArray:
    """Where the blocks of ``size`` windows begin, (K,): K = max(1, size // seconds) of nearly equal length.

    None is shorter than ``seconds``, but for a series that is shorter itself, and no second is left over: the
    first blocks are one longer, as numpy.array_split has it.
    """
    parts = np.array_split(np.arange(size), max(1, size // seconds))
    return np.array([part[0] for part in parts], np.int64)


def blocks(of: Windows, seconds: int = BLOCK_S) -> Windows:
    """The same series in contiguous blocks of at least ``seconds`` windows, nothing of it thrown away."""
    starts = block_starts(of.size, seconds)
    return Windows(
        of.edges_ns,
        np.add.reduceat(of.counts, starts, axis=0),
        np.add.reduceat(of.sums_ns, starts),
        np.add.reduceat(of.missing, starts),
    )


def at_ranks(edges_ns: IntArray, cumulated: Numbers, ranks: IntArray) -> FloatArray:
    """The ``ranks[i]``-th smallest value (ns) of the i-th row of ``cumulated`` counts, (R, B).

    Ranks count from 1. One beyond all that came is inf; rank 0 is 0.0: of a duration nothing else is known.
    """
    below = (cumulated < ranks[:, np.newaxis]).sum(axis=1)
    values: FloatArray = np.append(edges_ns.astype(np.float64), np.inf)[below]
    return np.where(ranks > 0, values, 0.0)


def quantile_ranks(n: Numbers, q: float) -> IntArray:
    """ceil(q n) of each n, at least 1: which of n values in order is the q-quantile."""
    ranks: IntArray = np.maximum(1, np.ceil(q * n - 1e-9)).astype(np.int64)
    return ranks


def of_each(of: Windows, q: float) -> FloatArray:
    """The q-quantile (ns) of what came in each window, (W,); nan where nothing came."""
    cumulated = np.cumsum(of.counts, axis=1)
    came = of.counts.sum(axis=1)
    return np.where(came > 0, at_ranks(of.edges_ns, cumulated, quantile_ranks(came, q)), np.nan)
