"""How are many latencies kept in little room, so that parts add up to exactly the whole?

A log-linear histogram of integer nanoseconds: 128 linear sub-buckets per octave (7 bits), so a bucket is
at most 1/128 = 0.79 % wide, and every value below 256 ns is exact. Two histograms are merged by adding
counts; addition of integers is associative and commutative, so what k processes recorded equals what one
would have recorded, bit for bit. The convention (nearest rank, reported as the bucket's upper edge capped
at the exact maximum) is HdrHistogram's: never below the true value, never above it by more than 0.79 %.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

SUB_BITS = 7
_SUB = 1 << SUB_BITS
_EXACT = _SUB << 1
TOP_NS = (1 << 40) - 1
"""Largest value told apart: 1 100 s. Larger ones count in the top bucket and read as the exact maximum."""
BUCKETS = (40 - SUB_BITS + 1) * _SUB

IntArray = npt.NDArray[np.int64]
_BUCKET = np.dtype("<u2")
_COUNT = np.dtype("<u4")


def bucket_of(values: IntArray) -> IntArray:
    """Bucket index of each value in ``values`` (ns, 0 <= v <= TOP_NS); shape is kept."""
    _, exponent = np.frexp(values.astype(np.float64))
    shift = np.maximum(exponent - (SUB_BITS + 1), 0).astype(np.int64)
    buckets: IntArray = (shift << SUB_BITS) + (values >> shift)
    return buckets


def upper_edge(bucket: int) -> int:
    """Largest value (ns) that falls into ``bucket``."""
    if bucket < _EXACT:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return ((bucket - (shift << SUB_BITS) + 1) << shift) - 1


class Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A histogram as it is kept, written and sent; equal histograms are equal values.

    ``buckets`` are the bucket numbers that hold something, ascending, as little-endian unsigned 16-bit
    integers; ``counts`` how much each holds, as unsigned 32-bit ones (base64 in JSON). The sums beside are
    exact. ``min_ns`` and ``max_ns`` mean nothing while ``n`` is 0. ``negative`` counts values below zero:
    they are in ``n`` and in bucket 0, and a single one says that the clocks were not one clock.
    """

    n: int = 0
    sum_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    negative: int = 0
    buckets: bytes = b""
    counts: bytes = b""

    def pairs(self) -> tuple[IntArray, IntArray]:
        """(buckets, counts), each of shape (k,)."""
        return (
            np.frombuffer(self.buckets, _BUCKET).astype(np.int64),
            np.frombuffer(self.counts, _COUNT).astype(np.int64),
        )

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        if not self.n or not other.n:
            return self if self.n else other
        mine, others = self.pairs(), other.pairs()
        # As doubles, which are exact up to 2**53.
        of_each = np.bincount(
            np.concatenate((mine[0], others[0])), weights=np.concatenate((mine[1], others[1]))
        )
        buckets = np.flatnonzero(of_each)
        return Counts(
            self.n + other.n,
            self.sum_ns + other.sum_ns,
            min(self.min_ns, other.min_ns),
            max(self.max_ns, other.max_ns),
            self.negative + other.negative,
            buckets.astype(_BUCKET).tobytes(),
            of_each[buckets].astype(_COUNT).tobytes(),
        )


class Histogram:
    """Distribution of nanoseconds; ``record`` is a bound ``array.append`` and costs what that costs.

    Values are binned in blocks by numpy when somebody looks, or when ``fold`` is called.
    """

    __slots__ = ("_buffer", "_cells", "_max_ns", "_min_ns", "_n", "_negative", "_sum_ns", "record")

    def __init__(self) -> None:
        self._buffer = array("q")
        self.record = self._buffer.append
        self._cells: dict[int, int] = {}
        self._n = 0
        self._sum_ns = 0
        self._min_ns = 0
        self._max_ns = 0
        self._negative = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was recorded since the start or the last ``take``."""
        return not self._buffer and not self._n

    @property
    def n(self) -> int:
        """How many values."""
        self.fold()
        return self._n

    @property
    def sum_ns(self) -> int:
        """Exact sum."""
        self.fold()
        return self._sum_ns

    @property
    def min_ns(self) -> int:
        """Exact minimum, 0 when empty."""
        self.fold()
        return self._min_ns

    @property
    def max_ns(self) -> int:
        """Exact maximum, 0 when empty."""
        self.fold()
        return self._max_ns

    @property
    def negative(self) -> int:
        """How many values lay below zero."""
        self.fold()
        return self._negative

    def fold(self) -> None:
        """Bin what was recorded since the last fold."""
        if not self._buffer:
            return
        buckets, counts = self._binned()
        self._add(zip(buckets.tolist(), counts.tolist(), strict=True))

    def _binned(self) -> tuple[IntArray, IntArray]:
        """(buckets, counts) of what was recorded since the last fold; its sums are noted."""
        # A copy: a view would pin the array against appending, a new array would strand the bound `record`.
        values = np.array(self._buffer, np.int64)
        del self._buffer[:]
        low, high = int(values.min()), int(values.max())
        self._note(values.size, int(values.sum()), low, high, int((values < 0).sum()) if low < 0 else 0)
        if low < 0 or high > TOP_NS:
            values = np.clip(values, 0, TOP_NS)
        # Quicker than a sort: there are a few thousand buckets, however many values.
        of_each = np.bincount(bucket_of(values))
        buckets: IntArray = np.flatnonzero(of_each)
        return buckets, of_each[buckets]

    def _note(self, n: int, total: int, low: int, high: int, negative: int) -> None:
        self._min_ns = min(self._min_ns, low) if self._n else low
        self._max_ns = max(self._max_ns, high) if self._n else high
        self._n += n
        self._sum_ns += total
        self._negative += negative

    def _add(self, pairs: Iterable[tuple[int, int]]) -> None:
        cells = self._cells
        for bucket, count in pairs:
            cells[bucket] = cells.get(bucket, 0) + count

    def merge(self, other: Histogram | Counts) -> None:
        """Add all of ``other`` to this one."""
        counts = other.counts() if isinstance(other, Histogram) else other
        if not counts.n:
            return
        self.fold()
        self._note(counts.n, counts.sum_ns, counts.min_ns, counts.max_ns, counts.negative)
        buckets, of_each = counts.pairs()
        self._add(zip(buckets.tolist(), of_each.tolist(), strict=True))

    def counts(self) -> Counts:
        """The whole as data: sorted, so that equal histograms are equal values."""
        self.fold()
        buckets = sorted(self._cells)
        return self._data(buckets, [self._cells[bucket] for bucket in buckets])

    def _data(self, buckets: npt.ArrayLike, counts: npt.ArrayLike) -> Counts:
        return Counts(
            self._n,
            self._sum_ns,
            self._min_ns,
            self._max_ns,
            self._negative,
            np.asarray(buckets, _BUCKET).tobytes(),
            np.asarray(counts, _COUNT).tobytes(),
        )

    def take(self) -> Counts:
        """``counts()``, and start again from nothing; ``record`` stays valid."""
        # Once a second, for every one of them: where there are no cells yet, none are made.
        fresh = self._buffer and not self._n
        taken = self._data(*self._binned()) if fresh else self.counts()
        self._cells = {}
        self._n = self._sum_ns = self._min_ns = self._max_ns = self._negative = 0
        return taken

    def at_rank(self, rank: int) -> int:
        """Upper edge (ns) of the bucket that holds the ``rank``-th smallest value, 1 <= rank <= n."""
        self.fold()
        if not 1 <= rank <= self._n:
            raise ValueError(f"rank {rank} of {self._n} values")
        seen = 0
        for bucket in sorted(self._cells):
            seen += self._cells[bucket]
            if seen >= rank:
                break
        # The top bucket has no upper edge: what lies beyond TOP_NS counts there too.
        return self._max_ns if bucket == BUCKETS - 1 else min(upper_edge(bucket), self._max_ns)

    def quantile(self, q: float, of: int | None = None) -> int | None:
        """Nearest-rank quantile (ns): the ceil(q * of)-th smallest value.

        ``of`` (default n) is the number of values *expected*: those that never came rank above all others,
        and a quantile that falls among them is None, not reached.
        """
        self.fold()
        rank = max(1, math.ceil(q * (self._n if of is None else of) - 1e-9))
        return self.at_rank(rank) if rank <= self._n else None

    @property
    def mean_ns(self) -> float | None:
        """Exact mean (ns), None when empty."""
        self.fold()
        return self._sum_ns / self._n if self._n else None

    def dense(self) -> IntArray:
        """Counts of all BUCKETS buckets, for arithmetic with numpy."""
        self.fold()
        out = np.zeros(BUCKETS, np.int64)
        if self._cells:
            out[list(self._cells)] = list(self._cells.values())
        return out


def merged(parts: Iterable[Histogram | Counts]) -> Histogram:
    """The histogram of everything in ``parts``; of thousands, in one pass instead of one each."""
    counts = [part.counts() if isinstance(part, Histogram) else part for part in parts]
    some = [one for one in counts if one.n]
    whole = Histogram()
    for one in some:
        whole._note(one.n, one.sum_ns, one.min_ns, one.max_ns, one.negative)
    buckets = np.frombuffer(b"".join(one.buckets for one in some), _BUCKET)
    of_each = np.frombuffer(b"".join(one.counts for one in some), _COUNT).astype(np.int64)
    cells = np.zeros(BUCKETS, np.int64)
    np.add.at(cells, buckets, of_each)
    held = np.flatnonzero(cells)
    whole._add(zip(held.tolist(), cells[held].tolist(), strict=True))
    return whole
