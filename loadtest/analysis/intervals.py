"""How sure is a share, or a rate, that was counted?

All intervals are 95 %, two-sided with 2.5 % on either side, unless a name says otherwise. They come from closed
forms in scipy.special; scipy.stats has most of them too, and takes half a second to import.
"""

from __future__ import annotations

import math

from scipy import special

ALPHA = 0.05
"""How often an interval may miss the truth."""
TAIL = ALPHA / 2
Z95 = float(special.ndtri(1 - TAIL))
"""97.5 % of a standard normal distribution lie below it: 2.5 % are left on either side."""

Interval = tuple[float, float]


def wilson(hits: int, n: int) -> Interval:
    """The 95 % score interval of ``hits`` out of ``n`` > 0 independent ones, to six digits.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    The textbook's p ± z·s has no width where all or none succeeded; this one has, and never leaves [0, 1].
    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    low, high = _score(hits, n)
    return round(low, 6), round(high, 6)


def _score(hits: float, n: float) -> Interval:
    _check(hits, n)
    share, square = hits / n, Z95 * Z95
    middle = share + square / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    scale = 1 + square / n
    low = 0.0 if hits == 0 else (middle - half) / scale
    high = 1.0 if hits == n else (middle + half) / scale
    return low, high


def clopper_pearson(hits: float, n: float) -> Interval:
    """The 95 % interval of ``hits`` out of ``n`` > 0 independent ones that holds for every true share.

    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934), 404-413. Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    _check(hits, n)
    low = float(special.betaincinv(hits, n - hits + 1, TAIL)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - TAIL)) if hits < n else 1.0
    return low, high


def proportion(hits: float, n: float) -> Interval:
    """The 95 % interval to judge a share by: Clopper and Pearson's where all or none are hits, else Wilson's.

    In the middle the exact interval is wider than it need be, and Wilson's covers its 95 % (L. D. Brown, T. T. Cai
    and A. DasGupta, Statistical Science 16 (2001), 101-133). Where none of them was bad the exact one holds for
    every true share and is the narrower too: .999 is shown by 3688 good ones, by Wilson's only by 3838.
    Fractions are allowed, for a share of so many *independent* ones.
    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    return clopper_pearson(hits, n) if hits in (0, n) else _score(hits, n)


def poisson_rate(events: int, exposure: float) -> Interval:
    """The 95 % interval of a rate: ``events`` independent ones in an ``exposure`` > 0, per unit of it.

    F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936), 437-442.
    Raises ValueError for a negative count and an exposure that is not above zero.
    """
    if events < 0 or not exposure > 0:
        raise ValueError(f"{events} events in an exposure of {exposure:g} are no rate")
    low = float(special.gammaincinv(events, TAIL)) if events else 0.0
    return low / exposure, float(special.gammaincinv(events + 1, 1 - TAIL)) / exposure


def rule_of_three(n: int) -> float:
    """The one-sided 95 % upper bound of a share of which 0 of ``n`` > 0 were seen: (1 - p)**n = 0.05, solved.

    3 / n is its well-known approximation (J. A. Hanley and A. Lippman-Hand, JAMA 249 (1983), 1743-1745), a
    little above it for every n. Raises ValueError if n is not above zero.
    """
    if n < 1:
        raise ValueError(f"0 of {n} says nothing about a share")
    return -math.expm1(math.log(ALPHA) / n)


def needed_for_share(limit: float) -> int:
    """How many without a bad one show that the share of bad ones is at most ``limit``, two-sided 95 %.

    That is the least n whose Clopper-Pearson upper bound of 0 out of n is not above it: (1 - limit)**n <= 0.025.
    Raises ValueError unless 0 < limit <= 1: no number of good ones shows that there are no bad ones.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"a share of at most {limit:g} cannot be shown by counting")
    return 1 if limit == 1 else math.ceil(math.log(TAIL) / math.log1p(-limit))


def ranks(n: int, q: float) -> tuple[int, int]:
    """Which two of ``n`` independent values in order (from 1) enclose the true q-quantile with 95 %.

    l = max{j: P(B <= j-1) <= .025} and u = min{j: P(B <= j-1) >= .975} with B ~ Bin(n, q), which holds for any
    distribution (H. A. David and H. N. Nagaraja, "Order Statistics", 2003, 7.1). A rank of 0 or of n + 1 is none
    of them: on that side the sample gives no bound.
    """
    return _binomial_quantile(TAIL, n, q), _binomial_quantile(1 - TAIL, n, q) + 1


def _binomial_quantile(p: float, n: int, q: float) -> int:
    """min{k: P(B <= k) >= p}; as scipy.stats does it, from the solution for k as a real number."""
    above = math.ceil(special.bdtrik(p, n, q))
    return above - 1 if above and special.bdtr(above - 1, n, q) >= p else above


def _check(hits: float, n: float) -> None:
    if not 0 <= hits <= n or not n:
        raise ValueError(f"{hits} of {n} is no share")
