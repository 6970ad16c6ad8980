"""What does Prometheus get of a run under way?

The sums of the Board, in the words of Prometheus: seconds, histograms, counters that end in ``_total``. A new run
begins at nothing, which Prometheus takes for the restart that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from loadtest.measure.histogram import IntArray, bucket_of, upper_edge
from loadtest.measure.units import SECOND
from loadtest.users.live_board import Board, Sums
from loadtest.users.live_cells import Cells
from loadtest.users.live_fitness import INVALID, SUSPECT, UNJUDGED, VALID, Judged

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
SERIES = ["operation", "transport"]
COUNTED = {
    "expected": "Operations that were owed an end and got one: they came, came late, or were lost.",
    "late": "Operations that came after their deadline.",
    "lost": "Operations that never came.",
    "open": "Operations still under way when the run ended early; in none of the others.",
    "duplicate": "Copies beyond the first.",
    "reordered": "Messages delivered after a later one.",
    "leaked": "Messages that reached somebody who was not in the conversation.",
    "failed": "Operations that did not work.",
}
CONNECTIONS = {
    "connections.established": "Connections that were made, first ones and later ones.",
    "connections.lost": "Connections that ended and that the generator did not end.",
    "connections.failed": "Users who could not get in.",
    "connections.gave_up": "Ways back that ended without a connection.",
}


def last_buckets(bounds_s: Sequence[float]) -> IntArray:
    """For each bound the last bucket that lies below it as a whole: nothing passes for faster than it was."""
    bounds_ns = np.array([round(bound * SECOND) for bound in bounds_s], np.int64)
    edges = [upper_edge(bucket) for bucket in bucket_of(bounds_ns).tolist()]
    whole: IntArray = bucket_of(bounds_ns) - (np.array(edges) > bounds_ns)
    return whole


_LAST = last_buckets(BOUNDS_S)


def cumulative(cells: Cells) -> list[tuple[str, float]]:
    """``le`` and how many were no slower, up to +Inf."""
    below = np.cumsum(cells.counts)[_LAST].tolist()
    pairs = [(f"{bound:g}", float(n)) for bound, n in zip(BOUNDS_S, below, strict=True)]
    return [*pairs, ("+Inf", float(cells.n))]


class RunCollector(Collector):
    """What is known of the run under way, or of the last one; nothing before the first."""

    def __init__(self, board: Callable[[], Board | None], judge: Callable[[Board], Judged]) -> None:
        self._board = board
        self._judge = judge
        self._highest: dict[tuple[str, str, str], int] = {}
        self._of: Board | None = None

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        board = self._board()
        if board is None:
            return
        if board is not self._of:
            self._of, self._highest = board, {}
        series = sorted(board.sums.items())
        yield _histogram("loadtest_latency", "from the moment it was planned for", series, "latency")
        yield _histogram("loadtest_service", "from the moment it was sent", series, "service")
        for name, words in COUNTED.items():
            yield self._counted(name, words, series)
        yield from _connections(board)
        lag = HistogramMetricFamily(
            "loadtest_receive_lag_seconds",
            "How long what had arrived waited until the generator read it.",
        )
        lag.add_metric([], cumulative(board.receive_lag), board.receive_lag.sum_ns / SECOND)
        yield lag
        yield _cpu(board)
        yield self._validity(board)
        yield _about(board)

    def _counted(self, name: str, words: str, series: Sequence[tuple[tuple[str, str], Sums]]) -> Metric:
        family = CounterMetricFamily(f"loadtest_{name}", words, labels=SERIES)
        for (operation, transport), sums in series:
            key = name, operation, transport
            # What was taken for lost may still be read, late; a counter that went back would read as a restart.
            self._highest[key] = max(self._highest.get(key, 0), sums.counts[name])
            family.add_metric([operation, transport], self._highest[key])
        return family

    def _validity(self, board: Board) -> Metric:
        family = GaugeMetricFamily(
            "loadtest_validity",
            "1 for the state of the measurement so far: is the generator itself no limit?",
            labels=["state"],
        )
        state = self._judge(board).state
        for one in (UNJUDGED, VALID, SUSPECT, INVALID):
            family.add_metric([one], float(one == state))
        return family


def _histogram(
    name: str, since: str, series: Sequence[tuple[tuple[str, str], Sums]], which: str
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        f"{name}_seconds", f"Time to the end of an operation that came in time, {since}.", labels=SERIES
    )
    for (operation, transport), sums in series:
        cells: Cells = getattr(sums, which)
        family.add_metric([operation, transport], cumulative(cells), cells.sum_ns / SECOND)
    return family


def _connections(board: Board) -> Iterator[Metric]:
    yield GaugeMetricFamily("loadtest_connections", "Connections open now.", value=board.connections)
    for name, words in CONNECTIONS.items():
        yield CounterMetricFamily(f"loadtest_{name.replace('.', '_')}", words, value=board.counters[name])
    back = CounterMetricFamily(
        "loadtest_reconnections", "Connections that were lost, by what became of them.", labels=["outcome"]
    )
    for outcome, n in sorted(board.outcomes.items()):
        back.add_metric([outcome], n)
    yield back


def _cpu(board: Board) -> Metric:
    family = GaugeMetricFamily(
        "loadtest_generator_cpu_ratio", "CPU of a generator process, 1 is a whole core.", labels=["worker"]
    )
    for worker, row in sorted(board.health.items()):
        family.add_metric([worker], row.cpu_percent / 100)
    return family


def _about(board: Board) -> Metric:
    names = ("id", "scenario", "transport", "client", "host")
    return InfoMetricFamily(
        "loadtest_run",
        "What runs, or ran last.",
        value={name: str(board.run.get(name, "")) for name in names},
    )


def exposition(collector: Collector, rest: Callable[[], object]) -> bytes:
    """The text, one family after the other with a rest between them."""
    parts = []
    for family in collector.collect():
        one = CollectorRegistry(auto_describe=False)
        one.register(_Single(family))
        parts.append(generate_latest(one))
        rest()
    return b"".join(parts)


class _Single(Collector):
    """A collector of one family that is there already."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def describe(self) -> list[Metric]:
        """Nothing: it is asked once, and thrown away."""
        return []

    def collect(self) -> list[Metric]:
        """The one."""
        return [self._family]
