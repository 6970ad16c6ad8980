"""What does an operator of a live chat do? It takes what the server assigns, answers, and steps out at times.

The numbers are class attributes that a scenario may change.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, ClassVar

from loadtest.contract import Delivery
from loadtest.measure.entry import Audience
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Room
from loadtest.users.chats import ASSIGNED, CLOSED, Chat, Telling, status_key
from loadtest.users.chatting import OFFLINE, ONLINE, ChattingUser
from loadtest.users.device import Device


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
    listed = False
    """Whether the server has taken it among the operators, who hear of one another."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        # Before it says that it is there: its name may be known to the server, which assigns by name.
        self.chats = {}

    def arrived(self) -> None:
        """Say that it is there, before anybody can ask."""
        super().arrived()
        self._say_status(ONLINE, perf_counter_ns())

    def heeded(self, operation: Operation) -> None:
        """What this user tells is whether it is there."""
        self.listed = True

    def came_back(self, device: Device) -> None:
        """After a lost connection: the server may have taken it for gone, or have been started anew."""
        super().came_back(device)
        self.listed = False
        if self.there:
            self._say_status(ONLINE, perf_counter_ns())

    def step_out(self) -> None:
        """Go for a while; whoever it was talking to is handed over."""
        planned_ns = self.take_planned()
        if self.there and not self.overdue and any(one.up for one in self.devices):
            self._say_status(OFFLINE, planned_ns)
            for chat in list(self.chats.values()):
                self.ended(chat)
            self.later(self.rng.uniform(*self.pause), lambda due_ns: self._say_status(ONLINE, due_ns))

    def _say_status(self, status: str, planned_ns: int) -> None:
        live, device = self.live, self.device
        self.there = status == ONLINE
        if not device.up:
            return  # it says so when it is back
        colleagues = frozenset(
            one.member
            for user in live.users
            if isinstance(user, OperatorUser) and user is not self and user.there and user.listed
            for one in user.devices
            if one.member.connected
        )
        visitors = frozenset(one.member for user in live.users if user.role == "user" for one in user.devices)
        others = live.operators() - colleagues - {device.member}
        to = Audience(colleagues, open_to=visitors | others)
        telling = Telling(self, device, Operation.PRESENCE_DELIVER, Room("operators"), planned_ns, to)
        variables = device.variables(status=status, capacity=self.capacity, marker=telling.marker)
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

    def _alone(self, key: str, read_ns: int) -> None:
        """A chat has one operator: what we were sent of it, no other was."""
        self.live.ledger.only(key, self.members, self.live.operators(), read_ns)

    def written_to(self, chat: str, marker: str | None, read_ns: int) -> None:
        """A visitor wrote: mostly, it is answered."""
        if marker is not None:
            self._alone(marker, read_ns)
        mine = self.chats.get(chat)
        if mine is not None and self.rng.random() < self.replies:
            self.later(self.rng.uniform(*self.thinks), lambda due_ns: self._reply(mine, due_ns))

    def _reply(self, chat: Chat, due_ns: int) -> None:
        if chat.state == ASSIGNED and self.there:
            self.write_in_chat(chat, due_ns)

    def told(self, chat: str, status: str | None, marker: str | None, read_ns: int) -> None:
        """The visitor left."""
        if status != CLOSED:
            return
        if marker is not None:
            self._alone(status_key(marker, CLOSED), read_ns)
        if chat in self.chats:
            self.ended(self.chats[chat])

    def turned_away(self, conversation: str) -> None:
        """The chat was given to somebody else, or is over."""
        super().turned_away(conversation)
        if conversation in self.chats:
            self.ended(self.chats[conversation])
