"""What happened when? Runs as arrays over the seconds of planned time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest.analysis.drops import knows_the_way_back, losses, outages, users
from loadtest.analysis.summary import connections_per_second
from loadtest.measure.histogram import Histogram, upper_edge
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run
from loadtest.measure.units import MS, SECOND

FloatArray = npt.NDArray[np.float64]
COLUMNS = 300
ROWS = 64
STEPS = 2000
"""Points of a staircase at most."""


class HeatMap(NamedTuple):
    """Deliveries by planned second and latency: ``counts`` of shape (ROWS, columns), row 0 the fastest.

    Column i covers ``column_s`` seconds from i * column_s; rows are even steps of log10, low_ms to high_ms.
    """

    counts: FloatArray
    column_s: int
    low_ms: float
    high_ms: float


class Span(NamedTuple):
    """A phase and its place in seconds of the run."""

    phase: str
    begin_s: float
    end_s: float


class Track(NamedTuple):
    """Values over seconds, both of shape (k,)."""

    seconds: FloatArray
    values: FloatArray


class FaultMark(NamedTuple):
    """An occurrence of a fault, in seconds of the run; ``until_s`` None: it struck at once."""

    at_s: float
    until_s: float | None
    label: str


def spans(run: Run) -> list[Span]:
    """The phases that were reached, in order."""
    edges = run.manifest.edges
    begins = (
        (Phase.CONNECT, 0),
        (Phase.WARMUP, edges.warmup_ns),
        (Phase.MEASURE, edges.measure_ns),
        (Phase.DRAIN, edges.drain_ns),
    )
    reached = [(phase, at) for phase, at in begins if at is not None and at <= edges.ended_ns]
    ends = [at for _, at in reached[1:]] + [edges.ended_ns]
    return [
        Span(phase.value, begin / SECOND, end / SECOND)
        for (phase, begin), end in zip(reached, ends, strict=True)
        if end > begin
    ]


def latency_range(runs: list[Run], operation: Operation) -> tuple[float, float] | None:
    """(lowest, highest) latency in ms over all runs, widened to round figures; None if nothing came."""
    rows = [row.latency for run in runs for row in run.series if row.operation == operation and row.latency.n]
    if not rows:
        return None
    low = max(min(one.min_ns for one in rows), MS // 100) / MS
    high = max(max(one.max_ns for one in rows) / MS, low * 2)
    return round_down(low), round_up(high)


_STEPS = (1.0, 2.0, 5.0, 10.0)


def round_down(value: float) -> float:
    """To 1, 2 or 5 times a power of ten, not above ``value`` > 0."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return power * max(step for step in _STEPS if step <= value / power * (1 + 1e-9))


def round_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten, not below ``value`` > 0."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return power * min(step for step in _STEPS if step >= value / power * (1 - 1e-9))


def heat_map(run: Run, operation: Operation, low_ms: float, high_ms: float) -> HeatMap:
    """Deliveries of all phases of a run; at most COLUMNS columns."""
    whole_s = max(1, math.ceil(run.manifest.edges.ended_ns / SECOND))
    column_s = math.ceil(whole_s / COLUMNS)
    counts = np.zeros((ROWS, math.ceil(whole_s / column_s)))
    scale = ROWS / math.log10(high_ms / low_ms)
    for row in run.series:
        if row.operation != operation or not row.latency.n or row.second >= whole_s:
            continue
        buckets, of_each = row.latency.pairs()
        edges = np.array([upper_edge(bucket) for bucket in buckets.tolist()]) / MS
        places = np.log10(np.maximum(edges, low_ms) / low_ms) * scale
        where = np.clip(places.astype(int), 0, ROWS - 1)
        np.add.at(counts[:, row.second // column_s], where, of_each)
    return HeatMap(counts, column_s, low_ms, high_ms)


def connections(run: Run) -> Track:
    """Our connections, over all workers."""
    return _track(connections_per_second(run))


def fault_marks(run: Run) -> list[FaultMark]:
    """Every fault that was injected, in order of time."""
    return [
        FaultMark(row.at_ns / SECOND, None if row.until_ns is None else row.until_ns / SECOND, row.name)
        for row in sorted(run.faults, key=lambda row: (row.at_ns, row.name))
    ]


def connected_users(run: Run) -> Track | None:
    """Users (of several devices: devices) in their rooms from measure on; None if nobody wrote that down.

    Steps at the moments themselves, not by the second: a value holds until the next.
    """
    edges = run.manifest.edges
    if edges.measure_ns is None or not knows_the_way_back(run):
        return None
    found = losses(run)
    gone = outages([*found.early, *found.counted], edges.measure_ns, edges.ended_ns)
    changes: dict[int, int] = {edges.measure_ns: 0, edges.ended_ns: 0}
    for begin_ns, end_ns in gone:
        changes[begin_ns] = changes.get(begin_ns, 0) - 1
        if end_ns < edges.ended_ns:
            changes[end_ns] = changes.get(end_ns, 0) + 1
    moments = sorted(changes)
    values = users(run) + np.cumsum([changes[moment] for moment in moments])
    return _thinned(np.array(moments) / SECOND, values.astype(float))


def _thinned(seconds: FloatArray, values: FloatArray) -> Track:
    """At most STEPS points: of those that share a place, the lowest and the last stand."""
    if seconds.size <= STEPS:
        return Track(seconds, values)
    edges = np.linspace(seconds[0], seconds[-1], STEPS // 2 + 1)
    place = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, STEPS // 2 - 1)
    keep: set[int] = set()
    for part in np.split(np.arange(seconds.size), np.flatnonzero(np.diff(place)) + 1):
        keep |= {int(part[np.argmin(values[part])]), int(part[-1])}
    kept = sorted(keep)
    return Track(seconds[kept], values[kept])


def server_connections(run: Run) -> Track:
    """The server's own count, where it told."""
    return _track({row.second: row.sockets for row in run.server if row.sockets >= 0})


def cpu(run: Run) -> dict[str, Track]:
    """CPU of each worker, percent of one core."""
    of: dict[str, dict[int, float]] = {}
    for row in run.health:
        of.setdefault(row.worker, {})[row.second] = row.cpu_percent
    return {worker: _track(values) for worker, values in sorted(of.items())}


def lag_p99(run: Run, name: str) -> Track:
    """p99 (ms) in every second of ``receive_lag``, ``loop_lag`` or ``send_lag``, of the worker worst then."""
    of: dict[tuple[int, str], Histogram] = {}
    for row in run.health:
        of.setdefault((row.second, row.worker), Histogram()).merge(getattr(row, name))
    worst: dict[int, float] = {}
    for (second, _), histogram in sorted(of.items()):
        if histogram.n:
            worst[second] = max(worst.get(second, 0.0), (histogram.quantile(0.99) or 0) / MS)
    return _track(worst)


def _track(values: dict[int, float] | dict[int, int]) -> Track:
    """At most COLUMNS points: of seconds that share one, the highest value stands."""
    last = max(values, default=0) + 1
    step = math.ceil(last / COLUMNS)
    highest: dict[int, float] = {}
    for second, value in values.items():
        place = second // step * step
        highest[place] = max(highest.get(place, value), value)
    seconds = sorted(highest)
    return Track(np.array(seconds, float), np.array([highest[at] for at in seconds], float))
