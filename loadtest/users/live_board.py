"""What do those who watch a run know of it while it is on?

The Board hears every Delta that goes into the book, and keeps two things: sums over the whole run so far, and the
parts of its last minutes as they came. It adds up, and leaves percentiles and words to those who ask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from time import perf_counter_ns, time_ns

import numpy as np

from loadtest.measure.histogram import BUCKETS, Counts, upper_edge
from loadtest.measure.plan import Plan
from loadtest.measure.rows import COUNTERS, Delta, HealthRow, SeriesRow
from loadtest.measure.units import SECOND, ms
from loadtest.users.live_cells import Cells
from loadtest.users.live_fitness import Fitness

WINDOW_S = 300
"""Seconds that are kept one by one."""
LATELY_S = 10
"""Seconds that count as the last ones."""
QUANTILES = (0.5, 0.95, 0.99)

Series = tuple[str, str]
"""Operation and transport."""


class Sums:
    """All of one series so far, of every phase."""

    __slots__ = ("counts", "latency", "service")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.latency = Cells()
        self.service = Cells()

    def add(self, row: SeriesRow) -> None:
        """Add one second, or a part of one."""
        for name in COUNTERS:
            self.counts[name] += getattr(row, name)
        self.latency.add(row.latency)
        self.service.add(row.service)


class Second:
    """One second of the run, as far as it is known. changed: the Board's revision at which it last grew."""

    __slots__ = ("changed", "connections", "parts", "receive_lag")

    def __init__(self) -> None:
        self.parts: dict[Series, list[SeriesRow]] = {}
        self.connections: dict[str, int] = {}
        self.receive_lag: list[Counts] = []
        self.changed = 0


class Point:
    """Some seconds of one series: what came, and how late. quantiles_ms: None lies among what never came."""

    __slots__ = ("late", "lost", "n", "quantiles_ms")

    def __init__(self, parts: Sequence[SeriesRow]) -> None:
        came = [one.latency for one in parts if one.latency.n]
        self.n = sum(one.n for one in came)
        self.late = sum(one.late for one in parts)
        self.lost = sum(one.lost for one in parts)
        owed = max(self.n, self.n + self.late + self.lost)
        self.quantiles_ms = [None if one is None else ms(one) for one in quantiles_ns(came, owed)]


def quantiles_ns(parts: Sequence[Counts], owed: int) -> list[int | None]:
    """QUANTILES of ``owed`` values of which these came, as a Histogram has them, but of few in less time.

    None: among what never came, or nothing was owed.
    """
    if not parts:
        return [None] * len(QUANTILES)
    pairs = [part.pairs() for part in parts]
    buckets = np.concatenate([one for one, _ in pairs])
    order = np.argsort(buckets, kind="stable")
    below = np.cumsum(np.concatenate([counts for _, counts in pairs])[order])
    max_ns = max(part.max_ns for part in parts)
    found: list[int | None] = []
    for q in QUANTILES:
        rank = max(1, math.ceil(q * owed - 1e-9))
        if rank > below[-1]:
            found.append(None)
            continue
        bucket = int(buckets[order[np.searchsorted(below, rank)]])
        found.append(max_ns if bucket == BUCKETS - 1 else min(upper_edge(bucket), max_ns))
    return found


class Board:
    """One run, from its start until the next one. ``run``: what it is, for people."""

    def __init__(self, run: dict[str, object], plan: Plan) -> None:
        self.run = run
        self.plan = plan
        self.began_ns = time_ns()
        self.ended = False
        self.revision = 0
        self.sums: dict[Series, Sums] = {}
        self.seconds: dict[int, Second] = {}
        self.counters: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.receive_lag = Cells()
        self.health: dict[str, HealthRow] = {}
        self.fitness = Fitness()
        self._newest = 0

    def add(self, worker: str, delta: Delta) -> None:
        """Hear what goes into the book."""
        self.revision += 1
        self.counters.update(delta.counters)
        self.outcomes.update(drop.outcome for drop in delta.drops)
        for row in delta.rows:
            if isinstance(row, SeriesRow):
                series = row.operation, row.transport
                if series not in self.sums:
                    self.sums[series] = Sums()
                self.sums[series].add(row)
                self._second(row.second).parts.setdefault(series, []).append(row)
            elif isinstance(row, HealthRow):
                self._hear_health(worker, row)
        oldest = self._newest - WINDOW_S
        for second in [one for one in self.seconds if one <= oldest]:
            del self.seconds[second]

    def _hear_health(self, worker: str, row: HealthRow) -> None:
        self.health[worker] = row
        self.fitness.add(row)
        self.receive_lag.add(row.receive_lag)
        second = self._second(row.second)
        second.connections[worker] = row.connections
        second.receive_lag.append(row.receive_lag)

    def _second(self, number: int) -> Second:
        self._newest = max(self._newest, number)
        if number not in self.seconds:
            self.seconds[number] = Second()
        self.seconds[number].changed = self.revision
        return self.seconds[number]

    def lately(self) -> list[Second]:
        """The last seconds that anything is known of, the newest among them."""
        return [one for number, one in list(self.seconds.items()) if number > self._newest - LATELY_S]

    @property
    def connections(self) -> int:
        """Of all generator processes together, as each told last."""
        return sum(row.connections for row in self.health.values())

    @property
    def phase(self) -> str:
        """The phase that the run is in."""
        return self.plan.phase(perf_counter_ns()).value

    @property
    def elapsed_s(self) -> float:
        """How long the run has lasted, or had by its last second."""
        if self.ended:
            return float(self._newest + 1)
        return (time_ns() - self.began_ns) / SECOND
