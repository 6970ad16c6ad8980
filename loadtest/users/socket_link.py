"""How does a user act over a Socket.IO connection?"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from gevent.event import AsyncResult

from loadtest.contract import Action, Authenticate, Contract, HttpCall
from loadtest.contract.answers import AckRule
from loadtest.protocol import Recovery
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Connection, Listeners, NotConnected, call, tell
from loadtest.users.link import (
    ACTION_TIMEOUT_S,
    ActionFailed,
    Errand,
    Hearing,
    Heartbeat,
    Outcome,
    Variables,
)
from loadtest.users.requests import Requests
from loadtest.users.tcp import Carried

Connect = Callable[[Listeners, object | None], Connection]
"""Makes a connection that tells ``listeners``, with this CONNECT payload."""


class SocketLink:
    """The contract's events over one Socket.IO connection, whichever client drives it."""

    ordered = True

    __slots__ = (
        "_awaited",
        "_connection",
        "_contract",
        "_hearing",
        "_identity",
        "_make_requests",
        "_open",
        "_requests",
        "_why",
        "captured",
        "phases",
        "transport",
    )

    def __init__(
        self,
        contract: Contract,
        identity: Variables,
        connect: Connect,
        hearing: Hearing,
        make_requests: Callable[[], Requests],
        transport: str = "websocket",
    ) -> None:
        self.transport = transport
        self._make_requests = make_requests
        self._requests: Requests | None = None
        self._awaited: AsyncResult | None = None
        self._contract = contract
        self._identity = identity
        self._hearing = hearing
        self._open = False
        self._why: tuple[Cause, str] | None = None
        self.phases: dict[str, int] = {}
        self.captured: dict[str, object] = {}
        waits = contract.authenticate is not None and contract.authenticate.wait is not None
        on_event = self._heard_before_open if waits else hearing.event
        listeners = Listeners(on_event, self._lost, hearing.fault, hearing.lag)
        self._connection = connect(listeners, contract.connect.auth(identity))

    def open(self, timeout_s: float) -> None:
        """Connect and authenticate; ``captured`` is what the server said then. Raises ConnectFailed."""
        rule = self._contract.authenticate
        if rule is not None and rule.emit is None:
            self._awaited = AsyncResult()  # what is waited for may come in one read with the CONNECT
        self._connection.open(timeout_s)
        self.phases = dict(self._connection.phases)
        if rule is not None:
            begun_ns = perf_counter_ns()
            try:
                self._authenticate(timeout_s)
            except BaseException:
                self._connection.close()
                raise
            self.phases["authenticate"] = perf_counter_ns() - begun_ns
        if self._why is not None:  # lost while the last answer was waking us
            raise ConnectFailed(*self._why)
        self._open = True

    def _authenticate(self, timeout_s: float) -> None:
        rule = self._contract.authenticate
        assert rule is not None
        try:
            if rule.emit is not None:
                self._awaited = AsyncResult() if rule.wait is not None else None
                self._say(rule, rule.emit, timeout_s)
            if self._awaited is not None and not self._awaited.wait(timeout_s):
                raise TimeoutError(f"no {rule.wait} within {timeout_s:g} s")
        except (TimeoutError, NotConnected) as error:
            raise ConnectFailed(*(self._why or (Cause.CONNECT_TIMEOUT, str(error)))) from None

    def _say(self, rule: Authenticate, name: str, timeout_s: float) -> None:
        args = rule.args(self._identity)
        if rule.ack is None:
            tell(self._connection, name, args, timeout_s)
            return
        answer, _, _ = call(self._connection, name, args, timeout_s)
        if not rule.ack.ok(answer):
            raise ConnectFailed(Cause.CONNECT_ERROR, rule.ack.error(answer) or f"{name} was refused")
        self.captured.update(rule.ack.captured(answer))

    def _heard_before_open(self, name: str, args: list[Any], read_ns: int) -> None:
        rule = self._contract.authenticate
        if self._awaited is not None and rule is not None and name == rule.wait:
            if not self._awaited.ready():
                self.captured.update(rule.captured(args))
            self._awaited.set(True)
        self._hearing.event(name, args, read_ns)

    def send(self, action: Action, variables: Variables, errand: Errand) -> None:
        """Do it without waiting."""
        if action.emit is None:
            self._over_http().send(_http(action), variables, errand)
            return
        args = action.args(variables)
        try:
            if action.ack is None:
                self._connection.emit(action.emit, args, errand)
            else:
                self._connection.request(action.emit, args, _Answer(action.ack, errand), errand)
        except NotConnected:
            errand.failed(*(self._why or (Cause.CLIENT, "not connected")))

    def perform(self, action: Action, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""
        if action.emit is None:
            return self._over_http().perform(_http(action), variables)
        args = action.args(variables)
        rule = action.ack
        try:
            if rule is None:
                sent_ns = tell(self._connection, action.emit, args, ACTION_TIMEOUT_S)
                return Outcome(True, None, AckRule(), [], sent_ns, perf_counter_ns())
            answer, sent_ns, read_ns = call(self._connection, action.emit, args, ACTION_TIMEOUT_S)
        except NotConnected:
            raise ActionFailed(*(self._why or (Cause.CLIENT, "not connected"))) from None
        except TimeoutError as error:
            raise ActionFailed(Cause.ACK_TIMEOUT, str(error)) from None
        return Outcome(rule.ok(answer), rule.error(answer), rule, answer, sent_ns, read_ns)

    def _over_http(self) -> Requests:
        """For what the application does over HTTP although it has a socket."""
        if self._requests is None:
            self._requests = self._make_requests()
        return self._requests

    def _lost(self, cause: Cause, detail: str) -> None:
        self._why = cause, detail
        if self._awaited is not None:
            self._awaited.set(False)
        # One that is lost before it is open was never made: `open` says so, and nobody counts it twice.
        if self._open:
            self._open = False
            self._hearing.lost(cause, detail)

    def check(self, now_ns: int) -> None:
        """Find out that the server fell silent."""
        self._connection.check(now_ns)

    def cut(self, reset: bool) -> bool:
        """End the connection without a word, and with it the link."""
        self._open = False
        self._connection.cut(reset)
        return True

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the socket."""
        self._connection.pause_reading(paused)

    @property
    def patience_ns(self) -> int | None:
        """The server's ping timeout."""
        return self._connection.ping_timeout_ns

    @property
    def recovery(self) -> Recovery | None:
        """What the next connection needs for the server to restore this one's state; None: it cannot."""
        return self._connection.recovery

    @property
    def recovered(self) -> bool:
        """Whether the server restored the state of the connection before."""
        return self._connection.recovered

    def carried(self) -> Carried:
        """Bytes and segments so far."""
        carried = self._connection.carried()
        return carried if self._requests is None else carried.plus(self._requests.pool.carried())

    @property
    def sockets(self) -> int:
        """Connections open now."""
        own = len(self._connection.local_ports) if self._open else 0
        return own + (self._requests.pool.sockets if self._requests is not None else 0)

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the frame being read."""
        return self._connection.arrived_ns

    @property
    def heartbeat(self) -> Heartbeat | None:
        """Engine.IO's ping and pong: a 3-byte frame down, a masked one of 7 up, and an ACK for the pong.

        Over polling they are requests, and over TLS records, whose size only the sockets know.
        """
        period_ns = self._connection.ping_interval_ns
        if not period_ns:
            return None
        unknown = self.transport == "long-polling" or self._connection.secure
        return Heartbeat(period_ns, 5, None if unknown else Carried(7, 3, 1, 2))

    @property
    def name(self) -> str:
        """The Socket.IO id."""
        return self._connection.session

    def close(self) -> None:
        """Say goodbye."""
        self._open = False
        self._connection.close()
        if self._requests is not None:
            self._requests.pool.close()


def _http(action: Action) -> HttpCall:
    assert action.http is not None  # the contract's loader lets no action have neither
    return action.http


class _Answer:
    """Carries an ack to its errand; knows when the errand left, because acks never come before that."""

    __slots__ = ("_errand", "_rule")

    def __init__(self, rule: AckRule, errand: Errand) -> None:
        self._rule = rule
        self._errand = errand

    def __call__(self, args: list[Any] | None, read_ns: int) -> None:
        if args is None:
            return  # the server may have it, or not: the ledger's deadline decides
        rule = self._rule
        self._errand.answered(Outcome(rule.ok(args), rule.error(args), rule, args, 0, read_ns))
