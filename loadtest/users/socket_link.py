"""How does a user act over a Socket.IO connection?"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from loadtest.contract import Action, Contract
from loadtest.contract.answers import AckRule
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Connection, Listeners, NotConnected, call
from loadtest.users.link import ACTION_TIMEOUT_S, ActionFailed, Errand, Hearing, Outcome, Variables
from loadtest.users.tcp import Carried

Connect = Callable[[Listeners, object | None], Connection]
"""Makes a connection that tells ``listeners``, with this CONNECT payload."""


class SocketLink:
    """The contract's events over one Socket.IO connection, whichever client drives it."""

    transport = "websocket"
    ordered = True

    __slots__ = ("_connection", "_contract", "_hearing", "_identity", "_open", "phases")

    def __init__(self, contract: Contract, identity: Variables, connect: Connect, hearing: Hearing) -> None:
        self._contract = contract
        self._identity = identity
        self._hearing = hearing
        self._open = False
        self.phases: dict[str, int] = {}
        listeners = Listeners(hearing.event, self._lost, hearing.fault, hearing.lag)
        self._connection = connect(listeners, contract.connect.auth(identity))

    def open(self, timeout_s: float) -> None:
        """Connect and authenticate. Raises ConnectFailed."""
        self._connection.open(timeout_s)
        self.phases = dict(self._connection.phases)
        rule = self._contract.authenticate
        if rule is not None:
            begun_ns = perf_counter_ns()
            try:
                self._authenticate(timeout_s)
            except BaseException:
                self._connection.close()
                raise
            self.phases["authenticate"] = perf_counter_ns() - begun_ns
        self._open = True

    def _authenticate(self, timeout_s: float) -> None:
        rule = self._contract.authenticate
        assert rule is not None
        args = rule.args(self._identity)
        if rule.ack is None:
            self._connection.emit(rule.emit, args)
            return
        try:
            answer, _, _ = call(self._connection, rule.emit, args, timeout_s)
        except (TimeoutError, NotConnected) as error:
            raise ConnectFailed(Cause.CONNECT_TIMEOUT, str(error) or f"lost during {rule.emit}") from None
        if not rule.ack.ok(answer):
            raise ConnectFailed(Cause.CONNECT_ERROR, rule.ack.error(answer) or f"{rule.emit} was refused")

    def send(self, action: Action, variables: Variables, errand: Errand) -> None:
        """Do it without waiting."""
        assert action.emit is not None
        args = action.args(variables)
        try:
            if action.ack is None:
                sent_ns = self._connection.emit(action.emit, args)
            else:
                sent_ns = self._connection.request(action.emit, args, _Answer(action.ack, errand))
        except NotConnected:
            errand.failed(Cause.CLIENT if not self._open else Cause.TRANSPORT_CLOSE, "not connected")
            return
        errand.left(sent_ns)

    def perform(self, action: Action, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""
        assert action.emit is not None
        args = action.args(variables)
        rule = action.ack
        try:
            if rule is None:
                sent_ns = self._connection.emit(action.emit, args)
                return Outcome(True, None, AckRule(), [], sent_ns, perf_counter_ns())
            answer, sent_ns, read_ns = call(self._connection, action.emit, args, ACTION_TIMEOUT_S)
        except NotConnected:
            raise ActionFailed(Cause.TRANSPORT_CLOSE, "not connected") from None
        except TimeoutError as error:
            raise ActionFailed(Cause.ACK_TIMEOUT, str(error)) from None
        return Outcome(rule.ok(answer), rule.error(answer), rule, answer, sent_ns, read_ns)

    def _lost(self, cause: Cause, detail: str) -> None:
        self._open = False
        self._hearing.lost(cause, detail)

    def check(self, now_ns: int) -> None:
        """Find out that the server fell silent."""
        self._connection.check(now_ns)

    def carried(self) -> Carried:
        """Bytes and segments so far."""
        return self._connection.carried()

    @property
    def sockets(self) -> int:
        """0 or 1."""
        return int(self._open)

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the frame being read."""
        return self._connection.arrived_ns

    @property
    def name(self) -> str:
        """The Socket.IO id."""
        return self._connection.session

    def close(self) -> None:
        """Say goodbye."""
        self._open = False
        self._connection.close()


class _Answer:
    """Carries an ack to its errand; knows when the errand left, because acks never come before that."""

    __slots__ = ("_errand", "_rule")

    def __init__(self, rule: AckRule, errand: Errand) -> None:
        self._rule = rule
        self._errand = errand

    def __call__(self, args: list[Any], read_ns: int) -> None:
        rule = self._rule
        self._errand.answered(Outcome(rule.ok(args), rule.error(args), rule, args, 0, read_ns))
