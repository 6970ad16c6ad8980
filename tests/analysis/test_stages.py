"""Is each stage measured in its own seconds, and in no others?"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.stages import StageRow, connections_by_second, cuts, held, stage_rows
from loadtest.analysis.summary import summarise
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import Delta, HealthRow, Row, SeriesRow, ServerRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.units import MS, SECOND

# 0-20 s: 10 users; 20-50: 30, who are all there after 3 s; 50-80: 5. Warmup to 5, drain from 75.
STAGES = [
    {"duration_s": 20.0, "users": 10, "begins_s": 0.0},
    {"duration_s": 30.0, "users": 30, "begins_s": 20.1},
    {"duration_s": 30.0, "users": 5, "begins_s": 50.2},
]
EDGES = Edges(2 * SECOND, 5 * SECOND, 75 * SECOND, 80 * SECOND)


def users_at(second: int) -> int:
    """Connections at the end of a second."""
    if second < 20:
        return 10
    if second < 50:
        return min(30, 10 + 8 * (second - 19))
    return max(5, 30 - 15 * (second - 49))


def health(second: int, connections: int, worker: str = "0") -> HealthRow:
    return HealthRow(worker, "measure", second, connections=connections)


def delivered(second: int, *latencies_ms: float, phase: str = "measure", **more: Any) -> SeriesRow:
    histogram = Histogram()
    for value in latencies_ms:
        histogram.record(round(value * MS))
    operation = more.pop("operation", "message.deliver")
    return SeriesRow(operation, "websocket", phase, second, latency=histogram.counts(), **more)


def run_of(made: ModuleType, *rows: Row, stages: Any = STAGES, edges: Edges = EDGES) -> Run:
    book = Book()
    book.add("0", Delta(1, list(rows), final=True))
    parameters = made.manifest().parameters | {"stages": stages}
    run: Run = made.in_memory(book, parameters=parameters, edges=edges)
    return run


def ordinary(made: ModuleType, connections: Callable[[int], int] = users_at, **more: Any) -> Run:
    """In every second one delivery for each user, as many ms late as there were users; server CPU alike."""
    rows: list[Row] = []
    for second in range(80):
        users = connections(second)
        phase = "warmup" if second < 5 else "measure" if second < 75 else "drain"
        rows += [
            health(second, users),
            delivered(second, *[users] * users, phase=phase),
            ServerRow(second, users, float(users)),
        ]
    return run_of(made, *rows, **more)


def test_a_stage_counts_from_when_its_users_are_there(made: ModuleType) -> None:
    first, second, third = stage_rows(ordinary(made))
    assert (first.connections, first.seconds, first.n) == (10, 15, 150), "from 5 to 20"
    assert (second.connections, second.seconds, second.n) == (30, 27, 810), "all are there at the end of 22"
    assert (third.connections, third.seconds, third.n) == (5, 23, 115), "all have gone at the end of 51"
    for row in (first, second, third):
        assert row.latency_ms.p50 == pytest.approx(row.connections, rel=0.01), "and nothing of other loads"
        assert row.server_cpu_percent == row.connections
        assert (row.expected, row.late, row.lost, row.why.keys() - {"p95", "p99", "p999"}) == (
            row.n, 0, 0, set(),
        )  # fmt: skip
    assert [row.users for row in (first, second, third)] == [10, 30, 5]
    assert [row.begins_s for row in (first, second, third)] == [0.0, 20.1, 50.2]


def test_the_seconds_are_those_of_the_run(made: ModuleType) -> None:
    run = ordinary(made)
    assert [cut.seconds for cut in cuts(run)] == [range(5, 20), range(23, 50), range(52, 75)]
    assert held(run) == range(23, 50)


def test_percentiles_are_given_as_everywhere_and_are_over_what_was_expected(made: ModuleType) -> None:
    rows = [health(second, users_at(second)) for second in range(80)]
    series = [delivered(30, *[5] * 297, lost=2, late=1), delivered(31, lost=1)]
    second = stage_rows(run_of(made, *rows, *series))[1]
    assert (second.expected, second.n, second.lost, second.late) == (301, 297, 3, 1)
    assert second.latency_ms.p95 == pytest.approx(5, rel=0.01)
    assert second.latency_ms.p99 is None
    assert second.why["p99"] == "not reached: 1.3 % late or lost"
    assert second.why["server_cpu_percent"] == "the server told nothing of its CPU"


@pytest.mark.parametrize("there", [0.5, 0.9, 2])
def test_it_is_not_the_number_asked_for_that_decides(made: ModuleType, there: float) -> None:
    """Some were refused; or everybody has two devices. What there was in the end is what there was to reach."""
    rows = stage_rows(ordinary(made, lambda second: round(users_at(second) * there)))
    assert [row.seconds for row in rows] == [15, 27, 23]
    assert [row.connections for row in rows] == [round(users * there) for users in (10, 30, 5)]


def test_a_fault_in_a_stage_that_had_settled_changes_nothing(made: ModuleType) -> None:
    rows = stage_rows(ordinary(made, lambda second: 12 if 28 <= second < 32 else users_at(second)))
    assert [row.seconds for row in rows] == [15, 27, 23]


def test_a_stage_that_never_began_says_so(made: ModuleType) -> None:
    stages = [*STAGES[:2], {**STAGES[2], "begins_s": None}]
    edges = Edges(2 * SECOND, 5 * SECOND, 40 * SECOND, 41 * SECOND)
    rows = stage_rows(ordinary(made, stages=stages, edges=edges))
    assert [row.seconds for row in rows] == [15, 17, 0]
    assert rows[2].why["seconds"] == "the run ended before it began"
    assert (rows[2].connections, rows[2].begins_s, rows[2].n) == (None, None, 0)


@pytest.mark.parametrize(
    "edges",
    [
        Edges(2 * SECOND, 60 * SECOND, 75 * SECOND, 80 * SECOND),  # warmup took it
        Edges(2 * SECOND, None, None, 80 * SECOND),
    ],
)
def test_a_stage_without_a_measured_second_says_so(made: ModuleType, edges: Edges) -> None:
    first = stage_rows(ordinary(made, edges=edges))[0]
    assert (first.seconds, first.expected) == (0, 0)
    assert first.why["seconds"] == "no second of measure was left once its users had come or gone"


def test_without_a_count_of_connections_nobody_knows_when(made: ModuleType) -> None:
    rows = stage_rows(run_of(made, delivered(30, 5)))
    assert {row.why["seconds"] for row in rows} == {
        "nobody counted the generator's connections while it lasted"
    }


def test_what_people_mostly_do_is_what_it_is_about(made: ModuleType) -> None:
    counts = [health(second, users_at(second)) for second in range(80)]
    chats = [delivered(30, 5, operation="chat.deliver"), delivered(31, 5, operation="message.echo")]
    assert {row.operation for row in stage_rows(run_of(made, *counts, *chats))} == {"chat.deliver"}
    assert {row.operation for row in stage_rows(run_of(made, *counts))} == {"message.deliver"}


@pytest.mark.parametrize("stages", [None, []])
def test_a_run_without_stages_has_no_rows(made: ModuleType, stages: Any) -> None:
    run = ordinary(made, stages=stages)
    assert stage_rows(run) == []
    assert held(run) is None
    older: Run = made.in_memory()
    assert stage_rows(older) == []


def test_a_process_that_skips_a_second_is_not_gone(made: ModuleType) -> None:
    """Seconds of a process are a little longer than those of the run."""
    rows = [health(second, 5, worker) for second in range(20) for worker in ("0", "1")]
    rows.remove(health(7, 5, "1"))
    assert connections_by_second(run_of(made, *rows)) == dict.fromkeys(range(20), 10)
    # In the second in which a phase begins there are two rows.
    twice = HealthRow("0", "warmup", 7, connections=4)
    assert connections_by_second(run_of(made, *rows, twice))[7] == 10
    dead = [row for row in rows if row.worker == "0" or row.second < 5]
    assert connections_by_second(run_of(made, *dead))[12] == 5


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), min_size=1, max_size=6), st.integers(0, 5))
def test_no_second_belongs_to_two_stages(
    made: ModuleType, asked: list[tuple[int, int]], warmup_s: int
) -> None:
    stages: list[dict[str, Any]] = []
    rows: list[Row] = []
    begin = 0
    for duration, users in asked:
        stages.append({"duration_s": float(duration), "users": users, "begins_s": begin + 0.3})
        rows += [health(second, users) for second in range(begin, begin + duration)]
        begin += duration
    edges = Edges(0, warmup_s * SECOND, (begin - 1) * SECOND, begin * SECOND)
    found = cuts(run_of(made, *rows, stages=stages, edges=edges))
    seconds = [second for cut in found for second in cut.seconds]
    assert len(seconds) == len(set(seconds))
    for cut in found:
        assert bool(cut.why) == (len(cut.seconds) == 0)
        for second in cut.seconds:
            assert warmup_s <= second < begin - 1
            assert cut.asked["begins_s"] <= second < cut.asked["begins_s"] + cut.asked["duration_s"]


def test_the_summary_has_them(made: ModuleType) -> None:
    run = ordinary(made)
    rows: list[StageRow] = summarise(run).stages
    assert rows == stage_rows(run)
