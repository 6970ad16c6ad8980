"""Which message was owed to whom, and what became of each debt?

Every message opens an Entry with the members who must get it. A delivery settles one debt; a debt that is
not settled by the deadline is lost, one settled after it is late. What nobody was owed is a duplicate or a
leak. At the end, debts whose deadline had not passed are open: neither delivered nor lost.

Membership has soft edges, because a server handles a join and a message from two sockets in either order.
Server side, a member's stay lies somewhere within [join requested, leave acked] and surely covers [join
acked, leave requested]; a message is handled somewhere within [sent, acked]. So a member is owed a message
only if the sure stay covers all of the message's interval, and a delivery is a leak only if the two cannot
have met. In between a delivery is legal either way, and counted nowhere but in ``tolerated``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from loadtest.measure.crossing import Crossing
from loadtest.measure.entry import Audience, Entry
from loadtest.measure.exemplars import Exemplars
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.recorder import Interval, Recorder
from loadtest.measure.rooms import Member, Room, Stay
from loadtest.measure.servers import way

_ACK = Operation.MESSAGE_ACK.value  # an enum's members and values are slow to reach
_DELIVER = Operation.MESSAGE_DELIVER
_ECHO = Operation.MESSAGE_ECHO.value
_RESYNC = Operation.MESSAGE_RESYNC.value
_RESUME = Operation.SESSION_RESUME

PROVOKED = "provoked.lost."
"""Begins the counters, one per operation, of debts lost because the run itself cut somebody off."""
_NOBODY: frozenset[Member] = frozenset()

LIMIT = 1_000_000
"""Entries kept at most. Beyond it the ledger says so and the run is invalid; none is dropped in silence."""


class Ledger:
    """All messages of this process. Times are ns of one clock; deadline_ns counts from the sending.

    run: the id that starts every marker. The recorder must keep an Interval for longer than the deadline.
    """

    def __init__(self, recorder: Recorder, run: str, deadline_ns: int) -> None:
        self.recorder = recorder
        self.run = run
        self.deadline_ns = deadline_ns
        self.rooms: dict[str, Room] = {}
        self.overflowed = False
        self._table: dict[str, Entry] = {}
        self._due: deque[Entry] = deque()
        self._withdrawn: dict[str, bool] = {}
        self._crossing = Crossing(recorder, run, deadline_ns)
        self._numbers: dict[str, int] = {}
        self._closed = False
        self.exemplars = Exemplars(recorder)

    # -- rooms ------------------------------------------------------------------------------------------

    def join_requested(self, name: str, member: Member, now_ns: int) -> Room:
        """The member asked to be let into a room."""
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = Room(name)
        stays = room.stays.setdefault(member, [])
        # Asking again, say after a reconnect, begins no new stay: the first request may have been heard.
        if not stays or stays[-1].leave_requested_ns is not None:
            recent = now_ns - self.deadline_ns
            kept = [one for one in stays if one.leave_acked_ns is None or one.leave_acked_ns >= recent]
            room.stays[member] = [*kept, Stay(now_ns)]
        return room

    def joined(self, name: str, member: Member, now_ns: int) -> None:
        """The server said that the member is in."""
        room = self.rooms[name]
        stay = room.stays[member][-1]
        if stay.leave_requested_ns is not None:
            return  # it has asked to be let out since: a member now would be one for ever
        if stay.join_acked_ns is None:
            stay.join_acked_ns = now_ns
        room.members[member] = None
        member.rooms[name] = room
        room.changed()

    def leave_requested(self, name: str, member: Member, now_ns: int) -> None:
        """The member asked to be let out: it is owed nothing that the server has not yet acked."""
        self.expire(now_ns)  # what is lost by now is not excused, whenever somebody last looked
        room = self.rooms[name]
        room.stays[member][-1].leave_requested_ns = now_ns
        room.members.pop(member, None)
        member.rooms.pop(name, None)
        room.changed()
        for entry in room.entries:
            if entry.acked_ns is None and member in entry.expected and member not in entry.seen:
                self._interval_for(entry, member).expected -= 1
                entry.expected -= {member}

    def left(self, name: str, member: Member, now_ns: int) -> None:
        """The server said that the member is out."""
        for stay in self.rooms[name].stays[member]:
            if stay.leave_requested_ns is not None and stay.leave_acked_ns is None:
                stay.leave_acked_ns = now_ns
                return  # not the stay of a join that was asked for meanwhile

    def connected(self, member: Member, is_so: bool) -> None:
        """The member's connection came or went; membership is not touched by that."""
        member.connected = is_so
        for room in member.rooms.values():
            room.changed()

    # -- messages ---------------------------------------------------------------------------------------

    def marker(self, member: Member) -> tuple[str, int]:
        """The next marker of a sender, and its number."""
        number = self._number(member)
        return f"{self.run}:{member.name}:{number}", number

    def marker_across(self, member: Member, planned_ns: int, sent_ns: int) -> tuple[str, int]:
        """As ``marker``, for something that another process may read."""
        number = self._number(member)
        return self._crossing.marker(member, planned_ns, sent_ns), number

    def _number(self, member: Member) -> int:
        # By the name: who takes the place of somebody that left goes on from there. Counting anew, one marker
        # would stand for two messages, and a server that drops what it has by that mark would drop the second.
        member.sequence = self._numbers[member.name] = self._numbers.get(member.name, 0) + 1
        return member.sequence

    def sent_across(self, operation: Operation, transport: str, planned_ns: int) -> None:
        """Something left for one receiver in another process."""
        if not self._closed:
            self._crossing.sent(operation, transport, planned_ns)

    def recall_across(self, operation: Operation, transport: str, planned_ns: int) -> None:
        """It has turned out that nobody in another process is owed it."""
        if not self._closed:
            self._crossing.recalled(operation, transport, planned_ns)

    def sent(
        self,
        marker: str,
        sequence: int,
        operation: Operation,
        room: Room,
        sender: Member,
        planned_ns: int,
        sent_ns: int,
        echo: bool = False,
        wants_ack: bool = False,
        to: Audience | None = None,
    ) -> Entry:
        """A message left. Members connected now are owed a delivery, members offline now a resync.

        echo: the sender is owed its own copy too. wants_ack: ``message.ack`` is owed by the server. to: who is
        owed it instead of the room's members; the room then only says what it is about.
        """
        if to is not None:
            return self._sent_to(
                to, self._entry(marker, sequence, operation, room, sender, planned_ns, sent_ns)
            )
        online, offline = room.present
        if sender in offline:
            offline = offline - {sender}  # its own copy is an echo or nothing
        recorder = self.recorder
        transport = sender.transport
        entry = self._entry(marker, sequence, operation, room, sender, planned_ns, sent_ns)
        entry.offline, entry.wants_ack = offline, wants_ack
        if self._closed:
            entry.expected = frozenset()
            return entry
        entry.deliver = recorder.interval(operation.value, transport, planned_ns)
        inside = sender in online
        expected = online
        if echo and inside:
            entry.echo = recorder.interval(_ECHO, transport, planned_ns)
            entry.echo.expected += 1
        elif inside:
            expected = online - {sender}
        entry.deliver.expected += len(online) - inside
        if offline and operation is _DELIVER:
            entry.resync = recorder.interval(_RESYNC, transport, planned_ns)
            entry.resync.expected += len(offline)
            expected = expected | offline
        entry.expected = expected
        self._keep(entry)
        return entry

    def _entry(
        self,
        marker: str,
        sequence: int,
        operation: Operation,
        room: Room,
        sender: Member,
        planned_ns: int,
        sent_ns: int,
    ) -> Entry:
        entry = Entry()
        entry.marker, entry.sequence, entry.operation = marker, sequence, operation
        entry.room, entry.sender, entry.transport = room, sender, sender.transport
        entry.planned_ns, entry.sent_ns, entry.deadline_ns = planned_ns, sent_ns, sent_ns + self.deadline_ns
        entry.server = sender.stops.now if operation is _DELIVER else ""
        entry.seen, entry.offline, entry.open_to = set(), _NOBODY, _NOBODY
        entry.acked_ns, entry.expired, entry.refused, entry.wants_ack = None, False, False, False
        # Kept by the room: every call and every chat is one, and takes all that it knows with it when it ends.
        entry.order = room.orders.setdefault((sender, operation), {})
        entry.echo = entry.resync = None
        entry.legal = _NOBODY
        return entry

    def _sent_to(self, to: Audience, entry: Entry) -> Entry:
        if self._closed:
            entry.expected = _NOBODY
            return entry
        recorder, planned_ns = self.recorder, entry.planned_ns
        entry.deliver = recorder.interval(entry.operation.value, entry.transport, planned_ns)
        entry.deliver.expected += len(to.owed)
        if to.away:
            entry.offline = to.away
            entry.resync = recorder.interval(_RESYNC, entry.transport, planned_ns)
            entry.resync.expected += len(to.away)
        entry.expected, entry.open_to = to.owed | to.away, to.open_to
        entry.legal = to.legal | {entry.sender}
        self._keep(entry)
        return entry

    def probe(
        self, marker: str, sequence: int, room: Room, member: Member, planned_ns: int, sent_ns: int
    ) -> None:
        """A member says something only to hear itself: that it is in the room, as ``session.resume``."""
        if self._closed:
            return
        entry = self._entry(marker, sequence, _RESUME, room, member, planned_ns, sent_ns)
        entry.deliver = self.recorder.interval(_RESUME.value, member.transport, planned_ns)
        entry.deliver.expected += 1
        entry.expected = frozenset((member,))
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        if len(self._table) >= LIMIT:
            self.overflowed = True
            self.recorder.count("ledger.overflow")
            oldest = next(iter(self._table.values()))
            if oldest.expired:
                del self._table[oldest.marker]  # memory stays bounded; the run is invalid by now
        self._table[entry.marker] = entry
        self._due.append(entry)
        entry.room.entries.append(entry)

    def not_sent(
        self, operation: Operation, room: Room, sender: Member, planned_ns: int, echo: bool = False
    ) -> None:
        """A message that fell due could not leave: it failed, and nobody who was owed it will get it."""
        if self._closed:
            return
        owed = room.members if operation is _DELIVER else room.present[0]
        transport, provoked = sender.transport, sender.provoked
        self.never_left(operation, transport, planned_ns, len(owed) - (sender in owed), provoked)
        if echo and sender in room.members:
            self.never_left(Operation.MESSAGE_ECHO, transport, planned_ns, 1, provoked)

    def never_left(
        self, operation: Operation, transport: str, planned_ns: int, owed: int, provoked: bool = False
    ) -> None:
        """Something owed to ``owed`` receivers could not leave."""
        if self._closed:
            return
        interval = self.recorder.interval(operation.value, transport, planned_ns)
        interval.failed += 1
        interval.expected += owed
        interval.lost += owed
        if provoked:
            self.recorder.count(f"{PROVOKED}{operation.value}", owed)

    def owe(self, marker: str, members: Iterable[Member]) -> None:
        """It has turned out who else must get a copy; one that came before counts already."""
        entry = self._table.get(marker)
        if entry is None or entry.expired or self._closed:
            return
        for member in members:
            if member not in entry.expected:
                self._let_in(entry, member)

    def given_to(self, marker: str, members: frozenset[Member], among: frozenset[Member]) -> None:
        """It has turned out who of ``among`` is sent it: these, and no others unless one has it by now."""
        entry = self._table.get(marker)
        if entry is None or entry.expired or self._closed or not entry.seen.isdisjoint(among - members):
            return
        self._spare(entry, among - members)
        self.owe(marker, (one for one in members if one.connected))

    def only(self, marker: str, members: frozenset[Member], among: frozenset[Member], read_ns: int) -> None:
        """One of ``members`` read it, who alone of ``among`` should: the others are owed none, or it leaked."""
        entry = self._table.get(marker)
        if entry is None or self._closed:
            return
        rivals = among - members
        if entry.seen.isdisjoint(rivals):
            self._spare(entry, rivals)
            return
        for member in entry.seen & members:
            self._interval_for(entry, member).leaked += 1
            self.exemplars.note("leaked", entry, member, read_ns)

    def _spare(self, entry: Entry, members: frozenset[Member]) -> None:
        """These are owed nothing any more; if one of them gets a copy all the same, it was owed it after all."""
        for member in (entry.expected & members) - entry.seen:
            interval = self._interval_for(entry, member)
            interval.expected -= 1
            if entry.expired:
                interval.lost -= 1
            entry.expected -= {member}
            entry.open_to |= {member}

    def withdraw(self, marker: str, anybody: bool = False) -> None:
        """The server will not send it, and rightly so: nobody is owed it any more.

        anybody: it may do so some day, and to somebody whom nobody knows yet.
        """
        entry = self._table.get(marker)
        if entry is not None and not entry.expired and not self._closed:
            entry.legal |= entry.expected | entry.open_to
            entry.open_to = _NOBODY
            self._excuse(entry)
            self._withdrawn[marker] = anybody  # the entry will be forgotten; a copy may come much later

    def _let_in(self, entry: Entry, member: Member) -> None:
        entry.expected |= {member}
        interval = self._interval_for(entry, member)
        interval.expected += 1
        if entry.expired:
            interval.lost += 1  # as of everybody else; what is read late is taken back from that

    def acked(self, marker: str, now_ns: int) -> None:
        """The server took the message: from here on every debt stands."""
        entry = self._table.get(marker)
        if entry is None or entry.acked_ns is not None or self._closed:
            return
        entry.acked_ns = now_ns
        if entry.wants_ack:
            interval = self._ack_interval(entry)
            if entry.expired:
                interval.expected -= 1
                interval.lost -= 1
            if now_ns > entry.deadline_ns:
                interval.expected += 1
                interval.late += 1
            else:
                interval.record(entry.planned_ns, entry.sent_ns, now_ns)

    def refused(self, marker: str, now_ns: int) -> None:
        """The server refused the message: the ack failed, and nobody is owed a copy any more."""
        if not self._closed:
            self.expire(now_ns)
        entry = self._table.get(marker)
        if entry is None or entry.acked_ns is not None or self._closed:
            return
        entry.acked_ns, entry.refused = now_ns, True
        # What wants no ack still may be refused, by an HTTP answer: then the thing itself failed.
        interval = self._ack_interval(entry) if entry.wants_ack else self._failed_interval(entry)
        interval.failed += 1
        if entry.expired and entry.wants_ack:
            interval.expected -= 1  # it was lost until now; one failure is counted once
            interval.lost -= 1
        if not entry.expired:
            self._excuse(entry)

    def _failed_interval(self, entry: Entry) -> Interval:
        return self.recorder.interval(entry.operation.value, entry.transport, entry.planned_ns)

    def _excuse(self, entry: Entry) -> None:
        for member in entry.expected - entry.seen:
            self._interval_for(entry, member).expected -= 1
        entry.expected = frozenset(entry.seen)

    def delivered(
        self, marker: str, operation: Operation, member: Member, read_ns: int, restored: bool = False
    ) -> Entry | None:
        """A copy reached ``member``. Returns the Entry, or None if the marker is none of this process's.

        restored: it came with what the server kept for a member that was away. Such a copy is merged, by its
        number: it is no duplicate of one that was read already, and not out of order.
        """
        entry = self._table.get(marker)
        if entry is None:
            self._unknown(marker, operation, member, read_ns, restored or member.merging)
            return None
        if self._closed:
            return entry
        if member not in entry.expected:
            if member not in entry.open_to:
                self._unexpected(entry, member, read_ns)
                return entry
            self._let_in(entry, member)
        seen = entry.seen
        if member in seen:
            self._again(entry, member, restored)
            return entry
        seen.add(member)
        if entry.expired:
            self._interval_for(entry, member).lost -= 1  # also if it was read in time and only told late
            if read_ns <= entry.deadline_ns:
                self._missed(entry, member, -1)
        if read_ns > entry.deadline_ns:
            self._interval_for(entry, member).late += 1
            if not entry.expired:
                self._missed(entry, member)
            return entry
        interval = entry.deliver
        if entry.echo is not None and member is entry.sender:
            interval = entry.echo
        elif entry.resync is not None and member in entry.offline:
            interval = entry.resync
        latency = read_ns - entry.planned_ns
        interval.record_latency(latency)
        interval.record_service(read_ns - entry.sent_ns)
        if entry.server and interval is entry.deliver and member.stops.now:
            interval.record_phase(way(entry.server, member.stops.now), latency)
        order = entry.order
        if entry.sequence < order.get(member, 0):
            interval.reordered += not restored
        else:
            order[member] = entry.sequence
        if latency > self.exemplars.floor_ns:
            self.exemplars.slow(entry, member, read_ns)
        return entry

    def _again(self, entry: Entry, member: Member, restored: bool) -> None:
        if restored or member.merging:
            self.recorder.count("merged")
        else:
            self._interval_for(entry, member).duplicate += 1

    def _unexpected(self, entry: Entry, member: Member, read_ns: int) -> None:
        if member in entry.legal or entry.operation is _RESUME or self._withdrawn.get(entry.marker):
            return
        # What an ordered member reads after its leave was acked was emitted after it, too.
        if any(
            stay.may_have_met(entry.sent_ns, entry.acked_ns)
            and not (member.ordered and stay.over_by(read_ns))
            for stay in entry.room.stays.get(member, ())
        ):
            self.recorder.count("tolerated")
            return
        self._interval_for(entry, member).leaked += 1
        self.exemplars.note("leaked", entry, member, read_ns)

    def _unknown(self, marker: str, operation: Operation, member: Member, read_ns: int, merged: bool) -> None:
        if self._closed or marker in self._withdrawn:
            return
        if not marker.startswith(self.run + ":"):
            self.recorder.count("foreign")
        elif self._crossing.came(marker, operation, member, read_ns, merged):
            pass
        elif merged:
            self.recorder.count("merged")
        else:
            # Ours, and no longer in the table: every debt of it was settled long ago.
            self.recorder.interval(operation.value, member.transport, read_ns).duplicate += 1

    def _interval_for(self, entry: Entry, member: Member) -> Interval:
        """Asked for anew, because the Recorder forgets intervals that nobody asked for in a while."""
        operation = self._operation_for(entry, member)
        return self.recorder.interval(operation, entry.transport, entry.planned_ns)

    def _operation_for(self, entry: Entry, member: Member) -> str:
        if member is entry.sender and entry.echo is not None:
            return _ECHO
        if entry.resync is not None and member in entry.offline:
            return _RESYNC
        return entry.operation.value

    # -- time -------------------------------------------------------------------------------------------

    def expire(self, now_ns: int) -> None:
        """Debts whose deadline has passed are lost; to be called about once a second."""
        due = self._due
        while due and due[0].deadline_ns < now_ns:
            entry = due.popleft()
            entry.expired = True
            entry.room.entries.popleft()  # both queues are in the order of sending
            missing = entry.expected - entry.seen
            for member in missing:
                self._interval_for(entry, member).lost += 1
                self._missed(entry, member)
                sent_ns = entry.sent_ns
                if member.provoked or member.was_out(sent_ns) or entry.sender.was_out(sent_ns):
                    self.recorder.count(PROVOKED + self._operation_for(entry, member))
                self.exemplars.note("lost", entry, member, None)
            if entry.wants_ack and entry.acked_ns is None:
                self._ack_interval(entry).lost += 1
                self._ack_interval(entry).expected += 1
            elif not missing:
                del self._table[entry.marker]

    def _missed(self, entry: Entry, member: Member, by: int = 1) -> None:
        """It did not come in time: by which way between servers it should have."""
        if not entry.server or self._operation_for(entry, member) != _DELIVER.value:
            return
        reader = member.stops.at(entry.sent_ns)
        if reader and self.recorder.plan.phase(entry.planned_ns) is Phase.MEASURE:
            self.recorder.count(f"servers.missing.{way(entry.server, reader)}", by)

    def _ack_interval(self, entry: Entry) -> Interval:
        return self.recorder.interval(_ACK, entry.transport, entry.planned_ns)

    def unread(self, member: Member, before_ns: int, taken: bool = False) -> int:
        """Messages sent to a member's conversations before a moment, owed to it, in time, and not come yet.

        taken: only those that the server had by then, as far as it is known to answer. What was said into a black
        hole comes when its sender has found the way back, too: nothing could have brought it earlier.
        """
        return sum(
            member in entry.expected and member not in entry.seen and member is not entry.sender
            for room in member.rooms.values()
            for entry in room.entries
            if entry.operation is _DELIVER
            and entry.sent_ns < before_ns
            and not (taken and entry.wants_ack and not _acked_by(entry, before_ns))
        )

    @property
    def under_way(self) -> int:
        """Messages with debts that are neither settled nor past their deadline."""
        return sum(
            len(one.seen) < len(one.expected) or (one.wants_ack and one.acked_ns is None) for one in self._due
        )

    def close(self, now_ns: int) -> None:
        """The books close: what was still in time is open. Nothing is recorded afterwards."""
        self.expire(now_ns)
        for entry in self._due:
            for member in entry.expected - entry.seen:
                interval = self._interval_for(entry, member)
                interval.expected -= 1
                interval.open += 1
            if entry.wants_ack and entry.acked_ns is None:
                self._ack_interval(entry).open += 1
            entry.room.entries.clear()  # or a leave at the end would excuse these debts a second time
        self._due.clear()
        self._closed = True


def _acked_by(entry: Entry, moment_ns: int) -> bool:
    return entry.acked_ns is not None and entry.acked_ns < moment_ns
