"""How do visitors and operators talk? A visitor asks, somebody is assigned, both write, the visitor leaves.

The numbers are class attributes that a scenario may change. The server chooses the operator, so the two parties
of a chat may live in different processes of the run; they need not know each other.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, ClassVar

from loadtest.contract import Chats, Delivery
from loadtest.measure.entry import Audience
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Room
from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause
from loadtest.users.chats import ASSIGNED, CLOSED, Asking, Chat, Telling, Written
from loadtest.users.device import Device, Seat
from loadtest.users.link import ActionFailed
from loadtest.users.user import RealtimeUser

ONLINE, OFFLINE = "online", "offline"
HEARS = (
    Operation.CHAT_ASSIGN,
    Operation.CHAT_DELIVER,
    Operation.CHAT_STATUS,
    Operation.PRESENCE_DELIVER,
)


class ChattingUser(RealtimeUser):
    """What visitors and operators have in common: they are parties of chats."""

    abstract = True
    hears = HEARS
    talks = False
    needs: ClassVar[tuple[str, ...]] = ("live chat",)

    @property
    def _chats(self) -> Chats:
        chats = self.live.contract.chats
        assert chats is not None  # preflight refuses a contract without
        return chats

    def opened(self, chat: Chat) -> None:
        """The chat has an id: its conversation is joined, and remembered for the way back."""
        assert chat.id is not None
        for device in self.devices:
            if chat.id not in device.seats:
                room = self.live.ledger.join_requested(chat.id, device.member, perf_counter_ns())
                self.live.ledger.joined(chat.id, device.member, perf_counter_ns())
                device.seats[chat.id] = Seat(room, 0, talk=False)

    def ended(self, chat: Chat) -> None:
        """The chat is over for this party."""
        chat.state = CLOSED
        if chat.id is None:
            return
        now_ns = perf_counter_ns()
        for device in self.devices:
            if device.seats.pop(chat.id, None) is not None:
                self.live.ledger.leave_requested(chat.id, device.member, now_ns)
                self.live.ledger.left(chat.id, device.member, now_ns)

    def write_in_chat(self, chat: Chat, planned_ns: int) -> None:
        """Say something in a chat."""
        device = self.device
        written = Written(chat, device, planned_ns, self.live.body(self.rng))
        device.say(written)

    def unwritten(self, planned_ns: int, cause: Cause, detail: str) -> None:
        """Something that fell due could not be written: nobody will read it."""
        member = self.member
        self.live.ledger.never_left(Operation.CHAT_DELIVER, member.transport, planned_ns, 1, member.provoked)
        self.live.recorder.count("not_sent")
        self.complain(Operation.CHAT_DELIVER, cause, detail)

    def complain(self, operation: Operation, cause: Cause, detail: str) -> None:
        """Tell Locust of something that could not be done, unless the run itself is to blame."""
        live = self.live
        if not live.closed and not self.member.provoked:
            live.fire("WSE", operation, None, ActionFailed(cause, detail))

    def later(self, wait_s: float, act: Callable[[int], None]) -> None:
        """A person does something after a while, unless the run is past sending by then."""
        due_ns = perf_counter_ns() + round(wait_s * SECOND)
        live = self.live
        live.clock.call_at(due_ns, lambda: None if live.held or live.closed else act(due_ns))

    def watch(
        self, device: Device, operation: Operation, delivery: Delivery, args: list[Any], read_ns: int
    ) -> None:
        """What the server says of chats; one device of a user is enough to hear it."""
        super().watch(device, operation, delivery, args, read_ns)
        if device is not self.devices[0] and self.devices[0].up:
            return
        chat = delivery.subject(args)
        if operation is Operation.CHAT_ASSIGN and chat is not None:
            self.assigned(chat, delivery, args, read_ns)
        elif operation is Operation.CHAT_DELIVER and chat is not None:
            if delivery.sender(args) != self.name:
                self.written_to(chat)
        elif operation is Operation.CHAT_STATUS and chat is not None:
            self.told(chat, delivery.status(args))
        elif operation is Operation.PRESENCE_DELIVER:
            self.presence(delivery.sender(args), delivery.status(args), read_ns)

    def assigned(self, chat: str, delivery: Delivery, args: list[Any], read_ns: int) -> None:
        """A chat has an operator, or another one."""

    def written_to(self, chat: str) -> None:
        """The other party wrote."""

    def told(self, chat: str, status: str | None) -> None:
        """The chat's status changed."""

    def presence(self, who: str | None, status: str | None, read_ns: int) -> None:
        """Somebody came or went."""


class VisitorUser(ChattingUser):
    """A visitor: asks, writes when its schedule says so, and leaves after ``messages`` of its own."""

    abstract = True
    weight = 9
    messages: ClassVar[tuple[int, int]] = (1, 3)
    chat: Chat | None = None

    def ask_for_help(self) -> None:
        """The next thing a visitor does: ask, write, or leave."""
        planned_ns = self.take_planned()
        chat, device = self.chat, self.device
        if self.overdue:
            self.unwritten(planned_ns, Cause.INTERNAL, "the backlog is too long")
        elif chat is None:
            self._ask(device, planned_ns)
        elif chat.state != ASSIGNED:
            self.live.recorder.count("chat.waiting")
        elif chat.left_to_say:
            chat.left_to_say -= 1
            self.write_in_chat(chat, planned_ns)
        else:
            self._leave(chat, device, planned_ns)

    def _ask(self, device: Device, planned_ns: int) -> None:
        chat = self.chat = Chat(self, None, None)
        chat.left_to_say = self.rng.randint(*self.messages)
        asking = Asking(chat, device, planned_ns)
        if not device.up:
            asking.failed(Cause.CLIENT, "not connected")
            return
        variables = device.variables(topic="help", marker=asking.marker)
        device.link.send(self._chats.start, variables, asking)

    def _leave(self, chat: Chat, device: Device, planned_ns: int) -> None:
        telling = Telling(
            self, device, Operation.CHAT_STATUS, chat.room, planned_ns, Audience(chat.others(device))
        )
        if not device.up:
            return  # the next moment of the schedule finds it connected again
        device.link.send(self._chats.close, device.variables(chat=chat.id, marker=telling.marker), telling)
        self.live.recorder.count("chat.closed")
        self.ended(chat)

    def ended(self, chat: Chat) -> None:
        """The chat is over; the next question opens another."""
        super().ended(chat)
        if self.chat is chat:
            self.chat = None

    def assigned(self, chat: str, delivery: Delivery, args: list[Any], read_ns: int) -> None:
        """Somebody is there: after a wait in the queue, or in the place of one who went."""
        mine = self.chat
        if mine is None or (mine.id is not None and mine.id != chat):
            return
        mine.id = chat
        self.opened(mine)
        recorder = self.live.recorder
        interval = recorder.interval(Operation.CHAT_ASSIGN, self.member.transport, mine.planned_ns)
        if delivery.reason(args) == "reassigned":
            recorder.count("chat.handed_over")
            if mine.abandoned_ns is not None:
                interval.record_phase("handover", read_ns - mine.abandoned_ns)
        elif mine.state != ASSIGNED:
            recorder.count("chat.assigned")
            interval.record_phase("queue", read_ns - mine.planned_ns)
        mine.abandoned_ns = None
        mine.state, mine.other = ASSIGNED, delivery.operator(args)

    def told(self, chat: str, status: str | None) -> None:
        """Closed by somebody else, or back in the queue."""
        mine = self.chat
        if mine is None or mine.id != chat:
            return
        if status == CLOSED:
            self.ended(mine)
        elif status == "queued" and mine.state == ASSIGNED:
            mine.state = "queued"
            self.live.recorder.count("chat.requeued")

    def presence(self, who: str | None, status: str | None, read_ns: int) -> None:
        """Our operator went: from now on the visitor waits for another."""
        mine = self.chat
        if mine is not None and who == mine.other and status == OFFLINE and mine.abandoned_ns is None:
            mine.abandoned_ns = read_ns


class OperatorUser(ChattingUser):
    """An operator: takes what the server assigns, and answers.

    capacity: chats at a time. replies: the share of what visitors write that it answers, ``thinks`` seconds
    later. pause: for how long it goes when it steps out.
    """

    abstract = True
    weight = 1
    role = "operator"
    capacity: ClassVar[int] = 8
    replies: ClassVar[float] = 0.8
    thinks: ClassVar[tuple[float, float]] = (0.5, 2.5)
    pause: ClassVar[tuple[float, float]] = (2.0, 5.0)

    chats: dict[str, Chat]
    there = False

    def arrived(self) -> None:
        """Say that it is there, before anybody can ask."""
        super().arrived()
        self.chats = {}
        self._say_status(ONLINE, perf_counter_ns())

    def step_out(self) -> None:
        """Go for a while; whoever it was talking to is handed over."""
        planned_ns = self.take_planned()
        if self.there and not self.overdue:
            self._say_status(OFFLINE, planned_ns)
            for chat in list(self.chats.values()):
                self.ended(chat)
            self.later(self.rng.uniform(*self.pause), lambda due_ns: self._say_status(ONLINE, due_ns))

    def _say_status(self, status: str, planned_ns: int) -> None:
        live, device = self.live, self.device
        if not device.up:
            return
        colleagues = frozenset(
            one.member
            for user in live.users
            if isinstance(user, OperatorUser) and user is not self and user.there
            for one in user.devices
            if one.member.connected
        )
        visitors = frozenset(one.member for user in live.users if user.role == "user" for one in user.devices)
        to = Audience(colleagues, open_to=visitors | (live.operators() - colleagues))
        telling = Telling(self, device, Operation.PRESENCE_DELIVER, Room("operators"), planned_ns, to)
        variables = device.variables(status=status, capacity=self.capacity, marker=telling.marker)
        self.there = status == ONLINE
        device.link.send(self._chats.online, variables, telling)

    def ended(self, chat: Chat) -> None:
        """The chat is over, or somebody else's."""
        super().ended(chat)
        if chat.id is not None:
            self.chats.pop(chat.id, None)

    def assigned(self, chat: str, delivery: Delivery, args: list[Any], read_ns: int) -> None:
        """The server gave us a chat, or gave one of ours to somebody else."""
        if delivery.operator(args) != self.name:
            if chat in self.chats:
                self.ended(self.chats[chat])
            return
        visitor = delivery.sender(args)
        mine = self.chats.get(chat) or Chat(self, chat, visitor)
        mine.other, mine.state = visitor, ASSIGNED
        self.chats[chat] = mine
        self.opened(mine)

    def written_to(self, chat: str) -> None:
        """A visitor wrote: mostly, it is answered."""
        mine = self.chats.get(chat)
        if mine is not None and self.rng.random() < self.replies:
            self.later(self.rng.uniform(*self.thinks), lambda due_ns: self._reply(mine, due_ns))

    def _reply(self, chat: Chat, due_ns: int) -> None:
        if chat.state == ASSIGNED and self.there:
            self.write_in_chat(chat, due_ns)

    def told(self, chat: str, status: str | None) -> None:
        """The visitor left."""
        mine = self.chats.get(chat)
        if mine is not None and status == CLOSED:
            self.ended(mine)
