"""Is the true offset of a clock within the bound that is told, whatever the way there and back is like?"""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.clocks import Exchange, bound_ns, estimate, fit, jump_ns, quickest
from loadtest.measure.units import MS, SECOND, US

WAYS = st.integers(0, 500 * MS)
OFFSETS = st.integers(-(10**17), 10**17)  # three years of uptime, either way


def exchanged(offset_ns: int, asked_ns: int, there_ns: int, thinking_ns: int, back_ns: int) -> Exchange:
    """What both stamp, if the one clock is so far ahead."""
    heard = asked_ns + there_ns
    answered = heard + thinking_ns
    return Exchange(asked_ns, heard + offset_ns, answered + offset_ns, answered + back_ns)


@given(OFFSETS, st.integers(0, 10**17), WAYS, WAYS, WAYS)
def test_the_truth_is_within_the_bound_of_every_exchange(
    offset: int, asked: int, there: int, thinking: int, back: int
) -> None:
    told = exchanged(offset, asked, there, thinking, back)
    assert told.delay_ns == there + back
    assert abs(told.offset_ns - offset) <= told.bound_ns <= (there + back) / 2 + 1
    assert asked <= told.at_ns <= told.read_ns


@given(st.integers(0, 10**17), WAYS, WAYS, WAYS)
def test_one_clock_never_looks_like_two(asked: int, there: int, thinking: int, back: int) -> None:
    assert exchanged(0, asked, there, thinking, back).one_clock


def test_two_clocks_do_not_look_like_one_where_the_way_is_short() -> None:
    assert not exchanged(2 * MS, SECOND, MS, MS, MS).one_clock
    assert not exchanged(-2 * MS, SECOND, MS, MS, MS).one_clock


def run_of(
    rng: random.Random, offset_ns: int, drift: float, bursts: int = 21, every_s: float = 30.0
) -> tuple[list[Exchange], list[tuple[int, float]]]:
    """Bursts of a run over a line with queues, and the truth at each of them."""
    found, truth = [], []
    for number in range(bursts):
        several = []
        for _ in range(32):
            asked = round(number * every_s * SECOND) + rng.randrange(200 * MS)
            there, back = (200 * US + round(rng.expovariate(1 / MS)) for _ in range(2))
            ahead = offset_ns + round(drift * (asked + there))
            several.append(exchanged(ahead, asked, there, 20 * US, back))
        found.append(quickest(several))
        truth.append((found[-1].at_ns, offset_ns + drift * found[-1].at_ns))
    return found, truth


@given(st.integers(0, 10**6), OFFSETS, st.floats(-200e-6, 200e-6))
def test_a_drifting_clock_stays_within_the_bound_all_through_the_run(
    seed: int, offset: int, drift: float
) -> None:
    bursts, truth = run_of(random.Random(seed), offset, drift)
    line = fit(bursts)
    bound = bound_ns(line, bursts)
    # One part in 10^16 of the offset is what a float of it can be wrong by.
    slack = abs(offset) * 1e-15 + 20
    assert all(abs(line.offset(at) - true) <= bound + slack for at, true in truth)
    told = estimate(bursts, bursts[0].at_ns, bursts[-1].at_ns, bursts[0].offset_ns)
    assert told.drift_ppm is not None
    assert told.drift_bound_ppm is not None
    assert abs(told.drift_ppm - drift * 1e6) <= told.drift_bound_ppm + 0.1
    assert told.jump_ns == 0


def test_the_line_finds_what_the_first_burst_alone_would_be_wrong_about() -> None:
    """50 ppm for ten minutes are 30 ms; the line knows them to a fraction of one."""
    bursts, truth = run_of(random.Random(1), 5 * SECOND, 50e-6)
    at, true = truth[-1]
    assert abs(bursts[0].offset_ns - true) == pytest.approx(30 * MS, rel=0.02)
    assert abs(fit(bursts).offset(at) - true) < MS / 4
    told = estimate(bursts, 0, at, bursts[0].offset_ns)
    assert told.axis_ns is not None
    assert 29 * MS < told.axis_ns < 32 * MS
    assert told.bound_ns < MS
    assert told.drift_ppm == pytest.approx(50, abs=2)


def test_the_line_is_that_of_weighted_least_squares() -> None:
    bursts, _ = run_of(random.Random(7), 123_456_789, -80e-6)
    x = np.array([one.at_ns / SECOND for one in bursts])
    y = np.array([one.offset_ns for one in bursts], dtype=float)
    weights = np.array([1 / one.bound_ns for one in bursts])
    slope, intercept = np.polyfit(x, y, 1, w=weights)
    line = fit(bursts)
    assert line.slope * SECOND == pytest.approx(slope, rel=1e-6)
    assert line.offset(0) == pytest.approx(intercept, abs=50)


def test_a_single_burst_has_an_offset_and_no_drift() -> None:
    told = estimate([exchanged(7 * SECOND, SECOND, MS, MS, MS)], SECOND, 60 * SECOND)
    assert (told.offset_ns, told.bound_ns) == (7 * SECOND, MS + 1)
    assert (told.drift_ppm, told.drift_bound_ppm, told.axis_ns, told.bursts) == (None, None, None, 1)


@pytest.mark.parametrize("step", [3 * SECOND, -3 * SECOND, 40 * MS])
def test_a_clock_that_jumps_is_found_out_and_the_bound_says_so(step: int) -> None:
    before = [exchanged(SECOND, at * SECOND, MS, MS, MS) for at in range(0, 300, 30)]
    after = [exchanged(SECOND + step, at * SECOND, MS, MS, MS) for at in range(300, 600, 30)]
    assert jump_ns(before + after) == step
    assert jump_ns(before) == jump_ns(after) == 0
    told = estimate(before + after, 0, 600 * SECOND, SECOND)
    assert told.jump_ns == step
    assert told.bound_ns > abs(step) / 5, "no line fits"


@given(st.lists(st.tuples(st.integers(0, 50 * MS), st.integers(0, 50 * MS)), min_size=2, max_size=20))
def test_delays_alone_are_never_taken_for_a_jump(ways: list[tuple[int, int]]) -> None:
    bursts = [exchanged(SECOND, at * SECOND, there, MS, back) for at, (there, back) in enumerate(ways)]
    assert all(one.at_ns < two.at_ns for one, two in pairwise(bursts))
    assert jump_ns(bursts) == 0
