"""Which operators are on duty, and who of them takes the next chat?"""

from dataclasses import dataclass, field
from typing import Literal

from loadtest.targets.reference.attendance import Attendance, State

Status = Literal["online", "away", "offline"]
DEFAULT_CAPACITY = 5


@dataclass(eq=False, slots=True)
class Operator:
    """`declared` is what they said last, `chats` those they have, by id, with the numbers of their starts.

    Whoever has been online longer has the smaller `turn`; `idle_ns` is when they went off duty, None while
    they are on it.
    """

    id: str
    declared: Status = "offline"
    capacity: int = DEFAULT_CAPACITY
    chats: dict[str, int] = field(default_factory=dict)
    turn: int = 0
    idle_ns: int | None = None

    @property
    def status(self) -> Status:
        """As everybody is told: who is lost counts as offline."""
        return "offline" if self.idle_ns is not None else self.declared


class Operators:
    """Everybody who has declared a status and was not forgotten since.

    Who is gone keeps their chats and gets no new one. Who is lost is off duty, and what they declared holds
    again when they come back.
    """

    def __init__(self, grace_ns: int) -> None:
        self._known: dict[str, Operator] = {}
        self._attendance = Attendance(grace_ns)
        self._turns = 0

    def find(self, user: str) -> Operator | None:
        return self._known.get(user)

    def ids(self) -> list[str]:
        return list(self._known)

    def online(self) -> list[str]:
        return [operator.id for operator in self._known.values() if operator.status == "online"]

    def declare(
        self, user: str, status: Status, capacity: int | None, *, by_socket: bool, now_ns: int
    ) -> Operator:
        """What `user` says of themselves. Without a capacity the one before holds, at first
        DEFAULT_CAPACITY."""
        operator = self._known.get(user)
        if operator is None:
            operator = self._known[user] = Operator(user, idle_ns=now_ns)
        before = operator.status
        operator.declared = status
        if capacity is not None:
            operator.capacity = capacity
        if status == "offline":
            operator.idle_ns = now_ns
            self._attendance.forget(user)
        else:
            operator.idle_ns = None
            self._attendance.seen(user, by_socket=by_socket, now_ns=now_ns)
        self._take_turn(operator, before)
        return operator

    def seen(self, user: str, *, by_socket: bool, now_ns: int) -> State | None:
        """A sign of life; returns what they were before it, None if nobody waits for them."""
        operator = self._known.get(user)
        if operator is None or operator.declared == "offline":
            return None
        before = self._attendance.seen(user, by_socket=by_socket, now_ns=now_ns)
        if before == "lost":
            operator.idle_ns = None
            self._take_turn(operator, "offline")
        return before

    def went(self, user: str, now_ns: int) -> None:
        """The last socket of `user` is gone."""
        self._attendance.went(user, now_ns)

    def lose(self, now_ns: int) -> list[Operator]:
        """Who has been gone for longer than is forgiven; they are off duty from now on."""
        lost = [self._known[user] for user in self._attendance.lose(now_ns)]
        for operator in lost:
            operator.idle_ns = now_ns
        return lost

    def is_here(self, user: str) -> bool:
        return self._attendance.is_here(user)

    def has_room(self, operator: Operator) -> bool:
        """Could they take one more chat now?"""
        on_duty = operator.status == "online" and self._attendance.is_here(operator.id)
        return on_duty and len(operator.chats) < operator.capacity

    def next_for(self, visitor: str) -> Operator | None:
        """The least busy with room, among equals the longest online; nobody chats with themselves."""
        free = [one for one in self._known.values() if one.id != visitor and self.has_room(one)]
        return min(free, key=lambda one: (len(one.chats), one.turn), default=None)

    def anybody_has_room(self) -> bool:
        return any(self.has_room(operator) for operator in self._known.values())

    def forget_idle(self, now_ns: int, after_ns: int) -> list[str]:
        """Drops those who have been off duty for that long; returns who it was."""
        idle = [
            one.id
            for one in self._known.values()
            if one.idle_ns is not None and now_ns - one.idle_ns > after_ns
        ]
        for user in idle:
            del self._known[user]
            self._attendance.forget(user)
        return idle

    def _take_turn(self, operator: Operator, before: Status) -> None:
        if operator.status == "online" and before != "online":
            self._turns += 1
            operator.turn = self._turns
