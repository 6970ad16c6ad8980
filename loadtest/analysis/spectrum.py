"""How slow is a delivery at every percentile, and up to which one does the sample carry the answer?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest.analysis.figures import largest_supported
from loadtest.analysis.series import Series
from loadtest.measure.histogram import upper_edge
from loadtest.measure.units import MS

FloatArray = npt.NDArray[np.float64]
POINTS = 250
LOWER = 100
"""How many of the points lie below the median, where the axis of 1 / (1 - q) is densest."""


class Spectrum(NamedTuple):
    """Latency (ms) over 1 / (1 - q), both of shape (k,), ascending; k <= POINTS.

    supported: 1 / (1 - q) of the largest q with a one-sided 95 % bound. missing: whether some never came, so
    that the curve ends before its axis does.
    """

    inverse: FloatArray
    latency_ms: FloatArray
    supported: float
    missing: bool


def spectrum(series: Series) -> Spectrum:
    """The spectrum over expected deliveries; empty arrays if nothing came."""
    expected, came = series.expected, series.latency.n
    supported = 1 / (1 - largest_supported(expected))
    if not came:
        return Spectrum(np.empty(0), np.empty(0), supported, expected > 0)
    ranks = _ranks(expected, came)
    buckets, counts = series.latency.counts().pairs()
    edges = np.minimum([upper_edge(bucket) for bucket in buckets.tolist()], series.latency.max_ns)
    which = np.searchsorted(np.cumsum(counts), ranks)
    # The r-th of n stands at q = (r - 1/2) / n: the largest is not the 100th percentile.
    inverse = expected / (expected - ranks + 0.5)
    return Spectrum(inverse, edges[which] / MS, supported, expected > came)


def _ranks(expected: int, came: int) -> FloatArray:
    """Ranks 1..came: the lower ones evenly spread over q, the higher ones on the axis of 1 / (1 - q)."""
    last = max(expected / (expected - came + 0.5), 2.0)
    q = np.concatenate((np.linspace(0, 0.5, LOWER), 1 - 1 / np.geomspace(2, last, POINTS - LOWER - 1)))
    ranks = np.unique(np.clip(np.ceil(expected * q), 1, came))
    return np.unique(np.append(ranks, came)).astype(np.float64)
