"""The claim of a saving: an answer for each rate, and seldom a wrong one."""

from __future__ import annotations

import random

import pytest
from bandwidths import MEMBERS, MODELS, POLLERS, SOCKETS, USERS, cost, grid, pair

from loadtest.analysis.bandwidth import CONNECT
from loadtest.analysis.bandwidth_claim import name_of, saving_verdict
from loadtest.analysis.bandwidth_model import WIRE, crossing
from loadtest.analysis.bandwidth_surface import surface
from loadtest.analysis.verdict import CLAIM, FAIL, INCONCLUSIVE, PASS, SHARE

LIBRARY_1 = POLLERS[0]


def test_each_rate_has_an_answer_of_its_own() -> None:
    points = [
        one
        for one in surface(grid(4), MODELS).points
        if (one.polling, one.level, one.compression) == (LIBRARY_1, WIRE, False) and one.regime != CONNECT
    ]
    found = saving_verdict(points, 90)
    by_rate = {point.rate: verdict for point, verdict in zip(points, found, strict=True)}
    states = {rate: one.state for rate, one in by_rate.items()}
    assert states[0.0] == states[0.01] == PASS
    assert states[1.0] == states[5.0] == FAIL
    assert {one.kind for one in found} == {CLAIM}
    assert {(one.limit, one.unit) for one in found} == {(0.9, SHARE)}
    assert [one.ci95 for one in found] == [(one.low, one.high) for one in points]


def test_one_run_of_connecting_decides_nothing() -> None:
    points = [one for one in surface(grid(), MODELS).points if one.regime == CONNECT]
    found = saving_verdict(points, 10)
    assert {one.state for one in found} == {INCONCLUSIVE}
    assert "4 trials" in found[0].why and found[0].ci95 is None


def test_names_tell_points_apart() -> None:
    points = surface(grid(), MODELS).points
    names = [name_of(one) for one in points]
    assert len(set(names)) == len(names)
    assert (
        "bandwidth{regime:active,rate:0.1,transport:interval-polling,headers:library,feeds:1,level:wire}"
        in names
    )


@pytest.mark.parametrize("trials", [1, 4])
@pytest.mark.parametrize("aside", [0.7, 0.95, 1.05, 1.4])
def test_wrong_answers_are_rare(trials: int, aside: float) -> None:
    """At rates near the one where 90 % ends, with messages by chance: at most one answer in twenty is wrong."""
    end = crossing(lambda rate: pair(LIBRARY_1).ratio(rate, WIRE), 0.1)
    assert end is not None
    rate, draw = end * aside, random.Random(5)
    truth = pair(LIBRARY_1).saving(rate, WIRE) >= 0.9
    mean = rate * USERS * 50 / (MEMBERS - 1)
    wrong = 0
    for _ in range(200):
        costs = []
        for seed in range(trials):
            said = sum(draw.random() < mean / 400 for _ in range(400))
            costs += [cost(arm, rate, seed, said) for arm in (SOCKETS[0], LIBRARY_1)]
        (one,) = saving_verdict([p for p in surface(costs, MODELS).points if p.level == WIRE], 90)
        wrong += one.state == (FAIL if truth else PASS)
    assert wrong <= 10
