"""What do several trials say together?

The unit is the trial: a fresh server, a fresh generator, a number that came of it. Samples of one run are no
replicates of each other; a server settles into another state each time it is started.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from loadtest.analysis.intervals import Interval, ranks
from loadtest.analysis.windows import FloatArray

_TWO_SIDED, _ONE_SIDED = 40, 20
"""One in so many is left on a side: 2.5 %, 5 %. As whole numbers, because the distribution is counted in them."""
_POWER = 2.8
"""Standard errors that an effect must be away from none to be seen in 80 % of experiments: 1.96 + 0.84."""
_RANKS = 1.25
"""Ranks of a handful of trials see that much less than the normal theory of their means."""


class Effect(NamedTuple):
    """How b differs from a. low, high: two-sided 95 %; low_one_sided, high_one_sided: 95 % each by itself.

    p: that of Mann and Whitney's exact two-sided test of no difference.
    """

    estimate: float
    low: float
    high: float
    low_one_sided: float
    high_one_sided: float
    p: float


def median_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % interval of the median of trials, from their order alone.

    None for fewer than six: of five, the smallest and the largest enclose it with 93.75 % only.
    """
    low, high = ranks(len(values), 0.5) if values else (0, 1)
    ordered = sorted(values)
    return (ordered[low - 1], ordered[high - 1]) if low >= 1 else None


def ratio(a: Sequence[float], b: Sequence[float]) -> Effect:
    """How many times ``a`` is ``b``: median of all ratios b_j / a_i, with its exact interval.

    J. L. Hodges and E. L. Lehmann, Annals of Mathematical Statistics 34 (1963), 598-611, on logarithms. An end
    that so few trials do not have is 0 or inf. Raises ValueError unless all values are finite and above zero.
    """
    if not all(value > 0 for value in (*a, *b)):
        raise ValueError("a ratio needs values above zero")
    logs = difference(np.log(a).tolist(), np.log(b).tolist())
    return Effect._make([*map(math.exp, logs[:-1]), logs.p])


def difference(a: Sequence[float], b: Sequence[float]) -> Effect:
    """By how much ``b`` is above ``a``: median of all b_j - a_i, with its exact interval; for what may be 0.

    An end that so few trials do not have is -inf or inf. The interval is exact for values without ties. Ties, such
    as shares that are 0 in many trials, make it hold more often than it says, never less (J. W. Pratt and J. D.
    Gibbons, "Concepts of Nonparametric Theory", 1981); p is then approximate.
    Raises ValueError unless either has a value and all are finite.
    """
    if not a or not b or not all(math.isfinite(value) for value in (*a, *b)):
        raise ValueError(f"{len(a)} and {len(b)} trials: each side needs one at least, and finite values")
    from scipy.stats import mannwhitneyu  # takes half a second to import

    pairs: FloatArray = np.sort(np.subtract.outer(np.asarray(b, float), np.asarray(a, float)), axis=None)
    p = float(mannwhitneyu(a, b, alternative="two-sided", method="exact").pvalue)
    two_sided = _ends(pairs, len(a), len(b), _TWO_SIDED)
    return Effect(float(np.median(pairs)), *two_sided, *_ends(pairs, len(a), len(b), _ONE_SIDED), p)


def _ends(pairs: FloatArray, n: int, m: int, one_in: int) -> Interval:
    """The k-th smallest and the k-th largest of all pairs, k by the null distribution of U."""
    k = _pairs_outside(n, m, one_in)
    return (float(pairs[k - 1]), float(pairs[-k])) if k else (-math.inf, math.inf)


@lru_cache(maxsize=256)
def _pairs_outside(n: int, m: int, one_in: int) -> int:
    """How many values u of U have P(U <= u) <= 1 / one_in, if a and b are alike; exact."""
    count = reached = 0
    for of_u in _arrangements(n, m):
        reached += of_u
        if reached * one_in > math.comb(n + m, n):
            break
        count += 1
    return count


def _arrangements(n: int, m: int) -> list[int]:
    """In how many orders of n and m values U = 0 .. n m: the coefficients of the Gaussian binomial.

    That is the product over i = 1 .. n of (1 - x**(m + i)) / (1 - x**i), up to x**(n m). scipy has it in no
    public place, and an interval needs the distribution, not a p.
    """
    size = n * m + 1
    counts = [1] + [0] * (size - 1)
    for i in range(1, n + 1):
        for power in range(size - 1, m + i - 1, -1):
            counts[power] -= counts[power - m - i]
        for power in range(i, size):
            counts[power] += counts[power - i]
    return counts


def variation(a: Sequence[float], b: Sequence[float]) -> float:
    """By how much of their mean trials of one kind differ: both coefficients of variation, pooled.

    Raises ValueError if no kind has two trials, or one with several has a mean of 0.
    """
    several = [np.asarray(values, float) for values in (a, b) if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if not freedom or any(values.mean() == 0 for values in several):
        raise ValueError("how much trials vary needs two of a kind, and a mean that is not 0")
    squares = sum(float(((values / values.mean() - 1) ** 2).sum()) for values in several)
    return math.sqrt(squares / freedom)


def detectable(cv: float, n: int) -> float:
    """The least change, as a part of the value, that ``n`` trials a side show in 80 % of experiments.

    1.25 · 2.8 · cv · √(2 / n): the textbook's, and a quarter more for ranks of few. For n >= 4; two-sided, three
    trials a side can show nothing. Raises ValueError if n is not above zero.
    """
    if n < 1:
        raise ValueError(f"{n} trials show nothing")
    return _RANKS * _POWER * cv * math.sqrt(2 / n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p as it is worth among so many, in the order given.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
    (1979), 65-70: the i-th smallest of m times m - i + 1, none below one before it.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - done)))
        adjusted[index] = least
    return adjusted


def blocks(effect: Effect, tolerance: float = 0.05) -> bool:
    """Whether a ratio of builds is a regression: surely above 1, and by more than is tolerated.

    With a tolerance of 0.05 and trials that vary by 5 %, five a side block a change of 0, 5, 10, 20 % in about
    3, 35, 82, 100 of 100 comparisons; seven in 3, 42, 92, 100; three in 3, 23, 58, 96.
    """
    return effect.low_one_sided > 1 and effect.estimate > 1 + tolerance
