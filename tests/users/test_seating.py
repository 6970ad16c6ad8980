"""Are rooms full, shares kept, and numbers given again?"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadtest.users.options import parse_room_sizes
from loadtest.users.seating import Seating

_SIZES = st.lists(
    st.tuples(st.integers(2, 30), st.integers(1, 100)), min_size=1, max_size=4, unique_by=lambda one: one[0]
).map(lambda parts: parse_room_sizes(",".join(f"{size}:{share}" for size, share in parts)))


@given(_SIZES, st.integers(0, 300))
def test_all_rooms_but_the_last_are_full(sizes: tuple[tuple[int, float], ...], users: int) -> None:
    seating = Seating(sizes)
    seats = [seating.take() for _ in range(users)]
    assert [number for number, _ in seats] == list(range(users))
    members = Counter(room for _, room in seats)
    assert list(members) == list(range(seating.rooms))
    allowed = {size for size, _ in sizes}
    assert all(members[room] in allowed for room in range(seating.rooms - 1))
    if seating.rooms:
        assert members[seating.rooms - 1] <= max(allowed)


@given(_SIZES, st.integers(1, 40))
def test_shares_are_kept_to_within_a_room_of_each_size(
    sizes: tuple[tuple[int, float], ...], rounds: int
) -> None:
    seating = Seating(sizes)
    users = rounds * 50
    members = Counter(seating.take()[1] for _ in range(users))
    seated = Counter[int]()
    for room in range(seating.rooms - 1):
        seated[members[room]] += members[room]
    largest = max(size for size, _ in sizes)
    for size, share in sizes:
        # Behind by less than a round in which every other size got a room ahead of its share.
        assert abs(seated[size] - share * users) <= largest * len(sizes) + largest


@given(_SIZES, st.lists(st.integers(0, 60), max_size=80))
def test_who_comes_after_one_that_left_gets_the_lowest_free_place(
    sizes: tuple[tuple[int, float], ...], moves: list[int]
) -> None:
    seating = Seating(sizes)
    room_of: dict[int, int] = {}
    taken: set[int] = set()
    for move in moves:
        if move % 3 == 0 and taken:
            leaving = sorted(taken)[move % len(taken)]
            taken.discard(leaving)
            seating.give_back(leaving)
            continue
        lowest = next(n for n in range(len(taken) + 1) if n not in taken)
        number, room = seating.take()
        assert number == lowest
        assert room_of.setdefault(number, room) == room
        taken.add(number)
    members = Counter(room_of[number] for number in taken)
    assert all(count <= max(size for size, _ in sizes) for count in members.values())


def test_one_size_fills_room_after_room() -> None:
    seating = Seating(parse_room_sizes("3"))
    assert [seating.take() for _ in range(7)] == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)]
    assert seating.rooms == 3
