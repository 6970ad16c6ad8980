"""What is one device of a user? A connection, the rooms it is in, and what it said and was not answered yet.

A device outlives its connections: when one is lost it finds its way back (``returning.py``), with its rooms,
its unanswered messages and its place in every conversation.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from random import Random
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from loadtest.contract import Action, Delivery
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room
from loadtest.measure.units import SECOND
from loadtest.users import ways
from loadtest.users.causes import REPAIRABLE, Cause, ConnectFailed
from loadtest.users.climbing import Climb
from loadtest.users.credentials import Credentials
from loadtest.users.drops import DropRecord
from loadtest.users.ids import Early
from loadtest.users.link import ActionFailed, Hearing, Link, Outcome
from loadtest.users.returning import Return

if TYPE_CHECKING:
    from loadtest.measure.entry import Entry
    from loadtest.measure.faults import Occurrence
    from loadtest.users.said import Said
    from loadtest.users.user import RealtimeUser

_ON_THE_WAY_NS = SECOND
"""How long before a fault something may have been sent that it still caught."""
KEPT = 1_000
"""Sends kept for later at most; a browser has no such limit, a generator's memory has."""

_MESSAGE, _CHAT = Operation.MESSAGE_DELIVER, Operation.CHAT_DELIVER  # an enum's members are slow to reach


class Seat:
    """A device's place in one conversation: the newest number it has seen there, and the newest it read.

    talk: whether anybody may say something there; a live chat has its own words.
    """

    __slots__ = ("last_seq", "read_seq", "room", "talk")

    def __init__(self, room: Room, last_seq: int, talk: bool = True) -> None:
        self.room = room
        self.talk = talk
        self.last_seq = self.read_seq = last_seq


class Device:
    """One device. ``rungs``: the transports it may use, the best first.

    link: its way at the moment, or the last one; there is none before the first ``open``.
    """

    link: Link

    __slots__ = (
        "_climb",
        "_return",
        "_stumbled",
        "_tells",
        "closed",
        "cookies",
        "credentials",
        "drop",
        "engine_sid",
        "entered",
        "identity",
        "link",
        "live",
        "member",
        "opened_ns",
        "outbox",
        "recovery",
        "rng",
        "rungs",
        "seats",
        "unacked",
        "user",
    )

    def __init__(self, user: RealtimeUser, name: str, rungs: tuple[str, ...], role: str) -> None:
        self.user = user
        self.live = user.live
        self.rungs = rungs
        self.credentials = Credentials(self.live, user.name, f"d-{name}", role, user.conversation)
        self.identity = self.credentials.identity
        self.cookies = self.credentials.cookies
        # Of its own: the way back must not draw from the numbers that a user's schedule is made of.
        self.rng = Random(f"{self.live.settings.seed}:{name}:return")
        self.member = Member(name, rungs[0])
        self.seats: dict[str, Seat] = {}
        self.unacked: dict[str, Said] = {}
        self.outbox: deque[Said] = deque()
        self.drop: DropRecord | None = None
        self.closed = self.entered = False
        self._stumbled: ConnectFailed | None = None
        self.opened_ns = 0
        self.engine_sid: str | None = None
        self.recovery: Any = None
        # Whether others than the ledger want each delivery; worked out once, for the hot path.
        self._tells = self.live.settings.fire_deliveries or self.live.settings.devices > 1
        self._climb: Climb | None = None
        self._return: Return | None = None

    # -- the way to the server --------------------------------------------------------------------------

    def make_link(self, transport: str) -> Link:
        """A way to the server that tells this device what it brings; not open yet."""
        made: list[Link] = []
        hearing = Hearing(self._heard, partial(self._lost, made), self.live.fault, self.live.record_lag)
        made.append(ways.make_link(self, transport, hearing))
        return made[0]

    def renew(self) -> None:
        """A new token, as the application gets one where the old has expired."""
        self.credentials.renew(at_once=not self.link.ordered)

    def open(self, transport: str, timeout_s: float) -> None:
        """Connect for the first time. Raises ConnectFailed."""
        self._stumbled = None
        asked_ns = perf_counter_ns()
        self.credentials.log_in(timeout_s)
        known_ns = perf_counter_ns()
        self.link = self.make_link(transport)
        try:
            self.link.open(timeout_s)
        except BaseException:
            self.link.close()
            raise
        if self.live.contract.login:
            self.link.phases["login"] = known_ns - asked_ns
        self.adopt(self.link)
        self.live.ledger.connected(self.member, True)

    def come_in(self) -> None:
        """It is in its rooms: what is lost from here on is a drop. Raises ConnectFailed if it is lost by now."""
        if self._stumbled is not None:
            raise self._stumbled
        self.entered = True

    def adopt(self, link: Link) -> None:
        """An open link is the device's way from here on; whether it is heard of is its rooms' matter."""
        member = self.member
        self.link = link
        self.live.named.remember(self.identity, link.captured)
        self.recovery = None  # the state of the one before is restored by now, or never
        self.opened_ns = perf_counter_ns()
        member.transport, member.ordered, member.connection = link.transport, link.ordered, link.name
        self.live.settled(member, str(link.captured.get("instance", "")))
        self.live.opened(link)
        if link.transport == self.rungs[0]:
            if self._climb is not None:
                self._climb.end()
        elif self._climb is None or self._climb.over:
            self.live.recorder.count("fallbacks")
            self._climb = Climb(self)
            self._climb.start()

    def step_back(self) -> None:
        """It came half way in and could not go on: as if it had not come."""
        self.live.ledger.connected(self.member, False)
        link = getattr(self, "link", None)
        if link is not None:
            self.live.parted(link)
            link.close()

    @property
    def up(self) -> bool:
        """Whether what it says goes out at once."""
        return self.member.connected and not self.returning

    @property
    def returning(self) -> bool:
        """Whether it is on its way back."""
        return self._return is not None and not self._return.over

    def enter(
        self, conversation: str, since_seq: int | None, link: Link | None = None
    ) -> tuple[int, Outcome | None]:
        """Join a conversation and wait for the answer: (read_ns, answer). Raises ActionFailed.

        The second is None where the contract knows no joining. link: another way than the device's own.
        """
        live, member = self.live, self.member
        planned_ns = perf_counter_ns()
        room = live.ledger.join_requested(conversation, member, planned_ns)
        action = live.contract.join
        outcome = None
        if action is not None:
            variables = self.variables(room=conversation, since_seq=since_seq)
            outcome = self._join(link or self.link, action, planned_ns, variables)
            live.named.remember(self.identity, outcome.rule.captured(outcome.root))
        read_ns = perf_counter_ns() if outcome is None else outcome.read_ns
        live.ledger.joined(conversation, member, read_ns)
        if conversation not in self.seats:
            last_seq = 0 if outcome is None else outcome.rule.last_seq(outcome.root) or 0
            self.seats[conversation] = Seat(room, last_seq)
        return read_ns, outcome

    def reenter(self, conversation: str, seat: Seat, link: Link | None = None) -> tuple[int, Outcome | None]:
        """As ``enter``, after a time away. A live chat may have been given to somebody else meanwhile."""
        try:
            seen_seq = seat.last_seq  # what comes while the answer is awaited may be newer than the answer
            read_ns, outcome = self.enter(conversation, seen_seq, link)
            last_seq = None if outcome is None else outcome.rule.last_seq(outcome.root)
            if last_seq is None or last_seq >= seen_seq:
                return read_ns, outcome
            # The server began to count anew, as after a restart: what we had seen there says nothing now.
            self.live.recorder.count("rooms.forgotten")
            seat.last_seq = seat.read_seq = 0
            return self.enter(conversation, 0, link)
        except ActionFailed as error:
            if seat.talk or error.cause is not Cause.CONNECT_ERROR:
                raise
            self.forget(conversation)
            self.user.turned_away(conversation)
            return perf_counter_ns(), None

    def forget(self, conversation: str) -> None:
        """It is in this conversation no more, and nobody need be asked: it is owed nothing from here on."""
        ledger, now_ns = self.live.ledger, perf_counter_ns()
        self.seats.pop(conversation, None)
        ledger.leave_requested(conversation, self.member, now_ns)
        ledger.left(conversation, self.member, now_ns)

    def leave(self, conversation: str) -> None:
        """Leave a conversation and wait for the answer. Raises ActionFailed."""
        if not self.up:  # nothing can be asked, so the member is one still
            raise ActionFailed(Cause.CLIENT, "not connected")
        live = self.live
        live.ledger.leave_requested(conversation, self.member, perf_counter_ns())
        action = live.contract.leave
        if action is not None:
            outcome = self.link.perform(action, self.variables(room=conversation))
            if not outcome.ok:
                raise ActionFailed(Cause.CONNECT_ERROR, f"leaving was refused: {outcome.error}")
        live.ledger.left(conversation, self.member, perf_counter_ns())
        self.seats.pop(conversation, None)

    def variables(self, **more: object) -> dict[str, object]:
        """What the contract's templates may use."""
        return {**self.identity, **more}

    def _join(self, link: Link, action: Action, planned_ns: int, variables: dict[str, object]) -> Outcome:
        live = self.live
        begun = live.plan.begun_ns is not None and self.user.schedule is not None
        where = live.recorder.interval if begun else live.recorder.connecting
        interval = where(Operation.SESSION_JOIN, link.transport, planned_ns)
        try:
            outcome = link.perform(action, variables)
            if not outcome.ok:
                raise ActionFailed(Cause.CONNECT_ERROR, f"refused: {outcome.error}")
        except ActionFailed:
            interval.failed += 1
            raise
        interval.record(planned_ns, outcome.sent_ns, outcome.read_ns)
        return outcome

    # -- saying things ----------------------------------------------------------------------------------

    def say(self, said: Said) -> None:
        """Send it now, or keep it, or fail it: what a client of this policy does with it."""
        if self.up:
            self.link.send(said.action, said.variables, said)
        else:
            self.hold_or_fail(said, Cause.CLIENT, "not connected")

    def hold_or_fail(self, said: Said, cause: Cause, detail: str) -> None:
        """What cannot leave now waits for the way back, if the policy keeps such things."""
        keeps = self.returning and self.live.policy.buffers and not said.volatile
        if keeps and len(self.outbox) < KEPT:
            self.outbox.append(said)
            if self.drop is not None:
                self.drop.buffered += 1
            return
        said.give_up(cause, detail)

    def catch_up(self) -> None:
        """Say again what was not answered, with the same marks, then what was kept; oldest first."""
        again, kept = list(self.unacked.values()), list(self.outbox)
        self.outbox.clear()
        if self.drop is not None:
            self.drop.resent += len(again)
        for said in (*again, *kept):
            self.say(said)

    def excused(self) -> bool:
        """Whether what fails now is the run's own doing.

        A polling user loses no link by a fault: its requests fail for as long as one is under way.
        """
        link = getattr(self, "link", None)
        if link is not None and not link.ordered:
            self.member.provoked = self.live.strikes.under_way(perf_counter_ns()) is not None
        return self.member.provoked

    def drop_unsaid(self, cause: Cause, detail: str) -> None:
        """Nobody comes back: what was kept for later fails."""
        kept, self.outbox = self.outbox, deque()
        for said in kept:
            said.give_up(cause, detail)

    # -- called on the hub ------------------------------------------------------------------------------

    def _heard(self, name: str, args: list[Any], read_ns: int) -> None:
        """An event of the server; the hot path."""
        live = self.live
        route = live.routes.get(name)
        if route is None:
            self._heard_other(name, args)
            return
        operation, delivery, user = route.operation, route.delivery, self.user
        marker = delivery.marker(args)
        if marker is not None:
            member = self.member
            member.arrived_ns = self.link.arrived_ns
            key = f"{marker}/{delivery.status(args)}" if route.per_status else marker
            entry = live.ledger.delivered(key, operation, member, read_ns)
            if entry is not None and (self._tells or self.drop is not None):
                self._came(entry, operation, read_ns)
        elif route.by_id:
            self._heard_by_id(operation, delivery, args, read_ns)
        if operation is _MESSAGE or operation is _CHAT:
            self._advance(delivery, args)
        if route.watched:
            user.watch(self, operation, delivery, args, read_ns)
        user.on_event(name, args)

    def _heard_by_id(self, operation: Operation, delivery: Delivery, args: list[Any], read_ns: int) -> None:
        """It carries the server's id: whose that is, the sender learns, perhaps only after this."""
        ids, given = self.live.ids, delivery.server_id(args)
        if ids is None or given is None:
            return
        early = Early(self, read_ns, self.link.arrived_ns)
        marker = ids.marker(operation, given)
        if marker is None:
            ids.wait(operation, given, early)
        else:
            self.heard_early(operation, marker, early)

    def heard_early(self, operation: Operation, marker: str, early: Early) -> None:
        """It is known now whose this was."""
        member = self.member
        member.arrived_ns = early.arrived_ns
        entry = self.live.ledger.delivered(marker, operation, member, early.read_ns)
        if entry is not None:
            self._came(entry, operation, early.read_ns)

    def _came(self, entry: Entry, operation: Operation, read_ns: int) -> None:
        """Something that was owed has come: who else must know?"""
        if self.drop is not None:
            self.drop.heard(entry, self.member, read_ns)
        if self._tells:
            self._tell(entry, operation, read_ns)

    def _tell(self, entry: Entry, operation: Operation, read_ns: int) -> None:
        live, user = self.live, self.user
        if live.settings.fire_deliveries:
            live.fire("WSR", operation, read_ns - entry.planned_ns, None)
        if len(user.devices) > 1 and entry.sender in user.members:
            user.heard_own(entry, self.member, read_ns)

    def _advance(self, delivery: Delivery, args: list[Any]) -> None:
        seq = delivery.seq(args)
        if seq is None:
            return
        seats = self.seats
        # A contract need not say which room if there is only one; what it says is not even read then.
        seat = next(iter(seats.values())) if len(seats) == 1 else seats.get(delivery.room(args) or "")
        if seat is not None and seq > seat.last_seq:
            seat.last_seq = seq

    def _heard_other(self, name: str, args: list[Any]) -> None:
        live = self.live
        rule = live.errors.get(name)
        if rule is not None:
            live.recorder.count(f"server_error.{live.contract.counted_as(rule.code(args))}")
        elif name not in live.contract.ignored and not live.contract.awaits(name):
            live.recorder.count("unknown_events")
        self.user.on_event(name, args)

    def restore(self, outcome: Outcome, read_ns: int) -> int:
        """Merge what a room received meanwhile; returns how many of ours were among it."""
        live, member = self.live, self.member
        found = 0
        for payload in outcome.rule.missed(outcome.root):
            args = [payload]
            ours = [one for one in live.restored if self._marked(one, args) is not None]
            if not ours:
                continue
            # The mark alone does not tell a message from what was written in a live chat; the room's name does.
            delivery = next((one for one in ours if one.room(args) is not None), ours[0])
            marker, operation = self._marked(delivery, args), Operation(delivery.operation)
            assert marker is not None
            live.ledger.delivered(marker, operation, member, read_ns, restored=True)
            found += 1
            self._advance(delivery, args)
        return found

    def _marked(self, delivery: Delivery, args: list[Any]) -> str | None:
        """The marker of something that was kept for us, known by itself or by the server's id."""
        marker, ids = delivery.marker(args), self.live.ids
        if marker is not None or ids is None:
            return marker
        given = delivery.server_id(args)
        return None if given is None else ids.marker(Operation(delivery.operation), given)

    def _lost(self, made: list[Link], cause: Cause, detail: str) -> None:
        """A link ended that we did not end; of one that is not our way any more, or not yet, that is no news."""
        if made[0] is not self.link or self.closed:
            return
        if self.entered:
            self.lost(cause, detail, None)
        else:  # whoever brings it in hears of it there, and has ways of its own to try again
            self._stumbled = ConnectFailed(cause, detail)

    def lost(self, cause: Cause, detail: str, fault: Occurrence | None) -> None:
        """The connection is gone; the way back begins, if this cause and the policy have one."""
        live = self.live
        now_ns = perf_counter_ns()
        live.ledger.connected(self.member, False)
        live.link_lost(self.link)
        self.recovery = getattr(self.link, "recovery", None)
        if self._return is not None and not self._return.over:
            self._return.cut(cause)  # lost again before all rooms were joined: the same outage goes on
            return
        if live.stalled(now_ns, self.link.patience_ns):
            cause, detail = Cause.GENERATOR_STALL, f"the generator itself stood still ({cause}: {detail})"
        elif fault is None:
            fault = live.blame(cause, now_ns)
        if self.drop is not None:
            self.drop.finish()
        self.drop = DropRecord(self, cause, detail, now_ns, fault)
        if self.drop.struck_ns is not None:
            self.member.cut_off(self.drop.struck_ns - _ON_THE_WAY_NS)
        if cause in REPAIRABLE and live.policy.name != "none":
            self._return = Return(self, self.drop)
            self._return.start()
        else:
            self.drop.stay()
            self.drop_unsaid(cause, detail)
        if fault is None:
            live.fire_lost(cause, detail)

    def polled(self, planned_ns: int, sent_ns: int, read_ns: int, error: str | None) -> None:
        """A poll was answered, or cut."""
        live = self.live
        if live.closed:
            return
        interval = live.recorder.interval(Operation.POLL_REQUEST, self.member.transport, planned_ns)
        if error is None:
            interval.record(planned_ns, sent_ns, read_ns)
            return
        interval.failed += 1
        if live.strikes.under_way(read_ns) is None:
            live.fire("GET", Operation.POLL_REQUEST, None, ConnectFailed(Cause.TRANSPORT_ERROR, error))

    # -- what is done to it -----------------------------------------------------------------------------

    def strike(self, strike: Occurrence) -> bool:
        """Carry out a fault of ours; False if there was nothing to strike."""
        if not (self.up and self.entered):
            return False
        kind = strike.fault.kind
        if kind == "stop-reading":
            self.link.pause_reading(True)
            link = self.link
            assert strike.until_ns is not None
            lasting_ns = strike.until_ns - strike.at_ns
            self.live.clock.call_at(perf_counter_ns() + lasting_ns, lambda: link.pause_reading(False))
            return True
        if kind == "bad-sid":
            self.engine_sid = "nobody-knows-this-session"
        if self.link.cut(reset=kind != "close"):
            cause = Cause.TRANSPORT_CLOSE if kind == "close" else Cause.TRANSPORT_ERROR
            self.lost(cause, f"{strike.name}: cut by the run itself", strike)
        return True

    def close(self) -> None:
        """Part in peace; also half way in, or half way back."""
        if self.closed:
            return
        self.closed = True
        for under_way in (self._return, self._climb):
            if under_way is not None:
                under_way.kill()
        self._return = self._climb = None
        for name in list(self.member.rooms):
            # It goes by its own will: what is said from here on is owed to it neither now nor later.
            self.forget(name)
        self.live.ledger.connected(self.member, False)
        if self.drop is not None:
            self.drop.finish()
        self.drop_unsaid(Cause.CLIENT, "the user left")
        link = getattr(self, "link", None)
        if link is not None:
            self.live.parted(link)
            link.close()
