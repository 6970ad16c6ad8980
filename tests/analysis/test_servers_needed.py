"""How many servers so many users need, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.servers_needed import FAILURE, LOAD, Terms, servers_needed


def test_known_answers() -> None:
    found = servers_needed(5000, Terms(600))
    assert (found.for_load, found.servers, found.because) == (12, 12, LOAD)  # 5000 / 420
    assert (found.users_each, found.users_each_after) == (417, 455)
    assert found.linear


def test_one_may_fail() -> None:
    """Two carry 1150 with headroom to spare at 5 %, but one alone does not."""
    found = servers_needed(1150, Terms(1000, headroom=0.05))
    assert (found.for_load, found.servers, found.because) == (2, 3, FAILURE)
    assert servers_needed(1, Terms(1000)).servers == 2


def test_growth_comes_on_top() -> None:
    found = servers_needed(1000, Terms(1000, headroom=0.0, growth=0.5))
    assert (found.grown, found.for_load, found.servers) == (1500, 2, 3)


def test_whole_numbers_are_not_rounded_up() -> None:
    assert servers_needed(4200, Terms(600)).for_load == 10


@given(
    users=st.integers(1, 10**6),
    carries=st.integers(1, 10**5),
    headroom=st.floats(0, 0.9),
    growth=st.floats(0, 3),
)
def test_the_fewest_that_keep_every_promise(users: int, carries: int, headroom: float, growth: float) -> None:
    found = servers_needed(users, Terms(carries, headroom, growth))
    assert found.servers is not None

    def keeps(servers: int) -> bool:
        loaded = found.grown <= servers * carries * (1 - headroom) * (1 + 1e-9)
        return loaded and found.grown <= (servers - 1) * carries

    assert keeps(found.servers)
    assert not keeps(found.servers - 1)
    assert found.users_each_after is not None and found.users_each_after <= carries


def test_the_return_is_spread_until_the_others_can_take_it() -> None:
    found = servers_needed(5000, Terms(600, connects_per_s=20))
    assert found.servers == 12
    assert found.spread_s == pytest.approx(5000 / (12 * 11 * 20))
    assert servers_needed(5000, Terms(600, connects_per_s=40)).spread_s == 0
    assert servers_needed(5000, Terms(600)).spread_s is None


def test_a_measured_cluster_counts_instead_of_a_straight_line() -> None:
    cluster = {1: 1000.0, 2: 1600.0, 4: 2400.0}
    found = servers_needed(1400, Terms(1000, 0.3, cluster=cluster))
    assert not found.linear
    assert found.for_load == 3  # 2.0 of one: between 1.6 of two and 2.4 of four
    assert found.servers == 3
    assert servers_needed(1400, Terms(1000, 0.3)).servers == 3


def test_more_than_was_measured_together_is_not_told() -> None:
    found = servers_needed(9000, Terms(1000, cluster={1: 1000.0, 2: 1900.0, 4: 3500.0}))
    assert found.servers is None
    assert found.why.startswith("4 servers are the most")


@pytest.mark.parametrize("terms", [Terms(0), Terms(100, 1.0), Terms(100, -0.1), Terms(100, 0.3, -0.5)])
def test_no_plan_of_nonsense(terms: Terms) -> None:
    with pytest.raises(ValueError, match="no plan"):
        servers_needed(100, terms)
    assert math.isfinite(servers_needed(100, Terms(100)).servers or math.inf)
