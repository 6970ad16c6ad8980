"""Does Prometheus get what the run has, in its own words, and nothing faster than it was?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.plan import Plan
from loadtest.measure.rows import Delta, Drop, HealthRow, SeriesRow
from loadtest.measure.units import MS, SECOND
from loadtest.users.live_board import Board
from loadtest.users.live_cells import Cells
from loadtest.users.live_fitness import VALID, Judged
from loadtest.users.live_metrics import BOUNDS_S, RunCollector, cumulative, exposition

ABOUT: dict[str, object] = {
    "id": "1f3a5c",
    "scenario": "messaging",
    "transport": "websocket",
    "host": "http://h",
}
SERIES = {"operation": "message.deliver", "transport": "websocket"}


def counts(values: Sequence[int]) -> Counts:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.counts()


def row(values: Sequence[int], lost: int = 0, late: int = 0) -> SeriesRow:
    expected = len(values) + lost + late
    found = counts(values)
    return SeriesRow(*SERIES.values(), "measure", 1, expected, late, lost, latency=found, service=found)


def families(collector: RunCollector) -> dict[str, Any]:
    text = exposition(collector, list).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Any], name: str, family: str = "", **labels: str) -> float:
    of = found[family or name.removesuffix("_total")]
    (one,) = [one.value for one in of.samples if one.name == name and one.labels == labels]
    return float(one)


def collector(board: Board | None) -> RunCollector:
    return RunCollector(lambda: board, lambda board: Judged(VALID, []))


@given(
    st.lists(st.one_of(st.integers(0, 20 * SECOND), st.sampled_from([round(b * SECOND) for b in BOUNDS_S])))
)
def test_a_bucket_holds_only_what_was_surely_no_slower(values: list[int]) -> None:
    cells = Cells()
    cells.add(counts(values))
    found = cumulative(cells)
    assert [le for le, _ in found] == [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
    for bound, (_, n) in zip(BOUNDS_S, found, strict=False):
        assert sum(one <= bound * SECOND * (1 - 1 / 128) for one in values) <= n
        assert n <= sum(one <= bound * SECOND for one in values)
    assert found[-1][1] == len(values)


def test_before_the_first_run_there_is_nothing() -> None:
    assert exposition(collector(None), list) == b""


def test_every_family_is_of_its_kind_and_has_its_words() -> None:
    board = Board(ABOUT, Plan(0))
    drops = [Drop("u", "websocket", 1, "transport_close", outcome="recovered")]
    lag = counts([MS])
    board.add(
        "0",
        Delta(
            1,
            [
                row([MS, 30 * MS, 7 * SECOND], lost=2, late=1),
                HealthRow("0", "measure", 1, 25.0, 9, receive_lag=lag),
            ],
            drops,
            counters={"connections.established": 9, "connections.lost": 1},
        ),
    )
    found = families(collector(board))
    assert all(family.documentation and family.type != "unknown" for family in found.values())
    assert {name: family.type for name, family in found.items() if family.type != "counter"} == {
        "loadtest_latency_seconds": "histogram",
        "loadtest_service_seconds": "histogram",
        "loadtest_receive_lag_seconds": "histogram",
        "loadtest_connections": "gauge",
        "loadtest_generator_cpu_ratio": "gauge",
        "loadtest_validity": "gauge",
        "loadtest_run_info": "gauge",
    }
    latency = "loadtest_latency_seconds"
    assert value(found, f"{latency}_count", latency, **SERIES) == 3
    assert value(found, f"{latency}_sum", latency, **SERIES) == 7.031
    assert value(found, f"{latency}_bucket", latency, le="0.025", **SERIES) == 1
    assert value(found, f"{latency}_bucket", latency, le="0.1", **SERIES) == 2
    assert value(found, f"{latency}_bucket", latency, le="+Inf", **SERIES) == 3
    assert value(found, "loadtest_expected_total", **SERIES) == 6
    assert value(found, "loadtest_late_total", **SERIES) == 1
    assert value(found, "loadtest_lost_total", **SERIES) == 2
    assert value(found, "loadtest_connections") == 9
    assert value(found, "loadtest_connections_lost_total") == 1
    assert value(found, "loadtest_reconnections_total", outcome="recovered") == 1
    assert value(found, "loadtest_generator_cpu_ratio", worker="0") == 0.25
    assert value(found, "loadtest_validity", state="valid") == 1
    assert value(found, "loadtest_validity", state="invalid") == 0
    labels = {
        "id": "1f3a5c",
        "scenario": "messaging",
        "transport": "websocket",
        "client": "",
        "host": "http://h",
    }
    assert value(found, "loadtest_run_info", **labels) == 1


def test_the_page_names_every_metric(request: Any) -> None:
    board = Board(ABOUT, Plan(0))
    board.add("0", Delta(1, [row([MS])]))
    page = (request.config.rootpath / "docs" / "live.md").read_text()
    text = exposition(collector(board), list).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {line.split("`")[1] for line in page.splitlines() if line.startswith("| `loadtest_")} == names


def test_a_counter_never_goes_back_within_a_run() -> None:
    board = Board(ABOUT, Plan(0))
    boards: list[Board] = [board]
    shown = RunCollector(lambda: boards[-1], lambda board: Judged(VALID, []))
    board.add("0", Delta(1, [row([], lost=3)]))
    assert value(families(shown), "loadtest_lost_total", **SERIES) == 3
    board.add("0", Delta(2, [row([MS], lost=-1)]))
    assert value(families(shown), "loadtest_lost_total", **SERIES) == 3
    boards.append(Board(ABOUT, Plan(0)))
    boards[-1].add("0", Delta(1, [row([MS], lost=1)]))
    assert value(families(shown), "loadtest_lost_total", **SERIES) == 1
