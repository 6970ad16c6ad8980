"""How steeply does a series rise, whatever its outliers do?

The slope of H. Theil (1950) and P. K. Sen (JASA 63 (1968), 1379-1389): the median of the slopes between all pairs
of points, with Sen's interval by the distribution of Kendall's tau, corrected for ties (his formula 2.6). It is
what scipy.stats.theilslopes gives, which is the test's oracle; importing scipy.stats would make every report wait
for most of a second.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from loadtest.analysis.windows import FloatArray


class Slope(NamedTuple):
    """y per x, and both ends of its interval."""

    slope: float
    low: float
    high: float


def theil_sen(y: FloatArray, x: FloatArray, confidence: float = 0.95) -> Slope:
    """Of points (x, y), both (n,), with at least two different x. Takes n² / 2 slopes of memory.

    Raises ValueError if all x are one.
    """
    later, earlier = np.tril_indices(len(x), -1)
    over = x[later] - x[earlier]
    apart = over != 0
    if not apart.any():
        raise ValueError("no two points lie apart")
    slopes = np.sort((y[later] - y[earlier])[apart] / over[apart])
    n, pairs = len(y), len(slopes)
    variance = (n * (n - 1) * (2 * n + 5) - _ties(x) - _ties(y)) / 18
    reach = -float(ndtri((1 - confidence) / 2)) * math.sqrt(max(0.0, variance))
    low = max(round((pairs - reach) / 2) - 1, 0)
    high = min(round((pairs + reach) / 2), pairs - 1)
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


def _ties(values: FloatArray) -> int:
    """What equal values take from the variance."""
    _, times = np.unique(values, return_counts=True)
    return int((times * (times - 1) * (2 * times + 5)).sum())
