"""Statistics that can be given, and reasons for those that cannot."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis import figures as module
from loadtest.analysis.figures import NEEDED, QUANTILES, Lag, figures, lag, largest_supported, say_share
from loadtest.measure.histogram import Histogram
from loadtest.measure.units import MS


def of(*values_ms: float) -> Histogram:
    histogram = Histogram()
    for value in values_ms:
        histogram.record(round(value * MS))
    return histogram


def test_every_figure_of_a_thousand_values() -> None:
    found, why = figures(of(*range(1, 10_001)), 10_000)
    assert found.mean == 5000.5
    assert found.max == 10_000.0
    for name, q in QUANTILES.items():
        value = getattr(found, name)
        assert q * 10_000 <= value <= q * 10_000 * (1 + 1 / 128), name
    assert why == {}


def test_a_percentile_counts_the_missing_as_slower_than_everything() -> None:
    came = of(*[1.0] * 900, *[7.0] * 60)
    all_came, _ = figures(came, 960)
    some_lost, why = figures(came, 1000)
    assert all_came.p95 == 7.0
    assert some_lost.p50 == pytest.approx(1.0, rel=1 / 128)
    assert some_lost.p95 == 7.0, "rank 950 of 1000 is still among those that came"
    assert some_lost.p99 is None
    assert why["p99"] == "not reached: 4.0 % late or lost"
    assert why["mean"] == why["max"] == "of the 960 delivered; 40 late or lost have none"
    assert some_lost.mean == pytest.approx((900 + 420) / 960, abs=0.001)


def test_a_percentile_at_the_edge_of_the_missing() -> None:
    came = of(*[1.0] * 990)
    assert figures(came, 1000)[0].p99 == 1.0, "rank 990 is the last one that came"
    assert figures(of(*[1.0] * 989), 1000)[0].p99 is None


@pytest.mark.parametrize(("name", "needed"), [("p95", 59), ("p99", 299), ("p999", 2995)])
def test_a_percentile_needs_its_sample(name: str, needed: int) -> None:
    assert needed == math.ceil(math.log(0.05) / math.log(QUANTILES[name])) == NEEDED[name]
    enough, why = figures(of(*[2.0] * needed), needed)
    assert getattr(enough, name) == 2.0
    assert name not in why
    short, why = figures(of(*[2.0] * (needed - 1)), needed - 1)
    assert getattr(short, name) is None
    assert why[name] == f"n={needed - 1}, {needed} needed"


def test_a_small_sample_with_losses_says_what_its_n_is() -> None:
    _, why = figures(of(*[1.0] * 100), 120)
    assert why["p99"] == "n=120 with the late and lost, 299 needed"
    assert why["p95"] == "not reached: 16.7 % late or lost"


def test_nothing_expected_and_nothing_delivered() -> None:
    found, why = figures(Histogram(), 0)
    assert found == module.Figures()
    assert why["p50"] == "nothing was expected"
    found, why = figures(Histogram(), 400)
    assert found == module.Figures()
    assert why["p50"] == "not reached: 100 % late or lost"
    assert why["mean"] == why["max"] == "nothing was delivered"


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=80), st.integers(0, 40))
def test_what_is_none_says_why_and_nothing_else_does(values: list[int], missing: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    found, why = figures(histogram, len(values) + missing)
    for name in QUANTILES:
        assert (getattr(found, name) is None) == (name in why)
    assert ("mean" in why) == (missing > 0)
    given_ones = [value for name in QUANTILES if (value := getattr(found, name)) is not None]
    assert given_ones == sorted(given_ones)
    assert all(value <= (found.max or 0) for value in given_ones)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.014, "1.4 %"),
        (0.9996, "99.96 %"),
        (0.0004, "0.04 %"),
        (0.99999999, "over 99.9999 %"),
        (0.00000001, "under 0.0001 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, said: str) -> None:
    assert say_share(share) == said


def test_largest_supported_quantile() -> None:
    assert largest_supported(299) >= 0.99 > largest_supported(298)
    assert largest_supported(59) >= 0.95 > largest_supported(58)
    assert largest_supported(0) == 0.0


def test_a_lag_is_over_what_was_seen() -> None:
    assert lag(Histogram()) == Lag()
    assert lag(of(1, 2, 3)) == Lag(pytest.approx(2, rel=0.01), 3.0, 3.0)
