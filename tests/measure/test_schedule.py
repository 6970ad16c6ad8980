"""Are planned moments fixed by the seed, whatever the server does, and late ones made up for as promised?"""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.schedule import BACKLOG_NS, BACKLOG_OPERATIONS, CATCH_UP, Schedule, Turn
from loadtest.measure.units import SECOND

START = 77 * SECOND


def moments(rate: float, seed: int, count: int, start: int = START) -> list[int]:
    """The planned moments of a user who is always on time."""
    schedule, now, found = Schedule(rate, start, Random(seed)), start, []
    for _ in range(count):
        turn = schedule.turn(now)
        assert turn == Turn(turn.planned_ns, turn.planned_ns, False)
        now = turn.wake_ns
        found.append(turn.planned_ns)
    return found


def by_hand(rate: float, seed: int, count: int) -> list[int]:
    rng, at, found = Random(seed), START, []
    for _ in range(count):
        at += round(rng.expovariate(rate) * SECOND)
        found.append(at)
    return found


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_must_be_finite_and_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="rate above zero"):
        Schedule(rate, START, Random(1))


def test_same_seed_same_moments() -> None:
    assert moments(2, 5, 200) == moments(2, 5, 200) == by_hand(2, 5, 200)
    assert moments(2, 5, 200) != moments(2, 6, 200)
    assert [m - START for m in moments(2, 5, 200)] == moments(2, 5, 200, start=0)


@given(st.integers(0, 2**32), st.floats(0.01, 100), st.lists(st.integers(0, 40 * SECOND), max_size=60))
def test_planned_moments_are_never_rebased(seed: int, rate: float, stalls: list[int]) -> None:
    schedule, now, planned = Schedule(rate, START, Random(seed)), START, []
    for stall in stalls:
        turn = schedule.turn(now)
        planned.append(turn.planned_ns)
        assert turn.wake_ns >= now
        now = turn.wake_ns + stall
    assert planned == by_hand(rate, seed, len(stalls))


@pytest.mark.parametrize(("rate", "seed"), [(0.1, 1), (1.0, 2), (50.0, 3)])
def test_gaps_are_exponential(rate: float, seed: int) -> None:
    """Kolmogorov-Smirnov by hand; 1.95 / sqrt(n) is the bound of one in a thousand."""
    n = 4000
    at = [START, *moments(rate, seed, n)]
    gaps = sorted((b - a) / SECOND for a, b in pairwise(at))
    cdf = [1 - math.exp(-rate * gap) for gap in gaps]
    distance = max(max(f - i / n, (i + 1) / n - f) for i, f in enumerate(cdf))
    assert distance < 1.95 / math.sqrt(n)
    mean = sum(gaps) / n
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / n)
    assert mean * rate == pytest.approx(1, abs=0.06)
    assert deviation * rate == pytest.approx(1, abs=0.09)


def test_moments_still_ahead_are_kept_however_close() -> None:
    """Also right after a late one, where the next late one would have to wait."""
    planned = by_hand(1, 4, 400)
    close = next(
        i
        for i in range(2, 400)
        if planned[i] - planned[i - 1] < SECOND // 20 and planned[i - 1] - planned[i - 2] > SECOND
    )
    schedule = Schedule(1, START, Random(4))
    for _ in range(close - 1):
        schedule.turn(START)
    late = schedule.turn(planned[close - 1] + 1)
    assert late == Turn(planned[close - 1], planned[close - 1] + 1, False)
    assert schedule.turn(late.wake_ns) == Turn(planned[close], planned[close], False)


def test_a_moment_missed_by_a_little_is_made_up_for_at_once() -> None:
    planned = by_hand(1, 4, 400)
    close = next(i for i in range(1, 400) if planned[i] - planned[i - 1] < SECOND // 20)
    schedules = [Schedule(1, START, Random(4)) for _ in range(2)]
    for schedule in schedules:
        for _ in range(close):
            schedule.turn(START)
    assert schedules[0].turn(planned[close]).wake_ns == planned[close]
    # The act before it was on time: there is no backlog to spread.
    assert schedules[1].turn(planned[close] + 1).wake_ns == planned[close] + 1


@given(st.integers(0, 2**32), st.floats(0.5, 20), st.integers(0, 25 * SECOND))
def test_late_ones_are_spaced_at_twice_the_rate_and_the_rest_is_on_time(
    seed: int, rate: float, stall: int
) -> None:
    schedule = Schedule(rate, START, Random(seed))
    now = START + min(stall, round(BACKLOG_OPERATIONS / rate * SECOND) // 2)
    last = None
    for _ in range(150):
        late_from = now
        turn = schedule.turn(now)
        if turn.overdue:
            continue
        if turn.planned_ns >= late_from:
            assert turn.wake_ns == turn.planned_ns
            last = None
        else:
            gap = round(SECOND / (rate * CATCH_UP))
            backlog = last is not None and now - turn.planned_ns > gap
            assert turn.wake_ns == (max(now, last + gap) if backlog else now)
            last = turn.wake_ns
        now = turn.wake_ns


def test_a_user_catches_up() -> None:
    schedule, now = Schedule(2, START, Random(9)), START + 20 * SECOND
    for _ in range(200):
        turn = schedule.turn(now)
        assert not turn.overdue
        now = turn.wake_ns
    assert turn.wake_ns == turn.planned_ns


@pytest.mark.parametrize(
    ("rate", "limit_ns"), [(1.0, BACKLOG_NS), (10.0, 10 * SECOND), (100 / 30, BACKLOG_NS), (50.0, 2 * SECOND)]
)
def test_overdue_beyond_thirty_seconds_or_a_hundred_operations(rate: float, limit_ns: int) -> None:
    planned = by_hand(rate, 3, 1)[0]
    edge = Schedule(rate, START, Random(3)).turn(planned + limit_ns)
    assert edge == Turn(planned, planned + limit_ns, False)
    beyond = Schedule(rate, START, Random(3)).turn(planned + limit_ns + SECOND // 1000)
    assert beyond == Turn(planned, planned + limit_ns + SECOND // 1000, True)


def test_overdue_ones_are_told_at_once_and_do_not_hold_up_the_rest() -> None:
    rate, now = 1.0, START + 100 * SECOND
    schedule = Schedule(rate, START, Random(1))
    planned = by_hand(rate, 1, 200)
    turns = [schedule.turn(now)]
    while turns[-1].overdue:
        turns.append(schedule.turn(now))
    assert [turn.planned_ns for turn in turns] == planned[: len(turns)]
    assert all(turn.wake_ns == now for turn in turns)
    assert sum(turn.overdue for turn in turns) == sum(now - at > BACKLOG_NS for at in planned)


def test_skipping_forgets_what_lies_before_and_nothing_else() -> None:
    planned = by_hand(3, 8, 100)
    schedule = Schedule(3, START, Random(8))
    schedule.skip_to(planned[40])
    assert [schedule.turn(START).planned_ns for _ in range(60)] == planned[40:]
    schedule.skip_to(START)
    assert schedule.turn(START).planned_ns == by_hand(3, 8, 101)[100]


def test_skipping_to_before_the_first_moment_changes_nothing() -> None:
    schedule = Schedule(3, START, Random(8))
    schedule.skip_to(START)
    assert schedule.turn(START).planned_ns == by_hand(3, 8, 1)[0]
