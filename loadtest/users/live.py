"""What does a generator process hold while a run is under way?

Made at the start of a run and thrown away at its end: a second start in the web UI shares nothing with the
first. Users find everything here that is not their own.
"""

from __future__ import annotations

import logging
import string
import traceback
from collections.abc import Callable
from random import Random
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec
from gevent.event import Event

from loadtest.contract import Contract, Delivery
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Health, Recorder
from loadtest.measure.rows import Drop, TrafficRow
from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.clock import Clock
from loadtest.users.connection import Connection, Listeners, NativeConnection, Place
from loadtest.users.link import Link
from loadtest.users.options import Settings
from loadtest.users.seating import Seating
from loadtest.users.tcp import ESTIMATED, Carried
from loadtest.users.wire import METHOD

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 20.0
QUIET_AFTER_NS = 6 * SECOND
"""Into the drain; by then the server's own "stopped typing", five seconds after a start, has come too."""
_TEXT_POOL = 1 << 16


class Header(msgspec.Struct, frozen=True):
    """What all processes of a run must know alike; travels from the master in Locust's spawn message.

    started_ns: moment of the start on the clock of ``boot_id``.
    """

    run: str
    scenario: str
    started: str
    started_ns: int
    boot_id: str
    run_time_ns: int | None


class LiveRun:
    """One run in one generator process."""

    def __init__(
        self,
        environment: Any,
        header: Header,
        settings: Settings,
        contract: Contract,
        place: Place,
        worker: str,
        started_ns: int,
    ) -> None:
        self.environment = environment
        self.header = header
        self.settings = settings
        self.contract = contract
        self.place = place
        self.worker = worker
        self.plan = Plan(started_ns, header.run_time_ns, settings.warmup_ns, settings.drain_ns)
        # An Interval is kept for longer than a message can be under way, a take being a second at least.
        keep = settings.deadline_ns // SECOND + 30
        self.recorder = Recorder(self.plan, worker, keep)
        self.ledger = Ledger(self.recorder, header.run, settings.deadline_ns)
        self.clock = Clock(self.fault)
        self.health: Health = self.recorder.health(started_ns)
        self.begun = Event()
        self.never = Event()
        self.held = False
        self.closed = False
        self.on_all_joined: Callable[[], None] = lambda: None
        self.each_second: Callable[[], None] = lambda: None
        self.routes = _routes(contract)
        # Whether the sender's own socket gets a copy of what it said.
        message = [
            route for route in contract.deliveries if route.operation == Operation.MESSAGE_DELIVER.value
        ]
        self.echoes = any(route.recipients == "room" for route in message)
        self.errors = {rule.on: rule for rule in contract.errors}
        self.links: dict[Link, None] = {}
        self.faults: dict[str, int] = {}
        self._all_spawned = False
        self._entering = 0
        self._seatings: dict[str, Seating] = {}
        self._active: dict[Link, tuple[int, Carried]] = {}
        self._idle: dict[Link, tuple[int, Carried]] = {}
        rng = Random(f"{settings.seed}:text")
        # Text with real entropy: compression would flatter itself on a repeated letter.
        letters = string.ascii_letters + string.digits + " " * 8
        self._text = "".join(rng.choices(letters, k=_TEXT_POOL + settings.payload_bytes))

    # -- users coming and going -------------------------------------------------------------------------

    def seating(self, kind: str) -> Seating:
        """The numbers and rooms of the users of one class."""
        found = self._seatings.get(kind)
        if found is None:
            found = self._seatings[kind] = Seating(self.settings.room_sizes)
        return found

    def kind_index(self, kind: str) -> int:
        """A small number for a class of users, in the order in which they first came."""
        self.seating(kind)
        return list(self._seatings).index(kind)

    def body(self, rng: Random) -> str:
        """A message's text, of the configured length."""
        start = rng.randrange(_TEXT_POOL)
        return self._text[start : start + self.settings.payload_bytes]

    def socket(self, listeners: Listeners, auth: Any) -> Connection:
        """A connection by the client that was asked for."""
        if self.settings.client == "python-socketio":
            from loadtest.users.stock import StockConnection  # only who asks for it pays its import

            return StockConnection(self.place, self.contract.connect.path, auth, listeners)
        return NativeConnection(
            self.place, self.contract.connect.path, auth, (), self.settings.compression, listeners
        )

    def opened(self, link: Link) -> None:
        """A link was made."""
        self.links[link] = None
        self.recorder.count("connections.established")

    def joined(self, link: Link, opened_ns: int) -> None:
        """A user is in its conversation for the first time; the plan begins once all are."""
        now_ns = perf_counter_ns()
        carried = link.carried()
        self._traffic("connect", link.transport, now_ns - opened_ns, carried)
        if self._active:
            self._active[link] = (now_ns, carried)

    def gave_up(self, error: ConnectFailed) -> None:
        """A user could not get in."""
        self.recorder.count("connections.failed")
        if error.cause is Cause.NO_DESCRIPTORS:
            self.recorder.count("fds.exhausted")
        if error.cause is Cause.NO_PORTS:
            self.recorder.count("ports.exhausted")

    def spawned(self) -> None:
        """Locust has started all users it was asked for."""
        self._all_spawned = True
        # After the users that were started last have run their first lines. They are not counted by
        # Locust's number: it leaves out those that gave up, and counts those that never came to knock.
        gevent.spawn(self._check_all_in)

    def entering(self) -> None:
        """A user is on its way in; the plan waits for it until ``entered``."""
        self._entering += 1

    def entered(self) -> None:
        """It is in, or has given up, or stumbled."""
        self._entering -= 1
        self._check_all_in()

    def _check_all_in(self) -> None:
        if self._all_spawned and not self._entering and not self.closed:
            self.on_all_joined()

    def lost(self, link: Link, user: str, opened_ns: int, cause: Cause, detail: str) -> None:
        """A connection ended that we did not end."""
        now_ns = perf_counter_ns()
        at_ns = now_ns - self.plan.started_ns
        self.recorder.drops.append(
            Drop(user, link.transport, at_ns, cause.value, _writable(detail), now_ns - opened_ns)
        )
        self.recorder.count("connections.lost")
        self.links.pop(link, None)

    def parted(self, link: Link) -> None:
        """A user has gone."""
        self.links.pop(link, None)

    # -- phases -----------------------------------------------------------------------------------------

    def begin(self, at_ns: int) -> None:
        """All users everywhere have joined: the schedules count from ``at_ns``."""
        if self.plan.begun_ns is not None:
            return
        self.plan.begin(at_ns)
        self.clock.call_at(at_ns + self.plan.warmup_ns, self._measure)
        drain_from = self.plan.drain_from_ns
        if drain_from is not None:
            self.clock.call_at(drain_from, self._drain)
            self.clock.call_at(drain_from + QUIET_AFTER_NS, self._quiet)
        self.begun.set()

    def _measure(self) -> None:
        now_ns = perf_counter_ns()
        if not self.held:
            self._active = {link: (now_ns, link.carried()) for link in self.links}

    def _drain(self) -> None:
        self.held = True
        if self._active:
            self._settle_traffic("active", self._active)
            self._active = {}

    def _quiet(self) -> None:
        """What flows from here on, with nothing under way, is what idling costs."""
        if self.held and not self.closed and not self.ledger.under_way:
            now_ns = perf_counter_ns()
            self._idle = {link: (now_ns, link.carried()) for link in self.links}

    def hold(self) -> None:
        """Nothing new is sent from now on."""
        if not self.held:
            self.plan.hold(perf_counter_ns())
            self._drain()

    def close(self) -> None:
        """The books close."""
        if self.closed:
            return
        self.hold()
        self.closed = True
        self._settle_idle()
        self.ledger.close(perf_counter_ns())

    def _settle_idle(self) -> None:
        """Idle bytes where the window was long enough to sample them, by the protocol where it was not."""
        now_ns = perf_counter_ns()
        for link in self.links:
            heartbeat = link.heartbeat
            if heartbeat is None:
                continue
            from_ns, before = self._idle.get(link, (now_ns, Carried()))
            if now_ns - from_ns >= heartbeat.fair * heartbeat.period_ns:
                self._traffic("idle", link.transport, now_ns - from_ns, link.carried().minus(before))
            elif heartbeat.carried is not None:
                row = TrafficRow(
                    link.transport, "idle", ESTIMATED, 1, heartbeat.period_ns, *heartbeat.carried
                )
                self.recorder.traffic(row)

    def _settle_traffic(self, regime: str, since: dict[Link, tuple[int, Carried]]) -> None:
        now_ns = perf_counter_ns()
        for link, (from_ns, before) in since.items():
            self._traffic(regime, link.transport, now_ns - from_ns, link.carried().minus(before))

    def _traffic(self, regime: str, transport: str, user_ns: int, carried: Carried) -> None:
        method = METHOD if carried.segments_received else ESTIMATED
        self.recorder.traffic(TrafficRow(transport, regime, method, 1, user_ns, *carried))

    # -- recording --------------------------------------------------------------------------------------

    def record_lag(self, lag_ns: int) -> None:
        """The receive lag of one read."""
        self.health.receive_lag.record(lag_ns)

    def fire(self, kind: str, operation: Operation, latency_ns: int | None, error: Exception | None) -> None:
        """Tell Locust of one operation, ms from the planned moment; None is counted without a time."""
        self.environment.events.request.fire(
            request_type=kind,
            name=operation.value,
            response_time=None if latency_ns is None else latency_ns / 1e6,
            response_length=0,
            exception=error,
            context={},
        )

    def fault(self, error: BaseException) -> None:
        """An exception in code of ours on the hub: counted, shown once with its place, kills nothing."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
        key = f"{type(error).__name__} at {place}"
        self.recorder.count("harness.faults")
        self.faults[key] = self.faults.get(key, 0) + 1
        if self.faults[key] == 1:
            logger.error("A fault of the harness, counted from here on: %s", key, exc_info=error)
            self.recorder.count(f"fault: {key}: {error}")
            self.environment.events.user_error.fire(
                user_instance=None, exception=error, tb=error.__traceback__
            )

    def stop_timers(self) -> None:
        """Give back what the process holds for this run."""
        self.clock.close()


def _writable(text: str) -> str:
    """What a server said, without the lone surrogates that JSON may carry and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode()


def _routes(contract: Contract) -> dict[str, tuple[Operation, Delivery]]:
    """Event name -> what it delivers; looked up for every event, so worked out once."""
    return {delivery.on: (Operation(delivery.operation), delivery) for delivery in contract.deliveries}
