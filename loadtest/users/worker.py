"""How does a run go in a process that has users, and a master elsewhere?"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import msgspec

from loadtest.measure.rows import encode_delta
from loadtest.users import facts, locust_stats
from loadtest.users.generating import Generating
from loadtest.users.live import Header
from loadtest.users.master import BEGIN_AHEAD_NS
from loadtest.users.options import read as read_settings


class WorkerHouse(Generating):
    """A process that has users and a master elsewhere."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.runner = runner
        self._final_sent = False

    def attach(self) -> None:
        """Hear Locust's events, and the master's messages."""
        events, runner = self.environment.events, self.runner
        events.test_start.add_listener(self.started)
        events.spawning_complete.add_listener(self.spawned)
        events.report_to_master.add_listener(self.reporting)
        events.quitting.add_listener(self.quitting)
        runner.register_message("rt_begin", self.begin)
        runner.register_message("rt_drain", self.drained, concurrent=True)

    def started(self, **_: Any) -> None:
        """The first spawn message of a run came, and with it the master's options and header."""
        options = self.environment.parsed_options
        self._final_sent = False
        if not getattr(options, "rt_header", None):
            self.end_live()
            return
        header = msgspec.convert(options.rt_header, Header)
        settings = read_settings(options, options.rt_host)
        same_clock = header.boot_id == facts.clock_id()
        # Another machine's clock says nothing here; there the start is when its message arrived.
        started_ns = header.started_ns if same_clock else perf_counter_ns()
        live = self.start_live(header, settings, str(self.runner.worker_index), started_ns)
        live.on_all_joined = self.all_joined

    def spawned(self, **_: Any) -> None:
        """The master says that all users everywhere have been started."""
        if self.live is not None:
            self.live.spawned()

    def all_joined(self) -> None:
        """Everybody here is in, or has given up."""
        self.runner.send_message("rt_joined", {"worker": str(self.runner.worker_index)})

    def begin(self, msg: Any, **_: Any) -> None:
        """The master says when the plan begins."""
        if self.live is not None:
            same_clock = self.live.header.boot_id == facts.clock_id()
            at_ns = msg.data["at_ns"] if same_clock else perf_counter_ns() + BEGIN_AHEAD_NS
            self.live.begin(at_ns)

    def reporting(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Locust reports to the master every few seconds; what is new rides along."""
        if self.live is not None and not self._final_sent:
            data["rt"] = self._delta(final=False)

    def _delta(self, final: bool) -> dict[str, Any]:
        assert self.live is not None
        delta = self.live.recorder.take(final)
        locust_stats.show(
            self.runner.stats, delta.rows, not self.live.settings.fire_deliveries, delta.counters
        )
        # Bytes of our own encoder: one number of an odd type in a dict would silence all of Locust's reports.
        return {"worker": self.live.worker, "run": self.live.header.run, "delta": encode_delta(delta)}

    def drained(self, msg: Any, **_: Any) -> None:
        """The master asks for the last word."""
        if self.live is not None:
            self.drain(bool(msg.data["early"]))
            self.last_word()

    def last_word(self) -> None:
        """Send what is left, once; nothing is recorded afterwards."""
        if self._final_sent or self.live is None:
            return
        self._final_sent = True
        self.live.close()
        self.runner.send_message("rt_final", {**self._delta(final=True), "facts": self.facts()})

    def quitting(self, **_: Any) -> None:
        """This process leaves, told or on its own account; goes out before Locust's own goodbye."""
        self.last_word()
        self.end_live()
