"""What happens when a visitor asks for help, an operator takes a chat, and either of them leaves?

The use cases of live chat, the same for a socket and for a polling user. `LiveChats` decides what becomes of
a chat, `SupportEvents` tells.
"""

from collections.abc import Callable
from typing import Any

from loadtest.targets.reference.actions import Action
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domain
from loadtest.targets.reference.fanout import Event
from loadtest.targets.reference.live_chats import LiveChats
from loadtest.targets.reference.messages import Receipt, Receipts
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor, Session
from loadtest.targets.reference.support_events import SupportEvents
from loadtest.targets.reference.support_payloads import (
    parse_about_chat,
    parse_declaration,
    parse_say,
    parse_start,
)

SWEEP_NS = 30 * SECOND
Run = Callable[[Actor, object], dict[str, Any]]


class Support(Domain):
    def __init__(self, core: Core) -> None:
        settings = core.settings
        self._presence = core.presence
        self._conversations = core.conversations
        self._clock = core.clock
        self._soon = core.soon
        self._message_prefix = f"l{core.boot}-"
        self._said = 0
        # Apart for each sender, so that they can be forgotten with them.
        self._receipts: dict[str, Receipts] = {}
        self._swept_ns = 0
        self._book = LiveChats(
            f"lc{core.boot}-",
            automatic=settings.livechat_assign == "auto",
            operator_grace_ns=int(settings.party_grace_s * SECOND),
            visitor_grace_ns=int(settings.visitor_grace_s * SECOND),
        )
        self._events = SupportEvents(core, self._book)

    def actions(self) -> list[Action]:
        return [
            Action("liveChat:start", self._then_tell(self.start), "event"),
            Action("liveChat:operatorStatus", self._then_tell(self.declare), "event"),
            Action("liveChat:accept", self._then_tell(self.accept), "event"),
            Action("liveChat:message", self._then_tell(self.message), "message"),
            Action("liveChat:close", self._then_tell(self.close), "event"),
        ]

    # -- what is asked for

    def start(self, actor: Actor, payload: object) -> dict[str, Any]:
        """liveChat:start: somebody takes care at once, or the visitor waits. Who has an open chat gets that
        one again."""
        meta, now_ns = parse_start(payload), self._clock.now_ns()
        chat, begins = self._book.start(
            actor.user_id, meta, by_socket=self._has_socket(actor.user_id), now_ns=now_ns
        )
        if begins:
            self._conversations.open(chat.id).live_chat = True
        self._events.admit(chat, chat.visitor)
        return {
            "ok": True,
            "chatId": chat.id,
            "status": chat.state,
            **({"operatorId": chat.operator} if chat.operator is not None else {}),
            "position": self._book.position(chat),
            **_repeated(not begins),
        }

    def declare(self, actor: Actor, payload: object) -> dict[str, Any]:
        """liveChat:operatorStatus: online takes waiting chats, away keeps what there is, offline gives it to
        others."""
        self._for_operators(actor)
        given, now_ns = parse_declaration(payload), self._clock.now_ns()
        user = actor.user_id
        operator = self._book.declare(
            user, given.status, given.capacity, given.meta, by_socket=self._has_socket(user), now_ns=now_ns
        )
        for session in self._events.sessions(user):
            self._events.admit_socket(session)
        return {
            "ok": True,
            "status": operator.status,
            "activeChats": len(operator.chats),
            "capacity": operator.capacity,
        }

    def accept(self, actor: Actor, payload: object) -> dict[str, Any]:
        """liveChat:accept: the first operator gets the chat."""
        self._for_operators(actor)
        given, user = parse_about_chat(payload), actor.user_id
        taken = self._book.accept(
            given.chat_id,
            user,
            given.meta,
            by_socket=self._has_socket(user),
            now_ns=self._clock.now_ns(),
        )
        return {"ok": True, "chatId": given.chat_id, "operatorId": user, **_repeated(not taken)}

    def message(self, actor: Actor, payload: object) -> dict[str, Any]:
        """liveChat:message: stored and fanned out once per clientMsgId; a repetition gets the first answer
        again, even when the chat has been closed since."""
        say, user, now_ns = parse_say(payload), actor.user_id, self._clock.now_ns()
        self._book.find(say.chat_id)
        receipts = self._receipts.get(user)
        known = receipts.find(user, say.client_id) if receipts is not None else None
        if known is not None:
            return {"ok": True, "id": known.id, "seq": known.seq, "ts": known.ts, "duplicate": True}
        chat = self._book.speaks(say.chat_id, user, by_socket=self._has_socket(user), now_ns=now_ns)
        # Whoever has the chat from this moment on is to hear the message too.
        self._events.tell()
        log = self._conversations.open(chat.id).log
        self._said += 1
        receipt = Receipt(f"{self._message_prefix}{self._said}", log.next_seq(), now_ns // MS)
        message: dict[str, Any] = {
            "id": receipt.id,
            "chatId": chat.id,
            "seq": receipt.seq,
            "senderId": user,
            "senderRole": chat.role_of(user),
            "body": say.body,
            "clientMsgId": say.client_id,
            "ts": receipt.ts,
        }
        event = Event.of("liveChat:message", message, say.meta)
        log.append(event.data)
        self._receipts.setdefault(user, Receipts()).remember(user, say.client_id, receipt)
        self._events.say(chat, event, sender=user)
        return {"ok": True, "id": receipt.id, "seq": receipt.seq, "ts": receipt.ts, "duplicate": False}

    def close(self, actor: Actor, payload: object) -> dict[str, Any]:
        """liveChat:close: either side ends the chat."""
        given, user = parse_about_chat(payload), actor.user_id
        closed = self._book.close(
            given.chat_id,
            user,
            given.meta,
            by_socket=self._has_socket(user),
            now_ns=self._clock.now_ns(),
        )
        return {"ok": True, "chatId": given.chat_id, **_repeated(not closed)}

    # -- what happens by itself

    def authenticated(self, session: Session) -> None:
        self._book.seen(session.user_id, by_socket=True, now_ns=self._clock.now_ns())
        self._events.admit_socket(session)
        # The answer to CONNECT is not out yet: an event before it would reach a client without a socket.
        self._soon(self._events.tell)

    def disconnected(self, session: Session) -> None:
        if not self._has_socket(session.user_id):
            self._book.went(session.user_id, self._clock.now_ns())
            self._events.tell()

    def polled(self, user_id: str) -> None:
        self._book.seen(user_id, by_socket=self._has_socket(user_id), now_ns=self._clock.now_ns())
        self._events.tell()

    def tick(self, now_ns: int) -> None:
        self._book.tick(now_ns)
        self._events.tell()
        if now_ns - self._swept_ns >= SWEEP_NS:
            self._swept_ns = now_ns
            self._forget(now_ns)

    def stats(self) -> dict[str, Any]:
        return {"chats": self._book.counts()}

    # -- plumbing

    def _then_tell(self, run: Run) -> Run:
        """A use case, and then what follows from it; what is due by itself is told even if it refuses."""

        def run_and_tell(actor: Actor, payload: object) -> dict[str, Any]:
            try:
                return run(actor, payload)
            finally:
                self._events.tell()

        return run_and_tell

    def _for_operators(self, actor: Actor) -> None:
        if actor.role != "operator":
            raise Refusal("FORBIDDEN", f"{actor.user_id} is no operator")

    def _has_socket(self, user: str) -> bool:
        return self._presence.has_socket(user)

    def _forget(self, now_ns: int) -> None:
        chats, names = self._book.forget(now_ns)
        for chat in chats:
            self._events.forget(chat)
        for name in names:
            self._receipts.pop(name, None)


def _repeated(repeated: bool) -> dict[str, bool]:
    """Marks the ack of what had been done before."""
    return {"duplicate": True} if repeated else {}
