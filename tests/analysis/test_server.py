"""What the server spent, and how its memory went: known answers, and a slow oracle for the slope."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.server import LEAK_S, ONE_PROCESS, POINTS, UNTOLD, ServerFigures, server_figures, slope
from loadtest.analysis.summary import summarise
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import Delta, HealthRow, Row, SeriesRow, ServerRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.units import MS, SECOND

MB = 1_000_000


def edges(measured_s: int) -> Edges:
    """Measure from 5 on, for so long."""
    end = 5 + measured_s
    return Edges(2 * SECOND, 5 * SECOND, end * SECOND, (end + 5) * SECOND)


def delivered(second: int, n: int, operation: str = "message.deliver", phase: str = "measure") -> SeriesRow:
    histogram = Histogram()
    for _ in range(n):
        histogram.record(MS)
    return SeriesRow(operation, "websocket", phase, second, latency=histogram.counts())


def run_of(made: ModuleType, rows: Sequence[Row], measured_s: int = 20, stages: Any = None) -> Run:
    book = Book()
    server = [row for row in rows if isinstance(row, ServerRow)]
    book.add("0", Delta(1, [row for row in rows if not isinstance(row, ServerRow)], final=True))
    book.server.extend(server)
    parameters = made.manifest().parameters | {"stages": stages}
    run: Run = made.in_memory(book, parameters=parameters, edges=edges(measured_s))
    return run


def told(made: ModuleType, rows: Sequence[Row], measured_s: int = 20, stages: Any = None) -> ServerFigures:
    found = server_figures(run_of(made, rows, measured_s, stages))
    assert found is not None
    return found


def growing(seconds: int, bytes_per_s: float, begin: int = 5) -> list[ServerRow]:
    return [
        ServerRow(second, rss_bytes=round(100 * MB + bytes_per_s * second))
        for second in range(begin, begin + seconds)
    ]


def test_cpu_and_loop_lag_of_the_measured_phase(made: ModuleType) -> None:
    rows = [ServerRow(second, 10, float(second), 1000 + second, second / 10) for second in range(30)]
    found = told(made, rows)
    assert found.cpu_percent_mean == sum(range(5, 25)) / 20
    assert found.cpu_percent_p95 == 23
    assert found.rss_bytes_max == 1024
    assert (found.loop_lag_ms_p99_median, found.loop_lag_ms_p99_max) == (1.4, 2.4)
    assert (found.descriptors_max, found.why["descriptors_max"]) == (None, UNTOLD)
    assert (found.cpu_percent_busiest, found.why["cpu_percent_busiest"]) == (None, ONE_PROCESS)


def test_open_files_and_the_busiest_process(made: ModuleType) -> None:
    rows = [
        ServerRow(second, cpu_percent=150.0, descriptors=100 + second, busiest_percent=float(second))
        for second in range(30)
    ]
    found = told(made, rows)
    assert found.descriptors_max == 124
    assert found.cpu_percent_busiest == sum(range(5, 25)) / 20
    assert {"descriptors_max", "cpu_percent_busiest"} & found.why.keys() == set()


def test_cpu_seconds_for_a_thousand_deliveries(made: ModuleType) -> None:
    """20 s at half a core are 10 CPU seconds, for 400 copies to others."""
    rows = [
        *(ServerRow(second, cpu_percent=50.0) for second in range(30)),
        delivered(6, 300),
        delivered(7, 100, "chat.deliver"),
        delivered(6, 999, "message.echo"),
        delivered(3, 999, phase="warmup"),
    ]
    assert told(made, rows).cpu_s_per_1000_deliveries == 25.0


def test_seconds_without_an_answer_cost_what_the_others_do(made: ModuleType) -> None:
    rows = [ServerRow(second, cpu_percent=50.0 if second % 2 else -1.0) for second in range(30)]
    assert told(made, [*rows, delivered(6, 1000)]).cpu_s_per_1000_deliveries == 10.0


def test_what_was_not_told_is_not_given(made: ModuleType) -> None:
    found = told(made, [ServerRow(second, 10, 8.0) for second in range(30)])
    assert (found.cpu_percent_mean, found.rss_bytes_max, found.loop_lag_ms_p99_max) == (8.0, None, None)
    assert found.why == {
        "cpu_s_per_1000_deliveries": "no message was delivered in the measured phase",
        "rss_bytes_max": UNTOLD,
        "rss_bytes_per_hour": UNTOLD,
        "rss_percent_per_hour": UNTOLD,
        "loop_lag_ms_p99_median": UNTOLD,
        "loop_lag_ms_p99_max": UNTOLD,
        "descriptors_max": UNTOLD,
        "cpu_percent_busiest": ONE_PROCESS,
    }
    names = {name for name in ServerFigures.__struct_fields__ if getattr(found, name) is None}
    assert names == set(found.why)


@pytest.mark.parametrize(
    "rows", [[], [ServerRow(second, 10) for second in range(30)], [ServerRow(3, 1, 8.0)]]
)
def test_a_server_that_told_nothing_has_no_figures(made: ModuleType, rows: list[Row]) -> None:
    run = run_of(made, rows)
    assert server_figures(run) is None
    assert summarise(run).server is None


def test_the_growth_of_memory(made: ModuleType) -> None:
    """1,000 bytes a second, on a median of a little more than 100 MB."""
    found = told(made, growing(LEAK_S, 1000), LEAK_S)
    middle = 100 * MB + 1000 * (5 + LEAK_S / 2)
    assert found.rss_bytes_per_hour == pytest.approx(3_600_000, rel=1e-6)
    assert found.rss_percent_per_hour == pytest.approx(3_600_000 / middle * 100, rel=1e-4)
    low, high = found.ci95["rss_percent_per_hour"]
    assert low <= found.rss_percent_per_hour <= high
    assert found.why.keys() & {"rss_bytes_per_hour", "rss_percent_per_hour"} == set()


@pytest.mark.parametrize("seconds", [60, LEAK_S - 1])
def test_a_short_slope_is_given_and_says_what_it_cannot_tell(made: ModuleType, seconds: int) -> None:
    found = told(made, growing(seconds, 1000), seconds)
    assert found.rss_bytes_per_hour is not None
    assert found.why["rss_percent_per_hour"] == (
        f"over {seconds} s: it takes 15 min to tell a leak from caches that fill"
    )


@pytest.mark.parametrize("rows", [growing(59, 1000), growing(100, 1000)[::4]])
def test_too_little_memory_gives_no_slope(made: ModuleType, rows: list[ServerRow]) -> None:
    found = told(made, rows, 100)
    assert (found.rss_bytes_per_hour, found.rss_percent_per_hour, found.ci95) == (None, None, {})
    assert found.why["rss_percent_per_hour"].endswith(" s of memory in measure, 60 needed")


def test_of_stages_the_longest_is_looked_at(made: ModuleType) -> None:
    """Ten times the users take ten times the memory, which is no leak."""
    steady = [ServerRow(second, rss_bytes=10 * MB) for second in range(5, 70)]
    rows = [*steady, *growing(70, 500, begin=70)]
    counts = [
        HealthRow("0", "measure", second, connections=10 if second < 70 else 100) for second in range(140)
    ]
    stages = [
        {"duration_s": 70.0, "users": 10, "begins_s": 0.0},
        {"duration_s": 70.0, "users": 100, "begins_s": 70.0},
    ]
    assert told(made, [*rows, *counts], 135, stages).rss_bytes_per_hour == pytest.approx(500 * 3600, rel=1e-6)
    assert told(made, [*rows, *counts], 135).rss_bytes_per_hour > 100 * 500 * 3600
    short = told(made, [*rows[:120], *counts], 135, stages)
    assert short.why["rss_percent_per_hour"] == "54 s of memory in the longest stage, 60 needed"


# -- the slope --------------------------------------------------------------------------------------------


def slow_slope(seconds: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes of all pairs, written from the definition."""
    pairs = range(len(seconds))
    return median((values[b] - values[a]) / (seconds[b] - seconds[a]) for a in pairs for b in pairs if b > a)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(10**6, 10**9)), min_size=3, max_size=40),
)
def test_a_short_series_agrees_with_the_definition(steps: list[tuple[int, int]]) -> None:
    seconds = [sum(step for step, _ in steps[:number]) for number in range(len(steps))]
    values = [value for _, value in steps]
    found = slope(seconds, values)
    # Three seconds apart at most, so no two of these fall into one stretch.
    assert len(steps) <= POINTS
    assert found.bytes_per_hour == pytest.approx(slow_slope(seconds, values) * 3600, rel=1e-9, abs=1)
    low, high = found.ci95
    assert low <= found.percent_per_hour <= high


def test_a_long_series_is_thinned_and_says_the_same() -> None:
    chance = random.Random(1)
    seconds = list(range(3600))
    values = [round(100 * MB + 500 * second + chance.gauss(0, 20_000)) for second in seconds]
    found = slope(seconds, values)
    assert found.bytes_per_hour == pytest.approx(500 * 3600, rel=0.01)
    assert found == slope(seconds, values)


def test_a_step_and_a_spike_are_no_growth() -> None:
    values = [100 * MB] * 300
    values[150] = 900 * MB
    values[:20] = [90 * MB] * 20
    assert slope(range(300), values).bytes_per_hour == 0


def test_memory_that_does_not_move_has_a_slope_of_nothing() -> None:
    assert slope(range(300), [100 * MB] * 300).ci95 == (0.0, 0.0)


def test_noise_without_growth_is_rarely_called_growth() -> None:
    """95 % intervals of independent noise hold the truth, which is 0, nineteen times in twenty."""
    chance = random.Random(7)
    outside = 0
    for _ in range(200):
        values = [round(100 * MB + chance.gauss(0, MB)) for _ in range(POINTS)]
        low, high = slope(range(POINTS), values).ci95
        outside += not low <= 0 <= high
    assert outside <= 20
