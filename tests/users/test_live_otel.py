"""Do our metrics leave with Locust's own, in whatever the reader collects?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from loadtest.measure.histogram import Histogram
from loadtest.measure.plan import Plan
from loadtest.measure.rows import Delta, HealthRow, SeriesRow
from loadtest.measure.units import MS, SECOND
from loadtest.users import live_otel
from loadtest.users.live_board import Board
from loadtest.users.live_metrics import BOUNDS_S

ASKED = Namespace(otel=True)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """A reader of a provider that is the process's own for the length of a test."""
    made = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[made], resource=Resource({"service.name": "locust"}))
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    yield made
    provider.shutdown()


def board() -> Board:
    made = Board({"id": "1f3a5c", "scenario": "messaging"}, Plan(0))
    histogram = Histogram()
    for value in (MS, 30 * MS, 20 * SECOND):
        histogram.record(value)
    found = histogram.counts()
    row = SeriesRow("message.deliver", "websocket", "measure", 1, 5, lost=2, latency=found, service=found)
    made.add("0", Delta(1, [row, HealthRow("0", "measure", 1, 9.0, 7)], counters={"connections.lost": 4}))
    return made


def collected(reader: InMemoryMetricReader) -> dict[str, dict[str, Any]]:
    data = reader.get_metrics_data()
    return {
        scope.scope.name: {metric.name: metric for metric in scope.metrics}
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
    }


def test_histograms_and_counts(reader: InMemoryMetricReader) -> None:
    made = board()
    assert live_otel.join(ASKED, lambda: made)
    ours = collected(reader)["realtime-loadtest"]
    latency = ours["loadtest.latency"]
    assert latency.unit == "s"
    assert latency.data.aggregation_temporality == AggregationTemporality.CUMULATIVE
    (point,) = latency.data.data_points
    assert point.attributes == {
        "operation": "message.deliver",
        "transport": "websocket",
        "run": "1f3a5c",
        "scenario": "messaging",
    }
    assert (point.count, point.sum) == (3, 20.031)
    assert (point.min, point.max) == (0.001, 20.0)
    assert tuple(point.explicit_bounds) == BOUNDS_S
    assert len(point.bucket_counts) == len(BOUNDS_S) + 1
    assert sum(point.bucket_counts) == 3 and point.bucket_counts[-1] == 1
    assert point.start_time_unix_nano == made.began_ns <= point.time_unix_nano
    assert [one.value for one in ours["loadtest.expected"].data.data_points] == [5]
    assert [one.value for one in ours["loadtest.lost"].data.data_points] == [2]
    assert [one.value for one in ours["loadtest.connections.lost"].data.data_points] == [4]
    assert [one.value for one in ours["loadtest.connections"].data.data_points] == [7]


def test_beside_what_others_measure(reader: InMemoryMetricReader) -> None:
    made = board()
    live_otel.join(ASKED, lambda: made)
    counter = metrics.get_meter_provider().get_meter("locust").create_counter("theirs")
    counter.add(1)
    found = collected(reader)
    assert set(found) == {"locust", "realtime-loadtest"}
    assert list(found["locust"]) == ["theirs"]


def test_exporters_can_say_it_as_json(reader: InMemoryMetricReader) -> None:
    made = board()
    live_otel.join(ASKED, lambda: made)
    assert '"loadtest.latency"' in reader.get_metrics_data().to_json()


def test_nothing_before_a_run_and_nothing_without_the_flag(reader: InMemoryMetricReader) -> None:
    assert live_otel.join(Namespace(otel=False), board) is False
    assert live_otel.join(Namespace(), board) is False
    live_otel.join(ASKED, lambda: None)
    assert collected(reader) == {}


def test_without_an_exporter_that_is_said(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: object())
    assert live_otel.join(ASKED, board) is False
    assert "no exporter of metrics" in caplog.text


def test_without_the_packages_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert live_otel.refusal(ASKED) is None
    monkeypatch.setattr(live_otel, "_installed", lambda: False)
    said = live_otel.refusal(ASKED)
    assert said is not None and "pip install 'locust[otel]'" in said and "\n" not in said
    assert live_otel.refusal(Namespace(otel=False)) is None
