"""Do the books of two processes that write to each other add up to those that one process would have kept?"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure.book import Book
from loadtest.measure.crossing import CROSSING
from loadtest.measure.entry import Audience
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member, Room
from loadtest.measure.rows import decode_delta, encode_delta
from loadtest.measure.units import MS, SECOND, US

DEADLINE_NS = 3 * SECOND
START_NS = 7 * SECOND
WRITTEN = Operation.CHAT_DELIVER
FATES = st.sampled_from(
    ["read", "read", "read twice", "restored too", "on both ways", "late", "never", "recalled"]
)


class Written(NamedTuple):
    """One thing that a visitor of process 0 writes to an operator of process 1, or the other way round."""

    back: bool
    planned_us: int
    lag_us: int
    way_us: int
    fate: str


WRITTENS = st.lists(
    st.builds(
        Written,
        st.booleans(),
        st.integers(0, 5_000_000),
        st.integers(0, 40_000),
        st.integers(1, 2_900_000),
        FATES,
    ),
    max_size=12,
)


class House:
    """The ledgers of a run, one or two, and the book that they add up to."""

    def __init__(self, processes: int) -> None:
        plan = Plan(START_NS, warmup_ns=SECOND)
        plan.begin(START_NS + SECOND)
        self.recorders = [Recorder(plan, str(number)) for number in range(processes)]
        self.ledgers = [Ledger(recorder, "run", DEADLINE_NS) for recorder in self.recorders]
        self.book = Book()
        self.parties = [Member("0.0.1", "websocket"), Member("1.1.1", "websocket")]

    def take(self, random: Any) -> None:
        several = list(zip(self.recorders, "01", strict=False))
        random.shuffle(several)
        for recorder, worker in several:
            self.book.add(worker, decode_delta(encode_delta(recorder.take())))

    def rows(self) -> dict[Any, Any]:
        """All that is not nothing."""
        return {key: row for key, row in self.book.intervals.items() if row != type(row)(*key)}


def _read(ledger: Ledger, marker: str, receiver: Member, one: Written, sent_ns: int) -> None:
    if one.fate in ("never", "recalled"):
        return
    read_ns = sent_ns + one.way_us * US + (DEADLINE_NS if one.fate == "late" else 0)
    ledger.delivered(marker, WRITTEN, receiver, read_ns)
    if one.fate == "read twice":
        ledger.delivered(marker, WRITTEN, receiver, read_ns)
    if one.fate == "restored too":
        ledger.delivered(marker, WRITTEN, receiver, read_ns, restored=True)
    if one.fate == "on both ways":
        receiver.merging = True
        ledger.delivered(marker, WRITTEN, receiver, read_ns)
        receiver.merging = False


def _across(house: House, one: Written) -> None:
    planned_ns = START_NS + one.planned_us * US
    sent_ns = planned_ns + one.lag_us * US
    sender, receiver = house.parties[one.back], house.parties[not one.back]
    here, there = house.ledgers[one.back], house.ledgers[not one.back]
    marker, _ = here.marker_across(sender, planned_ns, sent_ns)
    here.sent_across(WRITTEN, sender.transport, planned_ns)
    if one.fate == "recalled":
        here.recall_across(WRITTEN, sender.transport, planned_ns)
    _read(there, marker, receiver, one, sent_ns)


def _within(house: House, one: Written) -> None:
    planned_ns = START_NS + one.planned_us * US
    sent_ns = planned_ns + one.lag_us * US
    sender, receiver = house.parties[one.back], house.parties[not one.back]
    (ledger,) = house.ledgers
    marker, number = ledger.marker_across(sender, planned_ns, sent_ns)
    owed = frozenset[Member]() if one.fate == "recalled" else frozenset((receiver,))
    room = Room("a chat of its own, so that nothing is out of order")
    ledger.sent(marker, number, WRITTEN, room, sender, planned_ns, sent_ns, to=Audience(owed))
    _read(ledger, marker, receiver, one, sent_ns)


@settings(max_examples=120)
@given(WRITTENS, st.randoms(use_true_random=False))
def test_two_books_are_one(writtens: list[Written], random: Any) -> None:
    two, one = House(2), House(1)
    for written in writtens:
        _across(two, written)
        _within(one, written)
        if random.random() < 0.3:
            two.take(random)
    for ledger in (*two.ledgers, *one.ledgers):
        ledger.expire(1 << 60)
    two.take(random)
    one.take(random)
    assert two.rows() == one.rows()
    assert two.book.counters.get("merged", 0) == one.book.counters.get("merged", 0)
    assert two.book.counters.get(CROSSING + WRITTEN, 0) == len(writtens), (
        "what was lost until it was heard of"
    )
    for row in two.book.intervals.values():
        assert row.expected == row.latency.n + row.late + row.lost


def test_after_the_end_nothing_crosses() -> None:
    house = House(2)
    sender, receiver = house.parties
    marker, _ = house.ledgers[0].marker_across(sender, START_NS, START_NS + MS)
    for ledger in house.ledgers:
        ledger.close(START_NS + SECOND)
    house.ledgers[0].sent_across(WRITTEN, sender.transport, START_NS)
    house.ledgers[0].recall_across(WRITTEN, sender.transport, START_NS)
    house.ledgers[1].delivered(marker, WRITTEN, receiver, START_NS + 2 * MS)
    assert [recorder.take().rows for recorder in house.recorders] == [[], []]


@pytest.mark.parametrize("marker", ["run:1.0.1:7", "run:1.0.1@12:7", "run:1.0.1@12.x:7", "run:1.0.1@:7"])
def test_a_marker_without_its_moments_is_another_s_business(marker: str) -> None:
    house = House(1)
    house.ledgers[0].delivered(marker, WRITTEN, house.parties[0], START_NS + SECOND)
    delta = house.recorders[0].take()
    assert delta.counters == {"elsewhere": 1}
    assert delta.rows == []


def test_our_own_that_we_know_no_more_is_read_twice() -> None:
    house = House(1)
    house.ledgers[0].delivered("run:0.0.9@5.6:1", WRITTEN, house.parties[1], START_NS + SECOND)
    (row,) = house.recorders[0].take().rows
    assert getattr(row, "duplicate", None) == 1
