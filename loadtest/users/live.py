"""What does a generator process hold while a run is under way?

Made at the start of a run and thrown away at its end: a second start in the web UI shares nothing with the
first. Users find everything here that is not their own.
"""

from __future__ import annotations

import logging
import string
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
from gevent.event import Event

from loadtest.contract import Contract, Delivery
from loadtest.measure.faults import Occurrence, longest_outage_ns
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Health, Recorder
from loadtest.measure.rows import Drop
from loadtest.measure.units import SECOND
from loadtest.protocol import backoff
from loadtest.users.causes import UNSTICKY, Cause, ConnectFailed
from loadtest.users.clock import Clock
from loadtest.users.connection import Place
from loadtest.users.ids import Ids
from loadtest.users.link import Link
from loadtest.users.login import Named
from loadtest.users.options import Settings
from loadtest.users.seating import EVERYBODY, Seating
from loadtest.users.striking import Strikes
from loadtest.users.traffic import Traffic

if TYPE_CHECKING:
    from loadtest.measure.rooms import Member
    from loadtest.users.calls import Call
    from loadtest.users.drops import DropRecord
    from loadtest.users.user import RealtimeUser

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 20.0
DEADLINE_NS = 10 * SECOND
QUIET_AFTER_NS = 6 * SECOND
"""Into the drain; by then the server's own "stopped typing", five seconds after a start, has come too."""
STALL_NS = SECOND
"""A loop that stood still for this long is worth remembering."""
STALL_ECHO_NS = 3 * SECOND
"""How long after a stall the losses that it caused are found out."""
DEFAULT_PATIENCE_NS = 20 * SECOND
"""A server's ping timeout where nobody said it."""
_TEXT_POOL = 1 << 16


class Header(msgspec.Struct, frozen=True):
    """What all processes of a run must know alike; travels from the master in Locust's spawn message.

    started_ns: moment of the start on the master's clock. silence_ns: after how long without a ping the server
    counts as dead.
    """

    run: str
    scenario: str
    started: str
    started_ns: int
    run_time_ns: int | None
    deadline_ns: int = 10 * SECOND
    silence_ns: int = 45 * SECOND


class Route(msgspec.Struct, frozen=True):
    """What an event delivers.

    per_status: the ledger has a debt for each status that one request brings, under keys that end in it.
    watched: whether the user itself wants to see it, beside the ledger. by_id: it carries the server's id, no
    marker of ours.
    """

    operation: Operation
    delivery: Delivery
    per_status: bool
    watched: bool
    by_id: bool = False


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
        self.plan = plan_of(header, settings, started_ns)
        # An Interval is kept for longer than a message can be under way, a take being a second at least.
        keep = header.deadline_ns // SECOND + 30
        self.recorder = Recorder(self.plan, worker, keep)
        self.ledger = Ledger(self.recorder, header.run, header.deadline_ns)
        self.clock = Clock(self.fault)
        self.health: Health = self.recorder.health(started_ns)
        self.begun = Event()
        self.never = Event()
        self.held = False
        self.closed = False
        self.on_all_joined: Callable[[], None] = lambda: None
        self.on_measure: Callable[[], None] = lambda: None
        self.each_second: Callable[[], None] = lambda: None
        self.policy = policy(settings, contract)
        self.strikes = Strikes(self, header.silence_ns)
        self.ledger.exemplars.describe_fault = self.strikes.under_way
        self.routes = _routes(contract)
        # Worked out once: each looks through the whole contract, for longer than a user takes to connect.
        self.has_rooms, self.directed = contract.has_rooms, contract.directed
        by_id = any(route.by_id for route in self.routes.values())
        # An answer later than the deadline helps nobody, and a delivery may be as late as its message's.
        self.ids = Ids(self.recorder, 2 * header.deadline_ns) if by_id else None
        self.named = Named.of(contract)
        # Whether the sender's own socket gets a copy of what it said.
        messages = [one for one in contract.deliveries if one.operation == Operation.MESSAGE_DELIVER.value]
        self.echoes = any(route.recipients == "room" for route in messages)
        # What an application keeps for members who are away: things said, not signals.
        kept = (Operation.MESSAGE_DELIVER.value, Operation.CHAT_DELIVER.value)
        self.restored = [one for one in contract.deliveries if one.operation in kept]
        self.errors = {rule.on: rule for rule in contract.errors}
        self.links: dict[Link, None] = {}
        self.users: dict[RealtimeUser, None] = {}
        self.by_name: dict[str, RealtimeUser] = {}
        self._operators: frozenset[Member] | None = None
        self.circles: dict[tuple[int, int], list[RealtimeUser]] = {}
        self.calls: dict[str, Call] = {}
        self.tick_ns = started_ns
        self._stalled: tuple[int, int] = (0, 0)
        self._drops: dict[DropRecord, None] = {}
        self.faults: dict[str, int] = {}
        self._all_spawned = False
        self._told_unsticky = False
        self._entering = 0
        self._seatings: dict[str, Seating] = {}
        self._traffic = Traffic(self.recorder, self.clock)
        rng = Random(f"{settings.seed}:text")
        # Text with real entropy: compression would flatter itself on a repeated letter.
        letters = string.ascii_letters + string.digits + " " * 8
        self._text = "".join(rng.choices(letters, k=_TEXT_POOL + settings.payload_bytes))

    # -- users coming and going -------------------------------------------------------------------------

    def seating(self, kind: str) -> Seating:
        """The numbers and rooms of the users of one class."""
        found = self._seatings.get(kind)
        if found is None:
            sizes = self.settings.room_sizes if self.has_rooms else EVERYBODY
            found = self._seatings[kind] = Seating(sizes)
        return found

    def kind_index(self, kind: str) -> int:
        """A small number for a class of users, in the order in which they first came."""
        self.seating(kind)
        return list(self._seatings).index(kind)

    def body(self, rng: Random) -> str:
        """A message's text, of the configured length."""
        start = rng.randrange(_TEXT_POOL)
        return self._text[start : start + self.settings.payload_bytes]

    def came(self, user: RealtimeUser) -> None:
        """A user is there, with a name."""
        self.users[user] = None
        self._operators = None
        self.by_name[user.name] = user
        user.circle = self.circles.setdefault(user.place, [])
        user.circle.append(user)

    def went(self, user: RealtimeUser) -> None:
        """It has gone."""
        self.users.pop(user, None)
        self._operators = None
        self.by_name.pop(user.name, None)
        user.circle.remove(user)

    def operators(self) -> frozenset[Member]:
        """The devices of everybody here whom the server may assign a chat to."""
        if self._operators is None:
            self._operators = frozenset(
                one.member for user in self.users if user.role == "operator" for one in user.devices
            )
        return self._operators

    def opened(self, link: Link) -> None:
        """A link was made."""
        self.links[link] = None
        self.recorder.count("connections.established")

    def settled(self, member: Member, server: str) -> None:
        """A link was made to this one of several servers; empty: it did not say which it is."""
        if member.stops.arrive(server, perf_counter_ns()):
            self.recorder.count("servers.moved")
        if server:
            self.recorder.count(f"servers.connections.{server}")

    def joined(self, link: Link, opened_ns: int) -> None:
        """A link's device is in its conversations, for the first time or again."""
        self._traffic.connected(link, opened_ns)

    def gave_up(self, error: ConnectFailed) -> None:
        """A user could not get in."""
        self.recorder.count("connections.failed")
        self.note_limits(error)
        if error.cause is Cause.SESSION_UNKNOWN and not self._told_unsticky:
            self._told_unsticky = True
            logger.warning("%s (%s)", UNSTICKY, error.detail)

    def note_limits(self, error: ConnectFailed) -> None:
        """What the generator ran out of, if that is why."""
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

    @contextmanager
    def on_the_way(self) -> Iterator[Callable[[], None]]:
        """A user is on its way in; the plan waits for it until it is in, has stumbled, or calls what it gets."""
        self._entering += 1
        waited_for = True

        def arrived() -> None:
            nonlocal waited_for
            if waited_for:
                waited_for = False
                self._entering -= 1
                self._check_all_in()

        try:
            yield arrived
        finally:
            arrived()

    def _check_all_in(self) -> None:
        if self._all_spawned and not self._entering and not self.closed:
            self.on_all_joined()

    # -- connections lost -------------------------------------------------------------------------------

    def link_lost(self, link: Link) -> None:
        """A connection ended that we did not end; what it carried counts up to here."""
        self.links.pop(link, None)
        self.recorder.count("connections.lost")
        self._traffic.lost(link)

    def parted(self, link: Link) -> None:
        """A device has gone of its own will, or has a better way now."""
        self.links.pop(link, None)
        self._traffic.lost(link)

    def dropped(self, drop: DropRecord) -> None:
        """A drop is under way."""
        self._drops[drop] = None

    def drop_finished(self, drop: DropRecord, row: Drop) -> None:
        """It is known what became of it."""
        self._drops.pop(drop, None)
        self.recorder.drops.append(row)

    def blame(self, cause: Cause, now_ns: int) -> Occurrence | None:
        """The injected fault that explains a loss; None: nobody provoked it."""
        return self.strikes.blame(cause, now_ns)

    def fire_lost(self, cause: Cause, detail: str) -> None:
        """Tell Locust of a connection that was lost, and by nobody's order."""
        if not self.closed:
            self.fire("WS", Operation.SESSION_CONNECT, None, ConnectFailed(cause, detail))

    def stalls(self, from_ns: int, until_ns: int) -> None:
        """The loop of this process stood still."""
        if until_ns - from_ns >= STALL_NS:
            self._stalled = from_ns, until_ns

    def stalled(self, now_ns: int, patience_ns: int | None) -> bool:
        """Whether a loss found out now is this process's own fault: it stood still for longer than that."""
        limit_ns = DEFAULT_PATIENCE_NS if patience_ns is None else patience_ns
        if now_ns - self.tick_ns >= limit_ns:
            return True
        from_ns, until_ns = self._stalled
        return until_ns - from_ns >= limit_ns and now_ns - until_ns < STALL_ECHO_NS

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
        self.strikes.begin()
        self.begun.set()

    def _measure(self) -> None:
        self.on_measure()
        if not self.held:
            self._traffic.active(self.links)

    def _drain(self) -> None:
        self.held = True
        self._traffic.silent()

    def _quiet(self) -> None:
        if self.held and not self.closed and not self.ledger.under_way:
            self._traffic.idle(self.links)

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
        for user in self.users:
            for device in user.devices:
                device.drop_unsaid(Cause.CLIENT, "the run ended first")
        for drop in list(self._drops):
            drop.finish()
        for member in self._connected():
            self.recorder.count(f"servers.connected.{member.stops.now}")
        self.closed = True
        self._traffic.close(self.links)
        self.ledger.close(perf_counter_ns())

    def _connected(self) -> Iterator[Member]:
        """The devices that are connected now, of which it is known where."""
        for user in self.users:
            yield from (one.member for one in user.devices if one.member.connected and one.member.stops.now)

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


def plan_of(header: Header, settings: Settings, started_ns: int) -> Plan:
    """The phases of a run. The drain is as long as the deadline where ``-t`` has room for it."""
    drain_ns = settings.drain_ns
    if drain_ns is None:
        run_time_ns = header.run_time_ns
        drain_ns = header.deadline_ns if run_time_ns is None else min(header.deadline_ns, run_time_ns // 5)
    return Plan(started_ns, header.run_time_ns, settings.warmup_ns, drain_ns)


def deadline_ns(settings: Settings, contract: Contract, silence_ns: int) -> int:
    """How long a delivery may take; with faults as long as the longest way back and ten seconds more."""
    if settings.deadline_ns is not None:
        return settings.deadline_ns
    way_back = policy(settings, contract)
    if not settings.faults or way_back.attempts == 0:
        return DEADLINE_NS
    # Of a policy without an end: by the tenth attempt its waits have grown to their cap.
    _, last_ns = way_back.band_ns(way_back.attempts or 10)
    return max(DEADLINE_NS, longest_outage_ns(settings.faults, silence_ns) + last_ns + DEADLINE_NS)


def policy(settings: Settings, contract: Contract) -> backoff.Policy:
    """How lost connections come back in this run."""
    delays_ms = contract.documented.reconnect_delays_ms
    if settings.reconnect == "documented" and delays_ms:
        return backoff.documented(delays_ms)
    return backoff.POLICIES[settings.reconnect]


_PER_STATUS = frozenset({Operation.CALL_STATUS, Operation.CHAT_STATUS})


def _routes(contract: Contract) -> dict[str, Route]:
    """Event name -> what it delivers; looked up for every event, so worked out once."""
    return {delivery.on: _route(delivery) for delivery in contract.deliveries}


def _route(delivery: Delivery) -> Route:
    operation = Operation(delivery.operation)
    watched = operation.value.startswith(("call.", "chat.", "presence."))
    return Route(operation, delivery, operation in _PER_STATUS, watched, delivery.id_at is not None)
