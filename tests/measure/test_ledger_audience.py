"""What is owed to people by name, not to a room: calls, live chats, probes, and what another process reads."""

from __future__ import annotations

import pytest

from loadtest.measure.book import Book
from loadtest.measure.entry import Audience
from loadtest.measure.ledger import PROVOKED, Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member, Room
from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import MS, SECOND

DEADLINE_NS = 10 * SECOND
RING = Operation.CALL_RING
WRITTEN = Operation.CHAT_DELIVER


class Desk:
    """A ledger of one process; ``row`` is what one operation came to."""

    def __init__(self, worker: str = "0") -> None:
        self.recorder = Recorder(Plan(0), worker)
        self.ledger = Ledger(self.recorder, "run", DEADLINE_NS)
        self.room = Room("call")

    def member(self, name: str) -> Member:
        made = Member(name, "websocket")
        made.connected = True
        return made

    def send(self, marker: str, sender: Member, to: Audience, at_ns: int = 0) -> None:
        self.ledger.sent(marker, 1, RING, self.room, sender, at_ns, at_ns, to=to)

    def row(self, operation: Operation = RING) -> SeriesRow:
        book = Book()
        book.add("0", self.recorder.take())
        return sum_of(book, operation)


def sum_of(book: Book, operation: Operation) -> SeriesRow:
    rows = [row for row in book.intervals.values() if row.operation == operation]
    whole = SeriesRow(operation.value, "websocket", "connect", 0)
    for row in rows:
        whole = whole.plus(row)
    return whole


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_those_who_are_named_are_owed_it_and_nobody_else(desk: Desk) -> None:
    caller, one, two = (desk.member(name) for name in ("0.0.0", "0.0.1", "0.0.1-1"))
    desk.send("m", caller, Audience(frozenset((one, two))))
    desk.ledger.delivered("m", RING, one, 5 * MS)
    desk.ledger.delivered("m", RING, desk.member("0.0.9"), 6 * MS)
    desk.ledger.expire(DEADLINE_NS + 1)
    row = desk.row()
    assert (row.expected, row.latency.n, row.lost, row.leaked) == (2, 1, 1, 1)


def test_the_sender_s_own_copy_is_nobody_s_business_unless_it_is_owed(desk: Desk) -> None:
    caller, one = desk.member("0.0.0"), desk.member("0.0.1")
    desk.send("m", caller, Audience(frozenset((one,))))
    desk.ledger.delivered("m", RING, caller, MS)
    desk.send("own", caller, Audience(frozenset((caller,))))
    desk.ledger.delivered("own", RING, caller, MS)
    row = desk.row()
    assert (row.expected, row.latency.n, row.duplicate, row.leaked) == (2, 1, 0, 0)


def test_who_may_get_it_counts_from_the_moment_it_came(desk: Desk) -> None:
    visitor, seen, unseen = (desk.member(name) for name in ("0.0.0", "0.1.0", "0.1.1"))
    desk.send("m", visitor, Audience(frozenset(), open_to=frozenset((seen, unseen))))
    desk.ledger.delivered("m", RING, seen, MS)
    desk.ledger.delivered("m", RING, seen, 2 * MS)
    desk.ledger.expire(DEADLINE_NS + 1)
    row = desk.row()
    assert (row.expected, row.latency.n, row.lost, row.duplicate) == (1, 1, 0, 1)


@pytest.mark.parametrize("came_before", [True, False])
def test_it_may_turn_out_later_who_is_owed_it(desk: Desk, came_before: bool) -> None:
    visitor, operator = desk.member("0.0.0"), desk.member("0.1.0")
    desk.send("m", visitor, Audience(frozenset(), open_to=frozenset((operator,))))
    if came_before:
        desk.ledger.delivered("m", RING, operator, MS)
    desk.ledger.owe("m", [operator])
    if not came_before:
        desk.ledger.delivered("m", RING, operator, MS)
    row = desk.row()
    assert (row.expected, row.latency.n, row.lost) == (1, 1, 0)


def test_what_is_owed_and_does_not_come_is_lost(desk: Desk) -> None:
    visitor, operator = desk.member("0.0.0"), desk.member("0.1.0")
    desk.send("m", visitor, Audience(frozenset()))
    desk.ledger.owe("m", [operator])
    desk.ledger.expire(DEADLINE_NS + 1)
    assert (desk.row().expected, desk.row().lost) == (1, 1) or desk.row().expected == 0


def test_what_is_withdrawn_is_owed_to_nobody_and_legal_if_it_comes(desk: Desk) -> None:
    visitor, operator = desk.member("0.0.0"), desk.member("0.1.0")
    desk.send("m", visitor, Audience(frozenset((visitor,)), open_to=frozenset((operator,))))
    desk.ledger.withdraw("m")
    for member in (visitor, operator):
        desk.ledger.delivered("m", RING, member, 9 * SECOND)
    desk.ledger.expire(DEADLINE_NS + 1)
    row = desk.row()
    assert (row.expected, row.latency.n, row.lost, row.leaked, row.failed) == (0, 0, 0, 0, 0)


def test_a_probe_is_owed_to_who_sent_it_and_ignored_by_all_others(desk: Desk) -> None:
    room, ledger = "r", desk.ledger
    members = [desk.member(f"0.0.{n}") for n in range(3)]
    for member in members:
        ledger.join_requested(room, member, 0)
        ledger.joined(room, member, 0)
    ledger.probe("p", 1, ledger.rooms[room], members[0], 0, 500 * MS)
    for member in members:
        ledger.delivered("p", Operation.MESSAGE_DELIVER, member, 510 * MS)
    book = Book()
    book.add("0", desk.recorder.take())
    resumed = sum_of(book, Operation.SESSION_RESUME)
    assert (resumed.expected, resumed.latency.n, resumed.leaked) == (1, 1, 0)
    assert resumed.latency.max_ns == 510 * MS, "from the loss, not from the probing"
    assert sum_of(book, Operation.MESSAGE_DELIVER).expected == 0
    assert "tolerated" not in book.counters


def test_unread_counts_messages_of_others_that_were_sent_before_a_moment(desk: Desk) -> None:
    ledger = desk.ledger
    here, away = desk.member("0.0.0"), desk.member("0.0.1")
    for member in (here, away):
        ledger.join_requested("r", member, 0)
        ledger.joined("r", member, 0)
    ledger.connected(away, False)
    room = ledger.rooms["r"]
    for number in range(4):
        ledger.sent(f"m{number}", number, Operation.MESSAGE_DELIVER, room, here, number, number)
    ledger.sent("t", 9, Operation.TYPING_DELIVER, room, here, 1, 1)
    assert ledger.unread(away, 3) == 3
    ledger.delivered("m0", Operation.MESSAGE_DELIVER, away, 10, restored=True)
    assert ledger.unread(away, 3) == 2
    assert ledger.unread(here, 9) == 0


def test_what_was_kept_for_a_member_is_merged(desk: Desk) -> None:
    ledger = desk.ledger
    here, away = desk.member("0.0.0"), desk.member("0.0.1")
    for member in (here, away):
        ledger.join_requested("r", member, 0)
        ledger.joined("r", member, 0)
    ledger.connected(away, False)
    room = ledger.rooms["r"]
    for number in (1, 2):
        ledger.sent(f"m{number}", number, Operation.MESSAGE_DELIVER, room, here, 0, 0)
    # The second is heard live before the answer to the joining, which brings both.
    ledger.delivered("m2", Operation.MESSAGE_DELIVER, away, MS)
    for number in (1, 2):
        ledger.delivered(f"m{number}", Operation.MESSAGE_DELIVER, away, 2 * MS, restored=True)
    row = desk.row(Operation.MESSAGE_RESYNC)
    assert (row.expected, row.latency.n, row.duplicate, row.reordered) == (2, 2, 0, 0)


def test_a_member_with_two_ways_at_once_may_hear_twice(desk: Desk) -> None:
    ledger = desk.ledger
    here, moving = desk.member("0.0.0"), desk.member("0.0.1")
    for member in (here, moving):
        ledger.join_requested("r", member, 0)
        ledger.joined("r", member, 0)
    ledger.sent("m", 1, Operation.MESSAGE_DELIVER, ledger.rooms["r"], here, 0, 0)
    ledger.delivered("m", Operation.MESSAGE_DELIVER, moving, 1)
    moving.merging = True
    ledger.delivered("m", Operation.MESSAGE_DELIVER, moving, 2)
    assert desk.recorder.counters["merged"] == 1
    moving.merging = False
    ledger.delivered("m", Operation.MESSAGE_DELIVER, moving, 3)
    assert desk.row(Operation.MESSAGE_DELIVER).duplicate == 1


def test_what_the_run_itself_cut_off_is_told_apart_among_the_lost(desk: Desk) -> None:
    ledger = desk.ledger
    here, cut = desk.member("0.0.0"), desk.member("0.0.1")
    for member in (here, cut):
        ledger.join_requested("r", member, 0)
        ledger.joined("r", member, 0)
    ledger.connected(cut, False)
    cut.provoked = True
    ledger.sent("m", 1, Operation.MESSAGE_DELIVER, ledger.rooms["r"], here, 0, 0)
    ledger.not_sent(Operation.MESSAGE_DELIVER, ledger.rooms["r"], cut, 0)
    ledger.expire(DEADLINE_NS + 1)
    counters = desk.recorder.counters
    assert counters[PROVOKED + "message.resync"] == 1
    assert counters[PROVOKED + "message.deliver"] == 1


@pytest.mark.parametrize("outcome", ["read", "late", "lost", "twice"])
def test_what_another_process_reads_adds_up_when_the_processes_do(outcome: str) -> None:
    here, there = Desk("0"), Desk("1")
    visitor, operator = here.member("0.0.0"), there.member("1.1.0")
    planned_ns, sent_ns = 3 * SECOND, 3 * SECOND + 2 * MS
    marker, _ = here.ledger.marker_across(visitor, planned_ns, sent_ns)
    here.ledger.sent_across(WRITTEN, visitor.transport, planned_ns)
    if outcome == "late":
        there.ledger.delivered(marker, WRITTEN, operator, sent_ns + DEADLINE_NS + SECOND)
    elif outcome != "lost":
        there.ledger.delivered(marker, WRITTEN, operator, sent_ns + 5 * MS)
    if outcome == "twice":
        there.ledger.delivered(marker, WRITTEN, operator, sent_ns + 6 * MS)
    book = Book()
    book.add("1", there.recorder.take())
    book.add("0", here.recorder.take())
    row = sum_of(book, WRITTEN)
    wanted = {"read": (1, 0, 0, 0), "late": (0, 1, 0, 0), "lost": (0, 0, 1, 0), "twice": (1, 0, 0, 1)}
    assert row.expected == 1
    assert (row.latency.n, row.late, row.lost, row.duplicate) == wanted[outcome]
    if row.latency.n:
        assert row.latency.max_ns == 7 * MS
        assert row.service.max_ns == 5 * MS


def test_what_another_process_says_to_its_own_is_no_duplicate_here() -> None:
    here, there = Desk("0"), Desk("1")
    marker, _ = there.ledger.marker(there.member("1.0.0"))
    here.ledger.delivered(marker, RING, here.member("0.1.0"), 1)
    assert here.recorder.counters == {"elsewhere": 1}
    assert here.row().duplicate == 0
