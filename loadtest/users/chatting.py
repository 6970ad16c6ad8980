"""What have visitors and operators in common? They are parties of live chats, and write in them.

The server chooses the operator, so the two parties of a chat may live in different processes of the run; they
need not know each other.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, ClassVar

from loadtest.contract import Chats, Delivery, Need
from loadtest.measure.operations import Operation
from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause
from loadtest.users.chats import CLOSED, Chat, Written
from loadtest.users.device import Device, Seat
from loadtest.users.link import ActionFailed
from loadtest.users.user import RealtimeUser

ONLINE, OFFLINE = "online", "offline"
KEPT = 100
"""Things written whose own copy has not come yet, at most."""
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
    needs: ClassVar[tuple[Need, ...]] = ("live chat",)

    _unheard: dict[str, Written]

    @property
    def _chats(self) -> Chats:
        chats = self.live.contract.chats
        assert chats is not None  # preflight refuses a contract without
        return chats

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._unheard = {}

    def unheard(self, marker: str, written: Written) -> None:
        """Something was written whose own copy will tell who has the chat."""
        self._unheard[marker] = written
        if len(self._unheard) > KEPT:  # a server that sends no such copies must not fill our memory
            del self._unheard[next(iter(self._unheard))]

    def heeded(self, operation: Operation) -> None:
        """The server took what was told."""

    def turned_away(self, conversation: str) -> None:
        """A device came back and was not let into a chat any more: that is somebody else's, or over."""
        self.live.recorder.count("chat.gone")

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
        for device in self.devices:
            if chat.id in device.seats:
                device.forget(chat.id)

    def write_in_chat(self, chat: Chat, planned_ns: int) -> None:
        """Say something in a chat."""
        device = self.device
        written = Written(chat, device, planned_ns, self.live.body(self.rng))
        device.say(written)

    def unwritten(self, planned_ns: int, cause: Cause, detail: str) -> None:
        """Something that fell due could not be written: nobody will read it."""
        member = self.member
        excused = self.devices[0].excused()
        self.live.ledger.never_left(Operation.CHAT_DELIVER, member.transport, planned_ns, 1, excused)
        self.live.recorder.count("not_sent")
        self.complain(Operation.CHAT_DELIVER, cause, detail)

    def complain(self, operation: Operation, cause: Cause, detail: str) -> None:
        """Tell Locust of something that could not be done, unless the run itself is to blame."""
        live = self.live
        if not live.closed and not self.devices[0].excused():
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
        chat, marker = delivery.subject(args), delivery.marker(args)
        if operation is Operation.CHAT_ASSIGN and chat is not None:
            self.assigned(chat, delivery, args, read_ns)
        elif operation is Operation.CHAT_DELIVER and chat is not None:
            if delivery.sender(args) != self.name:
                self.written_to(chat, marker, read_ns)
            elif marker is not None and (written := self._unheard.pop(marker, None)) is not None:
                written.heard()
        elif operation is Operation.CHAT_STATUS and chat is not None:
            self.told(chat, delivery.status(args), marker, read_ns)
        elif operation is Operation.PRESENCE_DELIVER:
            self.presence(delivery.sender(args), delivery.status(args), read_ns)

    def assigned(self, chat: str, delivery: Delivery, args: list[Any], read_ns: int) -> None:
        """A chat has an operator, or another one."""

    def written_to(self, chat: str, marker: str | None, read_ns: int) -> None:
        """The other party wrote."""

    def told(self, chat: str, status: str | None, marker: str | None, read_ns: int) -> None:
        """The chat's status changed."""

    def presence(self, who: str | None, status: str | None, read_ns: int) -> None:
        """Somebody came or went."""
