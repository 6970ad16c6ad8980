"""How far apart are two runs, as far as the runs themselves can tell?

One run of each says nothing of what a second start would change, so this is never a verdict on a build. It
says how much of a difference the noise inside the two runs explains: their blocks of five seconds are
resampled, each run's by itself, and the ratio is taken of every pair. End points of two intervals are never
divided.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loadtest.analysis.certainty import windows_of
from loadtest.analysis.figures import NEEDED, QUANTILES
from loadtest.analysis.quantile_intervals import draws, middle
from loadtest.analysis.series import total
from loadtest.analysis.windows import FloatArray, Windows
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import ms

STATISTICS = ("mean", "p50", "p95", "p99")


class Apart(NamedTuple):
    """One statistic of two runs (ms) and its ratio, after to before; None with the reason in ``why``."""

    statistic: str
    before_ms: float | None
    after_ms: float | None
    ratio: float | None
    ends: tuple[float, float] | None
    why: str = ""


def apart(before: Run, after: Run, operation: Operation) -> list[Apart]:
    """One for each of STATISTICS, of the measured phase."""
    rows = [_rows(run, operation) for run in (before, after)]
    if not all(rows):
        return [Apart(name, None, None, None, None, "not measured in both") for name in STATISTICS]
    fell = [windows_of(run, some, Phase.MEASURE) for run, some in zip((before, after), rows, strict=True)]
    return [_apart(name, rows, fell) for name in STATISTICS]


def _rows(run: Run, operation: Operation) -> list[SeriesRow]:
    return [row for row in run.series if row.operation == operation and row.phase == Phase.MEASURE]


def _apart(name: str, rows: list[list[SeriesRow]], fell: list[Windows]) -> Apart:
    q = QUANTILES.get(name)
    values = [_value(some, of, name) for some, of in zip(rows, fell, strict=True)]
    if values[0] is None or values[1] is None or not values[0]:
        return Apart(name, values[0], values[1], None, None, "not given in both")
    ratio = values[1] / values[0]
    drawn = [draws(of, q) for of in fell]
    if any(one is None or not one.size for one in drawn):
        return Apart(
            name, values[0], values[1], ratio, None, "runs of less than ten seconds have no interval"
        )
    first, second = (one for one in drawn if one is not None)
    return Apart(name, values[0], values[1], ratio, _ends(first, second))


def _value(rows: list[SeriesRow], of: Windows, name: str) -> float | None:
    whole = total(rows)
    if name == "mean":
        return None if whole.latency.mean_ns is None else ms(whole.latency.mean_ns)
    if of.expected < NEEDED[name]:
        return None
    ns = whole.latency.quantile(QUANTILES[name], of=of.expected)
    return None if ns is None else ms(ns)


def _ends(before: FloatArray, after: FloatArray) -> tuple[float, float] | None:
    """The middle 95 % of the ratios; draws are paired with the next one's, since equal lengths draw alike."""
    size = min(before.size, after.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.roll(after[:size], 1) / before[:size]
    ratios = ratios[~np.isnan(ratios)]
    ends = middle(ratios)
    return ends if ends is not None and math.isfinite(ends[0]) else None
