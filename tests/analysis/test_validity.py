"""Every rule at its limit, just past it and past twice its limit; and what leaves no doubt."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

from loadtest.analysis import figures, generator, validity
from loadtest.analysis.validity import RULES, Validity, judge
from loadtest.measure.book import Book
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.rows import Delta, HealthRow, SeriesRow
from loadtest.measure.run import Edges, Worker
from loadtest.measure.units import MS, SECOND

SECONDS = range(5, 27)


def counts(values_ns: Iterable[int]) -> Counts:
    histogram = Histogram()
    for value in values_ns:
        histogram.record(value)
    return histogram.counts()


def healthy(worker: str = "local", **changes: Any) -> list[HealthRow]:
    calm = {
        "cpu_percent": 20.0,
        "connections": 10,
        "planned": 100,
        "sent": 100,
        "receive_lag": counts([MS // 10] * 100),
        "loop_lag": counts([MS // 5] * 10),
        "send_lag": counts([MS // 5] * 100),
    }
    return [HealthRow(worker, "measure", second, **(calm | changes)) for second in SECONDS]


def judged(made: ModuleType, rows: list[Any], **changes: Any) -> Validity:
    book = Book()
    book.add("local", Delta(1, rows, final=True))
    return judge(made.in_memory(book, **changes))


def test_a_calm_run_is_valid(made: ModuleType) -> None:
    found = judged(made, healthy())
    assert (found.state, found.reasons) == ("valid", [])
    assert found.cpu_percent_p95 == 20.0
    assert found.late_ratio == 0.0
    assert found.receive_lag_ms.p99 == pytest.approx(0.1, rel=0.01)


# name of the rule; at the limit; just past it; past the second limit (None where there is none)
NOTHING: dict[str, Any] | None = None
EDGES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any] | None]] = [
    ("generator CPU p95", {"cpu_percent": 60.0}, {"cpu_percent": 60.1}, {"cpu_percent": 85.1}),
    (
        "receive lag p99",
        {"receive_lag": counts([5 * MS])},
        {"receive_lag": counts([5 * MS + 60_000])},
        {"receive_lag": counts([10 * MS + 60_000])},
    ),
    (
        "loop lag p99",
        {"loop_lag": counts([5 * MS])},
        {"loop_lag": counts([5 * MS + 60_000])},
        {"loop_lag": counts([10 * MS + 60_000])},
    ),
    (
        "send lag p99",
        {"send_lag": counts([3 * MS])},
        {"send_lag": counts([3 * MS + 60_000])},
        {"send_lag": counts([6 * MS + 60_000] * 100)},
    ),
    (
        "longest garbage collection",
        {"gc_pause_ns": 50 * MS},
        {"gc_pause_ns": 50 * MS + 1000},
        {"gc_pause_ns": 100 * MS + 1000},
    ),
    ("sent and planned differ by", {"sent": 99}, {"sent": 98}, {"sent": 97}),
    ("sent and planned differ by", {"sent": 101}, {"sent": 102}, {"sent": 103}),
    ("CPU stolen by other guests, p95", {"steal_percent": 2.0}, {"steal_percent": 2.1}, NOTHING),
]


@pytest.mark.parametrize(("name", "at", "past", "twice"), EDGES)
def test_a_rule_at_past_and_past_twice_its_limit(
    made: ModuleType, name: str, at: dict[str, Any], past: dict[str, Any], twice: dict[str, Any] | None
) -> None:
    assert judged(made, healthy(**at)).state == "valid"
    suspect = judged(made, healthy(**past))
    assert suspect.state == "suspect"
    assert suspect.reasons[0].startswith(name)
    if twice is None:
        assert judged(made, healthy(steal_percent=99.0)).state == "suspect", "suspect only"
    else:
        invalid = judged(made, healthy(**twice))
        assert invalid.state == "invalid"
        assert any(reason.startswith(name) for reason in invalid.reasons)


def test_every_rule_is_tried_somewhere_here() -> None:
    elsewhere = {"generator CPU over 5 s", "longest loop lag", "messages sent late"}
    assert {rule.name for rule in RULES} == {name for name, *_ in EDGES} | elsewhere


def test_cpu_over_five_seconds(made: ModuleType) -> None:
    """Five busy seconds of a hundred leave the p95 alone."""
    rows = [
        HealthRow("local", "measure", second, cpu_percent=75.0 if 40 <= second < 45 else 10.0)
        for second in range(5, 105)
    ]
    assert judged(made, rows).state == "valid"
    rows = [
        HealthRow("local", "measure", second, cpu_percent=100.0 if 40 <= second < 45 else 10.0)
        for second in range(5, 105)
    ]
    found = judged(made, rows)
    assert found.state == "suspect", "never invalid by itself"
    assert found.reasons[0].startswith("generator CPU over 5 s 100 % of a core (limit 75 %)")


def test_one_long_stall_of_the_loop(made: ModuleType) -> None:
    def stalled(longest_ns: int) -> Validity:
        rows = healthy(loop_lag=counts([MS // 5] * 100))
        rows[3] = HealthRow("local", "measure", 8, planned=1, sent=1, loop_lag=counts([longest_ns]))
        return judged(made, rows)

    assert stalled(100 * MS).state == "valid"
    assert stalled(101 * MS).state == "suspect"
    assert stalled(201 * MS).state == "invalid"
    assert "longest loop lag" in stalled(201 * MS).reasons[0]


@pytest.mark.parametrize(("late", "state"), [(1, "valid"), (2, "suspect"), (3, "invalid")])
def test_share_of_messages_sent_late(made: ModuleType, late: int, state: str) -> None:
    """Of 100 a second so many left 6 ms late. With a latency p99 of 1 s the p99 of send lag is no matter."""
    slow = SeriesRow(
        "message.deliver",
        "websocket",
        "measure",
        6,
        expected=1,
        latency=counts([SECOND]),
        service=counts([MS]),
    )
    lags = counts([6 * MS] * late + [MS // 5] * (100 - late))
    found = judged(made, [slow, *healthy(send_lag=lags)])
    assert found.state == state
    assert found.late_ratio == pytest.approx(late / 100)
    if state != "valid":
        assert found.reasons == [
            f"messages sent late {late}.0 % (limit 1 %): use --processes 2, or a lower --rt-rate"
        ]


def test_late_is_measured_against_the_service_time(made: ModuleType) -> None:
    """6 ms is late beside a service time of 1 ms, not beside one of 100 ms."""
    slow = SeriesRow(
        "message.deliver",
        "websocket",
        "measure",
        6,
        expected=1,
        latency=counts([SECOND]),
        service=counts([100 * MS]),
    )
    assert judged(made, [slow, *healthy(send_lag=counts([6 * MS] * 100))]).late_ratio == 0.0


def test_limits_grow_with_the_latency_that_they_spoil(made: ModuleType) -> None:
    """A lag of 20 ms spoils 50 ms of latency, not 1.4 s of polling."""
    lag = {"receive_lag": counts([20 * MS] * 10), "loop_lag": counts([20 * MS] * 10)}

    def at(latency_ns: int) -> str:
        deliver = SeriesRow(
            "message.deliver",
            "websocket",
            "measure",
            6,
            expected=1,
            latency=counts([latency_ns]),
            service=counts([latency_ns]),
        )
        return judged(made, [deliver, *healthy(**lag)]).state

    assert at(1_400 * MS) == "valid"
    assert at(50 * MS) == "invalid"


def test_a_p99_that_was_not_reached_does_not_loosen_a_limit(made: ModuleType) -> None:
    lost = SeriesRow(
        "message.deliver",
        "websocket",
        "measure",
        6,
        expected=2,
        lost=1,
        latency=counts([9 * SECOND]),
        service=counts([MS]),
    )
    assert judged(made, [lost, *healthy(loop_lag=counts([8 * MS]))]).state == "suspect"


def test_only_the_measured_phase_is_judged(made: ModuleType) -> None:
    storm = [HealthRow("local", "connect", 1, cpu_percent=100.0, loop_lag=counts([SECOND]))]
    assert judged(made, storm + healthy()).state == "valid"


def test_the_worst_worker_decides_and_is_named(made: ModuleType) -> None:
    found = judged(made, healthy("calm") + healthy("busy", cpu_percent=91.0), environment={"cores": 8})
    assert found.state == "invalid"
    assert found.cpu_percent_p95 == 91.0
    assert found.reasons[0] == (
        "generator CPU p95 91 % of a core in worker busy (limit 60 %): use --processes 3"
    )


def test_a_reason_says_what_to_do(made: ModuleType) -> None:
    busy = healthy(cpu_percent=74.0)
    assert judged(made, busy).reasons == ["generator CPU p95 74 % of a core (limit 60 %): use --processes 2"]
    assert judged(made, busy, environment={"cores": 1}).reasons == [
        "generator CPU p95 74 % of a core (limit 60 %): use a machine with more cores than 1 (--processes 2)"
    ]


def test_the_worst_reason_comes_first(made: ModuleType) -> None:
    found = judged(
        made, healthy(cpu_percent=61.0, gc_pause_ns=99 * MS), harness_errors=["KeyError in a watcher"]
    )
    assert [reason.split(" ")[0] for reason in found.reasons] == ["the", "longest", "generator"]
    assert found.state == "invalid"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": [Worker("local", True), Worker("w2", False)]}, "worker w2 ended without its last word"),
        ({"gaps": ["w2: delta 4 where 3 was due"]}, "numbers were lost on the way"),
        ({"harness_errors": ["TypeError in on_read"]}, "the generator failed: TypeError in on_read"),
        ({"counters": {"ledger.overflow": 7}}, "7 messages were more than the ledger keeps"),
        ({"counters": {"fds.exhausted": 1}}, "file descriptors ran out"),
        ({"counters": {"ports.exhausted": 1}}, "local ports ran out"),
    ],
)
def test_what_leaves_no_doubt(made: ModuleType, changes: dict[str, Any], said: str) -> None:
    found = judged(made, healthy(), **changes)
    assert found.state == "invalid"
    assert len(found.reasons) == 1
    assert said in found.reasons[0]


def test_a_delivery_before_its_sending_is_a_broken_clock(made: ModuleType) -> None:
    early = SeriesRow(
        "message.deliver", "websocket", "warmup", 3, expected=1, latency=counts([MS]), service=counts([-5])
    )
    found = judged(made, [early, *healthy()])
    assert found.state == "invalid"
    assert "came before they were sent: 1" in found.reasons[0]


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ((None, None, None, 9), "not every user had joined when the run ended after 9.0 s"),
        ((8, None, None, 9), "connecting took 8.0 s of 9.0 s"),
        ((8, 9, 9, 10), "connecting took 8.0 s of 10 s"),
    ],
)
def test_no_measured_second(made: ModuleType, edges: tuple[int | None, ...], said: str) -> None:
    at = [None if edge is None else edge * SECOND for edge in edges]
    found = judged(made, [], edges=Edges(*at))
    assert found.state == "invalid"
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(f"no measured second: {said}")
    assert found.cpu_percent_p95 is None


def test_one_measured_second_is_enough(made: ModuleType) -> None:
    assert judged(made, healthy(), edges=Edges(SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND)).state == "valid"


def test_health_that_nobody_recorded_is_no_proof(made: ModuleType) -> None:
    assert judged(made, []).state == "suspect"


def test_nearest_rank_and_share_above() -> None:
    assert figures.nearest_rank([5.0], 0.95) == 5.0
    assert figures.nearest_rank(range(1, 101), 0.95) == 95
    histogram = Histogram()
    assert generator.percent_above(histogram, 1) is None
    for value in (1, 2, 3, 4):
        histogram.record(value)
    assert generator.percent_above(histogram, 2) == 50.0
    assert generator.percent_above(histogram, 4) == 0.0


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [(5, "ms", "5 ms"), (148.53, "ms", "149 ms"), (1200, "ms", "1.20 s"), (60, "% of a core", "60 %")],
)
def test_limits_are_worded(value: float, unit: str, said: str) -> None:
    assert validity.say_limit(value, unit) == said


# -- storms and stalls -------------------------------------------------------------------------------------


def stormy(made: ModuleType, rows: list[Any], drops: list[Any], **changes: Any) -> Validity:
    book = Book()
    book.add("local", Delta(1, rows, drops, final=True))
    return judge(made.in_memory(book, parameters=made.manifest().parameters | made.RETURNING, **changes))


def struck(made: ModuleType, n: int, late_s: float = 0.0) -> list[Any]:
    """All back 2 s after second 10."""
    told = {"fault": "abort#0", "took_s": 0.0, "rejoin_s": 0.0, "heard_s": 0.0}
    return [made.drop(f"u{index}", 10, (2.0,), late_s=late_s, **told) for index in range(n)]


def busy_while_they_return() -> list[HealthRow]:
    return [
        *(row for row in healthy() if row.second not in (10, 11, 12)),
        *(row for row in healthy(cpu_percent=100.0, loop_lag=counts([SECOND])) if row.second in (10, 11, 12)),
    ]


def test_seconds_of_a_storm_are_not_held_against_the_run(made: ModuleType) -> None:
    found = stormy(made, busy_while_they_return(), struck(made, 20))
    assert (found.state, found.reasons, found.cpu_percent_p95) == ("valid", [], 20.0)
    assert found.notes == [
        "4 measured seconds in 1 storm left out of these rules: "
        "the generator is judged there by how late its attempts to come back began"
    ]
    few = stormy(made, busy_while_they_return(), struck(made, 19))
    assert (few.state, few.notes) == ("invalid", []), "nineteen are no storm"


def test_a_storm_at_the_pace_of_the_generator_is_marked_and_the_run_stays_valid(made: ModuleType) -> None:
    found = stormy(made, busy_while_they_return(), struck(made, 20, late_s=0.3))
    assert found.state == "valid"
    assert found.notes[1].startswith("the figures of storm abort#0 are the generator's, not the server's: ")


def test_a_busy_second_on_either_side_of_a_storm_is_not_sustained(made: ModuleType) -> None:
    """Three before it and two after it are five samples, but not in a row."""
    busy = {7, 8, 9, 13, 14}
    rows = [
        HealthRow("local", "measure", second, cpu_percent=100.0 if second in busy else 10.0)
        for second in range(5, 205)
    ]
    assert not any("over 5 s" in one for one in stormy(made, rows, struck(made, 20)).reasons)
    joined = [row for row in rows if row.second != 10]
    joined += [HealthRow("local", "measure", second, cpu_percent=100.0) for second in (10, 11, 12)]
    assert any("over 5 s" in one for one in judged(made, joined).reasons), "but for the storm they are"


def test_latency_of_a_storm_does_not_loosen_the_limits_of_the_rest(made: ModuleType) -> None:
    """What was kept until its sender was back has seconds of latency: 10 % of that is no limit for a loop."""
    latency, service = counts([3 * SECOND]), counts([MS])
    kept = SeriesRow(
        "message.deliver", "websocket", "measure", 11, expected=1, latency=latency, service=service
    )
    late = healthy(loop_lag=counts([20 * MS] * 10))
    assert stormy(made, [kept, *late], struck(made, 19)).state == "valid"
    assert stormy(made, [kept, *late], struck(made, 20)).state == "invalid"


def test_a_run_that_is_nothing_but_storm_proves_nothing(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 5, (25.0,), "gave_up", fault="restart#0") for n in range(30)]
    found = stormy(made, healthy(), drops)
    assert (found.state, found.reasons) == ("suspect", [validity.ALL_STORM])


def test_a_loss_by_the_generator_s_own_fault_is_invalid(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 9, cause="generator_stall") for n in range(3)]
    found = stormy(made, healthy(), drops)
    assert found.state == "invalid"
    assert found.reasons == [
        "the generator stood still for so long that connections were lost by it: 3; "
        "use --processes, or fewer users"
    ]
