"""What does one party of a live chat know of it, and what becomes of what it says there?"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadtest.measure.entry import Audience
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room
from loadtest.users.causes import Cause
from loadtest.users.link import ActionFailed, Outcome
from loadtest.users.said import Said

if TYPE_CHECKING:
    from loadtest.users.chatting import ChattingUser
    from loadtest.users.device import Device
    from loadtest.users.live import LiveRun

QUEUED, ASSIGNED, CLOSED = "queued", "assigned", "closed"


def status_key(marker: str, status: str) -> str:
    """What the ledger calls one status of a chat: one request may bring several, each a debt of its own."""
    return f"{marker}/{status}"


class Chat:
    """A live chat as one of its parties knows it. ``other``: how the application calls the other party."""

    def __init__(self, owner: ChattingUser, chat: str | None, other: str | None) -> None:
        self.owner = owner
        self.id = chat
        self.other = other
        self.state = QUEUED if other is None else ASSIGNED
        self.room = Room(f"chat {chat or owner.name}")
        self.planned_ns = 0
        self.abandoned_ns: int | None = None
        self.left_to_say = 0

    def others(self, device: Device) -> frozenset[Member]:
        """Connected devices, in this process, of both parties but for one."""
        known = self.owner.live.by_name.get(self.other or "")
        parties = (self.owner,) if known is None else (self.owner, known)
        return frozenset(
            one.member
            for party in parties
            for one in party.devices
            if one.member.connected and one is not device
        )

    @property
    def elsewhere(self) -> bool:
        """Whether the other party is in another process, whose clock is the same but whose books are not."""
        return self.other is not None and self.other not in self.owner.live.by_name


class Written(Said):
    """Something written into a live chat; said again, with the same mark, if no answer came."""

    __slots__ = ("_chat",)

    def __init__(self, chat: Chat, device: Device, planned_ns: int, body: str) -> None:
        live = device.live
        action = live.contract.chats
        assert action is not None
        self._chat = chat
        ledger = live.ledger
        if chat.elsewhere:
            marker, number = ledger.marker_across(device.member, planned_ns, perf_counter_ns())
        else:
            marker, number = ledger.marker(device.member)
        variables = device.variables(chat=chat.id, body=body, marker=marker)
        operation = Operation.CHAT_DELIVER
        super().__init__(
            device, operation, action.message, chat.room, marker, number, planned_ns, False, variables
        )

    def owe(self, sent_ns: int) -> None:
        """The other party must get it."""
        chat, device = self._chat, self._device
        live = device.live
        live.ledger.sent(
            self._marker,
            self._number,
            self._operation,
            chat.room,
            device.member,
            self._planned_ns,
            sent_ns,
            to=Audience(chat.others(device)),
        )
        live.recorder.count("chat.written")
        if chat.elsewhere:
            live.ledger.sent_across(self._operation, device.member, self._planned_ns)
        device.unacked[self._marker] = self

    def give_up(self, cause: Cause, detail: str) -> None:
        """It will not leave any more."""
        self._chat.owner.unwritten(self._planned_ns, cause, detail)


class Asking:
    """A question for help on its way: somebody must be assigned, or the visitor put in the queue."""

    def __init__(self, chat: Chat, device: Device, planned_ns: int) -> None:
        self._chat = chat
        self._device = device
        chat.planned_ns = planned_ns
        self.marker, self._number = device.live.ledger.marker(device.member)

    def left(self, sent_ns: int) -> None:
        """The visitor is owed an assignment; who gets it with him is the server's choice."""
        chat, device = self._chat, self._device
        live = device.live
        mine = chat.others(device) | {device.member}
        somebody = live.operators()
        ledger, member = live.ledger, device.member
        sent = self._number, Operation.CHAT_STATUS, chat.room, member, chat.planned_ns, sent_ns
        # Whether the status will be queued or assigned, only the answer tells; either may come before it.
        for status in (QUEUED, ASSIGNED):
            to = Audience(frozenset(), open_to=mine | somebody)
            ledger.sent(status_key(self.marker, status), *sent, to=to)
        sent = self._number, Operation.CHAT_ASSIGN, chat.room, member, chat.planned_ns, sent_ns
        ledger.sent(self.marker, *sent, to=Audience(mine, open_to=somebody))
        live.recorder.count("chat.asked")

    def answered(self, outcome: Outcome) -> None:
        """Assigned, queued, or refused."""
        chat, live = self._chat, self._device.live
        said = outcome.rule.captured(outcome.root)
        if not outcome.ok or not said.get("chat"):
            self._withdraw(self.marker, *(status_key(self.marker, one) for one in (QUEUED, ASSIGNED)))
            refused(live, outcome, {})
            chat.owner.ended(chat)
            return
        chat.id = str(said["chat"])
        chat.owner.opened(chat)
        status = str(said.get("status"))
        mine = chat.others(self._device) | {self._device.member}
        live.ledger.owe(status_key(self.marker, status), mine)
        if status == QUEUED:
            # When somebody will be free is a matter of people, not of delivery.
            self._withdraw(self.marker, status_key(self.marker, ASSIGNED))
            live.recorder.count("chat.queued")
            return
        self._withdraw(status_key(self.marker, QUEUED))
        operator = live.by_name.get(str(said.get("operator")))
        if operator is not None:
            live.ledger.owe(self.marker, [one.member for one in operator.devices if one.member.connected])

    def _withdraw(self, *keys: str) -> None:
        for key in keys:
            self._device.live.ledger.withdraw(key)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        chat = self._chat
        live, member = self._device.live, self._device.member
        live.ledger.never_left(Operation.CHAT_ASSIGN, member.transport, chat.planned_ns, 1, member.provoked)
        chat.owner.complain(Operation.CHAT_ASSIGN, cause, detail)
        chat.owner.ended(chat)


class Telling:
    """A closing, or an operator's word on whether it is there, on its way; others must hear of it."""

    def __init__(
        self,
        user: ChattingUser,
        device: Device,
        operation: Operation,
        room: Room,
        planned_ns: int,
        to: Audience,
    ) -> None:
        self._user = user
        self._device = device
        self._operation = operation
        self._room = room
        self._planned_ns = planned_ns
        self._to = to
        self.marker, self._number = device.live.ledger.marker(device.member)
        closes = operation is Operation.CHAT_STATUS
        self._key = status_key(self.marker, CLOSED) if closes else self.marker

    def left(self, sent_ns: int) -> None:
        """It is on its way."""
        self._device.live.ledger.sent(
            self._key,
            self._number,
            self._operation,
            self._room,
            self._device.member,
            self._planned_ns,
            sent_ns,
            to=self._to,
        )

    def answered(self, outcome: Outcome) -> None:
        """The server took it, or there was nothing to tell any more."""
        if not outcome.ok:
            self._device.live.ledger.withdraw(self._key)
            refused(
                self._device.live,
                outcome,
                {"CHAT_CLOSED": "closed_already", "CHAT_NOT_FOUND": "closed_already"},
            )

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        self._user.complain(self._operation, cause, detail)


def refused(live: LiveRun, outcome: Outcome, legal: dict[str, str]) -> None:
    """What a server may rightly refuse is an outcome; everything else is a failure."""
    code = outcome.error or "unknown"
    live.recorder.count(
        f"chat.{legal[code]}" if code in legal else f"refused.{live.contract.counted_as(code)}"
    )
    if code not in legal and not live.closed:
        live.fire("WSC", Operation.CHAT_STATUS, None, ActionFailed(Cause.CONNECT_ERROR, code))
