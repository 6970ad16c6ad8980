"""Which deliveries are worth a look?"""

from __future__ import annotations

from collections.abc import Callable

from loadtest.measure.entry import Entry
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member
from loadtest.measure.rows import EXEMPLARS, Exemplar


class Exemplars:
    """The deliveries of measure that are worth a look: the slowest, and some of those that went wrong."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._noted: dict[str, int] = {}
        self._slowest: list[int] = []
        self.floor_ns = -1
        self.describe_fault: Callable[[int], str | None] = lambda now_ns: None

    def slow(self, entry: Entry, member: Member, read_ns: int) -> None:
        """A delivery slower than the slowest known but a few."""
        if entry.operation is not Operation.MESSAGE_DELIVER or member is entry.sender:
            return
        if self._recorder.plan.phase(entry.planned_ns) is not Phase.MEASURE:
            return
        self._recorder.exemplar(self._exemplar("slow", entry, member, read_ns))
        self._slowest = sorted([*self._slowest, read_ns - entry.planned_ns], reverse=True)[:EXEMPLARS]
        if len(self._slowest) == EXEMPLARS:
            self.floor_ns = self._slowest[-1]

    def note(self, outcome: str, entry: Entry, member: Member, read_ns: int | None) -> None:
        """A delivery that did not come, or came to somebody who was not owed it."""
        noted = self._noted.get(outcome, 0)
        if noted < EXEMPLARS and not entry.operation.volatile:
            self._noted[outcome] = noted + 1
            self._recorder.exemplar(self._exemplar(outcome, entry, member, read_ns))

    def _exemplar(self, outcome: str, entry: Entry, member: Member, read_ns: int | None) -> Exemplar:
        plan = self._recorder.plan
        start = plan.started_ns
        arrived = member.arrived_ns if read_ns is not None else None
        return Exemplar(
            outcome,
            entry.operation.value,
            member.transport,
            plan.phase(entry.planned_ns).value,
            entry.room.name,
            entry.sender.name,
            member.name,
            entry.sequence,
            entry.planned_ns - start,
            entry.sent_ns - start,
            None if arrived is None else arrived - start,
            None if read_ns is None else read_ns - start,
            member.connection,
            self.describe_fault(entry.planned_ns),
        )
