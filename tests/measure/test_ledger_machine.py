"""Whatever members, messages and time do: does the ledger say what the slow oracle says?"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledger_oracle import Oracle, OracleMember, OracleMessage

from loadtest.measure.book import Book
from loadtest.measure.entry import Audience
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.ledger import PROVOKED, Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member, Room
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
SOME = st.sets(NAMES, max_size=3)
NAMED = st.sampled_from([Operation.CALL_RING, Operation.CHAT_DELIVER])


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
        self.calls = {name: Room(name) for name in ("call", "chat")}
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

    @rule(name=NAMES, merging=st.booleans(), provoked=st.booleans(), falls_back=st.booleans())
    def change(self, name: str, merging: bool, provoked: bool, falls_back: bool) -> None:
        transport, ordered = ("long-polling", True) if falls_back else KINDS[name]
        for one in (self.members[name], self.oracle.members[name]):
            one.merging, one.provoked = merging, provoked  # type: ignore[attr-defined]
            one.transport, one.ordered = transport, ordered  # type: ignore[attr-defined]

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

    @rule(name=NAMES, room=ROOMS, delay=st.sampled_from([0, SECOND]))
    def probe(self, name: str, room: str, delay: int) -> None:
        if room not in self.ledger.rooms:
            return
        member, planned = self.members[name], self.now - delay
        marker, number = self.ledger.marker(member)
        self.ledger.probe(marker, number, self.ledger.rooms[room], member, planned, self.now)
        if self.oracle.closed_at is None:
            self.oracle.probe(number, room, name, planned, self.now)
            self.markers.append((marker, self.oracle.messages[-1]))

    @rule(name=NAMES, about=st.sampled_from(["call", "chat"]), operation=NAMED, owed=SOME, open_to=SOME,
          legal=SOME, away=SOME)  # fmt: skip
    def send_to(
        self,
        name: str,
        about: str,
        operation: Operation,
        owed: set[str],
        open_to: set[str],
        legal: set[str],
        away: set[str],
    ) -> None:
        # Who is owed it now is not away, and for both there is nothing left to be open.
        sets = {"owed": owed, "away": away - owed, "open_to": open_to - owed - away, "legal": legal}
        marker, number = self.ledger.marker(self.members[name])
        room, sender = self.calls[about], self.members[name]
        to = Audience(**{which: self._members(names) for which, names in sets.items()})
        self.ledger.sent(marker, number, operation, room, sender, self.now, self.now, to=to)
        if self.oracle.closed_at is None:
            self.oracle.sent_to(number, operation, about, name, self.now, self.now, sets)
            self.markers.append((marker, self.oracle.messages[-1]))

    def _members(self, names: set[str]) -> frozenset[Member]:
        return frozenset(self.members[name] for name in names)

    def _named(self, pick: int) -> tuple[str, OracleMessage] | None:
        named = [one for one in self.markers if one[1].named]
        return named[-1 - pick % min(3, len(named))] if named else None

    @rule(pick=PICK, members=SOME)
    def owe(self, pick: int, members: set[str]) -> None:
        if (found := self._named(pick)) is not None:
            self.ledger.owe(found[0], self._members(members))
            self.oracle.owe(found[1], members)

    @rule(pick=PICK, members=SOME, among=SOME, is_read=st.booleans())
    def one_of_them_has_it(self, pick: int, members: set[str], among: set[str], is_read: bool) -> None:
        if (found := self._named(pick)) is None:
            return
        given, rivals = self._members(members), self._members(among)
        if is_read:
            self.ledger.only(found[0], given, rivals, self.now)
            self.oracle.only(found[1], members, among)
        else:
            self.ledger.given_to(found[0], given, rivals)
            self.oracle.given_to(found[1], members, among)

    @rule(pick=PICK, anybody=st.booleans())
    def withdraw(self, pick: int, anybody: bool) -> None:
        wrong = [one for one in self.markers if one[1].named or one[1].probe]
        if wrong:
            marker, message = wrong[-1 - pick % len(wrong)]
            self.ledger.withdraw(marker, anybody)
            self.oracle.withdraw(message, anybody)

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
    @rule(names=st.lists(NAMES, min_size=1, max_size=6), pick=PICK, pause=PAUSES, restored=st.booleans())
    def deliver(self, names: list[str], pick: int, pause: int, restored: bool) -> None:
        self.now += pause
        marker, message = self.markers[-1 - pick % len(self.markers)]
        for name in names:
            self.ledger.delivered(marker, message.read_as, self.members[name], self.now, restored)
            self.oracle.delivered(message, name, self.now, restored)

    @rule(name=NAMES, operation=OPERATIONS, ours=st.booleans(), restored=st.booleans())
    def deliver_what_nobody_sent(self, name: str, operation: Operation, ours: bool, restored: bool) -> None:
        marker = "run:nobody:1" if ours else "runner:ann:1"
        self.ledger.delivered(marker, operation, self.members[name], self.now, restored)
        if ours:
            self.oracle.unknown(operation, name, self.now, restored)
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
        assert self.book.counters.get("merged", 0) == self.oracle.merged
        provoked = {name: n for name, n in self.book.counters.items() if name.startswith(PROVOKED) and n}
        assert provoked == {PROVOKED + name: n for name, n in self.oracle.provoked.items() if n}
        super().teardown()


def _nonzero(rows: Any) -> dict[Any, dict[str, int]]:
    kept = {key: {name: n for name, n in counters.items() if n} for key, counters in rows.items()}
    return {key: counters for key, counters in kept.items() if counters}


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
