"""Does the board come to the sums of the book, keep no more than its window, and judge by the report's limits?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.validity import RULES
from loadtest.measure.book import Book
from loadtest.measure.fitness import CPU_INVALID_PERCENT, CPU_PERCENT, LAG_MS, SEND_LAG_MS
from loadtest.measure.histogram import TOP_NS, Counts, Histogram, merged
from loadtest.measure.plan import Plan
from loadtest.measure.rows import COUNTERS, Delta, Drop, HealthRow, SeriesRow
from loadtest.measure.units import MS, SECOND
from loadtest.users.live_board import QUANTILES, WINDOW_S, Board, Point, quantiles_ns
from loadtest.users.live_cells import Cells
from loadtest.users.live_fitness import INVALID, SUSPECT, UNJUDGED, VALID, Fitness
from loadtest.users.live_view import view

ABOUT: dict[str, object] = {"id": "1f3a5c", "scenario": "messaging", "transport": "websocket"}


def counts(values: Sequence[int]) -> Counts:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.counts()


def delivered(second: int, values: Sequence[int] = (), lost: int = 0, **more: int) -> SeriesRow:
    row: dict[str, object] = {"expected": len(values) + lost, "lost": lost, **more}
    return SeriesRow(
        "message.deliver",
        "websocket",
        "measure",
        second,
        latency=counts(values),
        service=counts(values),
        **row,  # type: ignore[arg-type]
    )


def health(
    second: int, cpu: float = 10.0, worker: str = "0", phase: str = "measure", **lags: Counts
) -> HealthRow:
    return HealthRow(worker, phase, second, cpu, connections=5, **lags)  # type: ignore[arg-type]


def board(*rows: SeriesRow | HealthRow) -> Board:
    made = Board(ABOUT, Plan(0))
    made.add("0", Delta(1, list(rows)))
    return made


LATENCIES = st.lists(st.integers(0, 2 * TOP_NS), max_size=40)


@given(st.lists(LATENCIES, max_size=6), st.sampled_from([0.001, 0.5, 0.95, 0.99, 1.0]))
def test_cells_are_the_histogram_of_their_parts(parts: list[list[int]], q: float) -> None:
    cells, whole = Cells(), merged([counts(part) for part in parts])
    for part in parts:
        cells.add(counts(part))
    assert cells.counts.tolist() == whole.dense().tolist()
    assert (cells.n, cells.sum_ns, cells.min_ns, cells.max_ns) == (
        whole.n,
        whole.sum_ns,
        whole.min_ns,
        whole.max_ns,
    )
    assert cells.quantile_ns(q) == whole.quantile(q)


@given(st.lists(st.tuples(st.integers(0, 3), LATENCIES, st.integers(-2, 4)), max_size=8))
def test_sums_are_those_of_the_book(rows: list[tuple[int, list[int], int]]) -> None:
    book, made = Book(), Board(ABOUT, Plan(0))
    for number, (second, values, lost) in enumerate(rows, 1):
        delta = Delta(number, [delivered(second, values, lost)])
        book.add("0", delta)
        made.add("0", delta)
    of_book = list(book.intervals.values())
    sums = made.sums.get(("message.deliver", "websocket"))
    for name in COUNTERS:
        assert (sums.counts[name] if sums else 0) == sum(getattr(row, name) for row in of_book)
    whole = merged([row.latency for row in of_book])
    assert (sums.latency.counts.tolist() if sums else whole.dense().tolist()) == whole.dense().tolist()


@given(st.lists(LATENCIES, max_size=6), st.integers(0, 60))
def test_quantiles_of_little_are_those_of_a_histogram(parts: list[list[int]], missing: int) -> None:
    whole = merged([counts(part) for part in parts])
    owed = whole.n + missing
    expected = [whole.quantile(q, of=owed) for q in QUANTILES] if owed else [None] * 3
    assert quantiles_ns([counts(part) for part in parts if part], owed) == expected


def test_a_percentile_among_what_never_came_is_not_reached() -> None:
    point = Point([delivered(1, [MS] * 96, lost=4)])
    p50, p95, p99 = point.quantiles_ms
    assert p50 is not None and p95 is not None
    assert p99 is None
    assert Point([]).quantiles_ms == [None, None, None]


def test_only_the_window_is_kept_second_by_second() -> None:
    made = Board(ABOUT, Plan(0))
    for second in range(2 * WINDOW_S):
        made.add("0", Delta(second + 1, [delivered(second, [MS])]))
    assert sorted(made.seconds) == list(range(WINDOW_S, 2 * WINDOW_S))
    assert made.sums["message.deliver", "websocket"].latency.n == 2 * WINDOW_S


def test_the_page_is_told_what_changed_since() -> None:
    made = board(delivered(3, [MS]), delivered(4, [MS]))
    first = view(made, 0, None, 0, list)
    assert [one["second"] for one in first["seconds"]] == [3, 4]
    made.add("0", Delta(2, [delivered(3, [2 * MS], late=1, expected=2), health(5)]))
    second = view(made, 0, None, first["revision"], list)
    assert [one["second"] for one in second["seconds"]] == [3, 5]
    assert second["seconds"][0]["series"] == {"message.deliver websocket": [2, 1, 0, 2.0, None, None]}
    (row,) = second["operations"]
    assert (row["n"], row["late"], row["lost"], row["missing"]) == (3, 1, 0, True)
    assert row["missed_percent"] == 25.0


def test_connections_are_those_of_all_processes_and_drops_have_an_outcome() -> None:
    made = Board(ABOUT, Plan(0))
    drops = [Drop("u", "websocket", 1, "transport_close", outcome=one) for one in ("recovered", "gave_up")]
    made.add("0", Delta(1, [health(1)], drops, counters={"connections.lost": 3}))
    made.add("1", Delta(1, [health(1, worker="1")]))
    told = view(made, 0, None, 0, list)
    assert told["connections"] == {
        "now": 10,
        "established": 0,
        "failed": 0,
        "lost": 3,
        "recovered": 1,
        "gave_up": 1,
    }
    assert told["seconds"][0]["connections"] == 10


# -- may it be believed? ------------------------------------------------------------------------------------


def judged(*rows: HealthRow, latency_p99_ns: int | None = None, **counters: int) -> tuple[str, list[str]]:
    fitness = Fitness()
    for row in rows:
        fitness.add(row)
    return fitness.judge(counters, 0, latency_p99_ns)


def test_nothing_is_judged_before_measure() -> None:
    assert judged(health(1, cpu=99.0, phase="warmup")) == (UNJUDGED, [])


@pytest.mark.parametrize(("cpu", "state"), [(59.0, VALID), (61.0, SUSPECT), (86.0, INVALID)])
def test_cpu(cpu: float, state: str) -> None:
    found, reasons = judged(*(health(second, cpu) for second in range(20)))
    assert found == state
    assert bool(reasons) == (state != VALID)


@pytest.mark.parametrize("name", ["receive_lag", "loop_lag", "send_lag"])
def test_lags_count_against_latency_where_that_is_long(name: str) -> None:
    def row(lag_ms: float) -> HealthRow:
        return health(1, **{name: counts([round(lag_ms * MS)] * 100)})

    assert judged(row(2.9))[0] == VALID
    assert judged(row(7.0))[0] != VALID
    assert judged(row(11.0))[0] == INVALID
    assert judged(row(11.0), latency_p99_ns=SECOND)[0] == VALID


def test_the_worst_process_decides_and_is_named() -> None:
    rows = [health(1, 20.0), health(1, 70.0, worker="1")]
    state, reasons = judged(*rows)
    assert (state, reasons) == (SUSPECT, ["generator CPU p95 70 % of a core in worker 1 (limit 60 %)"])


def test_what_leaves_no_doubt() -> None:
    fitness = Fitness()
    fitness.add(health(1))
    assert fitness.judge({"fds.exhausted": 1}, 0, None) == (INVALID, ["file descriptors ran out"])
    assert fitness.judge({}, 2, None)[0] == INVALID


def test_the_limits_are_those_of_the_report() -> None:
    limits = {rule.name: (rule.limit, rule.invalid_past) for rule in RULES}
    assert limits["generator CPU p95"] == (CPU_PERCENT, CPU_INVALID_PERCENT)
    assert limits["receive lag p99"] == limits["loop lag p99"] == (LAG_MS, None)
    assert limits["send lag p99"] == (SEND_LAG_MS, None)
