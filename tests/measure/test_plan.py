"""Does every moment fall into the phase that the edges say?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.plan import Phase, Plan
from loadtest.measure.units import SECOND

START = 1_000 * SECOND


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def plan(run_time: float | None = 100, warmup: float | None = 20, drain: float | None = 10) -> Plan:
    def ns(seconds: float | None) -> int | None:
        return None if seconds is None else round(seconds * SECOND)

    return Plan(START, ns(run_time), ns(warmup), ns(drain))


@pytest.mark.parametrize(
    ("run_time", "warmup", "drain"),
    [
        (None, 30, 10),
        (1000, 30, 10),
        (150, 30, 10),
        (149, 29.8, 10),
        (50, 10, 10),
        (49, 9.8, 9.8),
        (10, 2, 2),
        (0, 0, 0),
    ],
)
def test_defaults_are_at_most_a_fifth_of_the_run(run_time: float | None, warmup: float, drain: float) -> None:
    made = plan(run_time, None, None)
    assert (made.warmup_ns, made.drain_ns) == (round(warmup * SECOND), round(drain * SECOND))


def test_zero_is_a_length_and_no_default() -> None:
    made = plan(100, 0, 0)
    made.begin(at(1))
    assert made.phase(at(1)) is Phase.MEASURE
    assert made.phase(at(100) - 1) is Phase.MEASURE
    assert made.phase(at(100)) is Phase.DRAIN


EDGES = [
    (at(0), Phase.CONNECT),
    (at(5) - 1, Phase.CONNECT),
    (at(5), Phase.WARMUP),
    (at(25) - 1, Phase.WARMUP),
    (at(25), Phase.MEASURE),
    (at(90) - 1, Phase.MEASURE),
    (at(90), Phase.DRAIN),
    (at(500), Phase.DRAIN),
]


@pytest.mark.parametrize(("moment", "phase"), EDGES)
def test_every_edge(moment: int, phase: Phase) -> None:
    made = plan()
    made.begin(at(5))
    assert made.phase(moment) is phase


def test_edges_are_told() -> None:
    made = plan()
    assert (made.measure_ns, made.drain_from_ns, made.ends_ns) == (None, at(90), at(100))
    made.begin(at(5))
    assert made.measure_ns == at(25)
    unlimited = plan(None)
    assert (unlimited.drain_from_ns, unlimited.ends_ns) == (None, None)


@pytest.mark.parametrize("moment", [at(0), at(50), at(95), at(10_000)])
def test_all_is_connect_until_the_plan_begins(moment: int) -> None:
    assert plan().phase(moment) is Phase.CONNECT


def test_only_the_first_begin_counts() -> None:
    made = plan()
    made.begin(at(5))
    made.begin(at(50))
    assert made.begun_ns == at(5)
    assert made.phase(at(26)) is Phase.MEASURE


def test_without_a_limit_measure_lasts_until_hold() -> None:
    made = plan(None)
    made.begin(at(5))
    assert made.phase(at(10**6)) is Phase.MEASURE
    made.hold(at(300))
    made.hold(at(400))
    assert made.held_ns == at(300)
    assert made.phase(at(300) - 1) is Phase.MEASURE
    assert made.phase(at(300)) is Phase.DRAIN


@pytest.mark.parametrize(("held", "drain_from"), [(40, 40), (95, 90)])
def test_hold_can_only_shorten_a_run(held: float, drain_from: float) -> None:
    made = plan()
    made.begin(at(5))
    made.hold(at(held))
    assert made.drain_from_ns == at(drain_from)


def test_hold_before_the_begin() -> None:
    made = plan()
    made.hold(at(3))
    assert made.phase(at(4)) is Phase.CONNECT
    made.begin(at(5))
    assert made.phase(at(4)) is Phase.CONNECT
    assert made.phase(at(6)) is Phase.DRAIN
    assert made.measured_ns(at(99)) == 0


def test_hold_in_warmup_leaves_no_measure() -> None:
    made = plan()
    made.begin(at(5))
    made.hold(at(10))
    assert [made.phase(at(s)) for s in (7, 10, 30)] == [Phase.WARMUP, Phase.DRAIN, Phase.DRAIN]
    assert made.measured_ns(at(50)) == 0


def test_a_limit_shorter_than_the_connecting_leaves_nothing_to_measure() -> None:
    made = plan(10, None, None)
    made.begin(at(12))
    assert [made.phase(at(s)) for s in (9, 11, 12, 13)] == [
        Phase.CONNECT,
        Phase.CONNECT,
        Phase.DRAIN,
        Phase.DRAIN,
    ]
    assert made.measured_ns(at(20)) == 0


@pytest.mark.parametrize(("now", "measured"), [(0, 0), (25, 0), (26, 1), (90, 65), (91, 65), (500, 65)])
def test_length_of_measure(now: float, measured: float) -> None:
    made = plan()
    assert made.measured_ns(at(now)) == 0
    made.begin(at(5))
    assert made.measured_ns(at(now)) == round(measured * SECOND)


@pytest.mark.parametrize(
    ("moment", "second"), [(at(0), 0), (at(1) - 1, 0), (at(1), 1), (at(59.9), 59), (at(0) - 1, -1)]
)
def test_second(moment: int, second: int) -> None:
    assert plan().second(moment) == second


LENGTHS = st.none() | st.integers(0, 50)


@given(LENGTHS, LENGTHS, LENGTHS, LENGTHS, LENGTHS, st.lists(st.integers(-5, 80), min_size=2))
def test_phases_follow_one_another_and_agree_with_the_edges(
    limit: int | None,
    warmup: int | None,
    drain: int | None,
    begun: int | None,
    held: int | None,
    moments: list[int],
) -> None:
    made = plan(limit, warmup, drain)
    if begun is not None:
        made.begin(at(begun))
    if held is not None:
        made.hold(at(held))
    order = list(Phase)
    found = [order.index(made.phase(at(moment))) for moment in sorted(moments)]
    assert found == sorted(found)
    for moment in moments:
        assert made.phase(at(moment)) is _phase_by_the_book(made, at(moment))


def _phase_by_the_book(made: Plan, moment: int) -> Phase:
    if made.begun_ns is None or made.measure_ns is None or moment < made.begun_ns:
        return Phase.CONNECT
    if made.drain_from_ns is not None and moment >= made.drain_from_ns:
        return Phase.DRAIN
    return Phase.WARMUP if moment < made.measure_ns else Phase.MEASURE
