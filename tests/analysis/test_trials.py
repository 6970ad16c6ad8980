"""Trials: exact distributions by counting every order, a decision by how often it is made."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.trials import (
    Effect,
    blocks,
    detectable,
    difference,
    holm,
    median_interval,
    ratio,
    variation,
)

POSITIVE = st.floats(0.01, 1e6)
TRIALS = st.lists(POSITIVE, min_size=1, max_size=7)


def beyond(n: int, m: int) -> list[Fraction]:
    """P(U <= u) for u = 0 .. n m if both are alike: every way to deal n + m ranks, counted."""
    of = [0] * (n * m + 1)
    for mine in itertools.combinations(range(n + m), n):
        of[sum(mine) - n * (n - 1) // 2] += 1
    return [Fraction(one, math.comb(n + m, n)) for one in itertools.accumulate(of)]


def by_hand(a: Sequence[float], b: Sequence[float], left: Fraction) -> tuple[float, float]:
    """The interval with at most ``left`` on either side."""
    differences = sorted(y - x for x in a for y in b)
    k = sum(below <= left for below in beyond(len(a), len(b)))
    return (differences[k - 1], differences[-k]) if k else (-math.inf, math.inf)


# -- one arm -------------------------------------------------------------------------------------------------


def test_five_trials_never_have_an_interval_of_95_percent() -> None:
    assert median_interval([]) is None
    assert median_interval([3, 1, 4, 1, 5]) is None
    assert median_interval([3, 1, 4, 1, 5, 9]) == (1, 9)


@given(st.lists(st.floats(-1e9, 1e9), min_size=6, max_size=30, unique=True))
def test_the_interval_of_a_median_leaves_a_fortieth_on_either_side(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval is not None
    ordered = sorted(values)
    rank = ordered.index(interval[0])
    assert interval[1] == ordered[-1 - rank]
    outside = [sum(math.comb(len(values), i) for i in range(k + 1)) / 2 ** len(values) for k in range(31)]
    assert outside[rank] <= 0.025 < outside[rank + 1]


# -- two arms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "low", "high"), [(4, 1, 16), (5, 3, 23), (6, 6, 31), (7, 9, 41), (8, 14, 51), (10, 24, 77)]
)
def test_the_ends_are_the_pairs_that_tables_have(n: int, low: int, high: int) -> None:
    # All n * n differences are different, and the d-th of them is d.
    a = [-float(n * i) for i in range(n)]
    b = [float(j + 1) for j in range(n)]
    found = difference(a, b)
    assert (found.low, found.high) == (low, high)
    assert found.estimate == (n * n + 1) / 2


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=7),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=7),
)
def test_ends_by_counting_every_order(a: list[float], b: list[float]) -> None:
    found = difference(a, b)
    assert found.estimate == statistics.median(y - x for x in a for y in b)
    assert (found.low, found.high) == by_hand(a, b, Fraction(1, 40))
    assert (found.low_one_sided, found.high_one_sided) == by_hand(a, b, Fraction(1, 20))
    assert found.low <= found.low_one_sided <= found.estimate <= found.high_one_sided <= found.high


@given(st.permutations(range(9)), st.integers(1, 8))
def test_p_by_counting_every_order(order: list[int], n: int) -> None:
    a, b = order[:n], order[n:]
    u = sum(x > y for x in a for y in b)
    below = beyond(len(a), len(b))
    expected = min(1, 2 * below[min(u, len(a) * len(b) - u)])
    assert difference(a, b).p == pytest.approx(float(expected))


@pytest.mark.parametrize(("n", "p"), [(3, 0.1), (4, 0.0286), (5, 0.0079), (7, 0.0006)])
def test_the_smallest_p_that_so_few_can_reach(n: int, p: float) -> None:
    found = ratio(list(range(1, n + 1)), list(range(100, 100 + n)))
    assert found.p == pytest.approx(p, abs=5e-5)


def test_three_a_side_have_no_two_sided_interval_but_a_one_sided_bound() -> None:
    found = ratio([1.0, 1.1, 1.2], [2.0, 2.2, 2.4])
    assert (found.low, found.high) == (0.0, math.inf)
    assert found.low_one_sided == pytest.approx(2.0 / 1.2)
    assert found.high_one_sided == pytest.approx(2.4)
    assert difference([1.0], [2.0])[:5] == (1.0, -math.inf, math.inf, -math.inf, math.inf)


@given(TRIALS, TRIALS, st.floats(0.01, 100))
def test_a_ratio_scales_with_what_is_measured(a: list[float], b: list[float], by: float) -> None:
    found, scaled = ratio(a, b), ratio(a, [by * one for one in b])
    assert scaled[:5] == pytest.approx(tuple(by * end for end in found[:5]), rel=1e-6)


@given(TRIALS, TRIALS)
def test_the_other_way_round_it_is_the_inverse(a: list[float], b: list[float]) -> None:
    found, other = ratio(a, b), ratio(b, a)
    assert other.estimate == pytest.approx(1 / found.estimate)
    for low, high in (("low", "high"), ("low_one_sided", "high_one_sided")):
        assert getattr(other, low) * getattr(found, high) == pytest.approx(1) or (
            getattr(other, low) == 0 and getattr(found, high) == math.inf
        )
    assert other.p == pytest.approx(found.p)


@given(TRIALS)
def test_a_build_against_itself_is_no_effect(a: list[float]) -> None:
    found = ratio(a, a)
    assert found.estimate == pytest.approx(1)
    assert found.low <= 1 <= found.high
    assert found.p == pytest.approx(1)
    assert not blocks(found)


def test_shares_that_are_all_nought_are_no_different() -> None:
    found = difference([0.0] * 6, [0.0] * 6)
    assert found == Effect(0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert difference([0.0] * 6, [0, 0, 0, 0, 0, 0.02]).high == 0.02


def test_ties_make_an_interval_hold_more_often() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(500):
        a, b = rng.integers(0, 3, 6).astype(float), rng.integers(0, 3, 6) + 1.0
        found = difference(a.tolist(), b.tolist())
        held += found.low <= 1 <= found.high
    assert held / 500 >= 0.95


def test_what_cannot_be_compared() -> None:
    for a, b in (([], [1.0]), ([1.0], []), ([math.inf], [1.0]), ([1.0], [math.nan])):
        with pytest.raises(ValueError, match="each side needs one at least, and finite values"):
            difference(a, b)
    for a, b in (([0.0], [1.0]), ([1.0], [-1.0]), ([1.0], [math.nan])):
        with pytest.raises(ValueError, match="values above zero"):
            ratio(a, b)


# -- what could have been seen -------------------------------------------------------------------------------


def test_variation_is_that_of_both_arms() -> None:
    a, b = [95.0, 100.0, 105.0], [180.0, 220.0]
    squares = 2 * (5 / 100) ** 2 + 2 * (20 / 200) ** 2
    assert variation(a, b) == pytest.approx(math.sqrt(squares / 3))
    assert variation([95.0, 100.0, 105.0], [7.0]) == pytest.approx(0.05), "one trial does not vary"
    assert variation(a, [2 * one for one in a]) == pytest.approx(0.05), (
        "the difference of arms does not count"
    )


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([], []), ([0.0, 0.0], [1.0, 2.0])])
def test_how_much_trials_vary_needs_trials(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="two of a kind"):
        variation(a, b)


def test_what_can_be_detected() -> None:
    assert detectable(0.05, 5) == pytest.approx(0.1107, abs=5e-5)
    assert detectable(0.05, 20) == pytest.approx(detectable(0.05, 5) / 2)
    with pytest.raises(ValueError, match="0 trials"):
        detectable(0.05, 0)


def test_four_of_five_see_what_can_be_detected() -> None:
    for n in (5, 7, 10):
        effects = experiment(n, detectable(0.05, n), 300)
        seen = sum(one.low > 1 for one in effects) / 300
        assert 0.7 <= seen <= 0.95, n


# -- many at once --------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_bonferroni_of_every_family_that_one_may_belong_to(p_values: list[float]) -> None:
    # R. Marcus, E. Peritz and K. R. Gabriel (1976): one is rejected if every hypothesis that implies it is.
    indexes = range(len(p_values))
    families = [f for size in indexes for f in itertools.combinations(indexes, size + 1)]
    worst = [
        max((min(1.0, len(f) * min(p_values[i] for i in f)) for f in families if index in f), default=0.0)
        for index in indexes
    ]
    assert holm(p_values) == pytest.approx(worst)


def test_holm_of_the_paper_s_kind() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


# -- the gate ------------------------------------------------------------------------------------------------


def experiment(n: int, change: float, times: int, cv: float = 0.05) -> list[Effect]:
    """Comparisons of two builds, ``n`` trials each."""
    rng = np.random.default_rng(1000 * n + round(1e4 * change))
    return [
        ratio(
            (1 + cv * rng.standard_normal(n)).tolist(),
            ((1 + change) * (1 + cv * rng.standard_normal(n))).tolist(),
        )
        for _ in range(times)
    ]


@pytest.mark.parametrize("n", [5, 6, 7])
def test_of_a_hundred_builds_against_themselves_five_are_blocked_at_most(n: int) -> None:
    assert sum(map(blocks, experiment(n, 0.0, 100))) <= 5


@pytest.mark.parametrize("n", [3, 5, 6, 7])
def test_a_build_is_seldom_worse_than_itself(n: int) -> None:
    assert sum(map(blocks, experiment(n, 0.0, 600))) / 600 <= 0.05


@pytest.mark.parametrize(("n", "caught"), [(3, 0.45), (5, 0.79), (7, 0.91)])
def test_a_tenth_more_is_caught_as_often_as_promised(n: int, caught: float) -> None:
    times = 300
    error = 3 * math.sqrt(caught * (1 - caught) / times)
    assert sum(map(blocks, experiment(n, 0.1, times))) / times >= caught - error


def test_the_figures_beside_the_gate() -> None:
    figures = {3: (0.03, 0.23, 0.58, 0.96), 5: (0.03, 0.35, 0.82, 1.0), 7: (0.03, 0.42, 0.92, 1.0)}
    for n, shares in figures.items():
        for change, share in zip((0.0, 0.05, 0.1, 0.2), shares, strict=True):
            found = sum(map(blocks, experiment(n, change, 300))) / 300
            assert found == pytest.approx(share, abs=3 * math.sqrt(max(share * (1 - share), 0.01) / 300))


def test_a_gate_needs_both_to_be_sure_and_to_be_much() -> None:
    sure = Effect(1.04, 1.02, 1.06, 1.025, 1.055, 0.001)
    much = Effect(1.3, 0.8, 1.9, 0.95, 1.7, 0.2)
    assert not blocks(sure)
    assert blocks(sure, tolerance=0.03)
    assert not blocks(much)
    assert blocks(much._replace(low_one_sided=1.001))
    assert not blocks(much._replace(low_one_sided=1.0))
