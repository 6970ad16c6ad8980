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
import psutil

from loadtest.contract import Contract
from loadtest.measure import run as run_files
from loadtest.measure.book import Book
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.rows import Delta
from loadtest.measure.slo import Slo
from loadtest.measure.units import SECOND
from loadtest.protocol.backoff import Policy
from loadtest.users import facts, limits, server_probe
from loadtest.users.finish import USAGE, Ending, finish
from loadtest.users.live import Header, deadline_ns, plan_of, policy
from loadtest.users.options import Settings, SettingsError
from loadtest.users.options import read as read_settings
from loadtest.users.ordering import NoMeans, Orders
from loadtest.users.slos import Watch, slos_of
from loadtest.users.target import Refused, Target, contract_of, examine, locate, may_load
from loadtest.users.user import RealtimeUser

_OPERATORS_ARE_ONE_IN = 10
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
    slos: list[Slo]
    watch: Watch
    _stopped_by: str | None = None
    _early = False
    _over = False
    _complete = False
    _peak_users = 0
    _watch: Any = None
    _ordering: Any = None
    orders: Orders

    def preflight(self) -> None:
        """Everything that can be found out before a run. Raises Refused or SettingsError."""
        settings = read_settings(self.environment.parsed_options, self.environment.host)
        contract = contract_of(settings)
        slos = slos_of(settings)
        try:
            run_files.check_writable(settings.out)
        except run_files.RunError as error:
            raise Refused(str(error)) from None
        place = locate(settings.host)
        may_load(place, settings)
        options = self.environment.parsed_options
        limits.check(options.num_users or 1, options.processes or 1, settings.transport, settings.devices)
        self._check_scenario(settings, contract)
        kinds = [one for one in self.environment.user_classes if issubclass(one, RealtimeUser)]
        ladders = [one.ways(settings.transport) for one in kinds]
        self.target = examine(place, settings, contract, ladders)
        try:
            self.orders = Orders(settings, contract, place, self.target.fault_control, locate)
            self.orders.check()
        except NoMeans as error:
            raise Refused(str(error)) from None
        self.settings, self.contract, self.slos = settings, contract, slos

    def _check_scenario(self, settings: Settings, contract: Contract) -> None:
        """What the users of this scenario need of the contract and of the flags. Raises Refused."""
        kinds = [one for one in self.environment.user_classes if issubclass(one, RealtimeUser)]
        pollers = [one for one in kinds if "interval-polling" in one.ways(settings.transport)]
        polling = bool(pollers)
        for needed in sorted({needed for one in kinds for needed in one.needs}):
            missing = contract.missing_for(needed, polling)
            if missing is not None:
                raise Refused(missing)
        for one in pollers:
            # A feed with some of it is not enough: to who talks and hears no messages, all of them are lost.
            heard = (Operation.MESSAGE_DELIVER,) if one.talks else one.wanted()
            if contract.feeds and not contract.feeds_for(heard):
                raise Refused(
                    f'contract "{contract.name}": none of its [[feeds]] carries what {one.__name__} hears'
                )
        users = self.environment.parsed_options.num_users
        staff(kinds, settings.operators, users)

    def preflight_or_leave(self) -> None:
        """As a wrong flag: one line for each fault, exit 2."""
        try:
            self.preflight()
        except (Refused, SettingsError) as error:
            leave(str(error))

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
            deadline_ns=deadline_ns(self.settings, self.contract, self.target.silence_ns),
            silence_ns=self.target.silence_ns,
        )
        self.plan = plan_of(self.header, self.settings, self.header.started_ns)
        self.book, self.watch = Book(), Watch(self.slos)
        self._early, self._over, self._complete, self._peak_users = False, False, False, 0
        self._stopped_by = None
        stats = self.contract.hooks.stats
        if self.target.stats and stats is not None:
            place = locate(self.settings.host)
            polling = self.settings.transport == "interval-polling"
            self._watch = server_probe.watch(place, stats, self.plan, self.book.server.append, polling)
        return self.header

    def follow(self, plan: Plan) -> None:
        """This is the plan that the run keeps: orders are given by it."""
        self.plan = plan
        self._ordering = self.orders.begin(plan, self.book.add_fault, self._order_failed)

    def take_in(self, worker: str, delta: Delta) -> None:
        """Add what a generator measured; what breaks an SLO that may do so ends the run."""
        self.book.add(worker, delta)
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
            self._complete,
            _failures(self.runner),
            bands_s(policy(self.settings, self.contract)),
            self.slos,
            self._stopped_by,
        )
        finish(self.environment, ending)


def staff(kinds: list[Any], operators: int | None, users: int | None) -> None:
    """How many of the users are operators: as asked; one at least; else by the weights of their classes."""
    for kind in kinds:
        if kind.role == "operator":
            kind.fixed_count = operators or (1 if users and users < _OPERATORS_ARE_ONE_IN else 0)


def bands_s(way_back: Policy) -> list[tuple[float, float]]:
    """Shortest and longest wait before each attempt, in seconds; the last one holds for those after it."""
    attempts = _SHOWN_ATTEMPTS if way_back.attempts is None else way_back.attempts
    bands = [way_back.band_ns(attempt) for attempt in range(1, attempts + 1)]
    return [(low / SECOND, high / SECOND) for low, high in bands]


def _failures(runner: Any) -> int:
    return int(runner.stats.total.num_failures) + sum(
        int(one["count"]) for one in getattr(runner, "exceptions", {}).values()
    )
