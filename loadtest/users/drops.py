"""What becomes of one lost connection? Kept while the way back goes on, then written as a row of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.measure import rows
from loadtest.measure.operations import Operation
from loadtest.measure.rows import Drop, Try
from loadtest.users.causes import Cause

if TYPE_CHECKING:
    from loadtest.measure.entry import Entry
    from loadtest.measure.faults import Occurrence
    from loadtest.measure.rooms import Member
    from loadtest.users.device import Device


class DropRecord:
    """One drop under way. Moments are ns of the clock; None: not yet."""

    def __init__(
        self, device: Device, cause: Cause, detail: str, at_ns: int, fault: Occurrence | None
    ) -> None:
        self._live = device.live
        self._device = device
        self._cause = cause
        self._detail = detail
        self._connected_ns = at_ns - device.opened_ns
        self._transport = device.member.transport
        self._fault = fault
        self._finished = False
        self._probes: set[str] = set()
        self.at_ns = at_ns
        self.outcome = rows.OPEN
        self.tries: list[Try] = []
        self.back_ns: int | None = None
        self.rejoined_ns: int | None = None
        self.heard_ns: int | None = None
        self.first_ns: int | None = None
        self.rooms = self.proven = self.missed = self.resynced = self.resent = self.buffered = 0
        self.state_recovered = False
        self._live.dropped(self)

    @property
    def provoked(self) -> bool:
        """Whether the run itself did it."""
        return self._fault is not None

    @property
    def struck_ns(self) -> int | None:
        """When the run did it, which may be long before that is found out; None: it did not."""
        if self._fault is None:
            return None
        # What is injected by a clock of its own may be found out a little before it was planned.
        return min(self._live.strikes.moment_ns(self._fault), self.at_ns)

    def tried(self, waited_ns: int, late_ns: int, began_ns: int, ended_ns: int, cause: Cause | None) -> None:
        """An attempt is over; ``cause`` None: it worked."""
        since_ns = began_ns - self._live.plan.started_ns
        said = "" if cause is None else cause.value
        self.tries.append(Try(waited_ns, late_ns, since_ns, ended_ns - began_ns, said))

    def restored(self, messages: int) -> None:
        """The rejoining of a room brought so many that had been missed; that holds though the next room fails."""
        self.missed += messages
        self.resynced += messages

    def probe(self, marker: str) -> None:
        """A probe is on its way through one of the rooms."""
        self._probes.add(marker)

    def heard(self, entry: Entry, member: Member, read_ns: int) -> None:
        """Something came, while this drop is the newest of its device."""
        if self.back_ns is None:
            return
        if entry.operation is Operation.SESSION_RESUME:
            if entry.marker in self._probes:
                self._probes.discard(entry.marker)
                self.proven += 1
                if not self._probes:
                    self.heard_ns = read_ns
        elif self.first_ns is None and entry.sender is not member and entry.sent_ns > self.back_ns:
            self.first_ns = read_ns
        if self.heard_ns is not None and self.first_ns is not None:
            self.finish()

    def stay(self) -> None:
        """Nobody comes back from this."""
        self.outcome = rows.STAYED
        self.finish()

    def finish(self) -> None:
        """Write it down, once; what has not come by now is told as not come."""
        if self._finished:
            return
        self._finished = True
        if self._device.closed and self.outcome == rows.OPEN:
            self.outcome = rows.LEFT
        if self._device.drop is self:
            self._device.drop = None
        self._live.drop_finished(self, self._row())

    def _row(self) -> Drop:
        start_ns = self._live.plan.started_ns

        def since_start(moment_ns: int | None) -> int | None:
            return None if moment_ns is None else moment_ns - start_ns

        fault = self._fault
        return Drop(
            user=self._device.member.name,
            transport=self._transport,
            at_ns=self.at_ns - start_ns,
            cause=self._cause.value,
            detail=_writable(self._detail),
            connected_ns=self._connected_ns,
            outcome=self.outcome,
            fault="" if fault is None else fault.name,
            fault_ns=since_start(self.struck_ns),
            tries=self.tries,
            back_ns=since_start(self.back_ns),
            rejoined_ns=since_start(self.rejoined_ns),
            heard_ns=since_start(self.heard_ns),
            first_ns=since_start(self.first_ns),
            rooms=self.rooms,
            proven=self.proven,
            missed=self.missed,
            resynced=self.resynced,
            resent=self.resent,
            buffered=self.buffered,
            state_recovered=self.state_recovered,
        )


def _writable(text: str) -> str:
    """What a server said, without the lone surrogates that JSON may carry and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode()
