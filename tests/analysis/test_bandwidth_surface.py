"""Savings, where they end, and their intervals, from costs whose truth is known."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from bandwidths import MEMBERS, MODELS, POLLERS, SOCKETS, USERS, cost, grid, pair

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, Arm, Cost
from loadtest.analysis.bandwidth_model import SOCKET, WIRE, crossing
from loadtest.analysis.bandwidth_surface import TRIALS, WITHIN, Crossing, Point, Surface, surface

LIBRARY_1 = POLLERS[0]


def point(found: Surface, arm: Arm, rate: float, level: str = WIRE, compression: bool = False) -> Point:
    regime = ACTIVE if rate else IDLE
    (one,) = [
        one
        for one in found.points
        if (one.polling, one.rate, one.level, one.compression, one.regime)
        == (arm, rate, level, compression, regime)
    ]
    return one


def ending(found: Surface, arm: Arm, saving: float, level: str = WIRE) -> Crossing:
    (one,) = [
        one
        for one in found.crossings
        if (one.polling, one.saving, one.level, one.compression) == (arm, saving, level, False)
    ]
    return one


def test_a_point_is_the_ratio_of_what_was_measured() -> None:
    found = surface(grid(), MODELS)
    one = point(found, LIBRARY_1, 1.0)
    assert one.saving == pytest.approx(1 - one.push / one.poll)
    assert one.saving == pytest.approx(pair(LIBRARY_1).saving(one.delivered, WIRE))
    assert one.saving == pytest.approx(one.modelled)
    assert (one.method, one.trials) == (WITHIN, 1)
    assert one.low is not None and one.high is not None and one.low < one.saving < one.high


def test_polling_may_be_the_cheaper_and_that_is_negative() -> None:
    """Few heads, rare messages aside: from some rate on, batching wins."""
    costs = [
        Cost(Arm("websocket"), ACTIVE, 5.0, 1, "a", USERS, 50.0, 600.0, 1100.0, 5.0, 900, 25.0),
        Cost(LIBRARY_1, ACTIVE, 5.0, 1, "b", USERS, 50.0, 700.0, 900.0, 5.0, 900, 25.0),
    ]
    found = surface(costs, MODELS)
    assert point(found, LIBRARY_1, 5.0).saving == pytest.approx(1 - 1100 / 900)
    assert point(found, LIBRARY_1, 5.0).saving < 0 < point(found, LIBRARY_1, 5.0, SOCKET).saving


def test_four_trials_have_the_exact_interval_and_three_have_not() -> None:
    four, three = surface(grid(4), MODELS), surface(grid(3), MODELS)
    one = point(four, LIBRARY_1, 0.1)
    assert (one.method, one.trials) == (TRIALS, 4)
    polls = [cost.wire for cost in grid(4) if (cost.arm, cost.rate) == (LIBRARY_1, 0.1)]
    pushes = [cost.wire for cost in grid(4) if (cost.arm, cost.rate) == (SOCKETS[0], 0.1)]
    ratios = [b / a for a in polls if a for b in pushes if b]
    assert (one.low, one.high) == pytest.approx((1 - max(ratios), 1 - min(ratios)))
    assert point(three, LIBRARY_1, 0.1).method == WITHIN


def test_long_polling_is_measured_and_has_no_closed_form() -> None:
    found = surface(grid(), MODELS)
    one = point(found, Arm(LONG_POLLING), 1.0)
    assert (one.modelled, one.low, one.high) == (None, None, None)
    assert not [one for one in found.crossings if one.polling.transport != INTERVAL_POLLING]
    assert not [one for one in found.checks if one.arm.transport == LONG_POLLING]


def test_connecting_is_a_row_of_its_own() -> None:
    one = next(
        one
        for one in surface(grid(), MODELS).points
        if (one.regime, one.level, one.polling, one.compression) == (CONNECT, SOCKET, LIBRARY_1, False)
    )
    assert one.saving == pytest.approx(1 - 1300 / 1280)
    assert one.low is None


def test_without_segments_there_is_no_wire() -> None:
    blind = [msgspec.structs.replace(one, wire=None) for one in grid()]
    assert {one.level for one in surface(blind, MODELS).points} == {SOCKET}


@pytest.mark.parametrize("arm", POLLERS)
@pytest.mark.parametrize("level", [SOCKET, WIRE])
def test_a_saving_ends_where_the_truth_has_it(arm: Arm, level: str) -> None:
    found = ending(surface(grid(), MODELS), arm, 0.9, level)
    truth = crossing(lambda rate: pair(arm).ratio(rate, level), 0.1)
    assert found.rate == pytest.approx(truth, rel=1e-6)
    assert found.low is not None and found.high is not None
    assert found.low < found.rate < found.high
    assert not found.extrapolated


def test_a_rate_beyond_what_was_measured_is_not_named() -> None:
    """Break-even of the library's headers lies far beyond five messages a second here."""
    found = ending(surface(grid(), MODELS), LIBRARY_1, 0.0)
    truth = crossing(lambda rate: pair(LIBRARY_1).ratio(rate, WIRE), 1.0)
    assert truth is None or truth > found.most == 7.5
    assert (found.rate, found.high) == (None, None)


def test_a_curve_that_was_measured_dearer_ends_sooner() -> None:
    """It is what was measured that is looked up, not the closed form."""
    dearer = [
        msgspec.structs.replace(one, wire=1.2 * (one.wire or 0)) if one.arm == SOCKETS[0] else one
        for one in grid()
    ]
    plain, found = (ending(surface(costs, MODELS), LIBRARY_1, 0.9) for costs in (grid(), dearer))
    assert found.rate is not None and plain.rate is not None and found.rate < plain.rate
    assert 1.2 * pair(LIBRARY_1).ratio(found.rate, WIRE) == pytest.approx(0.1)


@pytest.mark.parametrize("claim", [0.5, 0.8, 0.9, 0.97])
def test_a_greater_saving_ends_sooner(claim: float) -> None:
    costs = grid()
    less, more = (ending(surface(costs, MODELS, one), LIBRARY_1, one) for one in (claim, claim + 0.01))
    assert less.rate is not None and more.rate is not None and more.rate < less.rate


def test_the_closed_form_is_checked_on_both_levels() -> None:
    found = surface(grid(), MODELS)
    assert all(abs(one.off) < 1e-9 for one in found.checks)
    assert {one.arm for one in found.checks} == {SOCKETS[0], *POLLERS}, "what is compressed has no one size"
    off = [
        msgspec.structs.replace(one, wire=(one.wire or 0) * 1.06) if one.arm == LIBRARY_1 else one
        for one in grid()
    ]
    far = [one for one in surface(off, MODELS).checks if not one.close]
    assert {(one.arm, one.level) for one in far} == {(LIBRARY_1, WIRE)}
    assert all(one.off == pytest.approx(0.06) for one in far)


@pytest.mark.parametrize("rate", [0.01, 0.1, 1.0])
def test_the_interval_from_within_holds_the_truth(rate: float) -> None:
    """Quick grids, each with the messages that chance gave it: 19 in 20 hold the saving at that rate."""
    draw = random.Random(11)
    truth = pair(LIBRARY_1).saving(rate, WIRE)
    mean = rate * USERS * 50 / (MEMBERS - 1)
    held = 0
    for _ in range(300):
        said = _poisson(draw, mean)
        one = point(
            surface([cost(SOCKETS[0], rate, said=said), cost(LIBRARY_1, rate, said=said)], MODELS),
            LIBRARY_1,
            rate,
        )
        assert one.low is not None and one.high is not None
        held += one.low <= truth <= one.high
    assert held >= 285


def test_an_idle_window_may_have_missed_a_heartbeat() -> None:
    """Five heartbeats were to come, and four or six did: the interval still holds the truth."""
    truth = pair(LIBRARY_1).saving(0, WIRE)
    for beats in (4, 5, 6):
        push = cost(SOCKETS[0], 0.0, seconds=125.0)
        push = msgspec.structs.replace(push, wire=(push.wire or 0) * beats / 5)
        one = point(surface([push, cost(LIBRARY_1, 0.0, seconds=125.0)], MODELS), LIBRARY_1, 0.0)
        assert one.low is not None and one.high is not None
        assert one.low <= truth <= one.high


def _poisson(draw: random.Random, mean: float) -> int:
    count, left = 0, math.exp(-mean) if mean < 500 else 0.0
    product = draw.random()
    while product > left:
        product *= draw.random()
        count += 1
    return count
