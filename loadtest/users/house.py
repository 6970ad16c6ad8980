"""How does a run begin and end inside Locust, in one process and in many?

Every process has a House from ``init`` on. A House that generates (local runner, worker) makes a LiveRun at
``test_start``; one that keeps the book (local runner, master) adds up what the generators hand over, decides
when the plan begins, and writes the Run at the end.

Locust's order of events differs by how a run ends: at ``-t`` it is test_stopping, users stop, test_stop,
quitting; on SIGTERM and Ctrl-C quitting comes first and the exit code is read right after it. So the books
close on whichever comes first, and everything here may be called twice.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec
import psutil
from gevent import get_hub
from locust import argument_parser
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from loadtest.contract import Contract
from loadtest.measure import run as run_files
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Book, decode_delta, encode_delta
from loadtest.measure.units import SECOND
from loadtest.users import facts, limits, locust_stats, server_probe
from loadtest.users.finish import USAGE, Ending, finish
from loadtest.users.live import Header, LiveRun
from loadtest.users.options import DEFAULT_HOST, Settings, SettingsError
from loadtest.users.options import read as read_settings
from loadtest.users.probes import Probes
from loadtest.users.target import Refused, Target, contract_of, examine, locate, may_load

logger = logging.getLogger(__name__)

_BEGIN_AHEAD_NS = SECOND // 2
"""How far ahead of time a master announces the begin: longer than its message takes to any worker."""
_LAST_WORD_S = 10.0


def attach(environment: Any, runner: Any) -> None:
    """Take part in a Locust process; to be called once, from ``init``."""
    if runner is None:
        return
    if "iouring" in f"{os.environ.get('GEVENT_BACKEND', '')} {get_hub().loop.backend}".replace("_", ""):
        _leave("GEVENT_BACKEND: io_uring keeps closed sockets open and aborts under load; use epoll")
    environment.host = environment.host or DEFAULT_HOST
    limits.raise_descriptors()
    _avoid_stalls(environment)
    if isinstance(runner, WorkerRunner):
        WorkerHouse(environment, runner).attach()
    elif isinstance(runner, MasterRunner):
        MasterHouse(environment, runner).attach()
    elif isinstance(runner, LocalRunner):
        LocalHouse(environment, runner).attach()


def _avoid_stalls(environment: Any) -> None:
    """Pauses that Locust and Python would cause in the middle of a run, measured and taken out."""
    # Each spawn message makes a worker build an argument parser per option: 55-90 ms per ramp second.
    argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)
    gc.collect()
    gc.freeze()
    # A full collection over thousands of connections takes 180 ms; rarer and of fewer objects, 24.
    gc.set_threshold(50_000, 20, 100)
    environment.events.spawning_complete.add_listener(lambda **_: gc.freeze())


def _leave(line: str) -> None:
    """End the process with one line, as a wrong flag does."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    # Workers forked by --processes would wait a minute for a master that is gone; Locust forgets them.
    for child in psutil.Process().children():
        child.terminate()
    raise SystemExit(USAGE)


class Generating:
    """The half of a House that has users."""

    environment: Any
    live: LiveRun | None = None
    _probes: Probes | None = None

    def start_live(self, header: Header, settings: Settings, worker: str, started_ns: int) -> LiveRun:
        """Make what the users of this run need."""
        self.end_live()
        place = locate(settings.host)
        contract = contract_of(settings)
        live = LiveRun(self.environment, header, settings, contract, place, worker, started_ns)
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
        live.close()
        if live.ledger.overflowed:
            live.recorder.count("ledger.overflow")

    def end_live(self) -> None:
        """Give back timers and descriptors."""
        if self._probes is not None:
            self._probes.stop()
            self._probes = None
        if self.live is not None:
            self.live.stop_timers()
            self.live = self.environment.rt_live = None

    def facts(self) -> dict[str, Any]:
        """This process, for the manifest."""
        return {"pid": os.getpid(), "clock": facts.clock_id(), **limits.descriptors()}


class Keeping:
    """The half of a House that keeps the book."""

    environment: Any
    runner: Any
    settings: Settings | None = None
    header: Header | None = None
    target: Target | None = None
    contract: Contract | None = None
    plan: Plan
    book: Book
    _early = False
    _peak_users = 0
    _watch: Any = None

    def preflight(self) -> None:
        """Everything that can be found out before a run. Raises Refused or SettingsError."""
        settings = read_settings(self.environment.parsed_options, self.environment.host)
        contract = contract_of(settings)
        try:
            run_files.check_writable(settings.out)
        except run_files.RunError as error:
            raise Refused(str(error)) from None
        place = locate(settings.host)
        may_load(place, settings)
        options = self.environment.parsed_options
        limits.check(options.num_users or 1, options.processes or 1)
        self.target = examine(place, settings, contract)
        self.settings, self.contract = settings, contract

    def preflight_or_leave(self) -> None:
        """As a wrong flag: one line for each fault, exit 2."""
        try:
            self.preflight()
        except (Refused, SettingsError) as error:
            _leave(str(error))

    def start_book(self) -> Header | None:
        """A new run, or None where preflight refuses one that the web UI asked for."""
        options = self.environment.parsed_options
        try:
            if self.environment.web_ui is not None or self.target is None:
                self.preflight()  # the form may have changed everything; without one it was done at init
        except (Refused, SettingsError) as error:
            logger.error("%s", error)
            gevent.spawn(self.runner.stop)
            return None
        assert self.settings is not None and self.target is not None and self.contract is not None
        scenario = Path(options.locustfile.partition(",")[0]).stem
        run_time = self.settings.run_time_ns
        self.header = Header(
            run=secrets.token_hex(3),
            scenario=scenario,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            started_ns=perf_counter_ns(),
            boot_id=facts.clock_id(),
            run_time_ns=run_time,
        )
        self.plan = Plan(self.header.started_ns, run_time, self.settings.warmup_ns, self.settings.drain_ns)
        self.book = Book()
        self._early, self._peak_users = False, 0
        stats = self.contract.hooks.stats
        if self.target.stats and stats is not None:
            place = locate(self.settings.host)
            self._watch = server_probe.watch(place, stats, self.plan, self.book.server.append)
        return self.header

    def ended_early(self) -> bool:
        """Whether somebody stopped the run before its time."""
        return self._early or (
            self.plan.ends_ns is not None and perf_counter_ns() < self.plan.ends_ns - SECOND
        )

    def write_run(self, workers: list[run_files.Worker], complete: bool) -> None:
        """Write the Run, once."""
        header, self.header = self.header, None
        if header is None:
            return
        if self._watch is not None:
            self._watch.kill()
            self._watch = None
        assert self.settings is not None and self.target is not None and self.contract is not None
        ending = Ending(
            header,
            self.settings,
            self.target,
            self.contract.name,
            self.plan,
            self.book,
            workers,
            self._peak_users,
            float(self.environment.parsed_options.spawn_rate or 1),
            complete,
            _failures(self.runner),
        )
        finish(self.environment, ending)


def _failures(runner: Any) -> int:
    return int(runner.stats.total.num_failures) + sum(
        int(one["count"]) for one in getattr(runner, "exceptions", {}).values()
    )


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
        self.plan = live.plan
        live.on_all_joined = lambda: live.begin(perf_counter_ns())
        live.each_second = self.collect

    def collect(self, final: bool = False) -> None:
        """Put what is new into the book."""
        if self.live is not None:
            delta = self.live.recorder.take(final)
            self.book.add(self.live.worker, delta)
            locust_stats.show(self.runner.stats, delta.rows)

    def spawned(self, user_count: int, **_: Any) -> None:
        """All users have been started."""
        self._peak_users = max(self._peak_users, user_count)
        if self.live is not None:
            self.live.spawned(user_count)

    def stopping(self, **_: Any) -> None:
        """The run ends; its users are still there."""
        if self.live is None or self.live.closed:
            return
        self._complete = not self.ended_early()
        self.drain(self._early)
        self.collect(final=True)

    def stopped(self, **_: Any) -> None:
        """The users are gone."""
        if self.header is None or self.live is None:
            return
        worker = run_files.Worker(self.live.worker, True, self.facts())
        self.write_run([worker], self._complete)
        self.end_live()

    def quitting(self, **_: Any) -> None:
        """Locust leaves; if the run is still on, it is cut short here."""
        if self.runner.state not in ("ready", "stopped"):
            self._early = True
            self.runner.stop()


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
            self.live.spawned(self.runner.user_count)

    def all_joined(self) -> None:
        """Everybody here is in, or has given up."""
        self.runner.send_message("rt_joined", {"worker": str(self.runner.worker_index)})

    def begin(self, msg: Any, **_: Any) -> None:
        """The master says when the plan begins."""
        if self.live is not None:
            same_clock = self.live.header.boot_id == facts.clock_id()
            at_ns = msg.data["at_ns"] if same_clock else perf_counter_ns() + _BEGIN_AHEAD_NS
            self.live.begin(at_ns)

    def reporting(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Locust reports to the master every few seconds; what is new rides along."""
        if self.live is not None and not self._final_sent:
            data["rt"] = self._delta(final=False)

    def _delta(self, final: bool) -> dict[str, Any]:
        assert self.live is not None
        delta = self.live.recorder.take(final)
        locust_stats.show(self.runner.stats, delta.rows)
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


class MasterHouse(Keeping):
    """A process that has workers elsewhere and no users of its own."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.runner = runner
        self._joined: set[str] = set()
        self._spawned = False
        self._workers: dict[str, dict[str, Any]] = {}
        self._complete = False
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
        self._spawned = self._complete = self._stopping = False
        header = self.start_book()
        options = self.environment.parsed_options
        options.rt_header = None if header is None else msgspec.to_builtins(header)
        options.rt_host = self.environment.host

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
            at_ns = perf_counter_ns() + _BEGIN_AHEAD_NS
            self.plan.begin(at_ns)
            self.runner.send_message("rt_begin", {"at_ns": at_ns})

    def _live_workers(self) -> set[str]:
        clients = self.runner.clients
        return {one.id for one in (*clients.running, *clients.spawning)}

    def report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """What a worker has to add."""
        if "rt" in data:
            self._add(client_id, data["rt"])

    def final(self, msg: Any, **_: Any) -> None:
        """A worker's last word."""
        if self._add(msg.node_id, msg.data):
            self._workers[msg.node_id]["final"] = True
            self._workers[msg.node_id]["facts"] = msg.data["facts"]

    def _add(self, node: str, part: dict[str, Any]) -> bool:
        if self.header is None or part["run"] != self.header.run:
            return False
        self._workers.setdefault(node, {"name": part["worker"], "final": False, "facts": {}})
        self.book.add(part["worker"], decode_delta(part["delta"]))
        return True

    def stopping(self, **_: Any) -> None:
        """Ask every worker for its last word and wait for it; a dead one is not waited for."""
        if self.header is None or self._stopping:
            return
        self._stopping = True
        self._complete = not self.ended_early()
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
        self.write_run(sorted(workers, key=lambda one: one.name), self._complete)

    def quitting(self, **_: Any) -> None:
        """Locust leaves; if the run is still on, it is cut short here."""
        if self.runner.state not in ("ready", "stopped"):
            self._early = True
            self.runner.stop()
