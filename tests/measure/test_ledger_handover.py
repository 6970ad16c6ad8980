"""Something said to whoever has the chat, which may be another than its sender believes: is one copy owed?"""

from __future__ import annotations

from itertools import permutations

import pytest

from loadtest.measure.book import Book
from loadtest.measure.crossing import CROSSING
from loadtest.measure.entry import Audience
from loadtest.measure.ledger import PROVOKED, Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member, Room
from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import MS, SECOND

DEADLINE_NS = 10 * SECOND
WRITTEN = Operation.CHAT_DELIVER


class Chat:
    """A visitor, two operators, and what became of one thing that was written, "m"."""

    def __init__(self) -> None:
        self.recorder = Recorder(Plan(0), "0")
        self.ledger = Ledger(self.recorder, "run", DEADLINE_NS)
        self.visitor, self.ann, self.bob = (self._member(name) for name in ("0.0.0", "0.1.0", "0.1.1"))
        self.operators = frozenset((self.ann, self.bob))

    def _member(self, name: str) -> Member:
        made = Member(name, "websocket")
        made.connected = True
        return made

    def write(self, believed: Member | None, away: frozenset[Member] = frozenset()) -> None:
        owed = frozenset() if believed is None else frozenset((believed,)) - away
        to = Audience(owed, open_to=self.operators, away=away)
        self.ledger.sent("m", 1, WRITTEN, Room("chat"), self.visitor, 0, 0, to=to)

    def own_copy(self, holder: Member | None) -> None:
        self.ledger.given_to("m", frozenset() if holder is None else frozenset((holder,)), self.operators)

    def reads(self, operator: Member, at_ns: int = MS) -> None:
        self.ledger.delivered("m", WRITTEN, operator, at_ns)
        self.ledger.only("m", frozenset((operator,)), self.operators, at_ns)

    def rows(self) -> dict[str, SeriesRow]:
        book = Book()
        book.add("0", self.recorder.take())
        sums: dict[str, SeriesRow] = {}
        for row in book.intervals.values():
            kept = sums.get(row.operation)
            sums[row.operation] = row if kept is None else kept.plus(row)
        return sums

    def outcome(self) -> tuple[int, int, int, int]:
        """(expected, n, lost, leaked) after the deadline."""
        self.ledger.expire(DEADLINE_NS + 1)
        row = self.row()
        return row.expected, row.latency.n, row.lost, row.leaked

    def row(self, operation: Operation = WRITTEN) -> SeriesRow:
        """What it came to; a row of nothing is not even there."""
        return self.rows().get(operation.value, SeriesRow(operation.value, "", "", 0))


WHO = ["nobody", "ann", "bob"]


@pytest.mark.parametrize("truth", WHO)
@pytest.mark.parametrize("believed", WHO)
@pytest.mark.parametrize("order", list(permutations(["own copy", "read"])))
def test_whoever_has_it_is_owed_one_copy(believed: str, truth: str, order: tuple[str, ...]) -> None:
    chat = Chat()
    chat.write(getattr(chat, believed, None))
    holder = getattr(chat, truth, None)
    for step in order:
        if step == "own copy":
            chat.own_copy(holder)
        elif holder is not None:
            chat.reads(holder)
    wanted = int(holder is not None)
    assert chat.outcome() == (wanted, wanted, 0, 0)


@pytest.mark.parametrize("believed", ["ann", "bob"])
def test_a_copy_that_does_not_come_is_lost_whoever_was_believed_to_have_it(believed: str) -> None:
    chat = Chat()
    chat.write(getattr(chat, believed))
    chat.own_copy(chat.bob)
    assert chat.outcome() == (1, 0, 1, 0)


def test_a_copy_that_does_not_come_is_lost_without_an_own_copy_too() -> None:
    chat = Chat()
    chat.write(chat.ann)
    assert chat.outcome() == (1, 0, 1, 0)


@pytest.mark.parametrize("first", ["ann", "bob"])
def test_two_operators_with_one_chat_is_a_leak(first: str) -> None:
    chat = Chat()
    chat.write(chat.ann)
    for operator in sorted(chat.operators, key=lambda one: one is not getattr(chat, first)):
        chat.reads(operator)
    expected, n, lost, leaked = chat.outcome()
    assert (expected, n, lost, leaked) == (2, 2, 0, 1)


def test_an_old_belief_does_not_outweigh_who_has_read_it() -> None:
    chat = Chat()
    chat.write(chat.ann)  # the visitor was away while it was given to the other
    chat.reads(chat.bob)
    chat.own_copy(chat.ann)
    assert chat.outcome() == (1, 1, 0, 0)


def test_who_is_spared_after_the_deadline_is_not_lost_either() -> None:
    chat = Chat()
    chat.write(chat.ann)
    chat.ledger.expire(DEADLINE_NS + 1)
    chat.reads(chat.bob, DEADLINE_NS + SECOND)
    row = chat.row()
    assert (row.expected, row.lost, row.late, row.leaked) == (1, 0, 1, 0)


def test_a_party_that_is_away_is_owed_it_for_when_it_is_back() -> None:
    chat = Chat()
    chat.ledger.connected(chat.ann, False)
    chat.write(chat.ann, away=frozenset((chat.ann,)))
    chat.ledger.connected(chat.ann, True)
    chat.ledger.delivered("m", WRITTEN, chat.ann, SECOND, restored=True)
    rows = chat.rows()
    assert (rows["message.resync"].expected, rows["message.resync"].latency.n) == (1, 1)
    assert WRITTEN.value not in rows


def test_what_did_not_cross_after_all_is_lost_to_nobody() -> None:
    chat = Chat()
    chat.write(None)
    chat.ledger.sent_across(WRITTEN, "websocket", 0)
    chat.ledger.recall_across(WRITTEN, "websocket", 0)
    chat.reads(chat.bob)
    # It may have left as lost in an earlier second: what excuses that must not be taken back in a later one.
    assert chat.recorder.counters[CROSSING + WRITTEN.value] == 1
    assert chat.outcome() == (1, 1, 0, 0)


def test_a_row_keeps_the_transport_that_a_message_left_by() -> None:
    """Its sender may have fallen back by the time at which the message is lost, acked or withdrawn."""
    chat = Chat()
    chat.write(chat.ann)
    chat.visitor.transport = "long-polling"
    chat.ledger.expire(DEADLINE_NS + 1)
    row = chat.row()
    assert (row.transport, row.expected, row.lost) == ("websocket", 1, 1)


@pytest.mark.parametrize("who", ["visitor", "ann"])
@pytest.mark.parametrize(
    ("from_ns", "until_ns", "excused"), [(-1, 1, 1), (1, 2, 0), (-2, -1, 0), (-1, None, 1)]
)
def test_what_was_on_its_way_during_an_outage_of_our_own_is_told_apart(
    who: str, from_ns: int, until_ns: int | None, excused: int
) -> None:
    """Also long after it: whoever was cut off is mostly back by the time at which the loss is found out."""
    chat = Chat()
    chat.write(chat.ann)
    member: Member = getattr(chat, who)
    member.cut_off(from_ns * SECOND)
    if until_ns is not None:
        member.in_reach(until_ns * SECOND)
    chat.ledger.expire(DEADLINE_NS + 1)
    assert chat.recorder.counters.get(f"{PROVOKED}{WRITTEN.value}", 0) == excused
    assert chat.outcome() == (1, 0, 1, 0)


def test_coming_back_from_what_nobody_provoked_excuses_nothing() -> None:
    chat = Chat()
    chat.write(chat.ann)
    chat.ann.in_reach(SECOND)
    assert not chat.ann.outages
    assert not chat.ann.provoked
