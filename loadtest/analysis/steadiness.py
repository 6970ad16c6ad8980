"""Had it settled, and did it stay as it was?

One number for a whole run is only true of a run that was the same all the time. A server that is still warming
up makes it too large; a queue that grows makes it depend on nothing but when the run was ended. Both are looked
for in the p50 and the p95 of single seconds, of those deliveries that came: what does not is counted elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import special

from loadtest.analysis.theil_sen import theil_sen
from loadtest.analysis.windows import FloatArray, of_each, windows
from loadtest.measure.histogram import IntArray
from loadtest.measure.operations import MAIN
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import MS, SECOND

STEADY, DRIFTING, UNSETTLED, UNKNOWN = "steady", "drifting", "unsettled", "unknown"
ENOUGH = 5
"""Deliveries that a second must have for its p50 and p95 to be looked at."""
LEAST_S = 20
"""Such seconds that a run must have."""
TOLERANCE = 0.05
"""A change by this part of the median or less is none."""
GRAIN_MS = 0.1
"""Nor is one by this much or less: timers wake their users up that much later or earlier."""
CHANCE = 0.001
"""How often chance alone may make the begin that MSER-5 cuts as unlike the rest as it is. It cuts where the noise
happens to be: by the size of the difference alone, two steady runs in five would not have settled."""
SURE = 0.99
"""Confidence of the interval that must exclude 0 before a run is said to drift. Of two statistics of every run of
every night one would be outside 95 % now and then."""
_QUANTILES = {"p50": 0.5, "p95": 0.95}
_BATCH = 5
_FEWEST, _MOST = 10, 600


class Steadiness(msgspec.Struct, frozen=True):
    """Whether latency was the same all through the measured phase.

    state: steady; drifting: it went on changing until the end; unsettled: its begin was unlike the rest; unknown.
    cut_s: seconds of the phase until it had settled, 0 if it had from the start, None if it never did or nothing
    is known. drift_percent, drift_ci95: by how much it changed after that, in percent of its median, of the
    statistic that drifts most, of p50 if none does; an interval without 0 is not yet a drift, see SURE.
    why: one sentence without its full stop.
    """

    state: str
    cut_s: int | None = None
    drift_percent: float | None = None
    drift_ci95: tuple[float, float] | None = None
    why: str = ""


class Drift(NamedTuple):
    """How much a series changed from its first value to its last, in percent of its median."""

    percent: float
    low: float
    high: float


class Course(NamedTuple):
    """One statistic by the second.

    cut_s: as of Steadiness. shift_percent: by how much the begin lay above the rest; 0.0 if it was not unlike it.
    drift: of the rest; drifts: whether that is more than noise, and enough to matter.
    """

    what: str
    cut_s: int | None
    shift_percent: float
    drift: Drift | None
    drifts: bool


def steadiness(run: Run) -> Steadiness:
    """Of what people mostly do in a run, over all its transports; pure and seeded by nothing."""
    operation, rows = _mostly(run)
    reason = _not_known(run, rows)
    if reason:
        return Steadiness(UNKNOWN, why=reason)
    first = (run.manifest.edges.measure_ns or 0) // SECOND
    series = windows(rows, first, max(first, *(row.second for row in rows)))
    seconds = np.flatnonzero(series.counts.sum(axis=1) >= ENOUGH)
    if len(seconds) < LEAST_S:
        return Steadiness(
            UNKNOWN,
            why=f"only {len(seconds)} seconds of measure had {ENOUGH} deliveries or more, {LEAST_S} are needed",
        )
    courses = [
        _course(f"{name} of {operation}", of_each(series, q)[seconds] / MS, seconds)
        for name, q in _QUANTILES.items()
    ]
    return _judge(courses, operation)


def _mostly(run: Run) -> tuple[str, list[SeriesRow]]:
    """What people mostly do, and its rows of the measured phase."""
    rows_of: dict[str, list[SeriesRow]] = {operation.value: [] for operation in MAIN}
    for row in run.series:
        if row.phase == Phase.MEASURE and row.operation in rows_of and row.latency.n:
            rows_of[row.operation].append(row)
    return next(((name, rows) for name, rows in rows_of.items() if rows), ("", []))


def _not_known(run: Run, rows: list[SeriesRow]) -> str:
    if run.manifest.parameters.get("faults"):
        return "faults were injected: the run was meant to be disturbed"
    if run.manifest.parameters.get("stages"):
        return "the number of users changed in stages: so did the load"
    return "" if rows else "nothing was delivered in the measured phase"


def _course(what: str, values_ms: FloatArray, seconds: IntArray) -> Course:
    """``values_ms`` of these seconds of measure; both (W,)."""
    batches = np.median(_in_fives(values_ms), axis=1)
    cut = _settled(values_ms, batches)
    shift_percent = _shift(batches, len(batches) // 2 if cut is None else cut // _BATCH)
    if not shift_percent:
        cut = 0
    rest = values_ms[cut or 0 :]
    surely, level = drift(rest, SURE), float(np.median(rest))
    drifts = (
        surely is not None
        and not surely.low <= 0 <= surely.high
        and _matters(surely.percent / 100 * level, level)
    )
    cut_s = None if cut is None else int(seconds[cut]) if cut else 0
    return Course(what, cut_s, shift_percent, drift(rest), drifts)


def _settled(values: FloatArray, batches: FloatArray) -> int | None:
    """How many of the first values, a multiple of five, are unlike the rest; None if it never settled.

    MSER-5 often cuts more than that, and up to the half of what had settled long before, since its criterion is
    flat there. So its cut is taken back to where what it still cuts is like the rest.
    """
    cut, half = mser5(values), len(batches) // 2
    if cut is None and _went_on(values, half * _BATCH) and _shift(batches, half):
        return None
    most = half if cut is None else cut // _BATCH
    first = next((first for first in range(most) if not _shift(batches[first:], most - first)), most)
    return first * _BATCH


def _went_on(values: FloatArray, half: int) -> bool:
    """Whether the second half still changed, at least half as much as it would have in an even change."""
    whole, later = (_change(part) for part in (values, values[half:]))
    return whole * later > 0 and abs(later) >= abs(whole) / 4


def _change(values: FloatArray) -> float:
    found = drift(values)
    return found.percent * float(np.median(values)) if found else 0.0


def _matters(change_ms: float, level_ms: float) -> bool:
    return abs(change_ms) > max(TOLERANCE * level_ms, GRAIN_MS)


def _shift(batches: FloatArray, cut: int) -> float:
    """By how many percent the first ``cut`` batches lie above the rest; 0.0 if they may as well be like it.

    Student's test of medians of five: a single slow second is no bad start, and neighbours are alike. The spread
    is that of the rest, two batches at least; of the begin there may be one only.
    """
    begin, rest = batches[:cut], batches[cut:]
    if not len(begin):
        return 0.0
    level = float(rest.mean())
    change = float(begin.mean()) - level
    if not _matters(change, level):
        return 0.0
    error = float(rest.std(ddof=1)) * math.sqrt(1 / len(begin) + 1 / len(rest))
    by_chance = 2 * special.stdtr(len(rest) - 1, -abs(change) / error) if error else 0.0
    return 100 * change / max(level, GRAIN_MS) if by_chance < CHANCE else 0.0


def _judge(courses: list[Course], operation: str) -> Steadiness:
    cuts = [one.cut_s for one in courses]
    cut_s = None if None in cuts else max(cut for cut in cuts if cut is not None)
    drifting = [one for one in courses if one.drifts]
    shown = max(drifting, key=_size, default=courses[0])
    unlike = max(courses, key=lambda one: abs(one.shift_percent))
    if drifting:
        state, why = DRIFTING, _say_drift(shown)
    elif unlike.shift_percent:
        state, why = UNSETTLED, _say_shift(unlike)
    else:
        state, why = STEADY, f"p50 and p95 of {operation} neither drifted nor began unlike they went on"
    if shown.drift is None:
        return Steadiness(state, cut_s, why=why)
    percent, low, high = (round(one, 2) + 0.0 for one in shown.drift)  # never -0.0
    return Steadiness(state, cut_s, percent, (low, high), why)


def _size(one: Course) -> float:
    return abs(one.drift.percent) if one.drift else 0.0


def _say_drift(one: Course) -> str:
    percent, low, high = one.drift or Drift(0.0, 0.0, 0.0)
    went = "rose" if percent > 0 else "fell"
    least, most = sorted((abs(low), abs(high)))
    since = f"after the first {one.cut_s} s" if one.cut_s else "over the measured phase"
    return f"{one.what} {went} by {abs(percent):.3g} % {since} (95 % interval: {least:.3g} to {most:.3g} %)"


def _say_shift(one: Course) -> str:
    more = "higher" if one.shift_percent > 0 else "lower"
    where = "half of measure: it never settled" if one.cut_s is None else f"{one.cut_s} s of measure"
    return f"{one.what} was {abs(one.shift_percent):.3g} % {more} in the first {where}"


def mser5(values: Sequence[float] | FloatArray) -> int | None:
    """How many of the first values to leave out, a multiple of 5, so that the mean of the rest is surest.

    Batches of five, z_1 .. z_k; d of them are cut so that Var(z_d+1 .. z_k) / (k - d) is least, d <= k / 2, the
    smallest such d (K. Hoad and S. Robinson, "Implementing MSER-5 in commercial simulation software", WSC 2011).
    None if the least is found at the half, so that more would be better still: it never settled; also for fewer
    than ten values, of which there is no half to cut.
    """
    means = _in_fives(values).mean(axis=1)
    batches, half = len(means), len(means) // 2
    if not half:
        return None
    means -= np.median(means)  # so that sums of squares do not swallow the spread of a series far from 0
    left = np.arange(batches, 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum(means[::-1] ** 2)[::-1]
    criterion = np.maximum(0, squares / left - (sums / left) ** 2) / left
    cut = int(np.argmin(criterion[: half + 1]))
    return None if cut == half else cut * _BATCH


def _in_fives(values: Sequence[float] | FloatArray) -> FloatArray:
    """(k, 5); what is left over at the end is left out."""
    batches = len(values) // _BATCH
    return np.asarray(values[: batches * _BATCH], np.float64).reshape(batches, _BATCH)


def drift(values: Sequence[float] | FloatArray, confidence: float = 0.95) -> Drift | None:
    """How much a series of equally distant values changed; None for fewer than ten, or a median not above 0.

    The slope is Theil's and Sen's (P. K. Sen, JASA 63 (1968), 1379-1389), which one outlier in four does not
    move, with its interval. It is that of medians of five values, fewer for a short series: neighbours in time are
    alike, and one by one they would make a slope look surer than it is. A long series has at most 600 of them.
    """
    size = len(values)
    if size < _FEWEST:
        return None
    parts = np.array_split(np.asarray(values, np.float64), min(_MOST, max(_FEWEST, size // _BATCH)))
    lengths = np.array([len(part) for part in parts])
    middles = np.cumsum(lengths) - (lengths + 1) / 2
    level = float(np.median(np.concatenate(parts)))
    if level <= 0:
        return None
    whole = 100 * (size - 1) / level
    found = theil_sen(np.array([np.median(part) for part in parts]), middles, confidence)
    return Drift(*(whole * slope for slope in found))
