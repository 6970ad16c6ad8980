"""What does a visitor do? It asks, is given an operator, both write, it leaves; and asks again some time later.

The numbers are class attributes that a scenario may change.
"""

from __future__ import annotations

from typing import Any, ClassVar

from loadtest.contract import Delivery
from loadtest.measure.entry import Audience
from loadtest.measure.operations import Operation
from loadtest.users.causes import Cause
from loadtest.users.chats import ASSIGNED, CLOSED, QUEUED, Asking, Chat, Telling, relearning
from loadtest.users.chatting import OFFLINE, ChattingUser
from loadtest.users.device import Device
from loadtest.users.link import ActionFailed


class VisitorUser(ChattingUser):
    """A visitor: asks, writes when its schedule says so, and leaves after ``messages`` of its own."""

    abstract = True
    weight = 9
    messages: ClassVar[tuple[int, int]] = (1, 3)
    chat: Chat | None = None
    _closing: dict[str, tuple[Chat, Telling]]
    """Chats that it has left, until the server says so too: who has them may change until then."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._closing = {}

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
        if not device.up or chat.id is None:
            return  # the next moment of the schedule finds it connected again
        to = Audience(chat.others(device), open_to=chat.takers)
        telling = Telling(self, device, Operation.CHAT_STATUS, chat.room, planned_ns, to)
        self._closing[chat.id] = chat, telling
        self._close(chat, telling, device)
        self.ended(chat)

    def _close(self, chat: Chat, telling: Telling, device: Device) -> None:
        device.link.send(self._chats.close, device.variables(chat=chat.id, marker=telling.marker), telling)

    def came_back(self, device: Device) -> None:
        """After a lost connection: is the chat that was left over, and where does the open one stand?"""
        super().came_back(device)
        for left, telling in list(self._closing.values()):
            self._close(left, telling, device)
        chat = self.chat
        if chat is not None:
            if chat.asking is not None:
                chat.asking.forget()
                chat.asking = None
            self._ask_again(chat, device)

    def _ask_again(self, before: Chat, device: Device) -> None:
        """Who has an open chat is given that one again, and nobody hears of it; else it is a new one."""
        marker = relearning(self, device, before)
        try:
            outcome = device.link.perform(self._chats.start, device.variables(topic="help", marker=marker))
        except ActionFailed:
            return
        said = outcome.rule.captured(outcome.root) if outcome.ok else {}
        chat_id, operator = said.get("chat"), said.get("operator")
        if self.chat not in (before, None) or chat_id in self._closing:
            return  # it went on while we asked
        if self.chat is before and before.id not in (None, chat_id):
            self.ended(before)  # the server knows it no longer
        if chat_id is None:
            self.chat = None
            return
        chat = self.chat = self.chat or Chat(self, None, None)
        chat.id, chat.state = str(chat_id), str(said.get("status"))
        chat.other = None if operator is None else str(operator)
        self.opened(chat)

    def ended(self, chat: Chat) -> None:
        """The chat is over; the next question opens another."""
        super().ended(chat)
        if self.chat is chat:
            self.chat = None

    def assigned(self, chat: str, delivery: Delivery, args: list[Any], read_ns: int) -> None:
        """Somebody is there: after a wait in the queue, or in the place of one who went."""
        if chat in self._closing:
            self._closing[chat][0].other = delivery.operator(args)
            return
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

    def told(self, chat: str, status: str | None, marker: str | None, read_ns: int) -> None:
        """Closed by us or by somebody else, or back in the queue."""
        if chat in self._closing:
            left, telling = self._closing[chat]
            if status == CLOSED:
                del self._closing[chat]
                telling.heard(left, marker)
            elif status == QUEUED:
                left.other = None
            return
        mine = self.chat
        if mine is None or mine.id != chat:
            return
        if status == CLOSED:
            self.ended(mine)
        elif status == QUEUED and mine.state == ASSIGNED:
            mine.state, mine.other = QUEUED, None
            self.live.recorder.count("chat.requeued")

    def turned_away(self, conversation: str) -> None:
        """The chat is over."""
        super().turned_away(conversation)
        if self.chat is not None and self.chat.id == conversation:
            self.ended(self.chat)

    def presence(self, who: str | None, status: str | None, read_ns: int) -> None:
        """Our operator went: from now on the visitor waits for another."""
        mine = self.chat
        if mine is not None and who == mine.other and status == OFFLINE and mine.abandoned_ns is None:
            mine.abandoned_ns = read_ns
