"""How much longer than the server were people out, and how much of that is their policy's doing?

Whoever loses its connection comes back with the first attempt after the server can be reached again, so the time
until it is back is a staircase over the server's outage: each step is a wait of the policy. Both are counted from
the moment at which the loss was found out, because that is when the waiting begins.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest.analysis.backoff import DOTS, Bands, bands, evenly
from loadtest.analysis.drops import losses
from loadtest.measure.faults import KINDS
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

FloatArray = npt.NDArray[np.float64]
_GRID = 300
_MOST = 1000


class Stairs(NamedTuple):
    """The earliest and the latest return that the policy allows, arrays of shape (k,) over the server's outage.

    Connecting and joining take no time here. They end at the longest outage that the policy survives.
    """

    outage_s: FloatArray
    lower_s: FloatArray
    upper_s: FloatArray


class Rejoining(NamedTuple):
    """A dot for every provoked loss that ended well, or DOTS of ``of``, evenly; the policy as ``stairs``."""

    outage_s: FloatArray
    ttj_s: FloatArray
    stairs: Stairs | None
    of: int


def ttj_vs_outage(run: Run) -> Rejoining:
    """How long the server could not be reached after each loss (0: at once), and how long until rejoined."""
    until_ns = {
        row.name: row.until_ns
        for row in run.faults
        if row.until_ns is not None and row.fault in KINDS and KINDS[row.fault].down
    }
    dots = sorted(
        (max(0, until_ns.get(one.drop.fault, 0) - one.drop.at_ns), one.restored_ns - one.drop.at_ns)
        for one in losses(run).counted
        if one.drop.fault and one.restored_ns is not None
    )
    shown = np.array([dots[index] for index in evenly(len(dots), DOTS)], np.float64).reshape(-1, 2) / SECOND
    longest_s = dots[-1][0] / SECOND if dots else 0.0
    policy = bands(run)
    return Rejoining(
        shown[:, 0], shown[:, 1], None if policy is None else stairs(policy, longest_s * 1.15), len(dots)
    )


def stairs(policy: Bands, longest_s: float) -> Stairs:
    """The staircase of a policy, up to an outage of ``longest_s``, and over its first step at least."""
    earliest, latest = _reach(policy, longest_s)
    longest_s = max(longest_s, latest[0])
    corners = [edge for edge in (*earliest, *latest) if edge <= longest_s]
    # On either side of a corner, or a step would be drawn as a slope.
    beside = [math.nextafter(edge, math.inf) for edge in corners]
    outages_s = np.unique(np.concatenate((np.linspace(0, longest_s, _GRID), corners, beside)))
    rows = [
        (outage_s, _lower(outage_s, earliest, latest), _upper(outage_s, earliest, latest, policy))
        for outage_s in outages_s.tolist()
    ]
    kept = np.array([row for row in rows if math.isfinite(row[1]) and math.isfinite(row[2])], np.float64)
    return Stairs(kept[:, 0], kept[:, 1], kept[:, 2])


def _reach(policy: Bands, longest_s: float) -> tuple[list[float], list[float]]:
    """(earliest, latest) moment of each attempt, until one comes after ``longest_s`` for certain."""
    earliest: list[float] = []
    latest: list[float] = []
    low_s = high_s = 0.0
    for attempt in range(1, _MOST):
        band = policy.of(attempt)
        if band is None:
            break
        low_s, high_s = low_s + band[0], high_s + band[1]
        earliest.append(low_s)
        latest.append(high_s)
        if low_s > longest_s:
            break
    return earliest, latest


def _lower(outage_s: float, earliest: list[float], latest: list[float]) -> float:
    """The earliest attempt that any draws can bring at or after the end of the outage."""
    at = [max(outage_s, low) for low, high in zip(earliest, latest, strict=True) if high >= outage_s]
    return min(at, default=math.inf)


def _upper(outage_s: float, earliest: list[float], latest: list[float], policy: Bands) -> float:
    """The latest: some attempt just failed before the end, and the next has its longest wait."""
    worst = -math.inf
    for failed in range(len(earliest) + 1):
        band = policy.of(failed + 1)
        if failed and earliest[failed - 1] >= outage_s:
            break
        if band is None:
            # The last attempt may come too early: only outages that all draws survive are drawn.
            return math.inf
        began_s = min(outage_s, latest[failed - 1]) if failed else 0.0
        if began_s + band[1] >= outage_s:
            worst = max(worst, began_s + band[1])
    return worst if worst >= outage_s else math.inf
