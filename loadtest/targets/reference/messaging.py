"""What happens when somebody joins, says, reads or types something?

The use cases of messaging, the same for a socket and for a polling user. Nothing in here awaits, so a
message gets its `seq` and goes out before the next one is looked at.
"""

from typing import Any

import msgspec

from loadtest.targets.reference.actions import Action
from loadtest.targets.reference.clock import MS
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domain
from loadtest.targets.reference.fanout import Event
from loadtest.targets.reference.messages import Receipt, Receipts
from loadtest.targets.reference.payloads import parse_join, parse_read, parse_send, parse_typing
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rooms import CONVERSATION_ROOM, USER_ROOM
from loadtest.targets.reference.sessions import Actor, Session
from loadtest.targets.reference.typists import TYPING_TTL_NS, Typists


class Typist(msgspec.Struct, frozen=True):
    """Enough to announce that somebody has stopped typing."""

    user_id: str
    sid: str | None
    conversation_id: str
    meta: msgspec.Raw | None


class Messaging(Domain):
    def __init__(self, core: Core) -> None:
        self._conversations = core.conversations
        self._rooms = core.rooms
        self._fanout = core.fanout
        self._clock = core.clock
        self._boot = core.boot
        self._sent = 0
        self._receipts = Receipts()
        self._typists: Typists[Typist] = Typists()

    def actions(self) -> list[Action]:
        return [
            Action("joinRoom", self.join, "free"),
            Action("leaveRoom", self.leave, "free"),
            Action("message:send", self.send, "message"),
            Action("message:read", self.read, "event"),
            Action("typing:start", self.start_typing, "event"),
            Action("typing:stop", self.stop_typing, "event"),
        ]

    def join(self, actor: Actor, payload: object) -> dict[str, Any]:
        """joinRoom: the socket hears the room, the user belongs to the conversation. `missed` is filled if
        asked for."""
        join = parse_join(payload)
        members, last_seq, missed, truncated = 1, 0, list[msgspec.Raw](), False
        if join.conversation_id is not None:
            conversation = self._conversations.open_to(join.conversation_id, actor.user_id)
            members, last_seq = len(conversation.members), conversation.log.last_seq
            if join.since_seq is not None:
                missed, truncated = conversation.log.newest_since(join.since_seq)
        elif join.room != USER_ROOM + actor.user_id:
            raise Refusal("FORBIDDEN", f"{join.room} belongs to another user")
        if actor.session is not None:
            self._rooms.enter(join.room, actor.session)
        return {
            "ok": True,
            "room": join.room,
            "members": members,
            "lastSeq": last_seq,
            "missed": missed,
            "truncated": truncated,
        }

    def leave(self, actor: Actor, payload: object) -> dict[str, Any]:
        """leaveRoom: membership ends unless another socket of the user still hears the room, or it is a live
        chat: that is left by closing it."""
        room = parse_join(payload)
        if actor.session is not None:
            self._rooms.leave(room.room, actor.session.sid)
        if room.conversation_id is not None and not self._rooms.hears(room.room, actor.user_id):
            conversation = self._conversations.find(room.conversation_id)
            if conversation is not None and not conversation.live_chat:
                self._conversations.leave(room.conversation_id, actor.user_id)
        return {"ok": True, "room": room.room}

    def send(self, actor: Actor, payload: object) -> dict[str, Any]:
        """message:send: stored and fanned out once per clientMsgId; a repetition gets the first answer
        again."""
        send = parse_send(payload)
        conversation = self._conversations.of_member(send.conversation_id, actor.user_id)
        if conversation.live_chat:
            raise Refusal("FORBIDDEN", f"{conversation.id} is a live chat: use liveChat:message")
        known = self._receipts.find(actor.user_id, send.client_id)
        if known is not None:
            return {"ok": True, "id": known.id, "seq": known.seq, "ts": known.ts, "duplicate": True}
        self._sent += 1
        receipt = Receipt(f"m{self._boot}-{self._sent}", conversation.log.next_seq(), self._now_ms())
        message: dict[str, Any] = {
            "id": receipt.id,
            "conversationId": conversation.id,
            "seq": receipt.seq,
            "senderId": actor.user_id,
            "body": send.body,
            "type": send.type,
            "clientMsgId": send.client_id,
            "ts": receipt.ts,
        }
        event = Event.of("message:new", message, send.meta)
        conversation.log.append(event.data)
        self._receipts.remember(actor.user_id, send.client_id, receipt)
        room = CONVERSATION_ROOM + conversation.id
        self._fanout.to_room(room, event, sender=actor.user_id, members=conversation.members)
        return {"ok": True, "id": receipt.id, "seq": receipt.seq, "ts": receipt.ts, "duplicate": False}

    def read(self, actor: Actor, payload: object) -> dict[str, Any]:
        """message:read: the mark moves forward; the others hear of it only if it moved."""
        read = parse_read(payload)
        conversation = self._conversations.of_member(read.conversation_id, actor.user_id)
        mark, advanced = conversation.marks.advance(actor.user_id, read.up_to)
        if advanced:
            fields = {
                "conversationId": conversation.id,
                "userId": actor.user_id,
                "upToSeq": mark,
                "ts": self._now_ms(),
            }
            sid = actor.session.sid if actor.session is not None else None
            event = Event.of("message:read", fields, read.meta)
            self._to_others(conversation.id, event, actor.user_id, sid)
        return {"ok": True, "upToSeq": mark}

    def start_typing(self, actor: Actor, payload: object) -> None:
        """typing:start: announced now, ended by a stop, by five seconds of silence or by the end of the
        socket."""
        typing = parse_typing(payload)
        self._conversations.of_member(typing.conversation_id, actor.user_id)
        sid = actor.session.sid if actor.session is not None else None
        typist = Typist(actor.user_id, sid, typing.conversation_id, typing.meta)
        self._typists.start(actor.source, typing.conversation_id, self._clock.now_ns(), typist)
        self._announce("typing:start", typist, {"expiresInMs": TYPING_TTL_NS // MS})

    def stop_typing(self, actor: Actor, payload: object) -> None:
        """typing:stop."""
        typing = parse_typing(payload)
        self._conversations.of_member(typing.conversation_id, actor.user_id)
        sid = actor.session.sid if actor.session is not None else None
        self._typists.stop(actor.source, typing.conversation_id)
        self._announce("typing:stop", Typist(actor.user_id, sid, typing.conversation_id, typing.meta))

    def tick(self, now_ns: int) -> None:
        """Announces the end for everybody who has been silent for five seconds."""
        for typist in self._typists.silent(now_ns):
            self._announce("typing:stop", typist)

    def disconnected(self, session: Session) -> None:
        """The socket is gone and types nothing any more; its user remains a member."""
        for typist in self._typists.gone(session.sid):
            self._announce("typing:stop", typist)

    def _announce(self, name: str, typist: Typist, more: dict[str, Any] | None = None) -> None:
        fields = {"conversationId": typist.conversation_id, "userId": typist.user_id, "ts": self._now_ms()}
        event = Event.of(name, fields | (more or {}), typist.meta)
        self._to_others(typist.conversation_id, event, typist.user_id, typist.sid)

    def _to_others(self, conversation_id: str, event: Event, user: str, sid: str | None) -> None:
        conversation = self._conversations.find(conversation_id)
        members = conversation.members if conversation is not None else ()
        room = CONVERSATION_ROOM + conversation_id
        self._fanout.to_room(room, event, sender=user, members=members, skip_sid=sid, skip_feed=user)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // MS
