"""What does the process that keeps the book do at the edges of a run?"""

from __future__ import annotations

import logging
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec
import psutil

from loadtest.contract import Contract
from loadtest.measure import run as run_files
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.rows import Delta
from loadtest.measure.slo import Slo
from loadtest.measure.units import SECOND
from loadtest.protocol.backoff import Policy
from loadtest.users import live_otel, live_page, server_probe
from loadtest.users.connection import Place
from loadtest.users.finish import USAGE, Ending, finish
from loadtest.users.live import Header, deadline_ns, plan_of, policy
from loadtest.users.live_board import Board
from loadtest.users.looking import check_scenario, find, look
from loadtest.users.options import Settings, SettingsError
from loadtest.users.options import read as read_settings
from loadtest.users.ordering import NoMeans, Orders
from loadtest.users.server_source import Source
from loadtest.users.slos import Watch, slos_of
from loadtest.users.staging import most_users
from loadtest.users.target import Refused, Target, contract_of, locate

_SHOWN_ATTEMPTS = 8
"""Of a policy that never gives up; by then its waits have grown to their cap."""
logger = logging.getLogger(__name__)


def leave(line: str) -> None:
    """End the process with one line, as a wrong flag does."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    # Workers forked by --processes would wait a minute for a master that is gone; Locust forgets them.
    for child in psutil.Process().children():
        child.terminate()
    raise SystemExit(USAGE)


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
    board: Board | None = None
    source: Source | None = None
    slos: list[Slo]
    watch: Watch
    _stopped_by: str | None = None
    _early = False
    _over = False
    _complete = False
    _peak_users = 0
    _watch: server_probe.ServerWatch | None = None
    _looked_at = False
    _ordering: Any = None
    orders: Orders

    def show(self) -> None:
        """Let others look at the runs of this process, where somebody may; the book alone costs less."""
        options = self.environment.parsed_options
        if self.environment.web_ui is not None:
            live_page.attach(self.environment, self._look)
            self._looked_at = True
        self._looked_at = live_otel.join(options, lambda: self.board) or self._looked_at

    def _look(self) -> live_page.Watched:
        book = None if self.board is None else self.book
        return live_page.Watched(self.board, book, self.runner.state, self.runner.user_count)

    def preflight(self) -> None:
        """Everything that can be found out before a run. Raises Refused or SettingsError."""
        settings, contract, slos, place = self.forecheck()
        self.target = self.visit(settings, contract, place)
        try:
            self.orders = Orders(settings, contract, place, self.target.fault_control, locate)
            self.orders.check()
        except NoMeans as error:
            raise Refused(str(error)) from None
        self.source = self._source(settings, contract, place)
        if not contract.has_rooms:
            # The report must not call everybody in one room a room of ten.
            users = most_users(self.environment)
            settings = settings._replace(room_sizes=((max(2, users or 2), 1.0),))
        self.settings, self.contract, self.slos = settings, contract, slos

    def forecheck(self) -> tuple[Settings, Contract, list[Slo], Place | None]:
        """What the flags say by themselves, without a look at the target. Raises Refused or SettingsError."""
        environment = self.environment
        settings = read_settings(environment.parsed_options, environment.host, most_users(environment))
        contract = contract_of(settings)
        slos = slos_of(settings)
        try:
            run_files.check_writable(settings.out)
        except run_files.RunError as error:
            raise Refused(str(error)) from None
        place = self.find(settings, contract)
        check_scenario(self.environment, settings, contract)
        return settings, contract, slos, place

    def find(self, settings: Settings, contract: Contract) -> Place | None:
        """Where the target is, if we may put load on it. Raises Refused."""
        return find(settings, contract)

    def visit(self, settings: Settings, contract: Contract, place: Place | None) -> Target:
        """What is there, for the users of this process. Raises Refused."""
        assert place is not None
        return look(self.environment, settings, contract, place, most_users(self.environment) or 1, 1)

    def _source(self, settings: Settings, contract: Contract, place: Place | None) -> Source | None:
        """Who tells the server's own figures: whom somebody named, or the target itself. Raises Refused."""
        if settings.server_metrics is not None:
            return server_probe.source_of(settings.server_metrics, verify=not settings.insecure)
        stats = contract.hooks.stats
        if stats is None or place is None or self.target is None or not self.target.stats:
            return None
        return server_probe.StatsRoute(place, stats)

    def preflight_or_leave(self) -> None:
        """As a wrong flag: one line for each fault, exit 2."""
        try:
            self.preflight()
        except (Refused, SettingsError) as error:
            leave(str(error))

    def refuse(self, line: str) -> None:
        """A run that was asked for must not start."""
        logger.error("%s", line)
        gevent.spawn(self.runner.stop)

    def start_book(self) -> Header | None:
        """A new run, or None where preflight refuses one that the web UI asked for."""
        options = self.environment.parsed_options
        # Here, not after the preflight: -t counts from here too.
        started_ns = perf_counter_ns()
        try:
            if self.environment.web_ui is not None or self.target is None:
                self.preflight()  # the form may have changed everything; without one it was done at init
        except (Refused, SettingsError) as error:
            self.refuse(str(error))
            return None
        assert self.settings is not None and self.target is not None and self.contract is not None
        scenario = Path(options.locustfile.partition(",")[0]).stem
        run_time = self.settings.run_time_ns
        self.header = Header(
            run=secrets.token_hex(3),
            scenario=scenario,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            started_ns=started_ns,
            run_time_ns=run_time,
            deadline_ns=deadline_ns(self.settings, self.contract, self.target.silence_ns),
            silence_ns=self.target.silence_ns,
        )
        self.plan = plan_of(self.header, self.settings, self.header.started_ns)
        self.book, self.watch = Book(), Watch(self.slos)
        self.board = Board(self._facts(self.header), self.plan) if self._looked_at else None
        self._early, self._over, self._complete, self._peak_users = False, False, False, 0
        self._stopped_by = None
        if self.source is not None:
            polling = self.settings.transport == "interval-polling"
            tell = self.book.server.append
            self._watch = server_probe.ServerWatch(self.source, self.plan, tell, polling)
        return self.header

    def _facts(self, header: Header) -> dict[str, object]:
        """What runs, for those who look at it."""
        assert self.settings is not None and self.target is not None
        return {
            "id": header.run,
            "scenario": header.scenario,
            "transport": self.settings.transport,
            "client": self.settings.client,
            "host": self.target.url,
            "started": header.started,
            "deadline_s": header.deadline_ns / SECOND,
            "server_source": None if self.source is None else self.source.about(),
        }

    def follow(self, plan: Plan) -> None:
        """This is the plan that the run keeps: orders are given by it."""
        self.plan = plan
        if self.board is not None:
            self.board.plan = plan
        self._ordering = self.orders.begin(plan, self.book.add_fault, self._order_failed)

    def take_in(self, worker: str, delta: Delta) -> None:
        """Add what a generator measured; what breaks an SLO that may do so ends the run."""
        self.book.add(worker, delta)
        if self.board is not None:
            self.board.add(worker, delta)
        self.watch.add(delta.rows)
        broken = None if self._over else self.watch.broken(self.plan, perf_counter_ns())
        if broken is None:
            return
        slo, value = broken
        self._stopped_by, self._early, self._over = slo.name, True, True
        logger.error("SLO broken, the run ends here: %s, and it is %g", slo.name, value)
        # Not from here: this may be a hub callback, or the greenlet that stopping would wait for.
        gevent.spawn(self.runner.quit if self.environment.web_ui is None else self.runner.stop)

    def _order_failed(self, line: str) -> None:
        logger.error("%s", line)
        self.book.counters[f"fault: {line}"] = 1

    def note_end(self) -> None:
        """The run stops here: how many users it had, and whether somebody stopped it before its time."""
        if self._ordering is not None:
            self._ordering.kill()
            self._ordering = None
        self._over = True
        self._peak_users = max(self._peak_users, self.runner.user_count)
        ends_ns = self.plan.ends_ns
        cut_short = ends_ns is not None and perf_counter_ns() < ends_ns - SECOND
        self._complete = not (self._early or cut_short)

    def quitting(self, **_: Any) -> None:
        """Locust leaves; if the run is still on, it is cut short here."""
        if self.runner.state not in ("ready", "stopped"):
            self._early = True
            self.runner.stop()

    def write_run(self, workers: list[run_files.Worker]) -> None:
        """Write the Run, once."""
        header, self.header = self.header, None
        if header is None:
            return
        assert self.settings is not None and self.target is not None and self.contract is not None
        if self.board is not None:
            self.board.ended = True
        if self._watch is not None:
            self._watch.stop()
            note = self._watch.note()
            if note is not None:
                self.target = msgspec.structs.replace(self.target, notes=(*self.target.notes, note))
            self._watch = None
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
            self._complete,
            _failures(self.runner),
            bands_s(policy(self.settings, self.contract)),
            self.slos,
            self._stopped_by,
            None if self.source is None else self.source.about(),
        )
        finish(self.environment, ending)


def bands_s(way_back: Policy) -> list[tuple[float, float]]:
    """Shortest and longest wait before each attempt, in seconds; the last one holds for those after it."""
    attempts = _SHOWN_ATTEMPTS if way_back.attempts is None else way_back.attempts
    bands = [way_back.band_ns(attempt) for attempt in range(1, attempts + 1)]
    return [(low / SECOND, high / SECOND) for low, high in bands]


def _failures(runner: Any) -> int:
    return int(runner.stats.total.num_failures) + sum(
        int(one["count"]) for one in getattr(runner, "exceptions", {}).values()
    )
