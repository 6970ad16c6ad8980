"""Intervals of counts: published values, and the equations that they solve."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.intervals import (
    Z95,
    Interval,
    clopper_pearson,
    needed_for_share,
    poisson_rate,
    proportion,
    ranks,
    rule_of_three,
    wilson,
)

COUNTED = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def near(*ends: float) -> object:
    return tuple(pytest.approx(end, abs=5e-5) for end in ends)


def at_most(k: int, n: int, q: Fraction) -> Fraction:
    """P(B <= k) of B ~ Bin(n, q), summed term by term in whole numbers."""
    p, rest, of = q.numerator, q.denominator - q.numerator, q.denominator
    return Fraction(sum(math.comb(n, i) * p**i * rest ** (n - i) for i in range(k + 1)), of**n)


# -- shares --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(COUNTED)
def test_either_end_is_a_share_that_would_just_not_be_rejected(counted: tuple[int, int]) -> None:
    hits, n = counted
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            allowed = Z95 * math.sqrt(end * (1 - end) / n)
            assert abs(hits / n - end) == pytest.approx(allowed, rel=1e-2, abs=2e-6)
    mirrored = wilson(n - hits, n)
    assert mirrored == (pytest.approx(1 - high, abs=2e-6), pytest.approx(1 - low, abs=2e-6))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # the same table, method 5
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0000, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_published_values_of_the_exact_interval(hits: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(hits, n) == near(low, high)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_exact_end_leaves_a_fortieth_beyond_what_was_counted(counted: tuple[int, int]) -> None:
    hits, n = counted
    low, high = clopper_pearson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    if hits:
        assert float(1 - at_most(hits - 1, n, Fraction(low))) == pytest.approx(0.025, rel=1e-6)
    if hits < n:
        assert float(at_most(hits, n, Fraction(high))) == pytest.approx(0.025, rel=1e-6)


def test_what_thousands_of_clean_trials_show() -> None:
    assert wilson(3000, 3000)[0] == pytest.approx(0.9987, abs=5e-5)
    assert wilson(1000, 1000)[0] == pytest.approx(0.9962, abs=5e-5)
    assert wilson(3838, 3838)[0] >= 0.999 - 1e-6 > wilson(3800, 3800)[0]
    assert clopper_pearson(3688, 3688)[0] >= 0.999 > clopper_pearson(3687, 3687)[0]


@given(COUNTED)
def test_a_share_is_judged_exactly_where_all_are_alike(counted: tuple[int, int]) -> None:
    hits, n = counted
    found = proportion(hits, n)
    if hits in (0, n):
        assert found == clopper_pearson(hits, n)
    else:
        assert found == tuple(pytest.approx(end, abs=1e-6) for end in wilson(hits, n))


def test_few_bad_ones_of_very_many_are_not_rounded_away() -> None:
    low, high = proportion(0, 10**8)
    assert low == 0
    assert high == pytest.approx(3.689e-8, rel=1e-3)
    assert proportion(3, 10**8)[0] == pytest.approx(1.02e-8, rel=1e-2)


def test_a_share_of_independent_ones_need_not_be_a_whole_number() -> None:
    between = proportion(2.5, 10)
    assert proportion(2, 10) < between < proportion(3, 10)


@pytest.mark.parametrize("how", [wilson, clopper_pearson, proportion])
@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_share(how: object, hits: int, n: int) -> None:
    assert callable(how)
    with pytest.raises(ValueError, match="is no share"):
        how(hits, n)


# -- none seen -----------------------------------------------------------------------------------------------


@given(st.integers(1, 10**7))
def test_none_of_n_leaves_a_share_that_would_show_one_in_nineteen_of_twenty(n: int) -> None:
    share = rule_of_three(n)
    assert n * math.log1p(-share) == pytest.approx(math.log(0.05))
    assert share < 3 / n


def test_the_rule_of_three_is_three_for_many() -> None:
    assert rule_of_three(3000) * 3000 == pytest.approx(2.9942, abs=1e-4)
    assert rule_of_three(2995) <= 0.001 < rule_of_three(2994)
    assert rule_of_three(299) <= 0.01 < rule_of_three(298)
    with pytest.raises(ValueError, match="0 of 0"):
        rule_of_three(0)


@pytest.mark.parametrize(("limit", "needed"), [(0.05, 72), (0.01, 368), (0.001, 3688), (0.5, 6), (1.0, 1)])
def test_how_many_good_ones_show_a_limit(limit: float, needed: int) -> None:
    assert needed_for_share(limit) == needed


@given(st.floats(1e-7, 0.999))
def test_one_good_one_fewer_would_not_show_it(limit: float) -> None:
    needed = needed_for_share(limit)
    assert clopper_pearson(0, needed)[1] <= limit * (1 + 1e-9)
    if needed > 1:
        assert clopper_pearson(0, needed - 1)[1] > limit * (1 - 1e-9)


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, math.nan])
def test_no_number_shows_that_there_are_none(limit: float) -> None:
    with pytest.raises(ValueError, match="cannot be shown by counting"):
        needed_for_share(limit)


# -- rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "low", "high"),
    [  # F. Garwood, Biometrika 28 (1936), 437-442; Biometrika Tables for Statisticians I, table 40
        (0, 0.000, 3.689),
        (1, 0.025, 5.572),
        (2, 0.242, 7.225),
        (3, 0.619, 8.767),
        (5, 1.623, 11.668),
        (10, 4.795, 18.390),
        (20, 12.217, 30.888),
        (50, 37.111, 65.919),
    ],
)
def test_published_limits_of_a_poisson_mean(events: int, low: float, high: float) -> None:
    assert poisson_rate(events, 1.0) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@given(st.integers(0, 150), st.floats(0.01, 1e6))
def test_a_rate_is_per_unit_and_its_ends_leave_a_fortieth(events: int, exposure: float) -> None:
    low, high = (end * exposure for end in poisson_rate(events, exposure))

    def fewer_than(k: int, mean: float) -> float:
        return math.fsum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(k))

    assert fewer_than(events + 1, high) == pytest.approx(0.025, rel=1e-6)
    if events:
        assert fewer_than(events, low) == pytest.approx(0.975, rel=1e-6)
    else:
        assert low == 0


@pytest.mark.parametrize(("events", "exposure"), [(-1, 1.0), (1, 0.0), (1, -2.0), (1, math.nan)])
def test_what_is_no_rate(events: int, exposure: float) -> None:
    with pytest.raises(ValueError, match="are no rate"):
        poisson_rate(events, exposure)


# -- ranks ---------------------------------------------------------------------------------------------------


def ranks_by_hand(n: int, q: Fraction) -> Interval:
    """All ranks tried, from P(B <= j - 1) as fractions."""
    below = [at_most(j - 1, n, q) for j in range(n + 2)]
    low = max(j for j in range(n + 2) if below[j] <= Fraction(1, 40))
    return low, min(j for j in range(n + 2) if below[j] >= Fraction(39, 40))


@pytest.mark.parametrize("q", ["1/2", "3/4", "9/10", "19/20", "99/100"])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 8, 20, 36, 37, 59, 71, 72, 73, 120])
def test_ranks_are_those_of_the_binomial_distribution(n: int, q: str) -> None:
    exact = Fraction(q)
    assert ranks(n, float(exact)) == ranks_by_hand(n, exact)


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(5, 0, 6), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (15, 4, 12), (20, 6, 15), (50, 18, 33)],
)
def test_ranks_of_a_median_as_tables_have_them(n: int, low: int, high: int) -> None:
    assert ranks(n, 0.5) == (low, high)


@pytest.mark.parametrize(("q", "needed"), [(0.95, 72), (0.99, 368), (0.999, 3688)])
def test_a_percentile_has_an_upper_end_from_so_many_on(q: float, needed: int) -> None:
    assert ranks(needed, q)[1] == needed
    assert ranks(needed - 1, q)[1] == needed, "one more than there are: no upper end"


def test_ranks_of_a_million_are_those_of_the_normal_distribution() -> None:
    half = Z95 * math.sqrt(1e6 * 0.01 * 0.99)
    low, high = ranks(10**6, 0.99)
    assert low == pytest.approx(990_000 - half, abs=2)
    assert high == pytest.approx(990_000 + half, abs=2)
