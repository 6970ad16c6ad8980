"""A run in memory: real users and devices, links of paper, and a server that does what a test tells it to."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import gevent
import pytest
from flags import flags_of
from gevent import Timeout, get_hub
from gevent.event import AsyncResult, Event
from locust.event import Events

from loadtest.contract import Action, Contract, load
from loadtest.measure.book import Book
from loadtest.measure.rows import Drop, FaultRow, SeriesRow, TrafficRow
from loadtest.measure.units import MS, SECOND
from loadtest.protocol.backoff import Listed, Policy
from loadtest.users import live as live_module
from loadtest.users import ways
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.device import Device
from loadtest.users.entering import bring_in
from loadtest.users.link import ActionFailed, Hearing, Outcome
from loadtest.users.live import Header, LiveRun
from loadtest.users.tcp import Carried
from loadtest.users.user import RealtimeUser

Payload = dict[str, Any]
Answer = Callable[["PaperLink", Payload], Payload | AsyncResult | None]
"""What the server says to something; an AsyncResult: later; None: nothing, ever."""
U = TypeVar("U", bound=RealtimeUser)
PATIENCE_S = 5.0
REAL = ways.make_link
"""What makes links of sockets."""


@cache
def _contract() -> Contract:
    return load(None)


class PaperLink:
    """A way to a server in this process. What it carries arrives one turn of the hub later, in order."""

    ordered = True
    heartbeat = None
    arrived_ns = None
    patience_ns = 20 * SECOND
    recovered = False

    def __init__(self, server: Server, device: Device, transport: str, hearing: Hearing) -> None:
        self.server = server
        self.device = device
        self.transport = transport
        self.hearing = hearing
        self.phases: dict[str, int] = {}
        self.captured: dict[str, object] = {}
        self.state = "new"
        self.why: tuple[Cause, str] = Cause.CLIENT, "not connected"
        self.presented = device.recovery
        self.token = device.identity["token"]
        self.recovery = f"state of {device.member.name}"
        self.name = f"paper-{len(server.links)}"
        self.paused = False
        self._waiting: list[AsyncResult] = []
        server.links.append(self)

    @property
    def user(self) -> str:
        return self.device.identity["user"]

    @property
    def sockets(self) -> int:
        return int(self.state == "open")

    def open(self, timeout_s: float) -> None:
        self.state = "opening"
        self.server.knock(self)
        self.state, self.phases = "open", {"tcp": 1}

    def send(self, action: Action, variables: Any, errand: Any) -> None:
        if self.state != "open":
            errand.failed(*self.why)
            return
        errand.left(perf_counter_ns())
        rule = action.ack

        def answered(root: list[Payload], read_ns: int) -> None:
            if rule is not None:
                errand.answered(Outcome(rule.ok(root), rule.error(root), rule, root, 0, read_ns))

        self._say(action, variables, answered)

    def perform(self, action: Action, variables: Any) -> Outcome:
        if self.state != "open":
            raise ActionFailed(*self.why)
        result: AsyncResult = AsyncResult()
        self._waiting.append(result)
        sent_ns = perf_counter_ns()
        self._say(action, variables, lambda root, read_ns: result.set((root, read_ns)))
        try:
            root, read_ns = result.get(timeout=PATIENCE_S)
        except Timeout:
            raise ActionFailed(Cause.ACK_TIMEOUT, "no answer") from None
        rule = action.ack
        assert rule is not None
        return Outcome(rule.ok(root), rule.error(root), rule, root, sent_ns, read_ns)

    def _say(self, action: Action, variables: Any, answered: Callable[[list[Payload], int], None]) -> None:
        assert action.emit is not None
        (payload,) = cast("list[Payload]", action.args(variables))
        answer = self.server.take(self, action.emit, payload)
        if isinstance(answer, AsyncResult):
            answer.rawlink(lambda late: self._later(lambda: answered([late.value], perf_counter_ns())))
        elif answer is not None:
            self._later(lambda: answered([answer], perf_counter_ns()))

    def hear(self, name: str, payload: Payload) -> None:
        """The server says something to this connection."""
        self._later(lambda: self.hearing.event(name, [payload], perf_counter_ns()))

    def _later(self, what: Callable[[], None]) -> None:
        get_hub().loop.run_callback(lambda: what() if self.state == "open" else None)

    def lose(self, cause: Cause = Cause.TRANSPORT_CLOSE, detail: str = "gone") -> None:
        """The connection ends, and not by our will."""
        was_open, self.state, self.why = self.state == "open", "lost", (cause, detail)
        for result in self._waiting:
            if not result.ready():
                result.set_exception(ActionFailed(cause, detail))
        if was_open:
            self.hearing.lost(cause, detail)

    def cut(self, reset: bool) -> bool:
        self.state = "cut"
        return True

    def pause_reading(self, paused: bool) -> None:
        self.paused = paused

    def check(self, now_ns: int) -> None:
        pass

    def carried(self) -> Carried:
        return Carried()

    def close(self) -> None:
        if self.state not in ("lost", "cut"):
            self.state = "closed"


def refused(code: str) -> Payload:
    """An answer that says no."""
    return {"ok": False, "error": {"code": code}}


class Server:
    """Lets everybody in and does what conversations need; ``answers`` replaces what it says to an event.

    doors: what becomes of the next attempts to connect, in order; an Event lets in when it is set. Whoever
    comes after those is let in. heard: everything it was told.
    """

    def __init__(self) -> None:
        self.links: list[PaperLink] = []
        self.doors: list[ConnectFailed | Event | None] = []
        self.knocks: list[tuple[PaperLink, int]] = []
        self._waiting: list[Event] = []
        self.answers: dict[str, Answer] = {"joinRoom": self.join, "message:send": self.message}
        self.heard: list[tuple[PaperLink, str, Payload]] = []
        self.logs: dict[str, list[Payload]] = {}
        self.listeners: dict[str, list[PaperLink]] = {}

    def knock(self, link: PaperLink) -> None:
        self.knocks.append((link, perf_counter_ns()))
        door = self.doors.pop(0) if self.doors else None
        if isinstance(door, Event):
            self._waiting.append(door)
            door.wait()
        elif door is not None:
            raise door

    def let_in(self) -> None:
        """Whoever waits at the door comes in, and who comes to one that is shut by an Event."""
        for door in [*self._waiting, *self.doors]:
            if isinstance(door, Event):
                door.set()

    def take(self, link: PaperLink, name: str, payload: Payload) -> Payload | AsyncResult | None:
        self.heard.append((link, name, payload))
        answer = self.answers.get(name)
        return {"ok": True} if answer is None else answer(link, payload)

    def told(self, name: str) -> list[Payload]:
        """What it was told under that name."""
        return [payload for _, one, payload in self.heard if one == name]

    def to_users(self, names: list[str], event: str, payload: Payload) -> None:
        """To every connection of these users."""
        for link in self.links:
            if link.state == "open" and link.user in names:
                link.hear(event, payload)

    @property
    def open(self) -> list[PaperLink]:
        """The connections that there are."""
        return [link for link in self.links if link.state in ("open", "opening")]

    # -- conversations

    def join(self, link: PaperLink, payload: Payload) -> Payload:
        room = payload["room"].removeprefix("conversation:")
        here = self.listeners.setdefault(room, [])
        if link not in here:
            here.append(link)
        since, log = payload.get("sinceSeq"), self.logs.setdefault(room, [])
        return {"ok": True, "lastSeq": len(log), "missed": [] if since is None else log[since:]}

    def message(self, link: PaperLink, payload: Payload) -> Payload:
        room = payload["conversationId"]
        log = self.logs.setdefault(room, [])
        for known in log:
            if known["clientMsgId"] == payload["clientMsgId"]:
                return {"ok": True, "seq": known["seq"], "duplicate": True}
        log.append({**payload, "seq": len(log) + 1, "senderId": link.user})
        for one in self.listeners.get(room, []):
            one.hear("message:new", log[-1])
        return {"ok": True, "seq": len(log)}


class Stage:
    """One run of one process. policy_ms: the waits of the way back, one attempt each."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        server: Server,
        worker: str = "0",
        deadline_ns: int = 10 * SECOND,
        started_ns: int | None = None,
        **flags: object,
    ) -> None:
        self.server = server
        self.users: list[RealtimeUser] = []
        self.fired: list[tuple[str, str, Exception | None]] = []
        self.book = Book()
        events: Any = cast(Any, Events)()
        events.request.add_listener(
            lambda request_type, name, exception, **_: self.fired.append((request_type, name, exception))
        )
        started_ns = started_ns or perf_counter_ns()
        header = Header("run", "scenario", "2026-01-01T00:00:00+00:00", started_ns, None, deadline_ns)
        place = Place(2, ("127.0.0.1", 1), "127.0.0.1:1", "http://127.0.0.1:1")
        settings = flags_of(**{"room_size": "9", "warmup": "0s", **flags})
        self.environment = SimpleNamespace(events=events)
        patch.setattr(live_module, "_TEXT_POOL", 1 << 8)  # nobody compresses here, and to fill it takes time
        self.live = LiveRun(self.environment, header, settings, _contract(), place, worker, started_ns)
        self.policy_ms(1, 1, 1)
        patch.setattr(ways, "make_link", self._link)

    def _link(self, device: Device, transport: str, hearing: Hearing) -> Any:
        return PaperLink(self.server, device, transport, hearing)

    def policy_ms(self, *waits: int, **more: Any) -> None:
        """The way back tries after these waits."""
        rule = Listed(tuple(wait * MS for wait in waits))
        given = {"buffers": True, "retries_refused": False, **more}
        self.live.policy = Policy("documented", len(waits), rule=rule, **given)

    def seat(self, kind: type[U]) -> U:
        """A user with a place, which has not connected yet."""
        user = kind(cast(Any, self.environment))
        user.live = self.live
        user._take_seat()
        self.users.append(user)
        return user

    def come(self, kind: type[U], number: int = 1) -> list[U]:
        """Users that are in."""
        users = [self.seat(kind) for _ in range(number)]
        for user in users:
            assert all(bring_in(device, user._conversation, lambda: None) for device in user.devices)
            user.arrived()
        return users

    def begin(self) -> None:
        """Everybody is in: measure begins."""
        self.live.begin(perf_counter_ns())

    @property
    def counters(self) -> dict[str, int]:
        """The run's, so far."""
        self._take()
        return self.book.counters

    @property
    def drops(self) -> list[Drop]:
        """The drops that are over."""
        self._take()
        return self.book.drops

    @property
    def faults(self) -> list[FaultRow]:
        """The strikes."""
        self._take()
        return list(self.book.faults.values())

    @property
    def traffic(self) -> list[TrafficRow]:
        """What the connections carried, summed up."""
        self._take()
        return [row for row in self.book.rows() if isinstance(row, TrafficRow)]

    def now_ns(self) -> int:
        """The run's clock."""
        return perf_counter_ns()

    def row(self, operation: str) -> SeriesRow:
        """What one operation came to, whenever it was."""
        self._take()
        whole = SeriesRow(operation, "websocket", "connect", 0)
        for row in self.book.intervals.values():
            if row.operation == operation:
                whole = whole.plus(row)
        return whole

    def _take(self) -> None:
        self.book.add("0", self.live.recorder.take())

    def forgive_bugs(self) -> None:
        """Those so far were meant."""
        self.counters.pop("harness.faults", None)

    def settle(self) -> None:
        """The deadline of everything has passed."""
        self.live.ledger.expire(perf_counter_ns() + 2 * self.live.ledger.deadline_ns)

    def end(self) -> None:
        """All part; nothing of ours is left, no connection and no greenlet."""
        for user in self.users:
            user._part()
        self.live.close()
        gevent.sleep(0)
        gevent.sleep(0)
        left = greenlets()
        try:
            assert [link for link in self.server.open if link.device.live is self.live] == []
            assert left == []
            assert self.live.recorder.counters.get("harness.faults", 0) == 0
            assert self.book.counters.get("harness.faults", 0) == 0
        finally:
            self.live.stop_timers()
            gevent.killall(left)


def greenlets() -> list[gevent.Greenlet]:
    """Those under way, but for the one that runs."""
    mine = gevent.getcurrent()
    found = [one for one in gc.get_objects() if isinstance(one, gevent.Greenlet)]
    return [one for one in found if one is not mine and not one.dead]


def failed(cause: Cause, detail: str = "") -> ConnectFailed:
    """What a door says."""
    return ConnectFailed(cause, detail)


def paper(device: Device) -> PaperLink:
    """The way that a device has now."""
    link = device.link
    assert isinstance(link, PaperLink)
    return link
