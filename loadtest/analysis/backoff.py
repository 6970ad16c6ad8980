"""Did attempts to come back begin when the policy says, number by number?"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from loadtest.analysis.drops import Loss, losses, numbered
from loadtest.analysis.figures import nearest_rank
from loadtest.analysis.generator import vitals
from loadtest.analysis.intervals import wilson
from loadtest.measure.rows import Try
from loadtest.measure.run import Run
from loadtest.measure.units import MS, SECOND

TOLERANCE_NS = 50 * MS
"""How far outside of its band a wait may lie; to it comes the p99 of the generator's own send lag."""
IN_BAND, OUT_OF_BAND, INCONCLUSIVE = "in band", "out of band", "inconclusive"
WANTED = 0.95
"""Share of waits that must lie in their band."""
ENOUGH = 100
"""Waits needed to say that it does."""
DOTS = 2000


class Attempt(msgspec.Struct, frozen=True):
    """How long the n-th attempt to come back was waited for, connecting excluded.

    in_band: share of waits within ``band_s``, a little more on either side allowed; None without a band.
    state: whether that share is WANTED, by its interval.
    """

    attempt: int
    n: int
    p50_s: float | None
    in_band: float | None
    band_s: tuple[float, float] | None = None
    in_band_ci95: tuple[float, float] | None = None
    min_s: float | None = None
    max_s: float | None = None
    state: str | None = None


class Bands(NamedTuple):
    """Shortest and longest wait (s) before each attempt; the last holds for all later ones, up to ``limit``."""

    bands_s: tuple[tuple[float, float], ...]
    limit: int | None

    def of(self, attempt: int) -> tuple[float, float] | None:
        """The band of an attempt, counted from 1; None if there is no such attempt."""
        if attempt < 1 or (self.limit is not None and attempt > self.limit):
            return None
        return self.bands_s[min(attempt, len(self.bands_s)) - 1]


class Dots(NamedTuple):
    """Attempts to draw, arrays of shape (k,), k <= DOTS, evenly sampled from ``of`` in order of time.

    late: began more than TOLERANCE_NS later than the policy said, for reasons of the generator's own.
    """

    attempt: npt.NDArray[np.int64]
    waited_s: npt.NDArray[np.float64]
    late: npt.NDArray[np.bool_]
    of: int


def bands(run: Run) -> Bands | None:
    """The policy that the run's clients followed; None if they followed none, or the run does not tell."""
    told: Any = run.manifest.parameters.get("backoff_s")
    if not told:
        return None
    each = tuple((float(low), float(high)) for low, high in told)
    # What an application documents is a list of delays: when it is through, it gives up.
    return Bands(each, len(each) if run.manifest.parameters.get("reconnect") == "documented" else None)


def backoff(run: Run, counted: list[Loss]) -> list[Attempt]:
    """A row for every number of an attempt that was made, ascending."""
    waits: dict[int, list[int]] = {}
    for number, one in _attempts(counted):
        waits.setdefault(number, []).append(one.waited_ns)
    policy = bands(run)
    lags = [one.send_lag.quantile(0.99) or 0 for one in vitals(run)] if waits else []
    tolerance_ns = TOLERANCE_NS + max(lags, default=0)
    return [
        _attempt(number, some, None if policy is None else policy.of(number), tolerance_ns)
        for number, some in sorted(waits.items())
    ]


def _attempts(counted: list[Loss]) -> list[tuple[int, Try]]:
    return [(number, one) for loss in counted for number, one in numbered(loss.drop.tries) if number]


def _attempt(
    number: int, waits_ns: list[int], band_s: tuple[float, float] | None, tolerance_ns: int
) -> Attempt:
    n = len(waits_ns)
    share = ci95 = state = None
    if band_s is not None:
        low_ns, high_ns = (edge_s * SECOND for edge_s in band_s)
        hits = sum(low_ns - tolerance_ns <= wait <= high_ns + tolerance_ns for wait in waits_ns)
        share, ci95 = round(hits / n, 6), wilson(hits, n)
        state = _state(n, ci95)
    return Attempt(
        number,
        n,
        _seconds(nearest_rank(waits_ns, 0.5)),
        share,
        band_s,
        ci95,
        _seconds(min(waits_ns)),
        _seconds(max(waits_ns)),
        state,
    )


def _state(n: int, ci95: tuple[float, float]) -> str:
    if ci95[1] < WANTED:
        return OUT_OF_BAND
    return IN_BAND if ci95[0] >= WANTED and n >= ENOUGH else INCONCLUSIVE


def attempt_dots(run: Run) -> Dots:
    """Every attempt that counts, or DOTS of them."""
    found = _attempts(losses(run).counted)
    found.sort(key=lambda pair: (pair[1].began_ns, pair[0], pair[1].waited_ns, pair[1].late_ns))
    shown = [found[index] for index in evenly(len(found), DOTS)]
    return Dots(
        np.array([number for number, _ in shown], np.int64),
        np.array([one.waited_ns / SECOND for _, one in shown], np.float64),
        np.array([one.late_ns > TOLERANCE_NS for _, one in shown], np.bool_),
        len(found),
    )


def evenly(n: int, most: int) -> list[int]:
    """Indices of at most ``most`` of ``n`` things in order, the first and the last among them."""
    if n <= most:
        return list(range(n))
    picked: list[int] = np.linspace(0, n - 1, most).round().astype(int).tolist()
    return picked


def _seconds(ns: int) -> float:
    return round(ns / SECOND, 6)
