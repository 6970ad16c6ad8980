"""What several servers deliver together, and what is not told of more."""

from __future__ import annotations

import random

import pytest

from loadtest.analysis.capacity_model import DASHED, EXTRAPOLATED, INTERPOLATED, REFUSED
from loadtest.analysis.cluster import fit, parse, times_one

GAMMA, ALPHA, BETA = 1000.0, 0.06, 0.002


def usl(servers: float) -> float:
    return GAMMA * servers / (1 + ALPHA * (servers - 1) + BETA * servers * (servers - 1))


LAW = {servers: usl(servers) for servers in (1, 2, 4, 8, 12, 16, 20)}


def test_what_follows_the_law_is_found() -> None:
    law = fit(LAW)
    assert law is not None
    assert (law.gamma, law.alpha, law.beta) == (
        pytest.approx(GAMMA), pytest.approx(ALPHA, abs=1e-5), pytest.approx(BETA, abs=1e-6),
    )  # fmt: skip
    assert law.at(10) == pytest.approx(usl(10))
    assert law.peak == pytest.approx(((1 - ALPHA) / BETA) ** 0.5, rel=1e-3)


def test_the_peak_is_not_told_of_what_lies_far_below_it() -> None:
    law = fit({servers: usl(servers) for servers in (1, 2, 3, 4, 5)})
    assert law is not None
    assert law.peak is None


def test_what_is_linear_has_no_peak() -> None:
    law = fit({servers: 1000.0 * servers for servers in (1, 2, 4, 8)})
    assert law is not None
    assert law.peak is None
    assert law.at(6) == pytest.approx(6000, rel=1e-3)


def test_between_what_was_measured_a_straight_line() -> None:
    measured = {1: 1000.0, 2: 1900.0, 4: 3500.0}
    assert times_one(measured, 2) == (INTERPOLATED, 1.9, None, None)
    assert times_one(measured, 3).value == pytest.approx(2.7)


def test_beyond_it_an_interval_or_nothing() -> None:
    chance = random.Random(3)
    noisy = {servers: value * (1 + chance.gauss(0, 0.02)) for servers, value in LAW.items()}
    found = times_one(noisy, 28)
    assert found.how == EXTRAPOLATED
    assert found.value is not None and found.low is not None and found.high is not None
    assert found.low < usl(28) / usl(1) < found.high
    assert times_one(noisy, 36) == (DASHED, None, None, None)
    assert times_one(noisy, 41) == (REFUSED, None, None, None)


def test_three_counts_of_servers_are_no_law() -> None:
    measured = {1: 1000.0, 2: 1900.0, 4: 3500.0}
    assert fit(measured) is None
    assert times_one(measured, 5) == (REFUSED, None, None, None)


def test_they_are_read_in_any_order() -> None:
    assert parse("4:3500,1:1000, 2:1.9e3") == {1: 1000.0, 2: 1900.0, 4: 3500.0}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no SERVERS:THROUGHPUT"),
        ("1:1000", "another number of servers"),
        ("2:1900,4:3500", "one server must be among them"),
        ("1:1000,1:900", "twice"),
        ("1:1000,two:1900", "'two:1900'"),
        ("1:1000,2:0", "above zero"),
        ("1:1000,2:inf", "above zero"),
        ("0:5,1:1000", "above zero"),
    ],
)
def test_what_is_no_list_says_so(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)
