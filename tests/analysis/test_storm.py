"""Storms: how fast everybody was back, what the generator had to do with it, and what the others felt."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.analysis import storm
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import Delta, Drop, FaultRow, SeriesRow, Try
from loadtest.measure.run import Run
from loadtest.measure.units import MS, SECOND


def run_of(made: ModuleType, some: list[Drop], rows: Any = (), **changes: Any) -> Run:
    book = Book()
    book.add("local", Delta(1, list(rows), some, final=True))
    told = {"parameters": made.manifest().parameters | made.RETURNING} | changes
    run: Run = made.in_memory(book, **told)
    return run


def struck(made: ModuleType, times_s: list[float], at_s: float = 10.0, **told: Any) -> list[Drop]:
    """One loss for each: back so many seconds after the injection, found out 10 ms after it."""
    told = {"fault": "abort#0", "fault_s": at_s, "took_s": 0.0, "heard_s": 0.0, "rejoin_s": 0.0} | told
    return [
        made.drop(f"user-{index}", at_s + 0.01, (time_s - 0.01,), **told)
        for index, time_s in enumerate(times_s)
    ]


def test_a_storm_of_a_hundred(made: ModuleType) -> None:
    drops = struck(made, [1 + index / 100 for index in range(1, 101)], took_s=0.0, late_s=0.002)
    (found,) = storm.storms(run_of(made, drops))
    assert (found.fault, found.at_s, found.n, found.returning, found.back) == ("abort#0", 10.0, 100, 100, 100)
    assert (found.t50_s, found.t95_s, found.t99_s, found.t100_s) == (1.5, 1.95, 1.99, 2.0)
    assert found.until_s == 11.99
    assert (found.attempts, found.amplification, found.failed_share) == (100, 1.0, 0.0)
    assert found.peak_per_s == 100, "the first at 11.01, the last at 12.00: all within 0.99 s"
    assert (found.late_p99_ms, found.verdict) == (2.0, "ok")
    assert found.words == "attempts began 2.00 ms late (p99), against 2.0 s until 99 % were back"
    assert found.why == {}


def test_nineteen_are_no_storm_and_the_generator_s_own_fault_is_none(made: ModuleType) -> None:
    assert storm.storms(run_of(made, struck(made, [1.0] * 19))) == []
    assert len(storm.storms(run_of(made, struck(made, [1.0] * 20)))) == 1
    assert storm.storms(run_of(made, struck(made, [1.0] * 30, cause="generator_stall"))) == []
    assert storm.storms(run_of(made, struck(made, [1.0] * 30, fault=""))) == [], "nobody provoked it"


def test_who_gives_up_is_above_everybody(made: ModuleType) -> None:
    drops = struck(made, [1.0] * 57)
    drops += [
        made.drop(f"lost-{index}", 10.01, (1.0, 2.0), "gave_up", fault="abort#0", fault_s=10)
        for index in range(3)
    ]
    (found,) = storm.storms(run_of(made, drops))
    assert (found.n, found.returning, found.back) == (60, 60, 57)
    assert (found.t50_s, found.t95_s, found.t99_s, found.t100_s) == (1.0, 1.0, None, None)
    assert found.why["t99_s"] == found.why["t100_s"] == "57 of 60 came back"
    assert found.until_s == pytest.approx(10.01 + 3 + 2 * 0.02), "the end of the last attempt"
    assert (found.attempts, found.amplification) == (63, 1.05)
    assert found.failed_share == pytest.approx(6 / 63, abs=1e-6)


def test_who_stays_or_leaves_was_not_to_come_back(made: ModuleType) -> None:
    drops = struck(made, [1.0] * 20)
    drops += [made.drop(f"s{index}", 10, (), "stayed", fault="abort#0") for index in range(5)]
    drops += [made.drop(f"l{index}", 10, (1.0,), "left", fault="abort#0") for index in range(2)]
    (found,) = storm.storms(run_of(made, drops))
    assert (found.n, found.returning, found.stayed, found.back, found.t100_s) == (27, 20, 5, 20, 1.0)


def test_a_kick_that_brings_nobody_back(made: ModuleType) -> None:
    drops = [made.drop(f"s{index}", 10, (), "stayed", fault="kick#0") for index in range(20)]
    (found,) = storm.storms(run_of(made, drops))
    assert (found.attempts, found.failed_share, found.took_p99_ms, found.verdict) == (0, None, None, None)
    assert found.why["t50_s"] == "nobody set out to come back"
    assert found.words == found.why["verdict"] == "nobody tried to come back"


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.integers(1, 900)), min_size=20, max_size=120), st.randoms())
def test_the_times_are_those_of_a_slow_count(made: ModuleType, times_ms: Any, random: Any) -> None:
    """Wait until that many of all are back; whoever never is, is waited for in vain."""
    drops = [
        made.drop(f"u{index}", 10, (0.001,), "gave_up", fault="abort#0")
        if time_ms is None
        else made.drop(f"u{index}", 10, (time_ms / 1000,), fault="abort#0", took_s=0.0, rejoin_s=0, heard_s=0)
        for index, time_ms in enumerate(times_ms)
    ]
    random.shuffle(drops)
    (found,) = storm.storms(run_of(made, drops))
    for name, percent in (("t50_s", 50), ("t95_s", 95), ("t99_s", 99), ("t100_s", 100)):
        moments = [
            moment
            for moment in range(901)
            if 100 * sum(time is not None and time <= moment for time in times_ms) >= percent * len(times_ms)
        ]
        assert getattr(found, name) == (moments[0] / 1000 if moments else None), name


@given(st.lists(st.integers(0, 5_000), max_size=60), st.randoms())
def test_the_peak_of_a_window_that_slides(began_ms: list[int], random: Any) -> None:
    tries = [Try(0, 0, ms * MS, 0) for ms in began_ms]
    random.shuffle(tries)
    slow = max((sum(at <= other < at + 1000 for other in began_ms) for at in began_ms), default=0)
    assert storm.peak(tries) == slow


def test_a_generator_that_is_slower_than_the_server_sets_the_pace(made: ModuleType) -> None:
    (at,) = storm.storms(run_of(made, struck(made, [2.0] * 50, late_s=0.2)))
    assert at.verdict == "ok"
    (past,) = storm.storms(run_of(made, struck(made, [2.0] * 50, late_s=0.201)))
    assert past.verdict == "generator-bound"
    assert past.words == (
        "attempts began 201 ms late (p99), against 2.0 s until 99 % were back: more than 10 % of it, "
        "so the generator set the pace; use more processes"
    )


def test_seconds_of_storms(made: ModuleType) -> None:
    drops = struck(made, [1.0] * 40, at_s=10.5) + struck(made, [2.5] * 30, at_s=20.25, fault="abort#1")
    run = run_of(made, drops)
    assert sorted(storm.seconds(run)) == [10, 11, 20, 21, 22]
    assert [one.fault for one in storm.storms(run)] == ["abort#0", "abort#1"]


# -- bystanders --------------------------------------------------------------------------------------------


def counts(value_ms: float, n: int) -> Any:
    histogram = Histogram()
    for _ in range(n):
        histogram.record(round(value_ms * MS))
    return histogram.counts()


def deliveries(of: dict[int, float], n: int = 100, usual_ms: float = 10.0, **told: Any) -> list[SeriesRow]:
    """``message.deliver`` of every second from 2 to 26: service as told, or as usual; latency twice of it."""
    rows = []
    for second in range(2, 27):
        phase = "warmup" if second < 5 else "measure"
        service_ms = of.get(second, usual_ms)
        latency, service = counts(2 * service_ms, n), counts(service_ms, n)
        rows.append(
            SeriesRow(
                "message.deliver", "websocket", phase, second, expected=n, latency=latency, service=service
            )
        )
    return rows


def around(made: ModuleType, of: dict[int, float], times_s: float = 2.5, **told: Any) -> Any:
    drops = struck(made, [times_s] * 40, told.pop("at_s", 10.25))
    (found,) = storm.storms(run_of(made, drops, deliveries(of, **told)))
    return found.bystanders


def test_the_others_before_and_during(made: ModuleType) -> None:
    found = around(made, {10: 50.0, 11: 80.0})
    assert (found.before.seconds, found.during.seconds) == (3, 3), "10 to 12, and 7 to 9"
    assert (found.before.n, found.during.n) == (300, 300)
    assert (found.before.service_ms.p95, found.before.service_ms.max) == (10.0, 10.0)
    assert found.before.latency_ms.p95 == 20.0
    assert (found.during.service_ms.p95, found.during.service_ms.p99) == (80.0, 80.0)
    assert found.during.service_ms.p50 == pytest.approx(50.0, rel=0.01)
    assert found.settled_s == 1.75, "from second 12 on it is as before"


def test_it_may_last_longer_than_the_storm(made: ModuleType) -> None:
    assert around(made, {12: 50.0, 13: 50.0, 14: 11.1, 15: 10.9}).settled_s == 4.75
    assert around(made, {10: 50.0, 12: 50.0}).settled_s == 2.75, "a second wave"


def test_others_that_felt_nothing(made: ModuleType) -> None:
    found = around(made, {11: 10.9})
    assert found.settled_s is None
    assert (
        found.why["settled_s"] == "it never left it: in no second was the p95 more than 10 % and 1 ms higher"
    )


@pytest.mark.parametrize(
    ("usual_ms", "bad_ms", "left"), [(2.0, 2.9, False), (2.0, 3.1, True), (100.0, 109, False)]
)
def test_a_millisecond_is_no_effect(made: ModuleType, usual_ms: float, bad_ms: float, left: bool) -> None:
    found = around(made, {10: bad_ms}, usual_ms=usual_ms)
    assert (found.settled_s is not None) == left


def test_others_that_never_recovered(made: ModuleType) -> None:
    found = around(made, dict.fromkeys(range(10, 27), 50.0))
    assert found.why["settled_s"] == "not before the load ended, or the next storm began"


def test_seconds_with_few_deliveries_tell_nothing(made: ModuleType) -> None:
    assert "needed" in around(made, {11: 90.0}, n=19).why["settled_s"]


def test_before_is_no_other_storm_and_no_time_without_load(made: ModuleType) -> None:
    """The first at second 5: warmup before it. The second at 8: seconds 5 to 7 are the first one's."""
    drops = struck(made, [2.5] * 40, at_s=5.25) + struck(made, [2.5] * 40, at_s=8.0, fault="abort#1")
    rows = deliveries({5: 60.0, 6: 60.0, 7: 60.0})
    first, second = (one.bystanders for one in storm.storms(run_of(made, drops, rows)))
    assert first.before.seconds == second.before.seconds == 3
    assert first.before.service_ms.max == second.before.service_ms.max == 10.0
    assert first.during.service_ms.p50 == 60.0


def test_a_storm_at_the_first_second_of_load_has_no_before(made: ModuleType) -> None:
    edges = made.Edges(5 * SECOND, 5 * SECOND, 27 * SECOND, 30 * SECOND)
    drops = struck(made, [2.5] * 40, at_s=5.25)
    (found,) = storm.storms(run_of(made, drops, deliveries({}), edges=edges))
    assert found.bystanders.before is None
    assert found.bystanders.why["before"] == "the load had not been on for a second before it"


def test_lost_copies_have_no_service_and_count_in_the_latency(made: ModuleType) -> None:
    lost = SeriesRow("message.deliver", "websocket", "measure", 11, expected=30, lost=30, failed=3)
    drops = struck(made, [2.5] * 40, at_s=10.25)
    (found,) = storm.storms(run_of(made, drops, [*deliveries({}), lost]))
    during = found.bystanders.during
    assert (during.expected, during.n, during.latency_ms.p95, during.service_ms.p95) == (330, 300, None, 10.0)
    assert during.why["latency_ms.p95"] == "not reached: 9.1 % late or lost"


def test_faults_of_the_book_do_not_matter_for_whose_losses_they_are(made: ModuleType) -> None:
    fault = FaultRow("abort#0", "abort", 10 * SECOND, argument="abort@5", struck=40)
    alone = storm.storms(run_of(made, struck(made, [1.0] * 40)))
    assert storm.storms(run_of(made, struck(made, [1.0] * 40), [fault])) == alone
