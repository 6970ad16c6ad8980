"""Whatever members, messages and time do: does the ledger say what the slow oracle says?"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledger_oracle import Oracle, OracleMember, OracleMessage

from loadtest.measure.book import Book
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member
from loadtest.measure.rows import decode_delta, encode_delta
from loadtest.measure.units import SECOND

COUNTERS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")
DEADLINE = 3 * SECOND
START = 100 * SECOND
KINDS = {
    "ann": ("websocket", True),
    "bob": ("websocket", True),
    "cid": ("interval", False),
    "dan": ("websocket", True),
}
NAMES = st.sampled_from(sorted(KINDS))
ROOMS = st.sampled_from(["a", "a", "b"])
OPERATIONS = st.sampled_from(
    [
        Operation.MESSAGE_DELIVER,
        Operation.MESSAGE_DELIVER,
        Operation.TYPING_DELIVER,
        Operation.RECEIPT_DELIVER,
    ]
)
PAUSES = st.sampled_from([0, 1, SECOND // 3, SECOND, DEADLINE - 1, DEADLINE, DEADLINE + 1])
PICK = st.integers(0, 1 << 30)


def counted(pairs: list[tuple[int, int]], which: int) -> Counts:
    histogram = Histogram()
    for pair in pairs:
        histogram.record(pair[which])
    return histogram.counts()


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        plan = Plan(START - 10 * SECOND, warmup_ns=5 * SECOND)
        plan.begin(START)
        self.recorder = Recorder(plan, "w", keep=10**6)
        self.ledger = Ledger(self.recorder, "run", DEADLINE)
        self.oracle = Oracle(plan, DEADLINE)
        self.book = Book()
        self.members: dict[str, Member] = {}
        self.markers: list[tuple[str, OracleMessage]] = []
        for name, (transport, ordered) in KINDS.items():
            self.members[name] = Member(name, transport, ordered)
            self.oracle.members[name] = OracleMember(name, transport, ordered)
            self.ledger.connected(self.members[name], True)

    @initialize(members=st.sets(NAMES, min_size=2))
    def some_are_in_already(self, members: set[str]) -> None:
        for name in sorted(members):
            self.join(name, "a")
            self.join_acked(name, "a")

    @rule(pause=PAUSES)
    def wait(self, pause: int) -> None:
        self.now += pause

    # -- rooms ---------------------------------------------------------------------------------------------

    @rule(name=NAMES, room=ROOMS)
    def join(self, name: str, room: str) -> None:
        self.ledger.join_requested(room, self.members[name], self.now)
        self.oracle.join_requested(room, name, self.now)

    @rule(name=NAMES, room=ROOMS)
    def join_acked(self, name: str, room: str) -> None:
        if (room, name) in self.oracle.stays:
            self.ledger.joined(room, self.members[name], self.now)
            self.oracle.joined(room, name, self.now)

    @rule(name=NAMES, room=ROOMS)
    def leave(self, name: str, room: str) -> None:
        stays = self.oracle.stays.get((room, name), [])
        if stays and stays[-1].leave_requested is None:
            self.ledger.leave_requested(room, self.members[name], self.now)
            self.oracle.leave_requested(room, name, self.now)

    @rule(name=NAMES, room=ROOMS)
    def leave_acked(self, name: str, room: str) -> None:
        stays = self.oracle.stays.get((room, name), [])
        if any(stay.leave_requested is not None and stay.left is None for stay in stays):
            self.ledger.left(room, self.members[name], self.now)
            self.oracle.left(room, name, self.now)

    @rule(name=NAMES, is_so=st.booleans())
    def connect(self, name: str, is_so: bool) -> None:
        self.ledger.connected(self.members[name], is_so)
        self.oracle.members[name].connected = is_so

    # -- messages ------------------------------------------------------------------------------------------

    @rule(name=NAMES, room=ROOMS, operation=OPERATIONS, delay=st.sampled_from([0, 1, SECOND]), pick=PICK)
    def send(self, name: str, room: str, operation: Operation, delay: int, pick: int) -> None:
        if room not in self.ledger.rooms:
            return
        member, planned = self.members[name], self.now - delay
        echo, ack = (
            (bool(pick & 1), bool(pick & 2)) if operation is Operation.MESSAGE_DELIVER else (False, False)
        )
        marker, number = self.ledger.marker(member)
        self.ledger.sent(
            marker, number, operation, self.ledger.rooms[room], member, planned, self.now, echo, ack
        )
        if self.oracle.closed_at is None:
            self.oracle.sent(number, operation, room, name, planned, self.now, echo, ack)
            self.markers.append((marker, self.oracle.messages[-1]))

    @rule(name=NAMES, room=ROOMS, operation=OPERATIONS, echo=st.booleans())
    def cannot_send(self, name: str, room: str, operation: Operation, echo: bool) -> None:
        if room in self.ledger.rooms:
            self.ledger.not_sent(operation, self.ledger.rooms[room], self.members[name], self.now, echo)
            self.oracle.not_sent(operation, room, name, self.now, echo)

    @precondition(lambda self: self.markers)
    @rule(pick=PICK, pause=PAUSES)
    def ack(self, pick: int, pause: int) -> None:
        self.now += pause
        marker, message = self.markers[-1 - pick % len(self.markers)]
        self.ledger.acked(marker, self.now)
        self.oracle.acked(message, self.now)

    @precondition(lambda self: self.markers)
    @rule(pick=PICK)
    def refuse(self, pick: int) -> None:
        marker, message = self.markers[-1 - pick % len(self.markers)]
        self.ledger.refused(marker, self.now)
        self.oracle.refused(message, self.now)

    @precondition(lambda self: self.markers)
    @rule(names=st.lists(NAMES, min_size=1, max_size=6), pick=PICK, pause=PAUSES)
    def deliver(self, names: list[str], pick: int, pause: int) -> None:
        self.now += pause
        marker, message = self.markers[-1 - pick % len(self.markers)]
        for name in names:
            self.ledger.delivered(marker, message.operation, self.members[name], self.now)
            self.oracle.delivered(message, name, self.now)

    @rule(name=NAMES, operation=OPERATIONS, ours=st.booleans())
    def deliver_what_nobody_sent(self, name: str, operation: Operation, ours: bool) -> None:
        marker = "run:nobody:1" if ours else "runner:ann:1"
        self.ledger.delivered(marker, operation, self.members[name], self.now)
        if ours:
            self.oracle.unknown(operation, name, self.now)
        elif self.oracle.closed_at is None:
            self.oracle.foreign += 1

    # -- time ----------------------------------------------------------------------------------------------

    @rule()
    def expire(self) -> None:
        self.ledger.expire(self.now)
        if self.oracle.closed_at is None:
            self.oracle.expire(self.now)

    @rule()
    def take(self) -> None:
        self.book.add("w", decode_delta(encode_delta(self.recorder.take())))

    @precondition(lambda self: self.oracle.closed_at is None and len(self.markers) > 6)
    @rule()
    def close(self) -> None:
        self.ledger.close(self.now)
        self.oracle.close(self.now)

    @invariant()
    def what_is_under_way_is_known(self) -> None:
        expected = self.oracle.under_way if self.oracle.closed_at is None else 0
        assert self.ledger.under_way == expected

    def _counted(self) -> dict[Any, dict[str, int]]:
        rows = self.book.intervals.items()
        return {key: {name: getattr(row, name) for name in COUNTERS} for key, row in rows}

    def teardown(self) -> None:
        if self.oracle.closed_at is None:
            self.close()
        self.take()
        assert _nonzero(self._counted()) == _nonzero(self.oracle.rows)
        for row, found in self.book.intervals.items():
            assert found.expected == found.latency.n + found.late + found.lost, row
            pairs = self.oracle.latencies.get((row[0], row[1], row[2], row[3]), [])
            assert (found.latency, found.service) == (counted(pairs, 0), counted(pairs, 1)), row
        assert set(self.oracle.latencies) <= set(self.book.intervals)
        assert self.book.counters.get("tolerated", 0) == self.oracle.tolerated
        assert self.book.counters.get("foreign", 0) == self.oracle.foreign
        super().teardown()


def _nonzero(rows: Any) -> dict[Any, dict[str, int]]:
    kept = {key: {name: n for name, n in counters.items() if n} for key, counters in rows.items()}
    return {key: counters for key, counters in kept.items() if counters}


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
