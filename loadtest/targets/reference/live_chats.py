"""Who chats with whom, who waits, and what follows when somebody acts, goes or comes back?

Knows no sockets and no clock: times are given and never fall, and what people are to hear waits for `take`.
In automatic mode a chat waits only while nobody has room for it.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable

from loadtest.targets.reference.attendance import Attendance
from loadtest.targets.reference.chats import Assigned, Change, Chat, Closed, Input, Meta, OnDuty, Queued
from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.operators import Operator, Operators, Status
from loadtest.targets.reference.refusal import Refusal

KEPT_NS = 300 * SECOND
TOLD_EVERY_NS = SECOND


class LiveChats:
    """Each method first does what has come due by `now_ns`, so it does not matter how often `tick` is called.

    `prefix` begins the ids of chats. Whoever has been gone for longer than their grace is lost: an
    operator's chats go to others, a visitor's chat is closed.
    """

    def __init__(
        self, prefix: str, *, automatic: bool, operator_grace_ns: int, visitor_grace_ns: int
    ) -> None:
        self._prefix = prefix
        self.automatic = automatic
        self._operators = Operators(operator_grace_ns)
        self._visitors = Attendance(visitor_grace_ns)
        self._started = 0
        self._chats: dict[str, Chat] = {}
        self._open: dict[str, Chat] = {}
        # In the order of the starts: whoever loses an operator has waited longest.
        self._queue: list[Chat] = []
        self._closed: deque[Chat] = deque()
        self._outbox: list[Change] = []
        self._queue_shrank = False
        self._told_ns = 0

    # -- what people do

    def start(self, visitor: str, meta: Meta, *, by_socket: bool, now_ns: int) -> tuple[Chat, bool]:
        """The open chat of `visitor`, and whether it begins now: a new one if there was none."""
        self._expire(now_ns)
        chat = self._open.get(visitor)
        begins = chat is None
        if chat is None:
            self._started += 1
            chat = Chat(self._started, f"{self._prefix}{self._started}", visitor, meta)
            self._chats[chat.id] = self._open[visitor] = chat
            self._queue.append(chat)
        self.seen(visitor, by_socket=by_socket, now_ns=now_ns)
        if begins:
            self._assign_waiting()
            self._tell_waiting([chat])
        return chat, begins

    def declare(
        self,
        user: str,
        status: Status,
        capacity: int | None,
        meta: Meta,
        *,
        by_socket: bool,
        now_ns: int,
    ) -> Operator:
        """What an operator says of themselves; offline gives their chats to others at once."""
        self._expire(now_ns)
        if user in self._open:  # an operator may be somebody's visitor, too: this is a sign of life of theirs
            self._visitors.seen(user, by_socket=by_socket, now_ns=now_ns)
        operator = self._operators.declare(user, status, capacity, by_socket=by_socket, now_ns=now_ns)
        chats = self._chats_of(operator)
        waiting = self._release(operator) if status == "offline" else []
        at = len(self._outbox)
        self._assign_waiting()
        self._tell_waiting(waiting)
        # People hear first why, and with the number of chats that it led to.
        self._outbox.insert(at, self._on_duty(operator, chats, meta))
        return operator

    def accept(self, chat_id: str, user: str, meta: Meta, *, by_socket: bool, now_ns: int) -> bool:
        """`user` takes a waiting chat; False if they have it already. Raises CHAT_NOT_FOUND,
        CHAT_ALREADY_ASSIGNED, CHAT_CLOSED, FORBIDDEN."""
        self.seen(user, by_socket=by_socket, now_ns=now_ns)
        chat = self.find(chat_id)
        if chat.state == "assigned" and chat.operator == user:
            return False
        chat.after("accept")
        operator = self._operators.find(user)
        if user == chat.visitor:
            raise Refusal("FORBIDDEN", "nobody chats with themselves")
        if operator is None or not self._operators.has_room(operator):
            raise Refusal("FORBIDDEN", "only an operator who is online and below capacity takes a chat")
        self._give(chat, operator, "accept", meta)
        return True

    def speaks(self, chat_id: str, user: str, *, by_socket: bool, now_ns: int) -> Chat:
        """The chat in which `user` may say something. Raises CHAT_NOT_FOUND, FORBIDDEN, CHAT_CLOSED."""
        self.seen(user, by_socket=by_socket, now_ns=now_ns)
        chat = self.find(chat_id)
        chat.role_of(user)
        chat.after("say")
        return chat

    def close(self, chat_id: str, user: str, meta: Meta, *, by_socket: bool, now_ns: int) -> bool:
        """Ends a chat; False if it has ended before. Raises CHAT_NOT_FOUND, FORBIDDEN."""
        self.seen(user, by_socket=by_socket, now_ns=now_ns)
        chat = self.find(chat_id)
        chat.role_of(user)
        if chat.state == "closed":
            return False
        self._end(chat, "close", meta, now_ns)
        self._assign_waiting()
        return True

    # -- coming and going

    def seen(self, user: str, *, by_socket: bool, now_ns: int) -> None:
        """A sign of life: `user` has a socket, or has asked for something without one."""
        self._expire(now_ns)
        if user in self._open:
            self._visitors.seen(user, by_socket=by_socket, now_ns=now_ns)
        before = self._operators.seen(user, by_socket=by_socket, now_ns=now_ns)
        if before in ("gone", "lost"):
            operator = self._operators.find(user)
            at = len(self._outbox)
            self._assign_waiting()
            if operator is not None and before == "lost":
                self._outbox.insert(at, self._on_duty(operator, [], None))

    def went(self, user: str, now_ns: int) -> None:
        """The last socket of `user` is gone."""
        self._expire(now_ns)
        self._visitors.went(user, now_ns)
        self._operators.went(user, now_ns)

    def tick(self, now_ns: int) -> None:
        """Time has passed: who is lost, and who has come closer to their turn?"""
        self._expire(now_ns)
        if not self._queue_shrank or now_ns - self._told_ns < TOLD_EVERY_NS:
            return
        # Once a second at most: with every turn there would be as many events as people wait.
        self._queue_shrank, self._told_ns = False, now_ns
        for position, chat in enumerate(self._queue, 1):
            if position < chat.told:
                chat.told = position
                self._outbox.append(Queued(chat, position, None, moved=True))

    def take(self) -> list[Change]:
        """What has happened since the last call, in order."""
        changes, self._outbox = self._outbox, []
        return changes

    def forget(self, now_ns: int) -> tuple[list[Chat], list[str]]:
        """Drops chats and operators that ended five minutes ago; returns the chats, and whose name nothing
        in here knows any more."""
        gone: list[Chat] = []
        while self._closed and now_ns - self._closed[0].closed_ns > KEPT_NS:
            chat = self._closed.popleft()
            del self._chats[chat.id]
            gone.append(chat)
        names = [chat.visitor for chat in gone] + self._operators.forget_idle(now_ns, KEPT_NS)
        return gone, [name for name in names if name not in self._open and not self._operators.find(name)]

    # -- questions

    def find(self, chat_id: str) -> Chat:
        """Raises Refusal CHAT_NOT_FOUND."""
        chat = self._chats.get(chat_id)
        if chat is None:
            raise Refusal("CHAT_NOT_FOUND", f"there is no chat {chat_id}")
        return chat

    def position(self, chat: Chat) -> int:
        """Its place in the queue, from 1; 0 if it does not wait."""
        return bisect_left(self._queue, chat.number, key=_number) + 1 if chat.state == "queued" else 0

    def of_user(self, user: str) -> list[Chat]:
        """The open chats of `user`, on either side."""
        operator, own = self._operators.find(user), self._open.get(user)
        return ([own] if own is not None else []) + (self._chats_of(operator) if operator is not None else [])

    def is_operator(self, user: str) -> bool:
        return self._operators.find(user) is not None

    def operators(self) -> list[str]:
        return self._operators.ids()

    def operators_online(self) -> list[str]:
        return self._operators.online()

    def counts(self) -> dict[str, int]:
        """`orphaned`: assigned to somebody who is gone, within their grace."""
        assigned = [chat for chat in self._open.values() if chat.state == "assigned"]
        orphaned = [chat for chat in assigned if not self._operators.is_here(chat.operator or "")]
        return {
            "open": len(self._open),
            "queued": len(self._queue),
            "assigned": len(assigned),
            "orphaned": len(orphaned),
        }

    # -- what follows

    def _expire(self, now_ns: int) -> None:
        visitors, operators = self._visitors.lose(now_ns), self._operators.lose(now_ns)
        if not visitors and not operators:
            return
        # Everybody who is lost by now goes before anything is given away: none of it to them, nor for them.
        for visitor in visitors:
            self._end(self._open[visitor], "visitor_gone", None, now_ns)
        waiting: list[Chat] = []
        for operator in operators:
            chats = self._chats_of(operator)
            waiting += self._release(operator)
            self._outbox.append(self._on_duty(operator, chats, None))
        self._assign_waiting()
        self._tell_waiting(waiting)

    def _assign_waiting(self) -> None:
        if not self.automatic or not self._queue or not self._operators.anybody_has_room():
            return
        for chat in list(self._queue):
            operator = self._operators.next_for(chat.visitor)
            if operator is not None:
                self._give(chat, operator, "assign", chat.meta)
            elif not self._operators.anybody_has_room():
                return

    def _tell_waiting(self, chats: Iterable[Chat]) -> None:
        for chat in chats:
            if chat.state == "queued":
                chat.told = self.position(chat)
                self._outbox.append(Queued(chat, chat.told, chat.meta))

    def _give(self, chat: Chat, operator: Operator, given: Input, meta: Meta) -> None:
        self._leave_queue(chat)
        chat.state, chat.operator = chat.after(given), operator.id
        operator.chats[chat.id] = chat.number
        self._outbox.append(Assigned(chat, operator.id, chat.reason, meta))

    def _release(self, operator: Operator) -> list[Chat]:
        chats = self._chats_of(operator)
        operator.chats.clear()
        for chat in chats:
            chat.state, chat.operator = chat.after("operator_gone"), None
            chat.reason, chat.meta = "reassigned", None
            insort(self._queue, chat, key=_number)
        return chats

    def _end(self, chat: Chat, given: Input, meta: Meta, now_ns: int) -> None:
        operator = self._operators.find(chat.operator) if chat.operator is not None else None
        if operator is not None:
            operator.chats.pop(chat.id, None)
        if chat.state == "queued":
            self._leave_queue(chat)
        chat.state, chat.closed_ns = chat.after(given), now_ns
        del self._open[chat.visitor]
        self._visitors.forget(chat.visitor)
        self._closed.append(chat)
        self._outbox.append(Closed(chat, meta))

    def _leave_queue(self, chat: Chat) -> None:
        del self._queue[self.position(chat) - 1]
        self._queue_shrank = True

    def _chats_of(self, operator: Operator) -> list[Chat]:
        return [self._chats[chat_id] for chat_id in sorted(operator.chats, key=operator.chats.__getitem__)]

    def _on_duty(self, operator: Operator, chats: list[Chat], meta: Meta) -> OnDuty:
        return OnDuty(operator.id, operator.status, len(operator.chats), operator.capacity, chats, meta)


def _number(chat: Chat) -> int:
    return chat.number
