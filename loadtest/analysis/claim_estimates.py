"""What does a statistic of a claim come to, how sure is that, and how surely is it on its side of the limit?

Every estimate has a 95 % interval and a p. The interval decides on which side of the limit it lies; p, the
two-sided probability of being so far on that side by chance, is what Holm's rule needs when a claim has several
parts. What was counted and not sampled, such as how many attempts a client made, has an interval without width
and a p of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy import special

from loadtest.analysis.figures import say_share
from loadtest.analysis.intervals import clopper_pearson, needed_for_share, rule_of_three
from loadtest.analysis.trials import median_interval
from loadtest.analysis.verdict import COUNT, FAIL, INCONCLUSIVE, PASS, SHARE
from loadtest.analysis.windows import FloatArray
from loadtest.measure.run import Run

AT_MOST, AT_LEAST, EXACTLY = "<=", ">=", "=="


class Asked(NamedTuple):
    """What one part of a claim asks: see contract/claims.toml."""

    statistic: str
    arms: tuple[str, ...]
    compare: str
    limit: float
    against: str | None = None
    of: str | None = None
    attempt: int | None = None


class Each(NamedTuple):
    """What one run says: a column of the table of trials, its value there (None: none), and its unit."""

    run: str
    column: str
    value: float | None
    unit: str


class Estimate(NamedTuple):
    """value: None if there is none, or if it lies among what never came. low, high: -inf and inf are no bounds.

    p: two-sided, of lying that far from the limit by chance. detail: counts behind it, in words. why: what
    keeps it from deciding, or what to know; needed: what would decide it.
    """

    value: float | None
    low: float
    high: float
    p: float
    unit: str
    each: tuple[Each, ...] = ()
    detail: str = ""
    why: str = ""
    needed: str = ""


Arms = Mapping[str, Sequence[Run]]
"""Runs that may be believed, by arm, in the order of their seeds."""


def side(compare: str, limit: float, low: float, high: float) -> str:
    """pass, fail, or inconclusive if the interval lies on both sides of the limit."""
    if compare == EXACTLY:
        if low == high == limit:
            return PASS
        return FAIL if limit < low or limit > high else INCONCLUSIVE
    good, bad = (high <= limit, low > limit) if compare == AT_MOST else (low >= limit, high < limit)
    return PASS if good else FAIL if bad else INCONCLUSIVE


def nothing(unit: str, why: str, each: Sequence[Each] = (), needed: str = "") -> Estimate:
    """An estimate of which nothing follows."""
    return Estimate(None, -math.inf, math.inf, 1.0, unit, tuple(each), why=why, needed=needed)


def counted(value: float, unit: str = COUNT, each: Sequence[Each] = (), detail: str = "") -> Estimate:
    """What was seen, all of it."""
    return Estimate(value, value, value, 0.0, unit, tuple(each), detail)


def share(asked: Asked, hits: int, n: int, of: str, each: Sequence[Each] = ()) -> Estimate:
    """The share of ``hits`` among ``n`` independent ones, with Clopper and Pearson's exact interval.

    of: what they are, such as ``drops``. p is the exact binomial test's.
    """
    if not n:
        return nothing(SHARE, f"there were no {of}", each)
    low, high = clopper_pearson(hits, n)
    p = two_sided(float(special.bdtr(hits, n, asked.limit)), _at_least(hits, n, asked.limit))
    detail = f"{hits:,} of {n:,} {of}"
    if hits in (0, n):
        others = "fewer than" if hits == 0 else "more than"
        edge = rule_of_three(n) if hits == 0 else 1 - rule_of_three(n)
        detail += f"; {others} {say_share(edge)} with 95 % (3 / n)"
    return Estimate(hits / n, low, high, p, SHARE, tuple(each), detail, needed=_more_of(asked, hits, n, of))


def _at_least(hits: int, n: int, p: float) -> float:
    """P(B >= hits) with B ~ Bin(n, p)."""
    return 1.0 if hits == 0 else float(special.bdtrc(hits - 1, n, p))


def _more_of(asked: Asked, hits: int, n: int, of: str) -> str:
    allowed = asked.limit if asked.compare == AT_MOST else 1 - asked.limit
    bad = hits if asked.compare == AT_MOST else n - hits
    if bad or not 0 < allowed <= 1:
        return f"more {of} than {n:,} would decide it"
    needed = needed_for_share(allowed)
    if n >= needed:
        return f"{n:,} {of} are enough for this part alone; to be as sure of all parts together takes more"
    return f"{needed:,} {of} without a bad one would confirm it; there were {n:,}"


def two_sided(below: float, above: float) -> float:
    """p of a two-sided test from those of its two sides."""
    return min(1.0, 2 * min(below, above))


def of_trials(asked: Asked, values: Sequence[float], unit: str, each: Sequence[Each] = ()) -> Estimate | None:
    """The median of trials; None for fewer than six, whose order bounds no median.

    The interval is that of their order, which takes no shape for granted, and needs no more than that. Six
    trials can never have less than 1/32 by their order alone, so p is that of Student's test on their
    logarithms.
    """
    between = median_interval(values)
    if between is None:
        return None
    middle = median(values)
    value = middle if math.isfinite(middle) else None
    return Estimate(
        value, *between, _of_logs(values, asked.limit), unit, tuple(each), f"{len(values)} trials"
    )


def _of_logs(values: Sequence[float], limit: float) -> float:
    if not all(0 < value < math.inf for value in (*values, limit)):
        above = sum(value > limit for value in values)
        return two_sided(float(special.bdtr(above, len(values), 0.5)), _at_least(above, len(values), 0.5))
    logs: FloatArray = np.log(values) - math.log(limit)
    spread = float(logs.std(ddof=1))
    if spread <= 1e-12:  # as good as equal: there is nothing to test
        return 0.0 if abs(float(logs.mean())) > 1e-12 else 1.0
    t = float(logs.mean()) / (spread / math.sqrt(len(logs)))
    return float(2 * special.stdtr(len(logs) - 1, -abs(t)))


def all_together(asked: Asked, single: Sequence[Estimate], each: Sequence[Each] = ()) -> Estimate:
    """Of few trials, each with an interval of its own: the widest span, and the largest p.

    What a restart would change is not in the interval of one run; to say less than each of them would be too
    much.
    """
    unsure = [one for one in single if one.why]
    if not single or unsure:
        return nothing(
            single[0].unit if single else "", unsure[0].why if unsure else "there is no trial", each
        )
    values = [math.inf if one.value is None else one.value for one in single]
    low, high = min(one.low for one in single), max(one.high for one in single)
    sides = {side(asked.compare, asked.limit, one.low, one.high) for one in single}
    middle = median(values)
    return Estimate(
        middle if math.isfinite(middle) else None,
        low,
        high,
        max(one.p for one in single) if len(sides) == 1 else 1.0,
        single[0].unit,
        tuple(each),
        "one trial" if len(single) == 1 else f"{len(single)} trials, the span of their own intervals",
        needed=next((one.needed for one in single if one.needed), "")
        or f"six trials in place of {len(single)}, or longer ones, would decide it",
    )


def drawn(draws: FloatArray, limit: float) -> tuple[float, float]:
    """(p of being below the limit, p of being above) by resampled values; never quite 0, there are but so many.

    A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, 4.2: (1 + those beyond) /
    (1 + all).
    """
    return (1 + int((draws >= limit).sum())) / (draws.size + 1), (1 + int((draws <= limit).sum())) / (
        draws.size + 1
    )


Estimator = Callable[[Asked, Arms], Estimate]
