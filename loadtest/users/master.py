"""How does a run go in the process that keeps the book, while the users are elsewhere?

Its clock is the clock of the run. It need not reach the target: the workers look at it, and say what they found.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec

from loadtest.contract import Contract
from loadtest.measure import run as run_files
from loadtest.measure.rows import decode_delta
from loadtest.measure.units import SECOND
from loadtest.users.connection import Place
from loadtest.users.guest import Guest
from loadtest.users.keeping import Keeping, leave
from loadtest.users.muster import Muster, Order
from loadtest.users.options import Settings, SettingsError
from loadtest.users.ramp import Over, Ramp
from loadtest.users.staging import most_users
from loadtest.users.target import Refused, Target, is_loopback, locate, may_load

BEGIN_AHEAD_NS = SECOND // 2
"""How far ahead of time the begin is announced: longer than the message takes to any worker."""
_LAST_WORD_S = 10.0
logger = logging.getLogger(__name__)


class MasterHouse(Keeping):
    """A process that has workers elsewhere and no users of its own."""

    muster: Muster

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.runner = runner
        self._ramp = Ramp(runner)
        self._joined: set[str] = set()
        self._begun: set[str] = set()
        self._spawned = False
        self._workers: dict[str, dict[str, Any]] = {}
        self._stopping = False

    def attach(self) -> None:
        """Hear Locust's events, and the workers' messages."""
        events, runner = self.environment.events, self.runner
        if self.environment.web_ui is None:
            try:
                self.forecheck()
            except (Refused, SettingsError) as error:
                leave(str(error))
        self.show()
        self.muster = Muster(self.environment, runner, self.expect, self.sent_away)
        events.test_start.add_listener(self.started)
        events.spawning_complete.add_listener(self.spawned)
        events.worker_report.add_listener(self.report)
        events.test_stopping.add_listener(self.stopping)
        events.test_stop.add_listener(self.stopped)
        events.quitting.add_listener(self.quitting)
        runner.register_message("rt_joined", self.joined)
        runner.register_message("rt_final", self.final)

    # -- before a run -----------------------------------------------------------------------------------

    def find(self, settings: Settings, contract: Contract) -> Place | None:
        """Where the target is; None: known to the workers alone, and it was said that load may be put on it."""
        try:
            place = locate(settings.host, verify=not settings.insecure)
        except Refused:
            if settings.allow_remote:
                return None
            raise
        may_load(place, settings, contract.signs)
        return place

    def visit(self, settings: Settings, contract: Contract, place: Place | None) -> Target:
        """What the workers find there. Raises Refused where none of them may take part."""
        options = self.environment.parsed_options
        flags = {name: value for name, value in vars(options).items() if name.startswith("rt_")}
        for ours in ("rt_header", "rt_host"):
            flags.pop(ours, None)
        # Somebody may have been asked, and have said yes: that holds for the workers, who have nobody to ask.
        flags["rt_allow_remote"] = settings.allow_remote or (place is not None and not is_loopback(place))
        return self.muster.call(Order(flags, self.environment.host, most_users(self.environment) or 1))

    def refuse(self, line: str) -> None:
        """A run that was asked for must not start; without a web UI there will be no other."""
        if self.environment.web_ui is None:
            self.muster.dismiss_all(line)
            leave(line)
        logger.error("%s", line)
        if self.runner.shape_greenlet is not None:
            self.runner.shape_greenlet.kill(block=False)
            self.runner.shape_greenlet = self.runner.shape_last_tick = None
        # Not by stopping: Locust would go on telling the workers to spawn, and believe that they run.
        raise Over

    def started(self, **_: Any) -> None:
        """Workers are about to be told to spawn; the header goes with the options they get."""
        self._joined, self._begun, self._workers = set(), set(), {}
        self._spawned = self._stopping = False
        header = self.start_book()
        assert header is not None  # a refusal raises
        self.follow(self.plan)
        options = self.environment.parsed_options
        options.rt_header = msgspec.to_builtins(header)
        options.rt_host = self.environment.host

    def expect(self, guest: Guest) -> None:
        """One may take part: if it dies before its first report, it must not pass for never there."""
        fresh = {"name": str(guest.index), "final": False, "facts": {}, "joined_ns": None}
        self._workers.setdefault(guest.node, fresh)

    def sent_away(self, line: str) -> None:
        """One came in the middle of a run and may not take part; Locust had given it users already."""
        if self.target is not None:
            note = f"In the middle of the run users were moved, and moved back again: {line}."
            self.target = msgspec.structs.replace(self.target, notes=(*self.target.notes, note))

    # -- during a run -----------------------------------------------------------------------------------

    def spawned(self, user_count: int, **_: Any) -> None:
        """All users everywhere have been started."""
        self._peak_users = max(self._peak_users, user_count)
        self._spawned = True
        dispatcher = self.runner._users_dispatcher
        if dispatcher is not None:
            # Locust forgets to, once it has moved users to a worker that came, and would never move any again.
            dispatcher._dispatch_in_progress = False
        self._begin_if_all_joined()

    def joined(self, msg: Any, **_: Any) -> None:
        """One worker's users are all in."""
        self._joined.add(msg.node_id)
        began_ns = self.plan.begun_ns
        if self.header is None or began_ns is None:
            self._begin_if_all_joined()
        elif msg.node_id not in self._begun and msg.node_id in self._workers:
            self._begun.add(msg.node_id)
            self._note_late(self._workers[msg.node_id], began_ns)
            self.runner.send_message("rt_begin", {"at_ns": began_ns}, msg.node_id)

    def _note_late(self, worker: dict[str, Any], began_ns: int) -> None:
        """It came when the others had begun, or were about to: its users count from here on, by the same plan."""
        now_ns = perf_counter_ns()
        if now_ns > began_ns:
            worker["joined_ns"] = now_ns - self.plan.started_ns
            logger.warning("worker %s came after the load had begun; the run is suspect", worker["name"])

    def _begin_if_all_joined(self) -> None:
        if self.header is None or self.plan.begun_ns is not None or not self._spawned:
            return
        live = self._live_workers()
        if live <= self._joined:
            at_ns = perf_counter_ns() + BEGIN_AHEAD_NS
            self.plan.begin(at_ns)
            self._begun = live
            self.runner.send_message("rt_begin", {"at_ns": at_ns})
            logger.info("all users are in: the load begins")

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
        if self.header is None or part["run"] != self.header.run or node not in self._workers:
            return False
        self.take_in(part["worker"], decode_delta(part["delta"]))
        return True

    # -- the end of a run -------------------------------------------------------------------------------

    def stopping(self, **_: Any) -> None:
        """Ask every worker for its last word and wait for it; a dead one is not waited for."""
        if self.header is None or self._stopping:
            return
        self._stopping = True
        self._ramp.end()
        self.note_end()
        self.plan.hold(perf_counter_ns())
        for idle in self.runner.clients.ready:
            self._workers.pop(idle.id, None)  # it came so late that no users were moved to it
        wanted = self._live_workers() & set(self._workers)
        self.runner.send_message("rt_drain", {"early": self._early})
        clocks = self.muster.last_look()
        until_ns = perf_counter_ns() + self.plan.drain_ns + round(_LAST_WORD_S * SECOND)
        while perf_counter_ns() < until_ns and any(self._is_waited_for(node) for node in wanted):
            gevent.sleep(0.02)
        gevent.joinall(clocks, timeout=_LAST_WORD_S)

    def _is_waited_for(self, node: str) -> bool:
        clients = self.runner.clients
        return not self._workers[node]["final"] and node in clients and clients[node].state != "missing"

    def stopped(self, **_: Any) -> None:
        """The workers have been told to stop."""
        if self.header is not None:
            workers = [self._worker(node, told) for node, told in self._workers.items()]
            self.write_run(sorted(workers, key=lambda one: one.name))
        self.muster.end()

    def _worker(self, node: str, told: dict[str, Any]) -> run_files.Worker:
        guest = self.muster.guests.get(node)
        known = {} if guest is None else guest.facts(self.plan.started_ns)
        facts = {**told["facts"], **known, "joined_ns": told["joined_ns"]}
        return run_files.Worker(told["name"], told["final"], facts)
