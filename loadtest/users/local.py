"""How does a run go in one process, which both has the users and keeps the book?"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from loadtest.measure import run as run_files
from loadtest.users import locust_stats
from loadtest.users.generating import Generating
from loadtest.users.keeping import Keeping


class LocalHouse(Generating, Keeping):
    """One process that does both."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.runner = runner

    def attach(self) -> None:
        """Hear Locust's events."""
        events = self.environment.events
        if self.environment.web_ui is None:
            self.preflight_or_leave()
        self.show()
        events.test_start.add_listener(self.started)
        events.spawning_complete.add_listener(self.spawned)
        events.test_stopping.add_listener(self.stopping)
        events.test_stop.add_listener(self.stopped)
        events.quitting.add_listener(self.quitting)

    def started(self, **_: Any) -> None:
        """Users are about to be spawned."""
        header = self.start_book()
        if header is None:
            self.end_live()
            return
        assert self.settings is not None
        live = self.start_live(header, self.settings, "0", header.started_ns)
        # One clock, one plan: what the users wait for is what the book is written by.
        self.follow(live.plan)
        live.on_all_joined = lambda: live.begin(perf_counter_ns())
        live.each_second = self.collect

    def collect(self, final: bool = False) -> None:
        """Put what is new into the book."""
        if self.live is not None:
            delta = self.live.recorder.take(final)
            self.take_in(self.live.worker, delta)
            locust_stats.show(
                self.runner.stats, delta.rows, not self.live.settings.fire_deliveries, delta.counters
            )

    def spawned(self, user_count: int, **_: Any) -> None:
        """All users have been started."""
        self._peak_users = max(self._peak_users, user_count)
        if self.live is not None:
            self.live.spawned()

    def stopping(self, **_: Any) -> None:
        """The run ends; its users are still there."""
        if self.live is None or self.live.closed:
            return
        self.note_end()
        self.drain(self._early)
        self.collect(final=True)

    def stopped(self, **_: Any) -> None:
        """The users are gone."""
        if self.header is None or self.live is None:
            return
        worker = run_files.Worker(self.live.worker, True, self.facts())
        # First: making the page takes seconds, in which the web UI may start a run with a life of its own.
        self.end_live()
        self.write_run([worker])
