"""When may Python look for garbage that refers to itself?

Not while a run measures: looking through what thousands of users own takes 100 ms, in which nothing is sent and
nothing read. What does not refer to itself goes at once, as ever. A message leaves nothing else behind, a lost
connection a few objects that refer to one another. A process that grows all the same is looked through when it has
grown by a quarter.
"""

from __future__ import annotations

import gc
from time import perf_counter_ns

import psutil

from loadtest.measure.units import SECOND
from loadtest.users.clock import Clock

_GROWN, _AT_LEAST = 1.25, 64 << 20
"""A process may grow by this factor, and by so many bytes, before it is looked through."""


class Garbage:
    """The collections of one process during one run, whose clock it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process = psutil.Process()
        self._most_bytes = 0
        self._put_off = False

    def put_off(self) -> None:
        """From here on it is looked for only if the process grows. Who has switched that off has it their way."""
        if gc.isenabled():
            self._put_off = True
            gc.disable()
            self._allow()

    def end(self) -> None:
        """As before."""
        if self._put_off:
            self._put_off = False
            gc.enable()

    def _allow(self) -> None:
        """What is there now stays, and need not be looked through again."""
        gc.freeze()
        now_bytes = self._resident()
        self._most_bytes = max(round(_GROWN * now_bytes), now_bytes + _AT_LEAST)
        self._later()

    def _later(self) -> None:
        self._clock.call_at(perf_counter_ns() + SECOND, self._look)

    def _look(self) -> None:
        if self._resident() <= self._most_bytes:
            self._later()
            return
        gc.collect()
        self._allow()

    def _resident(self) -> int:
        """Bytes."""
        return int(self._process.memory_info().rss)
