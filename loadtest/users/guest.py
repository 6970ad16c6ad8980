"""What does a master know of one of its workers?"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import msgspec
from gevent.event import AsyncResult, Event

from loadtest.measure.clocks import estimate
from loadtest.measure.units import SECOND
from loadtest.users import facts
from loadtest.users.clock_asking import BURST, ClockAsking
from loadtest.users.hello import Hello
from loadtest.users.target import Target

_FEW = 8
"""Exchanges that show whether two processes of one boot have one clock indeed: copies of a machine have not."""
_BEFORE_NS = 60 * SECOND
"""Bursts from before a run that still belong to its clocks."""


class Guest:
    """One worker.

    ask: sends it a question about its clock. said: None as long as it said nothing. met: it was asked for its
    clock. refusal: why it may not take part. target: what it found there; None: it is in no run. offset_ns: how
    far its clock is ahead of ours, as it was told when it was let in.
    """

    def __init__(self, node: str, index: int, ask: Callable[[dict[str, Any]], object]) -> None:
        self.node = node
        self.index = index
        self.asking = ClockAsking(ask)
        self.met = Event()
        self.examined: AsyncResult = AsyncResult()
        self.said: Hello | None = None
        self.refusal: str | None = None
        self.target: Target | None = None
        self.one_clock = False
        self.offset_ns = 0
        self._asked_ns = 0

    @property
    def name(self) -> str:
        """As people know it: by its machine; Locust puts that before the number it gives."""
        host = self.node.rpartition("_")[0] if self.said is None else self.said.host
        return f"worker {self.index} on {host or self.node}"

    @property
    def ours(self) -> bool:
        """Whether it is a child of this process, as with --processes: it shares our terminal, and our end."""
        return self.one_clock and self.said is not None and self.said.parent == os.getpid()

    def ask_clock(self) -> bool:
        """See how its clock is; False: it does not answer. Blocks."""
        same_name = self.said is not None and self.said.clock == facts.clock_id()
        found = self.asking.burst(_FEW if same_name else BURST)
        if found is None:
            return False
        self._asked_ns = perf_counter_ns()
        self.one_clock = same_name and found.one_clock
        self.offset_ns = 0 if self.one_clock else found.offset_ns
        return True

    def stale(self, after_ns: int) -> bool:
        """Whether it is a foreign clock that was last asked longer ago than that."""
        return not self.one_clock and perf_counter_ns() - self._asked_ns > after_ns

    def facts(self, started_ns: int) -> dict[str, Any]:
        """Its machine and its clock, for the manifest; started_ns: of the run that ends."""
        bursts = [one for one in self.asking.bursts if one.at_ns >= started_ns - _BEFORE_NS]
        offset = None
        if not self.one_clock and bursts:
            used_ns = None if self.target is None else self.offset_ns
            offset = msgspec.to_builtins(estimate(bursts, started_ns, perf_counter_ns(), used_ns))
        said = self.said
        told = {} if said is None else {"pid": said.pid, "host": said.host, "clock": said.clock}
        return {**told, "clock_offset": offset}
