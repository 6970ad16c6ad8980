"""How does a run go in the process that keeps the book, while the users are elsewhere?"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import gevent
import msgspec

from loadtest.measure import run as run_files
from loadtest.measure.rows import decode_delta
from loadtest.measure.units import SECOND
from loadtest.users.keeping import Keeping

BEGIN_AHEAD_NS = SECOND // 2
"""How far ahead of time the begin is announced: longer than the message takes to any worker."""
_LAST_WORD_S = 10.0


class MasterHouse(Keeping):
    """A process that has workers elsewhere and no users of its own."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.runner = runner
        self._joined: set[str] = set()
        self._spawned = False
        self._workers: dict[str, dict[str, Any]] = {}
        self._stopping = False

    def attach(self) -> None:
        """Hear Locust's events, and the workers' messages."""
        events, runner = self.environment.events, self.runner
        if self.environment.web_ui is None:
            self.preflight_or_leave()
        events.test_start.add_listener(self.started)
        events.spawning_complete.add_listener(self.spawned)
        events.worker_report.add_listener(self.report)
        events.test_stopping.add_listener(self.stopping)
        events.test_stop.add_listener(self.stopped)
        events.quitting.add_listener(self.quitting)
        runner.register_message("rt_joined", self.joined)
        runner.register_message("rt_final", self.final)

    def started(self, **_: Any) -> None:
        """Workers are about to be told to spawn; the header goes with the options they get."""
        self._joined, self._workers = set(), {}
        self._spawned = self._stopping = False
        header = self.start_book()
        if header is not None:
            self._expect_workers()
            self.follow(self.plan)
        options = self.environment.parsed_options
        options.rt_header = None if header is None else msgspec.to_builtins(header)
        options.rt_host = self.environment.host

    def _expect_workers(self) -> None:
        """All who are told to spawn: one that dies before its first report must not pass for never there."""
        clients = self.runner.clients
        for node in (*clients.ready, *clients.spawning, *clients.running):
            name = str(self.runner.get_worker_index(node.id))
            self._workers[node.id] = {"name": name, "final": False, "facts": {}}

    def spawned(self, user_count: int, **_: Any) -> None:
        """All users everywhere have been started."""
        self._peak_users = max(self._peak_users, user_count)
        self._spawned = True
        self._begin_if_all_joined()

    def joined(self, msg: Any, **_: Any) -> None:
        """One worker's users are all in."""
        self._joined.add(msg.node_id)
        self._begin_if_all_joined()

    def _begin_if_all_joined(self) -> None:
        if self.header is None or self.plan.begun_ns is not None or not self._spawned:
            return
        if self._live_workers() <= self._joined:
            at_ns = perf_counter_ns() + BEGIN_AHEAD_NS
            self.plan.begin(at_ns)
            self.runner.send_message("rt_begin", {"at_ns": at_ns})

    def _live_workers(self) -> set[str]:
        clients = self.runner.clients
        return {one.id for one in (*clients.running, *clients.spawning)}

    def report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """What a worker has to add."""
        if "rt" in data:
            self._add(client_id, data["rt"])
        # A worker that died on its way in is waited for no longer, and nothing else would say so.
        self._begin_if_all_joined()

    def final(self, msg: Any, **_: Any) -> None:
        """A worker's last word."""
        if self._add(msg.node_id, msg.data):
            self._workers[msg.node_id]["final"] = True
            self._workers[msg.node_id]["facts"] = msg.data["facts"]

    def _add(self, node: str, part: dict[str, Any]) -> bool:
        if self.header is None or part["run"] != self.header.run:
            return False
        # Set, not only if new: a worker that was asked for its last word before its first went by its node.
        self._workers.setdefault(node, {"final": False, "facts": {}})["name"] = part["worker"]
        self.take_in(part["worker"], decode_delta(part["delta"]))
        return True

    def stopping(self, **_: Any) -> None:
        """Ask every worker for its last word and wait for it; a dead one is not waited for."""
        if self.header is None or self._stopping:
            return
        self._stopping = True
        self.note_end()
        self.plan.hold(perf_counter_ns())
        wanted = self._live_workers()
        for node in wanted:
            self._workers.setdefault(node, {"name": node, "final": False, "facts": {}})
        self.runner.send_message("rt_drain", {"early": self._early})
        until_ns = perf_counter_ns() + self.plan.drain_ns + round(_LAST_WORD_S * SECOND)
        while perf_counter_ns() < until_ns:
            clients = self.runner.clients
            waiting = [
                node
                for node in wanted
                if not self._workers[node]["final"] and node in clients and clients[node].state != "missing"
            ]
            if not waiting:
                break
            gevent.sleep(0.02)

    def stopped(self, **_: Any) -> None:
        """The workers have been told to stop."""
        workers = [
            run_files.Worker(one["name"], one["final"], one["facts"]) for one in self._workers.values()
        ]
        self.write_run(sorted(workers, key=lambda one: one.name))
