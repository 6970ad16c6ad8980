"""How does what the book of live chats decides become rooms, memberships and events?

An event that follows from a request carries that request's `meta`; what the server does by itself carries
none.
"""

from collections.abc import Iterable
from typing import Any

from loadtest.targets.reference.chats import Assigned, Change, Chat, Closed, Meta, OnDuty, Queued
from loadtest.targets.reference.clock import MS
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.fanout import Event
from loadtest.targets.reference.live_chats import LiveChats
from loadtest.targets.reference.rooms import CONVERSATION_ROOM, USER_ROOM
from loadtest.targets.reference.sessions import Session

# Every socket of everybody who has declared a status as an operator, offline included.
OPERATORS_ROOM = "operators"


class SupportEvents:
    def __init__(self, core: Core, book: LiveChats) -> None:
        self._conversations = core.conversations
        self._rooms = core.rooms
        self._feeds = core.chat_feeds
        self._fanout = core.fanout
        self._clock = core.clock
        self._book = book

    def tell(self) -> None:
        """Everybody hears what has happened since the last call, in order."""
        for change in self._book.take():
            self._follow(change)

    def say(self, chat: Chat, event: Event, *, sender: str, others: Iterable[str] = ()) -> None:
        """One copy to each socket and feed of the chat, and of each of `others`."""
        rooms = [CONVERSATION_ROOM + chat.id, *(USER_ROOM + user for user in others)]
        members = [chat.visitor, *([chat.operator] if chat.operator is not None else []), *others]
        self._fanout.to_rooms(rooms, event, sender=sender, members=members, feeds=self._feeds)

    # -- who hears what

    def admit(self, chat: Chat, user: str) -> None:
        """`user` belongs to the chat, and all their sockets hear it."""
        self._conversations.join(chat.id, user)
        for session in self.sessions(user):
            self._rooms.enter(CONVERSATION_ROOM + chat.id, session)

    def admit_socket(self, session: Session) -> None:
        """A socket of somebody who may have chats, or be an operator, hears what it should."""
        for chat in self._book.of_user(session.user_id):
            self._conversations.join(chat.id, session.user_id)
            self._rooms.enter(CONVERSATION_ROOM + chat.id, session)
        if session.role == "operator" and self._book.is_operator(session.user_id):
            self._rooms.enter(OPERATORS_ROOM, session)

    def forget(self, chat: Chat) -> None:
        """Nobody belongs to the chat any more, and nothing of what was said in it is kept."""
        self._empty_room(chat)
        self._conversations.forget(chat.id)

    def sessions(self, user: str) -> list[Session]:
        return list(self._rooms.listeners(USER_ROOM + user).values())

    def _dismiss_others(self, chat: Chat, operator: str | None) -> None:
        """Whoever had the chat before neither hears nor reads on."""
        for user in self._conversations.open(chat.id).members - {chat.visitor, operator}:
            self._conversations.leave(chat.id, user)
            for session in self.sessions(user):
                self._rooms.leave(CONVERSATION_ROOM + chat.id, session.sid)

    def _empty_room(self, chat: Chat) -> None:
        room = CONVERSATION_ROOM + chat.id
        for sid in list(self._rooms.listeners(room)):
            self._rooms.leave(room, sid)

    # -- what is told

    def _follow(self, change: Change) -> None:
        match change:
            case Assigned():
                self._assigned(change)
            case Queued():
                self._queued(change)
            case Closed():
                self._tell_status(change.chat, "closed", change.meta)
                self._empty_room(change.chat)
            case OnDuty():
                self._on_duty(change)

    def _assigned(self, change: Assigned) -> None:
        chat, operator = change.chat, change.operator
        self._dismiss_others(chat, operator)
        self.admit(chat, operator)
        fields = {
            "chatId": chat.id,
            "visitorId": chat.visitor,
            "operatorId": operator,
            "reason": change.reason,
            "ts": self._now_ms(),
        }
        event = Event.of("liveChat:assigned", fields, change.meta)
        self._fanout.to_users([chat.visitor, operator], event, sender=chat.visitor, feeds=self._feeds)
        self._tell_status(chat, "assigned", change.meta)

    def _queued(self, change: Queued) -> None:
        self._dismiss_others(change.chat, None)
        # Where chats are taken by hand, whoever could take one hears of it.
        takers = () if self._book.automatic or change.moved else self._book.operators_online()
        self._tell_status(change.chat, "queued", change.meta, change.position, takers)

    def _on_duty(self, change: OnDuty) -> None:
        fields = {
            "operatorId": change.operator,
            "status": change.status,
            "activeChats": change.active,
            "capacity": change.capacity,
            "ts": self._now_ms(),
        }
        visitors = [chat.visitor for chat in change.chats]
        self._fanout.to_rooms(
            [OPERATORS_ROOM, *(CONVERSATION_ROOM + chat.id for chat in change.chats)],
            Event.of("liveChat:presence", fields, change.meta),
            sender=change.operator,
            members=[*self._book.operators(), *visitors],
            feeds=self._feeds,
        )

    def _tell_status(
        self,
        chat: Chat,
        status: str,
        meta: Meta,
        position: int | None = None,
        others: Iterable[str] = (),
    ) -> None:
        fields: dict[str, Any] = {"chatId": chat.id, "status": status}
        if position is not None:
            fields["position"] = position
        event = Event.of("liveChat:status", {**fields, "ts": self._now_ms()}, meta)
        self.say(chat, event, sender=chat.visitor, others=others)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // MS
