"""What can a user do? The vocabulary that scenarios are written in, the same on every transport.

class Chatter(RealtimeUser):
    wait_time = on_schedule(of="send")

    @task(6)
    def send(self):
        self.send_message()
"""

from __future__ import annotations

from random import Random
from time import perf_counter_ns
from typing import Any

import gevent
from locust import User
from locust.exception import StopUser

from loadtest.contract import Action
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room
from loadtest.measure.schedule import Schedule
from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.feed_link import FeedLink
from loadtest.users.link import ActionFailed, Hearing, Link, Outcome
from loadtest.users.live import CONNECT_TIMEOUT_S, LiveRun
from loadtest.users.pacing import on_schedule
from loadtest.users.requests import Requests
from loadtest.users.said import Said
from loadtest.users.socket_link import SocketLink
from loadtest.users.tokens import sign


class RealtimeUser(User):
    """A user with one conversation, over the transport that ``--rt-transport`` names.

    ``room`` is the conversation it is in, None outside; ``rng`` its own seeded generator;
    ``planned_ns`` the moment for which the running task was planned, until something uses it.
    """

    abstract = True
    transport: str | None = None
    """Pins the transport of a class; None takes what ``--rt-transport`` says."""
    wait_time = on_schedule()

    live: LiveRun
    link: Link
    member: Member
    rng: Random
    room: Room | None = None
    schedule: Schedule | None = None
    planned_ns: int | None = None
    overdue = False
    _seat: int | None = None
    _last_seq = 0
    _read_seq = 0
    _opened_ns = 0

    # -- life -------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Connect, authenticate, join; then wait for the plan to begin."""
        # Locust runs a first task before any wait; a no-op takes that place, so that none runs unplanned.
        self._tasks.schedule_task(_nothing, first=True)
        live = getattr(self.environment, "rt_live", None)
        if live is None or live.closed:
            self._tasks.schedule_task(_give_up, first=True)
            return
        self.live = live
        self._take_seat()
        # Locust calls no on_stop after a bug in a scenario's own on_start; the end of the greenlet comes always.
        gevent.getcurrent().link(lambda greenlet: self._part())
        live.entering()
        try:
            self._enter()
        except BaseException:
            self._part()
            raise
        finally:
            live.entered()

    def on_stop(self) -> None:
        """Part from the server; also for a user that came only half way."""
        self._part()

    def _take_seat(self) -> None:
        live = self.live
        kind = type(self).__name__
        self._seat, room = live.seating(kind).take()
        index = live.kind_index(kind)
        name = f"{live.worker}.{index}.{self._seat}"
        self.rng = Random(f"{live.settings.seed}:{name}")
        self._conversation = f"{live.header.run}-{live.worker}-{index}-{room}"
        user = f"{live.header.run}-{name}"
        token = sign(live.settings.token_secret, user)
        self._identity = {"user": user, "device": f"d-{name}", "token": token}
        transport = self.transport or live.settings.transport
        self.link = self._make_link(transport)
        self.member = Member(name, transport, self.link.ordered)

    def _make_link(self, transport: str) -> Link:
        live = self.live
        hearing = Hearing(self._heard, self._lost, live.fault, live.record_lag)
        if transport == "interval-polling":
            return FeedLink(
                live.contract,
                self._identity,
                live.place,
                live.settings.headers,
                live.clock,
                self.rng,
                hearing,
                self._polled,
            )
        return SocketLink(
            live.contract,
            self._identity,
            live.socket,
            hearing,
            lambda: Requests(live.contract, self._identity, live.place, live.settings.headers, hearing),
        )

    def _enter(self) -> None:
        live = self.live
        # Locust starts a second's worth of users in one instant; all at once they would queue behind one
        # another here and bill the server for it.
        live.clock.sleep_until(perf_counter_ns() + int(self.rng.random() * SECOND))
        planned_ns = perf_counter_ns()
        interval = live.recorder.connecting(Operation.SESSION_CONNECT, self.member.transport, planned_ns)
        try:
            self.link.open(CONNECT_TIMEOUT_S)
            self._opened_ns = perf_counter_ns()
            live.opened(self.link)
            live.ledger.connected(self.member, True)
            self.member.connection = self.link.name
            joined_ns = self.join_room(self._conversation)
        except (ConnectFailed, ActionFailed) as error:
            interval.failed += 1
            failure = ConnectFailed(error.cause, error.detail)
            live.fire("WS", Operation.SESSION_CONNECT, None, failure)
            live.gave_up(failure)
            # Raised here, Locust would log a traceback for each of a thousand users that a server refused.
            self._tasks.schedule_task(_give_up, first=True)
            return
        done_ns = perf_counter_ns()
        interval.record(planned_ns, planned_ns, done_ns)
        for name, duration_ns in {**self.link.phases, "join": joined_ns}.items():
            interval.record_phase(name, duration_ns)
        live.fire("WS", Operation.SESSION_CONNECT, done_ns - planned_ns, None)
        live.joined(self.link, planned_ns)

    def _part(self) -> None:
        if self._seat is None:
            return
        seat, self._seat = self._seat, None
        ledger, now_ns = self.live.ledger, perf_counter_ns()
        for name in list(self.member.rooms):
            # It goes by its own will: what is said from here on is owed to it neither now nor later.
            ledger.leave_requested(name, self.member, now_ns)
            ledger.left(name, self.member, now_ns)
        ledger.connected(self.member, False)
        self.live.parted(self.link)
        self.link.close()
        self.live.seating(type(self).__name__).give_back(seat)

    @property
    def _tasks(self) -> Any:
        return self._taskset_instance

    def choose_task(self) -> None:
        """Queue the next task by our own seeded choice; Locust's would come from a generator all share."""
        queue = self._tasks._task_queue
        if not queue and not any(hasattr(task, "tasks") for task in self.tasks):
            queue.append(self.rng.choice(self.tasks))

    def take_planned(self) -> int:
        """The planned moment of what is done now; a task's second act was planned by nobody, so for now."""
        planned_ns, self.planned_ns = self.planned_ns, None
        return perf_counter_ns() if planned_ns is None else planned_ns

    # -- conversations ----------------------------------------------------------------------------------

    def join_room(self, conversation: str) -> int:
        """Enter a conversation, wait for the answer; returns how long it took (ns). Raises ActionFailed."""
        live, member = self.live, self.member
        action = live.contract.join
        planned_ns = perf_counter_ns()
        room = live.ledger.join_requested(conversation, member, planned_ns)
        if action is not None:
            outcome = self._perform(
                Operation.SESSION_JOIN, action, planned_ns, room=conversation, since_seq=None
            )
            self._last_seq = self._read_seq = outcome.rule.last_seq(outcome.root) or 0
            read_ns = outcome.read_ns
        else:
            read_ns = perf_counter_ns()
        live.ledger.joined(conversation, member, read_ns)
        self.room = room
        return read_ns - planned_ns

    def leave_room(self) -> None:
        """Leave the conversation and wait for the answer. Raises ActionFailed."""
        room = self.room
        action = self.live.contract.leave
        if room is None:
            return
        if not self.member.connected:  # nothing can be asked, so the member is one still
            raise ActionFailed(Cause.CLIENT, "not connected")
        ledger = self.live.ledger
        ledger.leave_requested(room.name, self.member, perf_counter_ns())
        if action is not None:
            outcome = self.link.perform(action, self._variables(room=room.name))
            if not outcome.ok:
                raise ActionFailed(Cause.CONNECT_ERROR, f"leaving was refused: {outcome.error}")
        ledger.left(room.name, self.member, perf_counter_ns())
        # Only now: who could not leave goes on talking here, and what cannot be sent then is counted.
        self.room = None

    def switch_room(self) -> None:
        """Leave the conversation for another one of the same population, chosen by the seed."""
        self.take_planned()
        kind = type(self).__name__
        rooms = self.live.seating(kind).rooms
        if self.room is None or rooms < 2 or self.overdue or self.live.contract.leave is None:
            return
        stem, _, here = self.room.name.rpartition("-")
        there = (int(here) + 1 + self.rng.randrange(rooms - 1)) % rooms
        try:
            self.leave_room()
            self.join_room(f"{stem}-{there}")
        except ActionFailed as error:
            self.live.fire("WSC", Operation.SESSION_JOIN, None, error)

    def send_message(self, body: str | None = None) -> None:
        """Say something to the conversation; never waits. A conversation of one hears nothing."""
        live = self.live
        self._say(
            Operation.MESSAGE_DELIVER,
            live.contract.send,
            body=live.body(self.rng) if body is None else body,
            echo=live.echoes,
        )

    def start_typing(self) -> None:
        """Show the others that something is being written."""
        typing = self.live.contract.typing
        if typing is not None:
            self._say(Operation.TYPING_DELIVER, typing.start)

    def mark_read(self) -> None:
        """Tell the others how far one has read; nothing if nothing came since."""
        action = self.live.contract.read
        if action is not None and self._last_seq > self._read_seq:
            self._read_seq = self._last_seq
            self._say(Operation.RECEIPT_DELIVER, action, seq=self._last_seq)
        else:
            self.take_planned()

    def _say(self, operation: Operation, action: Action, echo: bool = False, **variables: object) -> None:
        planned_ns = self.take_planned()
        room, live = self.room, self.live
        if room is None:
            self._say_to_nobody(operation, planned_ns)
            return
        if len(room.members) < 2:
            return
        marker, number = live.ledger.marker(self.member)
        errand = Said(self, operation, action, room, marker, number, planned_ns, echo)
        if self.overdue:
            errand.failed(Cause.INTERNAL, "the backlog is too long")
            return
        variables.update(self._variables(room=room.name, marker=marker))
        self.link.send(action, variables, errand)

    def _say_to_nobody(self, operation: Operation, planned_ns: int) -> None:
        """It left one conversation and was not let into the next: what falls due now is said to no one.

        Nobody is owed a copy, so nothing is lost; but it failed, and is not passed over in silence.
        """
        live = self.live
        if not live.closed:
            live.recorder.interval(operation.value, self.member.transport, planned_ns).failed += 1
            live.recorder.count("not_sent")
            error = ActionFailed(Cause.CLIENT, "in no conversation")
            live.fire("WSE", operation, None, error)

    def _variables(self, **more: object) -> dict[str, object]:
        return {**self._identity, **more}

    def _perform(self, operation: Operation, action: Action, planned_ns: int, **variables: object) -> Outcome:
        """An action that the journey waits for, recorded under ``operation``. Raises ActionFailed."""
        live, transport = self.live, self.member.transport
        begun = live.plan.begun_ns is not None and self.schedule is not None
        where = live.recorder.interval if begun else live.recorder.connecting
        interval = where(operation, transport, planned_ns)
        try:
            outcome = self.link.perform(action, self._variables(**variables))
            if not outcome.ok:
                raise ActionFailed(Cause.CONNECT_ERROR, f"refused: {outcome.error}")
        except ActionFailed:
            interval.failed += 1
            raise
        interval.record(planned_ns, outcome.sent_ns, outcome.read_ns)
        return outcome

    # -- called on the hub ------------------------------------------------------------------------------

    def _heard(self, name: str, args: list[Any], read_ns: int) -> None:
        """An event of the server; the hot path."""
        live = self.live
        route = live.routes.get(name)
        if route is None:
            self._heard_other(name, args)
            return
        operation, delivery = route
        marker = delivery.marker(args)
        if marker is not None:
            self.member.arrived_ns = self.link.arrived_ns
            entry = live.ledger.delivered(marker, operation, self.member, read_ns)
            if live.settings.fire_deliveries and entry is not None:
                live.fire("WSR", operation, read_ns - entry.planned_ns, None)
        if operation is Operation.MESSAGE_DELIVER:
            seq = delivery.seq(args)
            if seq is not None and seq > self._last_seq:
                self._last_seq = seq
        self.on_event(name, args)

    def _heard_other(self, name: str, args: list[Any]) -> None:
        rule = self.live.errors.get(name)
        if rule is not None:
            code = self.live.contract.counted_as(rule.code(args))
            self.live.recorder.count(f"server_error.{code}")
        else:
            self.live.recorder.count("unknown_events")
        self.on_event(name, args)

    def on_event(self, name: str, args: list[Any]) -> None:
        """For scenarios that want to hear events themselves; runs on the hub and must not block."""

    def _polled(self, planned_ns: int, sent_ns: int, read_ns: int, error: str | None) -> None:
        live = self.live
        if live.closed:
            return
        interval = live.recorder.interval(Operation.POLL_REQUEST, self.member.transport, planned_ns)
        if error is None:
            interval.record(planned_ns, sent_ns, read_ns)
        else:
            interval.failed += 1
            live.fire("GET", Operation.POLL_REQUEST, None, ConnectFailed(Cause.TRANSPORT_ERROR, error))

    def _lost(self, cause: Cause, detail: str) -> None:
        live = self.live
        live.ledger.connected(self.member, False)
        live.lost(self.link, self.member.name, self._opened_ns, cause, detail)
        if not live.closed:
            live.fire("WS", Operation.SESSION_CONNECT, None, ConnectFailed(cause, detail))


class PollingUser(RealtimeUser):
    """The same user without a socket: requests, and a feed it polls, whatever ``--rt-transport`` says."""

    abstract = True
    transport = "interval-polling"


def _nothing(user: RealtimeUser) -> None:
    """A task that does nothing."""


def _give_up(user: RealtimeUser) -> None:
    """A task that ends its user in peace."""
    raise StopUser
