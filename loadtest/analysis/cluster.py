"""What do several servers together deliver, compared with one?

Gunther's universal scalability law: X(p) = g p / (1 + a (p - 1) + b p (p - 1)), for p servers, where a is what
they wait for one another and b what they tell one another (N. J. Gunther, "Guerrilla Capacity Planning", 2007,
chapter 4). It is fitted to throughput at *several counts of servers* only. Throughput against users is what was
offered until it breaks, and tells nothing of a and b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from loadtest.analysis.capacity_model import EXTRAPOLATED, REFUSED, Prediction, reach
from loadtest.analysis.windows import FloatArray

FEWEST = 4
"""Counts of servers that a law of three unknowns needs, if its spread is to be known too."""
_NEAR_PEAK = 0.75
"""The peak is told if so much of it was measured: from a quarter of it, it may come out as 0.6 of it."""


class Law(NamedTuple):
    """g: what one server delivers; a: contention; b: coherence. covariance: (3, 3). most: servers measured."""

    gamma: float
    alpha: float
    beta: float
    covariance: tuple[tuple[float, ...], ...]
    freedom: int
    most: int

    def at(self, servers: float) -> float:
        """Throughput of so many servers."""
        return float(_usl(np.array([servers]), self.gamma, self.alpha, self.beta)[0])

    @property
    def peak(self) -> float | None:
        """Servers beyond which more deliver less; None if there are none, or too few were measured to say."""
        if self.beta <= 0 or self.alpha >= 1:
            return None
        peak = math.sqrt((1 - self.alpha) / self.beta)
        return peak if self.most >= _NEAR_PEAK * peak else None


def _usl(servers: FloatArray, gamma: float, alpha: float, beta: float) -> FloatArray:
    over = servers - 1
    together: FloatArray = gamma * servers / (1 + alpha * over + beta * servers * over)
    return together


def parse(text: str) -> dict[int, float]:
    """``1:1000,2:1900,4:3500``: throughput by number of servers. Raises ValueError, which says what is wrong."""
    found: dict[int, float] = {}
    for part in text.split(","):
        servers, _, throughput = part.partition(":")
        try:
            count, value = int(servers), float(throughput)
        except ValueError:
            raise ValueError(f"{part!r} is no SERVERS:THROUGHPUT: write 1:1000,2:1900,4:3500") from None
        if count < 1 or not 0 < value < math.inf:
            raise ValueError(f"{part!r}: servers and throughput must be above zero")
        if count in found:
            raise ValueError(f"{count} servers stand there twice")
        found[count] = value
    if 1 not in found or len(found) < 2:
        raise ValueError(f"{text!r}: one server must be among them, and another number of servers")
    return dict(sorted(found.items()))


def fit(measured: Mapping[int, float]) -> Law | None:
    """The law through throughputs by number of servers; None for fewer than FEWEST, or if none can be found."""
    from scipy.optimize import curve_fit

    if len(measured) < FEWEST:
        return None
    servers = np.array(sorted(measured), float)
    throughput = np.array([measured[round(one)] for one in servers])
    try:
        found, covariance = curve_fit(
            _usl,
            servers,
            throughput,
            p0=(throughput[0] / servers[0], 0.05, 0.001),
            bounds=([0, 0, 0], [np.inf, 1, 1]),
            sigma=throughput,
        )
    except RuntimeError:
        return None
    gamma, alpha, beta = (float(one) for one in found)
    rows = tuple(tuple(float(one) for one in row) for row in covariance)
    return Law(gamma, alpha, beta, rows, len(servers) - 3, round(servers.max()))


def times_one(measured: Mapping[int, float], servers: int) -> Prediction:
    """How many times one server so many are: along a straight line between those measured, by the law beyond.

    Beyond, as of everything: half as many again with an interval, and no number after that; none at all without
    a law. ``measured`` has one server, and another number, in it.
    """
    counts = sorted(measured)
    if servers <= counts[-1]:
        value = float(np.interp(servers, counts, [measured[one] for one in counts])) / measured[1]
        return Prediction(reach(servers, counts[-1]), value)
    how = reach(servers, counts[-1])
    law = fit(measured) if how == EXTRAPOLATED else None
    if law is None or not all(math.isfinite(one) for row in law.covariance for one in row):
        return Prediction(REFUSED if how == EXTRAPOLATED else how)
    value = law.at(servers)
    half = _half(law, servers)
    return Prediction(
        how, value / measured[1], max(0.0, value - half) / measured[1], (value + half) / measured[1]
    )


def _half(law: Law, servers: int) -> float:
    """Half the 95 % interval of throughput there: the law's slopes by its unknowns, times how sure those are."""
    from scipy.special import stdtrit

    at, best = np.array([float(servers)]), np.array([law.gamma, law.alpha, law.beta])
    steps = np.maximum(np.abs(best), 1e-6) * 1e-4
    slopes = np.array(
        [
            (_usl(at, *(best + step))[0] - _usl(at, *(best - step))[0]) / (2 * step.sum())
            for step in np.diag(steps)
        ]
    )
    variance = float(slopes @ np.array(law.covariance) @ slopes)
    return float(stdtrit(law.freedom, 0.975)) * math.sqrt(max(0.0, variance))
