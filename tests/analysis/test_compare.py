"""Ratios of two runs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from loadtest.analysis.compare import compare
from loadtest.analysis.figures import Figures
from loadtest.analysis.summary import Summary, summarise
from loadtest.measure import run as runs


@pytest.fixture(scope="module")
def pair(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Summary]:
    reports: Path = tmp_path_factory.mktemp("reports")
    push = made.Maker(seconds=40).write(reports)
    polling = made.Maker(transport="interval-polling", seconds=40, seed=2).write(reports)
    return summarise(runs.read(push)), summarise(runs.read(polling))


def deliver(summary: Summary) -> Figures:
    return next(
        row.latency_ms
        for row in summary.operations
        if row.name == "message.deliver" and row.phase == "measure"
    )


def test_the_same_statistic_stands_on_both_sides(pair: tuple[Summary, Summary]) -> None:
    found = compare(*pair)
    assert found is not None
    assert (found.slower, found.faster) == (1, 0)
    push, polling = deliver(pair[0]), deliver(pair[1])
    assert [ratio.what for ratio in found.latency] == ["mean", "p50", "p95", "max"]
    for ratio in found.latency:
        assert (ratio.more, ratio.less) == (getattr(polling, ratio.what), getattr(push, ratio.what))
        assert ratio.ratio == getattr(polling, ratio.what) / getattr(push, ratio.what)


def test_the_order_of_the_two_does_not_matter(pair: tuple[Summary, Summary]) -> None:
    one, other = compare(*pair), compare(*pair[::-1])
    assert one is not None
    assert other is not None
    assert one.latency == other.latency
    assert one.bandwidth == other.bandwidth
    assert (other.slower, other.faster) == (0, 1)


def test_bytes_are_compared_per_message_and_per_idle_hour(pair: tuple[Summary, Summary]) -> None:
    found = compare(*pair)
    assert found is not None
    per_message, per_hour = found.bandwidth
    active = [next(row for row in one.bandwidth if row.regime == "active") for one in pair]
    idle = [next(row for row in one.bandwidth if row.regime == "idle") for one in pair]
    assert (per_message.more, per_message.less) == (
        active[1].bytes_per_delivery,
        active[0].bytes_per_delivery,
    )
    assert (per_hour.more, per_hour.less) == (idle[1].bytes_per_user_hour, idle[0].bytes_per_user_hour)


def test_where_no_message_can_be_billed_an_hour_can(pair: tuple[Summary, Summary]) -> None:
    def shared(summary: Summary) -> Summary:
        return replace(
            summary, bandwidth=[replace(row, bytes_per_delivery=None) for row in summary.bandwidth]
        )

    mixed = [shared(one) for one in pair]
    found = compare(*mixed)
    assert found is not None
    per_hour = found.bandwidth[0]
    active = [next(row for row in one.bandwidth if row.regime == "active") for one in pair]
    assert per_hour.what == "active_bytes_per_user_hour"
    assert (per_hour.more, per_hour.less) == (active[1].bytes_per_user_hour, active[0].bytes_per_user_hour)


def test_a_missing_side_leaves_no_ratio_but_a_reason(pair: tuple[Summary, Summary]) -> None:
    push, polling = pair
    rows = [
        replace(
            row, latency_ms=replace(row.latency_ms, p95=None), why={"p95": "not reached: 6 % late or lost"}
        )
        for row in push.operations
    ]
    found = compare(replace(push, operations=rows, bandwidth=[]), polling)
    assert found is not None
    ratio = next(one for one in found.latency if one.what == "p95")
    assert ratio.ratio is None
    assert ratio.why == "websocket: not reached: 6 % late or lost"
    assert [one.why for one in found.bandwidth] == ["websocket: not measured"] * 2


def test_no_deliveries_no_comparison(pair: tuple[Summary, Summary]) -> None:
    assert compare(replace(pair[0], operations=[]), pair[1]) is None
