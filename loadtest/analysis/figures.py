"""Which statistics of a distribution can be given honestly, and why not the others?

Percentiles are taken over *expected* ones: what never came ranks above everything that did, so a server
that loses its slowest messages does not look faster for it. A percentile among the missing is not reached.
One of a sample too small for any upper confidence bound is not given either: with n values the largest lies
above the q-quantile with probability 1 - q**n, so a one-sided 95 % bound exists once q**n <= 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec

from loadtest.measure.histogram import Histogram, upper_edge
from loadtest.measure.units import ms

_Number = TypeVar("_Number", int, float)

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
NEEDED = {"p50": 1, "p95": 59, "p99": 299, "p999": 2995}
"""Values needed for a percentile: ceil(ln 0.05 / ln q); the median is given of any sample."""

STATISTICS = ("mean", "p50", "p95", "p99", "p999", "max")


class Figures(msgspec.Struct, frozen=True):
    """Milliseconds; None is what cannot be given, its reason stands in the ``why`` beside."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None


class Lag(msgspec.Struct, frozen=True):
    """Three figures of a delay of the generator's own, in milliseconds."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class Words(NamedTuple):
    """How reasons speak of what was measured: what none came of, what came, what did not."""

    none_expected: str = "nothing was expected"
    none_came: str = "nothing was delivered"
    came: str = "delivered"
    missing: str = "late or lost"
    among: str = "with the late and lost"


DELIVERIES = Words()


def figures(histogram: Histogram, expected: int, words: Words = DELIVERIES) -> tuple[Figures, dict[str, str]]:
    """(figures, why) of what was delivered, out of ``expected`` >= histogram.n."""
    histogram.fold()
    came = histogram.n
    missing = expected - came
    why: dict[str, str] = {}
    values: dict[str, float | None] = {}
    for name, q in QUANTILES.items():
        reason = _reason_against(name, histogram, expected, words)
        if reason:
            values[name], why[name] = None, reason
        else:
            values[name] = _ms(histogram.quantile(q, of=expected))
    for name in ("mean", "max"):
        if not came:
            why[name] = words.none_came if expected else words.none_expected
        elif missing:
            why[name] = f"of the {came} {words.came}; {missing} {words.missing} have none"
    mean = None if histogram.mean_ns is None else ms(histogram.mean_ns)
    return Figures(mean=mean, max=ms(histogram.max_ns) if came else None, **values), why


def _reason_against(name: str, histogram: Histogram, expected: int, words: Words) -> str | None:
    if not expected:
        return words.none_expected
    missing = expected - histogram.n
    if expected < NEEDED[name]:
        among = f" {words.among}" if missing else ""
        return f"n={expected}{among}, {NEEDED[name]} needed"
    if histogram.quantile(QUANTILES[name], of=expected) is None:
        return f"not reached: {say_share(missing / expected)} {words.missing}"
    return None


def figures_of(
    values_ns: Iterable[int], expected: int | None = None, words: Words = DELIVERIES
) -> tuple[Figures, dict[str, str]]:
    """The same of single values (ns); ``expected``: as many as there are, unless said otherwise."""
    histogram = Histogram()
    for value in values_ns:
        histogram.record(value)
    return figures(histogram, histogram.n if expected is None else expected, words)


def prefixed(why: dict[str, str], prefix: str) -> dict[str, str]:
    """The reasons of one part, for a ``why`` that several parts share: ``rejoin_ms.p99``."""
    return {f"{prefix}.{name}": text for name, text in why.items()}


def nearest_rank(values: Iterable[_Number], q: float) -> _Number:
    """The ceil(q n)-th smallest of ``values``, which must not be empty."""
    ordered = sorted(values)
    return ordered[rank(q, len(ordered)) - 1]


def rank(q: float, n: int) -> int:
    """ceil(q n), at least 1: which of n values in order is the q-quantile."""
    return max(1, math.ceil(q * n - 1e-9))


def count_above(histogram: Histogram, limit_ns: float) -> int:
    """How many values lie above ``limit_ns``, each taken at its bucket's upper edge."""
    buckets, counts = histogram.counts().pairs()
    above: int = sum(
        count
        for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True)
        if min(upper_edge(bucket), histogram.max_ns) > limit_ns
    )
    return above


def say_share(share: float) -> str:
    """``1.4 %``, and never ``0.0 %`` or ``100.0 %`` for what is not quite that."""
    percent = share * 100
    if share in (0.0, 1.0):
        return f"{percent:.0f} %"
    for digits in (1, 2, 3, 4):
        said = f"{percent:.{digits}f}"
        if 0 < float(said) < 100:
            return f"{said} %"
    return "under 0.0001 %" if share < 0.5 else "over 99.9999 %"


def largest_supported(n: int) -> float:
    """The largest q whose one-sided 95 % bound exists with ``n`` values: q**n = 0.05."""
    return math.exp(math.log(0.05) / n) if n else 0.0


def lag(histogram: Histogram) -> Lag:
    """Figures of a delay of our own: nothing is expected there but what was seen."""
    histogram.fold()
    if not histogram.n:
        return Lag()
    return Lag(_ms(histogram.quantile(0.5)), _ms(histogram.quantile(0.99)), ms(histogram.max_ns))


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ms(ns)
