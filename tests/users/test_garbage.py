"""While a run measures nobody looks for garbage, unless the process grows."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from hand import Hand

from loadtest.measure.units import SECOND
from loadtest.users import garbage as garbage_module
from loadtest.users.garbage import Garbage

MB = 1 << 20


class Ring:
    """Garbage that refers to itself."""

    left = 0

    def __init__(self) -> None:
        self.itself = self
        Ring.left += 1

    def __del__(self) -> None:
        Ring.left -= 1


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    Ring.left = 0
    yield Hand(monkeypatch, garbage_module)
    gc.enable()


@pytest.fixture
def grow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``grow(bytes)``: so large is the process."""
    size = [100 * MB]
    monkeypatch.setattr(Garbage, "_resident", lambda _: size[0])

    def to(now_bytes: int) -> None:
        size[0] = now_bytes

    return to


def test_it_waits_until_the_process_has_grown(hand: Hand, grow: Callable[[int], None]) -> None:
    garbage = Garbage(hand)  # type: ignore[arg-type]
    garbage.put_off()
    assert not gc.isenabled()
    Ring()
    for size in (100, 120, 150, 164):
        grow(size * MB)
        hand.go_on()
        assert Ring.left == 1
    grow(165 * MB)
    hand.go_on()
    assert Ring.left == 0
    Ring()
    grow(1000 * MB)  # from here on a quarter is more than the least
    hand.go_on()
    assert Ring.left == 0
    Ring()
    grow(1240 * MB)
    hand.go_on()
    assert Ring.left == 1
    grow(1251 * MB)
    hand.go_on()
    assert Ring.left == 0


def test_what_was_there_before_is_not_looked_through(hand: Hand, grow: Callable[[int], None]) -> None:
    old = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    Garbage(hand).put_off()  # type: ignore[arg-type]
    looked_at = {id(one) for one in gc.get_objects()}
    assert not looked_at & {id(one) for one in old}


def test_afterwards_all_is_as_ever(hand: Hand) -> None:
    garbage = Garbage(hand)  # type: ignore[arg-type]
    garbage.put_off()
    garbage.end()
    assert gc.isenabled()


def test_who_does_without_goes_on_doing_without(hand: Hand) -> None:
    gc.disable()
    garbage = Garbage(hand)  # type: ignore[arg-type]
    garbage.put_off()
    assert hand.go_on(10 * SECOND) == 0
    garbage.end()
    assert not gc.isenabled()


def test_its_own_process_has_a_size(hand: Hand) -> None:
    assert 10 * MB < Garbage(hand)._resident() < 100_000 * MB  # type: ignore[arg-type]
