"""How do the numbers of a run get out by OpenTelemetry, where Locust's ``--otel`` has set it up?

The instruments of its API take one value at a time, which would cost every delivery some microseconds, and there
is none for a histogram that exists already. (The specification has MetricProducer; the SDK for Python lacks it.)
So our metrics are added to what a reader collects, at the moment in which it exports: cumulative, with the run's
start as theirs. This relies on names of the SDK that begin with an underscore; a test holds the SDK to them.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from importlib.util import find_spec
from time import time_ns
from typing import Any

import numpy as np

from loadtest.measure.units import SECOND
from loadtest.users.live_board import Board
from loadtest.users.live_cells import Cells
from loadtest.users.live_metrics import BOUNDS_S, CONNECTIONS, COUNTED, cumulative

SCOPE = "realtime-loadtest"
logger = logging.getLogger(__name__)


def refusal(options: Any) -> str | None:
    """Why ``--otel`` cannot be followed; None: nobody asked for it, or it can."""
    if not getattr(options, "otel", False) or _installed():
        return None
    return "--otel: OpenTelemetry is not installed; pip install 'locust[otel]', or leave the flag out"


def _installed() -> bool:
    try:
        return find_spec("opentelemetry.sdk.metrics") is not None
    except ModuleNotFoundError:
        return False


def join(options: Any, board: Callable[[], Board | None]) -> bool:
    """Add our metrics to what is exported from this process. False: nobody asked for it, or nobody exports."""
    if not getattr(options, "otel", False):
        return False
    from opentelemetry import metrics

    provider: Any = metrics.get_meter_provider()
    set_up = getattr(provider, "_sdk_config", None)
    # Of the provider itself, and in older versions of what it was set up with.
    readers: Any = getattr(provider, "_metric_readers", None) or getattr(set_up, "metric_readers", ())
    for reader in readers:
        _extend(reader, set_up, board)
    if not readers:
        logger.warning("--otel: no exporter of metrics was set up, so none of this run's are exported")
    return bool(readers)


def _extend(reader: Any, set_up: Any, board: Callable[[], Board | None]) -> None:
    collect = reader._collect

    def collect_more(*args: Any, **options: Any) -> Any:
        found = collect(*args, **options)
        now = board()
        return found if now is None or not now.sums else _beside(found, set_up, scope_metrics(now))

    reader._collect = collect_more


def _beside(found: Any, set_up: Any, ours: Any) -> Any:
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics

    if found is None or not found.resource_metrics:
        return MetricsData([ResourceMetrics(set_up.resource, [ours], "")])
    first, *others = found.resource_metrics
    more = dataclasses.replace(first, scope_metrics=[*first.scope_metrics, ours])
    return dataclasses.replace(found, resource_metrics=[more, *others])


def scope_metrics(board: Board) -> Any:
    """Everything that is known of a run, as the SDK has it (ScopeMetrics)."""
    from opentelemetry.sdk.metrics.export import ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    made = _Made(board.began_ns, time_ns())
    run = {"run": str(board.run["id"]), "scenario": str(board.run["scenario"])}
    series = [
        ({"operation": operation, "transport": transport, **run}, sums)
        for (operation, transport), sums in sorted(board.sums.items())
    ]
    metrics = [
        made.histogram(
            f"loadtest.{name}",
            f"Time to the end of an operation that came in time, from the moment it was {since}.",
            [(attributes, getattr(sums, name)) for attributes, sums in series],
        )
        for name, since in (("latency", "planned for"), ("service", "sent"))
    ]
    words = "How long what had arrived waited until the generator read it."
    metrics.append(made.histogram("loadtest.receive_lag", words, [(run, board.receive_lag)]))
    metrics += [
        made.counter(
            f"loadtest.{name}",
            words,
            "{operation}",
            [(attributes, sums.counts[name]) for attributes, sums in series],
        )
        for name, words in COUNTED.items()
    ]
    metrics += [
        made.counter(f"loadtest.{name}", words, "{connection}", [(run, board.counters[name])])
        for name, words in CONNECTIONS.items()
    ]
    metrics.append(made.gauge("loadtest.connections", "Connections open now.", run, board.connections))
    return ScopeMetrics(InstrumentationScope(SCOPE), metrics, "")


class _Made:
    """Makes metrics of one moment, cumulative since another (both ns of Unix time)."""

    def __init__(self, began_ns: int, now_ns: int) -> None:
        self._began_ns = began_ns
        self._now_ns = now_ns

    def histogram(self, name: str, words: str, series: list[tuple[dict[str, str], Cells]]) -> Any:
        from opentelemetry.sdk.metrics.export import (
            AggregationTemporality,
            Histogram,
            HistogramDataPoint,
            Metric,
        )

        points = []
        for attributes, cells in series:
            counts = np.diff([0.0, *(n for _, n in cumulative(cells))]).astype(int).tolist()
            points.append(
                HistogramDataPoint(
                    attributes=attributes,
                    start_time_unix_nano=self._began_ns,
                    time_unix_nano=self._now_ns,
                    count=cells.n,
                    sum=cells.sum_ns / SECOND,
                    bucket_counts=counts,
                    explicit_bounds=list(BOUNDS_S),
                    min=cells.min_ns / SECOND,
                    max=cells.max_ns / SECOND,
                )
            )
        return Metric(name, words, "s", Histogram(points, AggregationTemporality.CUMULATIVE))

    def counter(self, name: str, words: str, unit: str, series: list[tuple[dict[str, str], int]]) -> Any:
        from opentelemetry.sdk.metrics.export import AggregationTemporality, Metric, NumberDataPoint, Sum

        points = [
            NumberDataPoint(attributes, self._began_ns, self._now_ns, max(0, n)) for attributes, n in series
        ]
        # Not monotonic: what was taken for lost may still be read, and is taken back.
        return Metric(name, words, unit, Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=False))

    def gauge(self, name: str, words: str, attributes: dict[str, str], value: int) -> Any:
        from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint

        points = [NumberDataPoint(attributes, self._began_ns, self._now_ns, value)]
        return Metric(name, words, "{connection}", Gauge(points))
