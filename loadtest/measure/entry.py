"""What is one message under way?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room

if TYPE_CHECKING:
    from loadtest.measure.recorder import Interval


class Audience(NamedTuple):
    """To whom something is sent that is not said to a room.

    owed: who must get it, the sender among them if it must. open_to: who may get it; a copy counts as expected
    from the moment it comes, or from ``Ledger.owe``. legal: whose copy is counted nowhere; the sender's always.
    away: who is not connected, and must get it with what is restored.
    """

    owed: frozenset[Member]
    open_to: frozenset[Member] = frozenset()
    legal: frozenset[Member] = frozenset()
    away: frozenset[Member] = frozenset()


class Entry:
    """A message under way. ``expected`` shrinks when a debt is excused; ``seen`` are the settled ones.

    open_to: who may get a copy without being owed one. legal: whose copy is nobody's business. transport: how
    the sender was connected; by now it may be connected otherwise, and still the row is this one's. server: which
    of several the sender was on, of a message; empty where nobody says.
    """

    __slots__ = (
        "acked_ns",
        "deadline_ns",
        "deliver",
        "echo",
        "expected",
        "expired",
        "legal",
        "marker",
        "offline",
        "open_to",
        "operation",
        "order",
        "planned_ns",
        "refused",
        "resync",
        "room",
        "seen",
        "sender",
        "sent_ns",
        "sequence",
        "server",
        "transport",
        "wants_ack",
    )

    acked_ns: int | None
    deadline_ns: int
    deliver: Interval
    echo: Interval | None
    expected: frozenset[Member]
    expired: bool
    legal: frozenset[Member]
    marker: str
    offline: frozenset[Member]
    open_to: frozenset[Member]
    operation: Operation
    order: dict[Member, int]
    planned_ns: int
    refused: bool
    resync: Interval | None
    room: Room
    seen: set[Member]
    sender: Member
    sent_ns: int
    sequence: int
    server: str
    transport: str
    wants_ack: bool
