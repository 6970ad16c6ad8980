"""What is one message under way?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member, Room

if TYPE_CHECKING:
    from loadtest.measure.recorder import Interval


class Entry:
    """A message under way. ``expected`` shrinks when a debt is excused; ``seen`` are the settled ones."""

    __slots__ = (
        "acked_ns",
        "deadline_ns",
        "deliver",
        "echo",
        "expected",
        "expired",
        "marker",
        "offline",
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
        "wants_ack",
    )

    acked_ns: int | None
    deadline_ns: int
    deliver: Interval
    echo: Interval | None
    expected: frozenset[Member]
    expired: bool
    marker: str
    offline: frozenset[Member]
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
    wants_ack: bool
