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
    from loadtest.users.user import RealtimeUser

QUEUED, ASSIGNED, CLOSED = "queued", "assigned", "closed"


def status_key(marker: str, status: str) -> str:
    """What the ledger calls one status of a chat: one request may bring several, each a debt of its own."""
    return f"{marker}/{status}"


class Chat:
    """A live chat as one of its parties knows it.

    other: how the application calls the other party; None while nobody has it.
    """

    def __init__(self, owner: ChattingUser, chat: str | None, other: str | None) -> None:
        self.owner = owner
        self.id = chat
        self.other = other
        self.state = QUEUED if other is None else ASSIGNED
        self.room = Room(f"chat {chat or owner.name}")
        self.planned_ns = 0
        self.abandoned_ns: int | None = None
        self.left_to_say = 0
        self.asking: Asking | None = None

    @property
    def partner(self) -> RealtimeUser | None:
        """The other party, if it is in this process."""
        return self.owner.live.by_name.get(self.other or "")

    def others(self, device: Device) -> frozenset[Member]:
        """Connected devices, in this process, of both parties but for one."""
        return frozenset(one for one in self._members(device) if one.connected)

    def away(self, device: Device) -> frozenset[Member]:
        """Those of them that are not connected, and will be told when they are."""
        return frozenset(one for one in self._members(device) if not one.connected)

    def _members(self, device: Device) -> list[Member]:
        known = self.partner
        parties = (self.owner,) if known is None else (self.owner, known)
        return [one.member for party in parties for one in party.devices if one is not device]

    @property
    def elsewhere(self) -> bool:
        """Whether the other party is in another process, whose clock is the same but whose books are not."""
        return self.other is not None and self.partner is None

    @property
    def takers(self) -> frozenset[Member]:
        """Whom the server may give it to without the visitor knowing yet; of what an operator says, nobody."""
        return frozenset() if self.owner.role == "operator" else self.owner.live.operators()

    def settle(self, key: str) -> None:
        """The visitor has read its own copy of what it said: the server took that after all it told it before.

        So whoever has the chat by what the visitor knows now, is who was sent it; a poll ago that may have been
        somebody else, or nobody.
        """
        known = self.partner
        members = frozenset() if known is None else known.members
        self.owner.live.ledger.given_to(key, members, self.takers)


class Written(Said):
    """Something written into a live chat; said again, with the same mark, if no answer came."""

    __slots__ = ("_across", "_chat", "_transport")

    def __init__(self, chat: Chat, device: Device, planned_ns: int, body: str) -> None:
        live = device.live
        action = live.contract.chats
        assert action is not None
        self._chat = chat
        self._across = False
        self._transport = device.member.transport
        # Whoever reads it may be in another process, even if the visitor believes otherwise.
        marker, number = live.ledger.marker_across(device.member, planned_ns, perf_counter_ns())
        variables = device.variables(chat=chat.id, body=body, marker=marker)
        operation = Operation.CHAT_DELIVER
        super().__init__(
            device, operation, action.message, chat.room, marker, number, planned_ns, False, variables
        )

    def owe(self, sent_ns: int) -> None:
        """The other party must get it, now or when it is back."""
        chat, device = self._chat, self._device
        live = device.live
        self._transport = device.member.transport
        live.ledger.sent(
            self._marker,
            self._number,
            self._operation,
            chat.room,
            device.member,
            self._planned_ns,
            sent_ns,
            to=Audience(chat.others(device), open_to=chat.takers, away=chat.away(device)),
        )
        live.recorder.count("chat.written")
        self._cross(chat.elsewhere)
        device.unacked[self._marker] = self
        chat.owner.unheard(self._marker, self)

    def heard(self) -> None:
        """Its own copy came back."""
        self._cross(self._chat.elsewhere)
        if self._chat.owner.role != "operator":
            self._chat.settle(self._marker)

    def _cross(self, elsewhere: bool) -> None:
        """Owed to somebody in another process, or not any more."""
        if elsewhere == self._across:
            return
        self._across = elsewhere
        ledger = self._device.live.ledger
        change = ledger.sent_across if elsewhere else ledger.recall_across
        change(self._operation, self._transport, self._planned_ns)

    def answered(self, outcome: Outcome) -> None:
        """The server took it, or refused it."""
        device, chat = self._device, self._chat
        live = device.live
        device.unacked.pop(self._marker, None)
        if outcome.ok:
            live.ledger.acked(self._marker, outcome.read_ns)
            return
        self._cross(False)
        code = outcome.error or "unknown"
        # What was on its way while the other party left, or while it was given to somebody else.
        over = chat.state == CLOSED and code in ("FORBIDDEN", "CHAT_NOT_FOUND")
        if over or code == "CHAT_CLOSED":
            live.ledger.withdraw(self._marker)
        else:
            live.ledger.refused(self._marker, outcome.read_ns)
        refused(live, outcome, {code: "too_late"} if over else {"CHAT_CLOSED": "too_late"}, self._operation)
        if code in ("CHAT_CLOSED", "CHAT_NOT_FOUND"):
            chat.owner.ended(chat)

    def give_up(self, cause: Cause, detail: str) -> None:
        """It will not leave any more."""
        self._chat.owner.unwritten(self._planned_ns, cause, detail)


class Asking:
    """A question for help on its way: somebody must be assigned, or the visitor put in the queue."""

    def __init__(self, chat: Chat, device: Device, planned_ns: int) -> None:
        self._chat = chat
        self._device = device
        chat.planned_ns = planned_ns
        chat.asking = self
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
        chat.asking = None
        said = outcome.rule.captured(outcome.root)
        if not outcome.ok or not said.get("chat"):
            self.forget()
            refused(live, outcome, {})
            chat.owner.ended(chat)
            return
        chat.id = str(said["chat"])
        chat.owner.opened(chat)
        status = str(said.get("status"))
        mine = chat.others(self._device) | {self._device.member}
        live.ledger.owe(status_key(self.marker, status), mine)
        if status == QUEUED:
            # When somebody will be free is a matter of people, not of delivery, and so is who that will be.
            for key in (self.marker, status_key(self.marker, ASSIGNED)):
                live.ledger.withdraw(key, anybody=True)
            live.recorder.count("chat.queued")
            return
        self._withdraw(status_key(self.marker, QUEUED))
        operator = live.by_name.get(str(said.get("operator")))
        if operator is not None:
            live.ledger.owe(self.marker, [one.member for one in operator.devices if one.member.connected])

    def forget(self) -> None:
        """Nothing will come of it, or nobody was there to hear of it."""
        self._withdraw(self.marker, *(status_key(self.marker, one) for one in (QUEUED, ASSIGNED)))

    def _withdraw(self, *keys: str) -> None:
        for key in keys:
            self._device.live.ledger.withdraw(key)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        chat = self._chat
        chat.asking = None
        live, member = self._device.live, self._device.member
        excused = self._device.excused()
        live.ledger.never_left(Operation.CHAT_ASSIGN, member.transport, chat.planned_ns, 1, excused)
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
        self._gone = False
        self.marker, self._number = device.live.ledger.marker(device.member)
        self._closes = operation is Operation.CHAT_STATUS
        self._key = status_key(self.marker, CLOSED) if self._closes else self.marker

    def left(self, sent_ns: int) -> None:
        """It is on its way; the second time, it was owed before."""
        live = self._device.live
        if self._gone:
            live.recorder.count("resent")
            return
        self._gone = True
        live.recorder.count("chat.closed" if self._closes else "chat.announced")
        live.ledger.sent(
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
        if outcome.ok:
            self._user.heeded(self._operation)
            return
        self.withdraw()
        known = {"CHAT_CLOSED": "closed_already", "CHAT_NOT_FOUND": "closed_already"}
        refused(self._device.live, outcome, known, self._operation)

    def heard(self, chat: Chat, marker: str | None) -> None:
        """The visitor reads that its chat is closed: by this, or by somebody who was faster."""
        if marker == self.marker:
            chat.settle(self._key)
        else:
            self.withdraw()

    def withdraw(self) -> None:
        """Nobody will hear of it."""
        self._device.live.ledger.withdraw(self._key)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        self._user.complain(self._operation, cause, detail)


def relearning(user: ChattingUser, device: Device, chat: Chat) -> str:
    """The marker of a question that should change nothing: whatever comes of it is expected of nobody."""
    live = device.live
    marker, number = live.ledger.marker(device.member)
    now_ns = perf_counter_ns()
    to = Audience(frozenset())
    for key, operation in (
        (marker, Operation.CHAT_ASSIGN),
        (status_key(marker, QUEUED), Operation.CHAT_STATUS),
        (status_key(marker, ASSIGNED), Operation.CHAT_STATUS),
    ):
        live.ledger.sent(key, number, operation, chat.room, device.member, now_ns, now_ns, to=to)
        live.ledger.withdraw(key, anybody=True)
    return marker


def refused(
    live: LiveRun, outcome: Outcome, legal: dict[str, str], operation: Operation = Operation.CHAT_STATUS
) -> None:
    """What a server may rightly refuse is an outcome; everything else is a failure."""
    code = outcome.error or "unknown"
    live.recorder.count(
        f"chat.{legal[code]}" if code in legal else f"refused.{live.contract.counted_as(code)}"
    )
    if code not in legal and not live.closed:
        live.fire("WSC", operation, None, ActionFailed(Cause.CONNECT_ERROR, code))
