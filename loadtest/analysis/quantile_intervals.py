"""How sure is a percentile, a mean, a share of a run?

Two intervals are worked out, and the wider of them is given: the lower of the lower ends, the upper of the upper.
One takes the sample for what it says: so many independent values. The other takes blocks of seconds for the
independent ones and draws them again, since what was due within one stall shares its fate (H. R. Künsch, Annals
of Statistics 17 (1989), 1217-1241, has the bootstrap of blocks). Percentiles are over what was *expected*: what
never came ranks above everything that did.

No interval from within one run is right for the tail of a run with few stalls: in simulations with one stall in
20 s, over 300 s, the wider of both holds the true p99 nine times in ten and the mean eight, p99.9 three times in
four; independence alone holds p99 every other time. Hence the tiers: a percentile whose tail lies in few seconds
is said to be of few, however many samples there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from loadtest.analysis.intervals import ALPHA, TAIL, Z95, Interval, proportion, ranks
from loadtest.analysis.windows import (
    FloatArray,
    Numbers,
    Windows,
    at_ranks,
    block_starts,
    blocks,
    quantile_ranks,
)
from loadtest.measure.histogram import IntArray

RESAMPLES = 500
_SEED = 20_261_123
NONE, LOW, USABLE, GOOD = "none", "low", "usable", "good"
TAIL_SECONDS = 10
TAIL_FROM = 0.99
"""From here on the tail must lie in TAIL_SECONDS seconds. Below, as much as 5 % of a run lies above the
percentile: if that is all in few seconds, the run is short or was disturbed, which its interval shows."""


class Bounds(NamedTuple):
    """A 95 % interval, in ns or as a share.

    low: 0.0 where the sample has no lower bound. high: inf where it has no upper one. blocks: how many blocks
    were resampled; 0 if the series is too short for two, so that only independence stands behind the interval.
    """

    low: float
    high: float
    blocks: int


def quantile_interval(of: Windows, q: float, independent: int | None = None) -> Bounds:
    """The interval (ns) of the q-quantile over all expected; see ``quantile_intervals``."""
    return quantile_intervals(of, [q], independent)[0]


def quantile_intervals(of: Windows, qs: Sequence[float], independent: int | None = None) -> list[Bounds]:
    """The interval (ns) of each q-quantile over all expected, from one resampling of blocks.

    independent: how many of the expected are independent, all unless said otherwise; deliveries of one message
    share its fate, so there it is the number of messages.
    """
    expected = of.expected
    if not expected:
        return [Bounds(0.0, math.inf, 0)] * len(qs)
    units = expected if independent is None else max(1, min(independent, expected))
    cumulated = np.cumsum(of.counts.sum(axis=0))[np.newaxis, :]
    drawn = _Draws(of)
    return [
        _wider(_order_statistics(of.edges_ns, cumulated, q, expected, units), drawn.quantile(q), drawn.blocks)
        for q in qs
    ]


def _order_statistics(
    edges_ns: IntArray, cumulated: IntArray, q: float, expected: int, units: int
) -> Interval:
    """Binomial ranks among the independent ones, scaled to all; rounded outwards."""
    low, high = ranks(units, q)
    low_rank = low * expected // units
    high_rank = expected + 1 if high > units else -(-high * expected // units)
    ends = at_ranks(edges_ns, np.repeat(cumulated, 2, axis=0), np.array([low_rank, high_rank]))
    return float(ends[0]), float(ends[1])


def mean_interval(of: Windows, independent: int | None = None) -> Bounds:
    """The interval (ns) of the mean of what came: normal theory, and blocks.

    The mean of what was expected has none if anything is missing: it is infinite. independent: as of quantiles.
    """
    n = of.n
    if not n:
        return Bounds(0.0, math.inf, 0)
    counts, mean = of.counts.sum(axis=0), int(of.sums_ns.sum()) / n
    units = n if independent is None else max(1, min(independent, n))
    # Of edges, not of values: they are up to 0.8 % apart, and so is the deviation.
    spread = math.sqrt(float(counts @ (of.edges_ns - mean) ** 2) / n)
    half = Z95 * spread / math.sqrt(units)
    drawn = _Draws(of)
    return _wider((max(0.0, mean - half), mean + half if n > 1 else math.inf), drawn.mean(), drawn.blocks)


def share_interval(wrong: IntArray, owed: IntArray, independent: int | None = None) -> Bounds:
    """The interval of the share of ``wrong`` ones among those ``owed``: both (W,), by the second.

    The wider of ``proportion`` and blocks; (0, 1) where nothing was owed: any share is possible.
    independent: as of quantiles.
    """
    bad, all_of = int(wrong.sum()), int(owed.sum())
    if not all_of:
        return Bounds(0.0, 1.0, 0)
    units = all_of if independent is None else max(1, min(independent, all_of))
    # Whole where none or all were wrong, so that the exact interval is taken there.
    hits = units if bad == all_of else bad / all_of * units
    starts = block_starts(len(owed))
    drawn = None
    if len(starts) > 1:
        weights = _weights(len(starts))
        drawn = middle(
            _ratios(weights @ np.add.reduceat(wrong, starts), weights @ np.add.reduceat(owed, starts))
        )
    return _wider(proportion(hits, units), drawn, len(starts))


def draws(of: Windows, q: float | None) -> FloatArray | None:
    """The q-quantile (ns), or the mean for None, of each resampling; None for fewer than two blocks."""
    drawn = _Draws(of)
    if drawn.blocks < 2:
        return None
    return drawn.means() if q is None else drawn.quantiles(q)


class _Draws:
    """The blocks of a series, drawn RESAMPLES times."""

    def __init__(self, of: Windows) -> None:
        self._of = blocks(of)
        self.blocks = self._of.size
        if self.blocks < 2:
            return
        self._weights = _weights(self.blocks)
        # Floats, because numpy multiplies matrices of integers many times slower; exact below 2**53.
        counts = self._weights.astype(np.float64) @ self._of.counts.astype(np.float64)
        self._cumulated: FloatArray = np.cumsum(counts, axis=1)
        self._missing = self._weights @ self._of.missing

    def quantile(self, q: float) -> Interval | None:
        return None if self.blocks < 2 else middle(self.quantiles(q))

    def quantiles(self, q: float) -> FloatArray:
        expected = self._came() + self._missing
        drawn = at_ranks(self._of.edges_ns, self._cumulated, quantile_ranks(expected, q))
        # Blocks without a delivery in them have no quantile.
        return drawn[expected > 0]

    def mean(self) -> Interval | None:
        return None if self.blocks < 2 else middle(self.means())

    def means(self) -> FloatArray:
        return _ratios(self._weights @ self._of.sums_ns, self._came())

    def _came(self) -> FloatArray:
        return self._cumulated[:, -1] if self._cumulated.shape[1] else np.zeros(len(self._cumulated))


@lru_cache(maxsize=16)
def _weights(of_blocks: int) -> IntArray:
    """(RESAMPLES, K): how often each of K blocks is drawn, with replacement, K times."""
    # The old generator, because its stream is promised never to change (NEP 19): a page rendered again after an
    # upgrade of numpy shall show the same intervals.
    stream = np.random.RandomState(_SEED)
    chosen = stream.randint(0, of_blocks, (RESAMPLES, of_blocks))
    weights = np.stack([np.bincount(row, minlength=of_blocks) for row in chosen]).astype(np.int64)
    weights.flags.writeable = False
    return weights


def _ratios(above: IntArray, below: Numbers) -> FloatArray:
    ratios: FloatArray = above[below > 0] / below[below > 0]
    return ratios


def middle(drawn: FloatArray) -> Interval | None:
    """The middle 95 % of what was drawn (B. Efron, 1979); ranks, rounded outwards, since inf has no average."""
    if not drawn.size:
        return None
    low = np.quantile(drawn, TAIL, method="lower")
    return float(low), float(np.quantile(drawn, 1 - TAIL, method="higher"))


def _wider(one: Interval, other: Interval | None, of_blocks: int) -> Bounds:
    if other is None:
        return Bounds(*one, 0)
    return Bounds(min(one[0], other[0]), max(one[1], other[1]), of_blocks)


class Needed(NamedTuple):
    """How many values a percentile needs to be of a tier, or of a better one."""

    low: int
    usable: int
    good: int


def needed(q: float) -> Needed:
    """Of the q-quantile, 0 < q < 1: the first n with q**n <= .05, then 10 and 100 values above it."""
    exists = math.ceil(math.log(ALPHA) / math.log(q))
    # 10 / (1 - 0.99) is not quite 1000 in floating point.
    return Needed(exists, math.ceil(round(10 / (1 - q), 6)), math.ceil(round(100 / (1 - q), 6)))


def tier(q: float, expected: int, tail_windows: int) -> str:
    """How far the q-quantile of so many values can be relied on.

    none: the sample does not even have a one-sided bound of it. low: it can be given with its interval, and
    decides only if all of that lies on one side of a limit; also where, from TAIL_FROM on, the tail comes from
    fewer than TAIL_SECONDS seconds. usable: ten values above it. good: a hundred.
    """
    least = needed(q)
    if expected < least.low:
        return NONE
    if expected < least.usable or (q >= TAIL_FROM and tail_windows < TAIL_SECONDS):
        return LOW
    return USABLE if expected < least.good else GOOD


def tail_windows(of: Windows, q: float) -> int:
    """In how many windows lies what is at the q-quantile or above it, the missing included.

    "At", because latencies that all read the same are no burst.
    """
    expected = of.expected
    if not expected:
        return 0
    cumulated = np.cumsum(of.counts.sum(axis=0))[np.newaxis, :]
    value_ns = at_ranks(of.edges_ns, cumulated, quantile_ranks(np.array([expected]), q))[0]
    above = of.counts[:, of.edges_ns >= value_ns].sum(axis=1) + of.missing
    return int((above > 0).sum())
