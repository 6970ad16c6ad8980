"""Do faults strike exactly, repeatably, and in sums that account for every delivery?"""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.faults import Dice, Fault, Faults, Pacing, chosen, parse_fault
from loadtest.targets.reference.refusal import Refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def test_every_nth_strikes_every_nth() -> None:
    dice = Dice(Fault("duplicate", every_nth=3))
    assert [dice.strikes() for _ in range(7)] == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(("ratio", "struck"), [(0.0, 0), (1.0, 1000)])
def test_none_and_all_are_exact(ratio: float, struck: int) -> None:
    dice = Dice(Fault("duplicate", ratio=ratio))
    assert sum(dice.strikes() for _ in range(1000)) == struck


@given(count=st.integers(0, 50), ratio=st.floats(0, 1), seed=st.integers(0, 99))
def test_exactly_the_ratio_is_chosen(count: int, ratio: float, seed: int) -> None:
    candidates = [f"s{number}" for number in range(count)]
    struck = chosen(Fault("kick", ratio=ratio, seed=seed), candidates)
    assert len(struck) == len(set(struck)) == math.floor(ratio * count + 0.5)
    assert set(struck) <= set(candidates)
    assert struck == chosen(Fault("kick", ratio=ratio, seed=seed), candidates[::-1])


LINES = st.lists(st.sampled_from("ab"), max_size=60)


@given(lines=LINES, lose=st.integers(0, 4), double=st.integers(0, 4), swap=st.integers(0, 4))
def test_counts_account_for_every_delivery(lines: list[str], lose: int, double: int, swap: int) -> None:
    faults = Faults[tuple[str, int]]()
    for kind, nth in (("loseDeliveries", lose), ("duplicate", double), ("reorder", swap)):
        if nth:
            faults.start(Fault(kind, every_nth=nth))
    out: list[tuple[str, int]] = []
    for number, line in enumerate(lines):
        out += faults.shape(line, (line, number), 0)
    inversions = 0
    for line in "ab":
        mine = list(dict.fromkeys(number for own, number in out if own == line))
        inversions += sum(later < earlier for earlier, later in pairwise(mine))
    assert inversions == faults.counts["reordered"]
    assert len(set(out)) == len(out) - faults.counts["duplicated"]
    out += faults.stop()
    assert len(out) == len(lines) - faults.counts["lost"] + faults.counts["duplicated"]
    assert faults.quiet


def test_what_is_held_back_is_overdue_after_two_seconds() -> None:
    faults = Faults[str]()
    faults.start(Fault("reorder"))
    assert faults.shape("line", "first", 0) == []
    assert faults.overdue(2 * SECOND - 1) == []
    assert faults.overdue(2 * SECOND) == ["first"]
    assert faults.shape("line", "second", 3 * SECOND) == []


@given(st.lists(st.tuples(st.integers(0, SECOND), st.booleans(), st.booleans()), max_size=40))
def test_pacing_keeps_order_distance_and_delay(steps: list[tuple[int, bool, bool]]) -> None:
    pacing, now, last, slot = Pacing(), 0, 0, -SECOND
    delay, throughput = Fault("delay", ms=100), Fault("limitThroughput", per_second=10)
    for step, delayed, limited in steps:
        now += step
        due = pacing.due_ns(now, delay if delayed else None, throughput if limited else None)
        assert due >= max(now, last)
        if delayed:
            assert due >= now + delay.ns
        if limited:
            assert due >= slot + SECOND // 10
            slot = due
        last = due


@given(
    JSON
    | st.fixed_dictionaries({"kind": st.sampled_from(["kick", "freeze"]) | JSON, "ms": JSON, "ratio": JSON})
)
def test_an_order_is_a_fault_or_refused(payload: object) -> None:
    try:
        fault = parse_fault(payload)
    except Refusal as no:
        refused = no.code
    else:
        refused = ""
        assert 0 <= fault.ratio <= 1
        assert fault.every_nth >= 0
    assert refused in ("", "PAYLOAD_INVALID")
