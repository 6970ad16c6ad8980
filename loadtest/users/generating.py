"""What does a process with users do at the edges of a run?"""

from __future__ import annotations

import os
import platform
from time import perf_counter_ns
from typing import Any

import gevent

from loadtest.users import facts, limits
from loadtest.users.garbage import Garbage
from loadtest.users.live import Header, LiveRun
from loadtest.users.options import Settings
from loadtest.users.probes import Probes
from loadtest.users.target import contract_of, locate


class Generating:
    """The half of a House that has users."""

    environment: Any
    live: LiveRun | None = None
    _probes: Probes | None = None
    _garbage: Garbage | None = None

    def start_live(self, header: Header, settings: Settings, worker: str, started_ns: int) -> LiveRun:
        """Make what the users of this run need."""
        self.end_live()
        place = locate(settings.host, verify=not settings.insecure)
        contract = contract_of(settings)
        live = LiveRun(self.environment, header, settings, contract, place, worker, started_ns)
        self._garbage = Garbage(live.clock)
        live.on_measure = self._garbage.put_off
        self.live = self.environment.rt_live = live
        self._probes = Probes(live)
        return live

    def drain(self, early: bool) -> None:
        """Stop sending; wait for what is under way, unless the plan's drain has passed or time is short."""
        live = self.live
        if live is None or live.closed:
            return
        was_held = live.held
        live.hold()
        patience_ns = 0 if early or was_held else live.plan.drain_ns
        until_ns = perf_counter_ns() + patience_ns
        while live.ledger.under_way and perf_counter_ns() < until_ns:
            gevent.sleep(0.05)
        if self._probes is not None:
            self._probes.settle()
        live.close()

    def end_live(self) -> None:
        """Give back timers and descriptors."""
        if self._probes is not None:
            self._probes.stop()
            self._probes = None
        if self._garbage is not None:
            self._garbage.end()
            self._garbage = None
        if self.live is not None:
            self.live.stop_timers()
            self.live = self.environment.rt_live = None

    def facts(self) -> dict[str, Any]:
        """This process, for the manifest."""
        whose = {"pid": os.getpid(), "host": platform.node(), "clock": facts.clock_id()}
        # What only a master knows of a worker; of a process of its own there is nothing to know.
        return {**whose, "clock_offset": None, "joined_ns": None, **limits.descriptors()}
