"""What should a ledger say? Slowly, from the history alone: rules as sentences, without queues or sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan

Row = tuple[str, str, str, int]


@dataclass
class OracleStay:
    join_requested: int
    joined: int | None = None
    leave_requested: int | None = None
    left: int | None = None

    @property
    def sure(self) -> bool:
        """Whether now lies within what is surely part of the stay."""
        return self.joined is not None and self.leave_requested is None


@dataclass
class OracleMember:
    name: str
    transport: str
    ordered: bool
    connected: bool = True
    merging: bool = False
    provoked: bool = False


@dataclass
class OracleMessage:
    """``transport``: the sender's at the sending. ``named``: owed to people by name, not to a room's members."""

    number: int
    operation: Operation
    room: str
    sender: OracleMember
    planned: int
    sent: int
    deadline: int
    wants_ack: bool
    transport: str
    named: bool = False
    open_to: set[str] = field(default_factory=set)  # who may get it, and is owed it from then on
    legal: set[str] = field(default_factory=set)  # whose copy is nobody's business
    withdrawn: bool = False
    public: bool = False  # withdrawn, and whoever gets it is right
    debts: dict[str, str] = field(default_factory=dict)  # member -> operation owed
    outcome: dict[str, str] = field(default_factory=dict)  # member -> in time, late or excused
    acked: int | None = None
    refused: bool = False
    forgotten: bool = False

    def owing(self) -> list[str]:
        return [name for name in self.debts if name not in self.outcome]

    def settled(self) -> list[str]:
        return [name for name, outcome in self.outcome.items() if outcome in ("in time", "late")]

    @property
    def probe(self) -> bool:
        return self.operation is Operation.SESSION_RESUME

    @property
    def read_as(self) -> Operation:
        """A probe looks like any message."""
        return Operation.MESSAGE_DELIVER if self.probe else self.operation

    @property
    def ack_is_owed(self) -> bool:
        return self.wants_ack and self.acked is None


class Oracle:
    def __init__(self, plan: Plan, deadline: int) -> None:
        self.plan = plan
        self.deadline = deadline
        self.members: dict[str, OracleMember] = {}
        self.stays: dict[tuple[str, str], list[OracleStay]] = {}
        self.messages: list[OracleMessage] = []
        self.rows: dict[Row, dict[str, int]] = {}
        self.latencies: dict[Row, list[tuple[int, int]]] = {}
        self.highest: dict[tuple[str, str, Operation, str], int] = {}
        self.tolerated = self.foreign = self.merged = 0
        self.provoked: dict[str, int] = {}
        self.looked = 0
        self.closed_at: int | None = None

    # -- rows ----------------------------------------------------------------------------------------------

    def row(self, operation: str, transport: str, planned: int) -> Row:
        return operation, transport, self.plan.phase(planned).value, self.plan.second(planned)

    def add(self, row: Row, counter: str, by: int = 1) -> None:
        counters = self.rows.setdefault(row, {})
        counters[counter] = counters.get(counter, 0) + by

    def row_of(self, message: OracleMessage, member: str) -> Row:
        owed = message.debts.get(member, message.operation.value)
        return self.row(owed, message.transport, message.planned)

    # -- rooms ---------------------------------------------------------------------------------------------

    def join_requested(self, room: str, member: str, now: int) -> None:
        stays = self.stays.setdefault((room, member), [])
        if not stays or stays[-1].leave_requested is not None:
            stays.append(OracleStay(now))

    def joined(self, room: str, member: str, now: int) -> None:
        stay = self.stays[room, member][-1]
        stay.joined = now if stay.joined is None else stay.joined

    def leave_requested(self, room: str, member: str, now: int) -> None:
        self.stays[room, member][-1].leave_requested = now
        if self.closed_at is not None:
            return
        self.expire(now)
        for message in self.messages:
            in_time = now <= message.deadline
            if message.room == room and message.acked is None and in_time and member in message.owing():
                message.outcome[member] = "excused"

    def left(self, room: str, member: str, now: int) -> None:
        waiting = [s for s in self.stays[room, member] if s.leave_requested is not None and s.left is None]
        waiting[0].left = now

    def inside(self, room: str) -> list[OracleMember]:
        return [
            one for one in self.members.values() if any(s.sure for s in self.stays.get((room, one.name), []))
        ]

    # -- messages ------------------------------------------------------------------------------------------

    def _owed(self, room: str, operation: Operation, sender: OracleMember, echo: bool) -> dict[str, str]:
        debts = {}
        for one in self.inside(room):
            if one is sender:
                if echo and one.connected:
                    debts[one.name] = "message.echo"
            elif one.connected:
                debts[one.name] = operation.value
            elif operation is Operation.MESSAGE_DELIVER:
                debts[one.name] = "message.resync"
        return debts

    def sent(
        self,
        number: int,
        operation: Operation,
        room: str,
        sender: str,
        planned: int,
        now: int,
        echo: bool,
        ack: bool,
    ) -> None:
        who = self.members[sender]
        message = self._message(number, operation, room, who, planned, now, ack)
        message.debts = self._owed(room, operation, who, echo)

    def _message(
        self,
        number: int,
        operation: Operation,
        room: str,
        who: OracleMember,
        planned: int,
        now: int,
        ack: bool = False,
    ) -> OracleMessage:
        deadline = now + self.deadline
        message = OracleMessage(number, operation, room, who, planned, now, deadline, ack, who.transport)
        self.messages.append(message)
        return message

    def sent_to(
        self,
        number: int,
        operation: Operation,
        room: str,
        sender: str,
        planned: int,
        now: int,
        sets: dict[str, set[str]],
    ) -> None:
        message = self._message(number, operation, room, self.members[sender], planned, now)
        message.named = True
        message.debts = dict.fromkeys(sorted(sets["owed"]), operation.value)
        message.debts |= dict.fromkeys(sorted(sets["away"]), "message.resync")
        message.open_to, message.legal = set(sets["open_to"]), {*sets["legal"], sender}

    def probe(self, number: int, room: str, member: str, planned: int, now: int) -> None:
        who = self.members[member]
        message = self._message(number, Operation.SESSION_RESUME, room, who, planned, now)
        message.debts = {member: "session.resume"}

    def _past(self, message: OracleMessage) -> bool:
        """Whether its deadline had passed when somebody looked last."""
        return message.deadline < self.looked

    def _open(self, message: OracleMessage) -> bool:
        return self.closed_at is None and not message.forgotten

    def owe(self, message: OracleMessage, members: set[str]) -> None:
        if self._open(message) and not self._past(message):
            for name in members:
                if name not in message.settled():
                    message.debts.setdefault(name, message.operation.value)
                    message.outcome.pop(name, None)

    def withdraw(self, message: OracleMessage, anybody: bool) -> None:
        if self._open(message) and not self._past(message):
            message.withdrawn, message.public = True, anybody
            message.legal |= {*message.open_to, *message.owing()}
            message.open_to = set()
            for name in message.owing():
                message.outcome[name] = "excused"

    def given_to(self, message: OracleMessage, members: set[str], among: set[str]) -> None:
        rivals = among - members
        if self._open(message) and not self._past(message) and not rivals & set(message.settled()):
            self._spare(message, rivals)
            self.owe(message, {name for name in members if self.members[name].connected})

    def only(self, message: OracleMessage, members: set[str], among: set[str]) -> None:
        rivals, settled = among - members, set(message.settled())
        if not self._open(message):
            return
        if not rivals & settled:
            self._spare(message, rivals)
            return
        for name in settled & members:
            self.add(self.row_of(message, name), "leaked")

    def _spare(self, message: OracleMessage, members: set[str]) -> None:
        for name in members & set(message.owing()):
            message.outcome[name] = "excused"
            message.open_to.add(name)

    def not_sent(self, operation: Operation, room: str, sender: str, planned: int, echo: bool) -> None:
        if self.closed_at is not None:
            return
        inside = self.inside(room)
        who = self.members[sender]
        text = operation is Operation.MESSAGE_DELIVER
        owed = sum(one is not who and (text or one.connected) for one in inside)
        rows = [(operation.value, owed)] + [("message.echo", 1)] * (echo and who in inside)
        for name, many in rows:
            self._excuse_as_provoked(who, name, many)
            for counter, by in (("failed", 1), ("expected", many), ("lost", many)):
                self.add(self.row(name, who.transport, planned), counter, by)

    def acked(self, message: OracleMessage, now: int) -> None:
        if self.closed_at is None and not message.forgotten and message.acked is None:
            message.acked = now

    def refused(self, message: OracleMessage, now: int) -> None:
        if self.closed_at is not None:
            return
        self.expire(now)
        if message.forgotten or message.acked is not None:
            return
        message.acked, message.refused = now, True
        if now <= message.deadline:
            for name in message.owing():
                message.outcome[name] = "excused"

    def _excuse_as_provoked(self, who: OracleMember, operation: str, by: int = 1) -> None:
        if who.provoked:
            self.provoked[operation] = self.provoked.get(operation, 0) + by

    def delivered(self, message: OracleMessage, member: str, now: int, restored: bool = False) -> None:
        if self.closed_at is not None:
            return
        if message.forgotten:
            if not message.withdrawn:
                self.unknown(message.read_as, member, now, restored)
        elif member in message.settled():
            self._again(self.row_of(message, member), member, restored)
        elif member in message.owing():
            self._settle(message, member, now, restored)
        elif member in message.open_to:
            message.debts.setdefault(member, message.operation.value)
            self._settle(message, member, now, restored)
        elif message.probe or message.public or member in message.legal:
            pass
        elif self._legal(message, member, now):
            self.tolerated += 1
        else:
            self.add(self.row_of(message, member), "leaked")

    def _again(self, row: Row, member: str, restored: bool) -> None:
        if restored or self.members[member].merging:
            self.merged += 1
        else:
            self.add(row, "duplicate")

    def _settle(self, message: OracleMessage, member: str, now: int, restored: bool) -> None:
        if now > message.deadline:
            message.outcome[member] = "late"
            return
        message.outcome[member] = "in time"
        row = self.row_of(message, member)
        self.latencies.setdefault(row, []).append((now - message.planned, now - message.sent))
        order = message.room, message.sender.name, message.operation, member
        if message.number < self.highest.get(order, 0) and not restored:
            self.add(row, "reordered")
        self.highest[order] = max(self.highest.get(order, 0), message.number)

    def _legal(self, message: OracleMessage, member: str, now: int) -> bool:
        """Whether the message and one of the member's stays may have met at the server."""
        ever = 1 << 62
        stays = self.stays.get((message.room, member), [])
        for i, stay in enumerate(stays):
            gone = ever if stay.left is None else stay.left
            if any(later.join_requested - self.deadline > gone for later in stays[i + 1 :]):
                continue  # over for longer than a message may take
            handled = ever if message.acked is None else message.acked
            met = max(stay.join_requested, message.sent) <= min(gone, handled)
            if met and not (self.members[member].ordered and now > gone):
                return True
        return False

    def unknown(self, operation: Operation, member: str, now: int, restored: bool = False) -> None:
        if self.closed_at is None:
            self._again(self.row(operation.value, self.members[member].transport, now), member, restored)

    # -- time ----------------------------------------------------------------------------------------------

    def expire(self, now: int) -> None:
        """Of what is past its deadline and wholly settled, nothing is remembered."""
        for message in self.messages:
            # Looked at once: who settles everything afterwards stays known.
            if not self.looked <= message.deadline < now:
                continue
            for name in message.owing():
                self._excuse_as_provoked(self.members[name], message.debts[name])
            if not message.owing() and not message.ack_is_owed:
                message.forgotten = True
        self.looked = max(self.looked, now)

    @property
    def under_way(self) -> int:
        return sum(bool(m.owing() or m.ack_is_owed) for m in self.messages if m.deadline >= self.looked)

    def close(self, now: int) -> None:
        """Count: every debt is one of in time, late, lost, open, or excused and none."""
        self.expire(now)
        self.closed_at = now
        for message in self.messages:
            for name in message.debts:
                missing = "lost" if message.deadline < now else "open"
                self._count(self.row_of(message, name), message.outcome.get(name, missing))
            self._count_ack(message, now)

    def _count(self, row: Row, outcome: str) -> None:
        if outcome in ("in time", "late", "lost"):
            self.add(row, "expected")
        if outcome in ("late", "lost", "open"):
            self.add(row, outcome)

    def _count_ack(self, message: OracleMessage, now: int) -> None:
        row = self.row("message.ack", message.transport, message.planned)
        if message.refused and not message.wants_ack:
            self.add(self.row(message.operation.value, message.transport, message.planned), "failed")
        elif message.refused:
            self.add(row, "failed")
        elif not message.wants_ack:
            return
        elif message.acked is None:
            self._count(row, "lost" if message.deadline < now else "open")
        elif message.acked > message.deadline:
            self._count(row, "late")
        else:
            self._count(row, "in time")
            self.latencies.setdefault(row, []).append(
                (message.acked - message.planned, message.acked - message.sent)
            )
