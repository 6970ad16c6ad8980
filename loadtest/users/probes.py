"""How is the generator itself doing? Without this, its own delays would be billed to the server.

Ten times a second a timer says how late it ran (the ticks it missed count too); once a second the process
says what it used. All of it goes into the Health of that second.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from loadtest.measure.units import MS, SECOND
from loadtest.users.link import Link
from loadtest.users.live import LiveRun

TICK_NS = 100 * MS
_PARTS = 9
"""Ticks of a second but for the one that ends it: so many parts do all links take to be looked at once."""
_MANY = 2000
"""Links that cost more than a millisecond to count."""
_STAT = Path("/proc/stat")


class Probes:
    """The timers that watch one process during one run; ``each_second`` is called about once a second."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        live.tick_ns = perf_counter_ns()
        self._due_ns = live.tick_ns + TICK_NS
        self._second_ns = perf_counter_ns()
        self._cpu_ns = time.process_time_ns()
        self._steal = _steal()
        self._gc_began_ns = 0
        self._gc_worst_ns = 0
        self._unchecked: list[Link] = []
        self._share = 0
        self._counting = self._counted = 0
        self._stopped = False
        gc.callbacks.append(self._collected)
        live.clock.call_at(self._due_ns, self._tick)

    def settle(self) -> None:
        """Close the second under way, whose gauges would read zero otherwise.

        The CPU share of a sliver of a second is noise: of one too short, only the connections are told.
        """
        now_ns = perf_counter_ns()
        if now_ns - self._second_ns >= SECOND // 2:
            self._gauge(now_ns)
        else:
            self._live.health.connections = self._connections()

    def stop(self) -> None:
        """Watch no more."""
        if not self._stopped:
            self._stopped = True
            gc.callbacks.remove(self._collected)

    def _tick(self) -> None:
        if self._stopped:
            return
        now_ns = perf_counter_ns()
        live = self._live
        live.stalls(live.tick_ns, now_ns)
        live.tick_ns = now_ns
        loop_lag = live.health.loop_lag
        # A loop that was stuck for a second missed nine ticks, each of them late in its own right.
        while self._due_ns <= now_ns:
            loop_lag.record(now_ns - self._due_ns)
            self._due_ns += TICK_NS
        try:
            # One or the other: what a second's end takes holds up everything else for long enough.
            if now_ns - self._second_ns >= SECOND:
                self._second(now_ns)
            else:
                self._check(self._share, now_ns)
        finally:
            live.clock.call_at(self._due_ns, self._tick)

    def _second(self, now_ns: int) -> None:
        live = self._live
        self._gauge(now_ns)
        live.health = live.recorder.health(now_ns)
        live.ledger.expire(now_ns)
        self._check(len(self._unchecked), now_ns)
        self._counted, self._counting = self._counting, 0
        self._unchecked = list(live.links)
        self._share = -(-len(self._unchecked) // _PARTS)
        live.each_second()

    def _check(self, several: int, now_ns: int) -> None:
        """Some of the links at a time: ten thousand in one go would hold up all else for 30 ms, each second."""
        links = self._live.links
        some, self._unchecked = self._unchecked[:several], self._unchecked[several:]
        for link in some:
            if link in links:
                link.check(now_ns)
                self._counting += link.sockets

    def _gauge(self, now_ns: int) -> None:
        live = self._live
        elapsed_ns = now_ns - self._second_ns
        cpu_ns, steal = time.process_time_ns(), _steal()
        health = live.health
        health.cpu_percent = 100 * (cpu_ns - self._cpu_ns) / elapsed_ns
        if steal is not None and self._steal is not None and steal[1] > self._steal[1]:
            health.steal_percent = 100 * (steal[0] - self._steal[0]) / (steal[1] - self._steal[1])
        health.gc_pause_ns, self._gc_worst_ns = self._gc_worst_ns, 0
        health.connections = self._connections()
        self._second_ns, self._cpu_ns, self._steal = now_ns, cpu_ns, steal

    def _connections(self) -> int:
        """Of many, as they were counted in the second before, a part at a time."""
        links = self._live.links
        if len(links) > _MANY and self._counted:
            return self._counted
        return sum(link.sockets for link in links)

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began_ns = perf_counter_ns()
        else:
            self._gc_worst_ns = max(self._gc_worst_ns, perf_counter_ns() - self._gc_began_ns)


def _steal() -> tuple[int, int] | None:
    """(stolen, all) ticks of the machine since boot; None where there is no such file."""
    try:
        fields = [int(field) for field in _STAT.read_text().partition("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return (fields[7], sum(fields)) if len(fields) == 8 else None
