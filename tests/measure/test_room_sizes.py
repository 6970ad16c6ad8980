"""To how many others a message goes, against everybody in every room counted one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.room_sizes import mean_fan_out, parse_room_sizes


@given(st.lists(st.tuples(st.integers(2, 50), st.integers(1, 20)), min_size=1, max_size=4))
def test_the_mean_fan_out_is_that_of_all_users(rooms: list[tuple[int, int]]) -> None:
    """rooms: (members, how many such rooms)."""
    users = [size - 1 for size, number in rooms for _ in range(size * number)]
    text = ",".join(f"{size}:{size * number}" for size, number in rooms)
    assert mean_fan_out(parse_room_sizes(text)) == pytest.approx(sum(users) / len(users))


def test_one_size_is_everybody_s() -> None:
    assert mean_fan_out(parse_room_sizes("10")) == 9
