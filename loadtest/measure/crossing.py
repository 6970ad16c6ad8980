"""How is something settled that one process sends and another reads?

A live chat whose operator is elsewhere cannot be settled in one table. The marker of what is written there carries
its moments, and the two halves add up when the processes do: the sender counts it as expected and lost, whoever
reads it as delivered and one less lost. Both must have the same clock.
"""

from __future__ import annotations

from loadtest.measure.operations import Operation
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member
from loadtest.measure.units import US

CROSSING = "crossing."
"""Begins the counters, one per operation, of what left for another process: lost only until that one is heard."""


class Crossing:
    """What crosses between this process and others. run: the id that starts every marker of the run."""

    def __init__(self, recorder: Recorder, run: str, deadline_ns: int) -> None:
        self._recorder = recorder
        self._run = run
        self._deadline_ns = deadline_ns
        self._seen: set[tuple[str, Operation, Member]] = set()

    def marker(self, member: Member, planned_ns: int, sent_ns: int) -> str:
        """A marker that says when, in microseconds of the run, and by whom."""
        start = self._recorder.plan.started_ns
        moments = f"{(planned_ns - start) // US}.{(sent_ns - start) // US}"
        return f"{self._run}:{member.name}@{moments}:{member.sequence}"

    def sent(self, operation: Operation, transport: str, planned_ns: int) -> None:
        """Something left for one receiver elsewhere, which will take it back from the lost."""
        self._owe(operation, transport, planned_ns, 1)
        self._recorder.count(f"{CROSSING}{operation.value}")

    def recalled(self, operation: Operation, transport: str, planned_ns: int) -> None:
        """It did not go elsewhere after all. It has left as lost, so what was counted then still holds."""
        self._owe(operation, transport, planned_ns, -1)

    def _owe(self, operation: Operation, transport: str, planned_ns: int, by: int) -> None:
        interval = self._recorder.interval(operation.value, transport, planned_ns)
        interval.expected += by
        interval.lost += by

    def came(self, marker: str, operation: Operation, member: Member, read_ns: int, merged: bool) -> bool:
        """Whether a marker of this run is another process's; settles what that one cannot settle.

        merged: it came with what was kept, or on one of two ways at once: read twice, it is no duplicate.
        """
        sender, _, moments = marker.split(":")[1].partition("@")
        worker, dot, _ = sender.partition(".")
        if not dot or worker == self._recorder.worker:
            return False
        planned, _, sent = moments.partition(".")
        if not (planned.isdigit() and sent.isdigit()):
            self._recorder.count("elsewhere")  # the other process knows nothing of this receiver
            return True
        start = self._recorder.plan.started_ns
        planned_ns, sent_ns = start + int(planned) * US, start + int(sent) * US
        interval = self._recorder.interval(operation.value, member.transport, planned_ns)
        key = marker, operation, member
        if key in self._seen:
            if merged:
                self._recorder.count("merged")
            else:
                interval.duplicate += 1
            return True
        self._seen.add(key)
        interval.lost -= 1
        if read_ns > sent_ns + self._deadline_ns:
            interval.late += 1
        else:
            interval.record_latency(read_ns - planned_ns)
            interval.record_service(read_ns - sent_ns)
        return True
