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
from typing import Any, ClassVar

import gevent
from locust import User
from locust.exception import StopUser

from loadtest.contract import Action, Delivery, Need
from loadtest.measure.entry import Entry
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room
from loadtest.measure.schedule import Schedule
from loadtest.measure.units import SECOND
from loadtest.users import leaving
from loadtest.users.causes import Cause
from loadtest.users.device import Device
from loadtest.users.entering import bring_in
from loadtest.users.link import ActionFailed, Link
from loadtest.users.live import LiveRun
from loadtest.users.pacing import on_schedule
from loadtest.users.said import Said

TALK = (
    Operation.MESSAGE_DELIVER,
    Operation.RECEIPT_DELIVER,
    Operation.TYPING_DELIVER,
    Operation.PRESENCE_DELIVER,
)


class RealtimeUser(User):
    """A user with one conversation, over the transport that ``--rt-transport`` names.

    ``room`` is the conversation it is in, None outside; ``rng`` its own seeded generator, for what it does;
    ``moments`` another, for when: how one thing goes must not move the next.
    ``planned_ns`` the moment for which the running task was planned, until something uses it.
    """

    abstract = True
    transport: str | None = None
    """Pins the transport of a class; None takes what ``--rt-transport`` says."""
    ladder: tuple[str, ...] = ()
    """Transports to try one after the other, the best first; empty: the one transport."""
    hears: tuple[Operation, ...] = TALK
    """What it wants to hear of: a polling user asks the feeds that carry it."""
    role: ClassVar[str] = "user"
    talks: ClassVar[bool] = True
    """Whether it is in a conversation."""
    needs: ClassVar[tuple[Need, ...]] = ()
    """What the contract must have beyond conversations: ``calls``, ``live chat``."""
    wait_time = on_schedule()

    live: LiveRun
    name: str
    """How the application knows it."""
    devices: list[Device]
    members: frozenset[Member]
    place: tuple[int, int]
    circle: list[RealtimeUser]
    """The users that sit together, itself among them."""
    rng: Random
    moments: Random
    room: Room | None = None
    schedule: Schedule | None = None
    planned_ns: int | None = None
    overdue = False
    _seat: int | None = None
    _leaving = False
    _read_on: tuple[Device, int] | None = None

    # -- life -------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Connect, authenticate, join; then wait for the plan to begin."""
        # Locust runs a first task before any wait; a no-op takes that place, so that none runs unplanned.
        self._tasks.schedule_task(_nothing, first=True)
        gate = getattr(self.environment, "rt_gate", None)
        if gate is not None:
            gate.wait()  # in a worker: until the master has let it in
        live = getattr(self.environment, "rt_live", None)
        if live is None or live.closed:
            self._tasks.schedule_task(_give_up, first=True)
            return
        self.live = live
        self._take_seat()
        # Locust calls no on_stop after a bug in a scenario's own on_start; the end of the greenlet comes always.
        gevent.getcurrent().link(lambda greenlet: None if self._leaving else self._part())
        try:
            with live.on_the_way() as arrived:
                # Locust starts a second's worth of users in one instant; all at once they would queue behind
                # one another here and bill the server for it.
                live.clock.sleep_until(perf_counter_ns() + int(self.rng.random() * SECOND))
                if not all(bring_in(device, self._conversation, arrived) for device in self.devices):
                    # Raised here, Locust would log a traceback for each of a thousand users that were refused.
                    self._tasks.schedule_task(_give_up, first=True)
                    return
                self.arrived()
        except BaseException:
            self._part()
            raise

    def arrived(self) -> None:
        """All devices are in; for scenarios and kinds of users that have more to do before the plan begins."""
        if self._conversation is not None:
            self.room = self.devices[0].seats[self._conversation].room

    def on_stop(self) -> None:
        """Part from the server; also for a user that came only half way.

        While the others go on it leaves in order, on its own time: Locust would wait, and stop it once more.
        """
        if self._seat is not None and leaving.can_leave_in_order(self):
            self._leaving = True
            gevent.spawn(self._say_goodbye)
        else:
            self._part()

    def _say_goodbye(self) -> None:
        try:
            leaving.leave(self)
        except Exception as error:
            self.live.fault(error)
        finally:
            self._leaving = False
            self._part()

    def _take_seat(self) -> None:
        live = self.live
        kind = type(self).__name__
        self._seat, room = live.seating(kind).take()
        index = live.kind_index(kind)
        name = f"{live.worker}.{index}.{self._seat}"
        self.place = (index, room)
        self.rng = Random(f"{live.settings.seed}:{name}")
        self.moments = Random(f"{live.settings.seed}:{name}:moments")
        where = f"{live.header.run}-{live.worker}"
        if live.has_rooms:
            where = f"{where}-{index}-{room}"  # else all kinds of users hear one another
        self._conversation = where if self.talks else None
        self.name = f"{live.header.run}-{name}"
        rungs = self.ways(live.settings.transport)
        devices = [name, *(f"{name}-{number}" for number in range(1, live.settings.devices))]
        self.devices = [Device(self, device, rungs, self.role) for device in devices]
        self.members = frozenset(device.member for device in self.devices)
        live.came(self)

    def _part(self) -> None:
        if self._seat is None:
            return
        seat, self._seat = self._seat, None
        self.live.went(self)
        for device in self.devices:
            device.close()
        self.live.seating(type(self).__name__).give_back(seat)

    @property
    def device(self) -> Device:
        """The device to do something with: one that is connected, by the seed if there are several."""
        devices = self.devices
        if len(devices) == 1:
            return devices[0]
        up = [device for device in devices if device.up]
        return self.rng.choice(up or devices)

    @property
    def conversation(self) -> str | None:
        """The conversation that it comes into; None: it is in none."""
        return self._conversation

    @property
    def link(self) -> Link:
        """The way of the first device."""
        return self.devices[0].link

    @property
    def member(self) -> Member:
        """The first device, as the ledger knows it."""
        return self.devices[0].member

    @property
    def _tasks(self) -> Any:
        return self._taskset_instance

    def choose_task(self) -> None:
        """Queue the next task by our own seeded choice; Locust's would come from a generator all share."""
        queue = self._tasks._task_queue
        if not queue and not any(hasattr(task, "tasks") for task in self.tasks):
            queue.append(self.rng.choice(self.tasks))

    @classmethod
    def ways(cls, transport: str) -> tuple[str, ...]:
        """The transports it may use where ``--rt-transport`` is this one, the best first."""
        return cls.ladder or (cls.transport or transport,)

    @classmethod
    def wanted(cls) -> tuple[Operation, ...]:
        """What it wants to hear of, each of the kinds of users that it is adding its own."""
        kinds = [
            one for one in cls.__mro__ if "hears" in vars(one) and (cls.talks or one is not RealtimeUser)
        ]
        return tuple(dict.fromkeys(operation for kind in kinds for operation in vars(kind)["hears"]))

    def take_planned(self) -> int:
        """The planned moment of what is done now; a task's second act was planned by nobody, so for now."""
        planned_ns, self.planned_ns = self.planned_ns, None
        return perf_counter_ns() if planned_ns is None else planned_ns

    # -- conversations ----------------------------------------------------------------------------------

    def join_room(self, conversation: str) -> None:
        """Enter a conversation with all devices, wait for the answers. Raises ActionFailed."""
        for device in self.devices:
            device.enter(conversation, None)
        self.room = self.devices[0].seats[conversation].room

    def leave_room(self) -> None:
        """Leave the conversation and wait for the answer. Raises ActionFailed."""
        if self.room is None:
            return
        for device in self.devices:
            device.leave(self.room.name)
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
        if not all(device.up for device in self.devices):
            return  # nobody changes the conversation while the application shows that it is offline
        try:
            self.leave_room()
            self.join_room(f"{stem}-{there}")
        except ActionFailed as error:
            if not self.member.provoked:
                self.live.fire("WSC", Operation.SESSION_JOIN, None, error)

    def send_message(self, body: str | None = None) -> None:
        """Say something to the conversation; never waits. A conversation of one hears nothing."""
        live = self.live
        self._say(
            Operation.MESSAGE_DELIVER,
            live.contract.send,
            self.device,
            body=live.body(self.rng) if body is None else body,
            echo=live.echoes,
            **(self._addressed() if live.directed else {}),
        )

    def _addressed(self) -> dict[str, object]:
        """To whom, where a message is for one user: somebody who sits with us, by the seed."""
        others = [user.name for user in self.circle if user is not self]
        return {"peer": self.rng.choice(others) if others else None}

    def start_typing(self) -> None:
        """Show the others that something is being written."""
        typing = self.live.contract.typing
        if typing is not None:
            self._say(Operation.TYPING_DELIVER, typing.start, self.device)

    def mark_read(self) -> None:
        """Tell the others, and one's own other devices, how far one has read; nothing if nothing came since."""
        action = self.live.contract.read
        device = self._reading_device()
        seats = [] if self.room is None else [one.seats.get(self.room.name) for one in self.devices]
        read_seq = max((seat.read_seq for seat in seats if seat is not None), default=0)
        mine = None if self.room is None else device.seats.get(self.room.name)
        if action is not None and mine is not None and mine.last_seq > read_seq:
            mine.read_seq = mine.last_seq
            self._say(Operation.RECEIPT_DELIVER, action, device, seq=mine.last_seq)
        else:
            self.take_planned()

    def _reading_device(self) -> Device:
        """Not another one within the second: marks of two sockets may overtake, and the older is then dropped."""
        now_ns = perf_counter_ns()
        device, since_ns = self._read_on or (self.device, now_ns)
        if now_ns - since_ns > SECOND or not device.up:
            device = self.device
        self._read_on = device, now_ns
        return device

    def _say(
        self, operation: Operation, action: Action, device: Device, echo: bool = False, **variables: object
    ) -> None:
        planned_ns = self.take_planned()
        room, live = self.room, self.live
        if room is None:
            self._say_to_nobody(operation, planned_ns)
            return
        if len(room.members) < 2:
            return
        marker, number = live.ledger.marker(device.member)
        said = Said(
            device,
            operation,
            action,
            room,
            marker,
            number,
            planned_ns,
            echo,
            device.variables(room=room.name, marker=marker, **variables),
        )
        if self.overdue:
            said.give_up(Cause.INTERNAL, "the backlog is too long")
            return
        device.say(said)

    def _say_to_nobody(self, operation: Operation, planned_ns: int) -> None:
        """It left one conversation and was not let into the next: what falls due now is said to no one.

        Nobody is owed a copy, so nothing is lost; but it failed, and is not passed over in silence.
        """
        live = self.live
        if not live.closed:
            live.recorder.interval(operation.value, self.member.transport, planned_ns).failed += 1
            live.recorder.count("not_sent")
            if not self.member.provoked:
                live.fire("WSE", operation, None, ActionFailed(Cause.CLIENT, "in no conversation"))

    # -- called on the hub, or by the way back ----------------------------------------------------------

    def on_event(self, name: str, args: list[Any]) -> None:
        """For scenarios that want to hear events themselves; runs on the hub and must not block."""

    def watch(
        self, device: Device, operation: Operation, delivery: Delivery, args: list[Any], read_ns: int
    ) -> None:
        """Something about a call, a chat or somebody's presence came; for kinds of users that have any."""

    def came_back(self, device: Device) -> None:
        """A device is connected again and in its conversations."""

    def turned_away(self, conversation: str) -> None:
        """A device came back and was not let into one of its live chats any more."""

    def heard_own(self, entry: Entry, member: Member, read_ns: int) -> None:
        """One device heard what another of the same user did: how long that took has a row of its own."""
        if member is not entry.sender:
            entry.deliver.record_phase("own_device", read_ns - entry.planned_ns)


class PollingUser(RealtimeUser):
    """The same user without a socket: requests, and a feed it polls, whatever ``--rt-transport`` says."""

    abstract = True
    transport = "interval-polling"


def _nothing(user: RealtimeUser) -> None:
    """A task that does nothing."""


def _give_up(user: RealtimeUser) -> None:
    """A task that ends its user in peace."""
    raise StopUser
