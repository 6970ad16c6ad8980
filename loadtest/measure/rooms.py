"""Who is in which conversation, and since when for sure?"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from loadtest.measure.servers import Stops

if TYPE_CHECKING:
    from loadtest.measure.entry import Entry
    from loadtest.measure.operations import Operation


_FOR_NOW = (1 << 63) - 1


class Member:
    """A user as the ledger knows it; compared by identity.

    ``ordered``: frames reach it in the order in which the server emitted them (a socket, not a feed), so a
    delivery read after the leave was acked was also emitted after it.
    ``arrived_ns``: the kernel's stamp of the frame being read, for exemplars.
    ``merging``: it reads from two connections for a moment, so that a second copy is its own doing.
    ``provoked``: it is out of reach because the run itself injected a fault.
    ``outages``: when it was, now and before, in ns: what was on its way then may have been lost by that.
    ``stops``: the servers it has been on, where the target says which that is.
    """

    __slots__ = (
        "arrived_ns",
        "connected",
        "connection",
        "merging",
        "name",
        "ordered",
        "outages",
        "provoked",
        "rooms",
        "sequence",
        "stops",
        "transport",
    )

    def __init__(self, name: str, transport: str, ordered: bool = True) -> None:
        self.name = name
        self.transport = transport
        self.ordered = ordered
        self.connected = self.merging = self.provoked = False
        self.connection = ""
        self.arrived_ns: int | None = None
        self.sequence = 0
        self.rooms: dict[str, Room] = {}
        self.outages: list[tuple[int, int]] = []
        self.stops = Stops()

    def cut_off(self, from_ns: int) -> None:
        """The run itself has put it out of reach; from when that may have cost something."""
        self.provoked = True
        self.outages.append((from_ns, _FOR_NOW))

    def in_reach(self, now_ns: int) -> None:
        """It is back, whoever had put it out of reach."""
        self.provoked = False
        if self.outages and self.outages[-1][1] == _FOR_NOW:
            self.outages[-1] = self.outages[-1][0], now_ns

    def was_out(self, sent_ns: int) -> bool:
        """Whether the run itself had put it out of reach then."""
        return any(from_ns <= sent_ns <= until_ns for from_ns, until_ns in self.outages)


class Stay:
    """One member's time in one room; None: not yet."""

    __slots__ = ("join_acked_ns", "join_requested_ns", "leave_acked_ns", "leave_requested_ns")

    def __init__(self, now_ns: int) -> None:
        self.join_requested_ns = now_ns
        self.join_acked_ns: int | None = None
        self.leave_requested_ns: int | None = None
        self.leave_acked_ns: int | None = None

    def may_have_met(self, sent_ns: int, acked_ns: int | None) -> bool:
        """Whether the server may have handled a message, somewhere in [sent, acked], during this stay."""
        joined_in_time = acked_ns is None or self.join_requested_ns <= acked_ns
        return joined_in_time and (self.leave_acked_ns is None or sent_ns <= self.leave_acked_ns)

    def over_by(self, read_ns: int) -> bool:
        """Whether the server had let the member out before ``read_ns``."""
        return self.leave_acked_ns is not None and read_ns > self.leave_acked_ns


class Room:
    """Who is in a conversation, and which of its messages are under way.

    ``stays``: of each member the stay under way and those before it that may still matter, oldest first.
    ``orders``: of each sender and operation the newest number that each member has read.
    """

    __slots__ = ("_online", "entries", "members", "name", "orders", "stays")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[Member, None] = {}  # ordered, for reproducible choices
        self.stays: dict[Member, list[Stay]] = {}
        self.entries: deque[Entry] = deque()
        self.orders: dict[tuple[Member, Operation], dict[Member, int]] = {}
        self._online: tuple[frozenset[Member], frozenset[Member]] | None = None

    def changed(self) -> None:
        """Somebody came, went, connected or was lost: ``present`` must be worked out again."""
        self._online = None

    @property
    def present(self) -> tuple[frozenset[Member], frozenset[Member]]:
        """(connected, offline) members."""
        if self._online is None:
            online = frozenset(m for m in self.members if m.connected)
            self._online = online, frozenset(self.members) - online
        return self._online

    def owes(self, member: Member) -> bool:
        """Whether something said here is still on its way to the member."""
        return any(member in one.expected and member not in one.seen for one in self.entries)

    def awaits(self, member: Member) -> bool:
        """Whether something that the member said here has neither been acked nor reached everybody."""
        return any(
            one.sender is member and one.acked_ns is None and not one.expected <= one.seen
            for one in self.entries
        )
