"""Who tries a contract out? A few users that do one thing at a time and remember all that they hear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import gevent
from gevent.event import AsyncResult

from loadtest.contract import Action, Contract
from loadtest.users.causes import Cause
from loadtest.users.connection import Connection, Listeners, Place
from loadtest.users.contract_findings import Heard
from loadtest.users.cookies import Cookies
from loadtest.users.link import Hearing, Outcome
from loadtest.users.login import Named, log_in
from loadtest.users.requests import Requests
from loadtest.users.socket_link import SocketLink
from loadtest.users.tokens import sign

Connect = Callable[["Person", Listeners, Any], Connection]
"""Makes a connection for a user, with this CONNECT payload."""
_MOMENT_S = 0.01


class Fate:
    """What became of something that was done: not left, no answer, or the answer."""

    def __init__(self) -> None:
        self.outcome: AsyncResult = AsyncResult()
        self.gone = False
        self.why = ""

    def left(self, sent_ns: int) -> None:
        """It is on its way."""
        self.gone = True

    def answered(self, outcome: Outcome) -> None:
        """The server answered."""
        self.outcome.set(outcome)

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""
        self.why = f"{cause}: {detail}"
        self.outcome.set(None)


class Person:
    """One user with one connection. who: for the report. heard: every event, in order."""

    def __init__(
        self, contract: Contract, place: Place, connect: Connect, name: str, who: str, room: str, role: str
    ) -> None:
        self.contract = contract
        self.place = place
        self.name = name
        self.who = who
        self.room = room
        self.heard: list[Heard] = []
        self.identity = Named.of(contract).identity(place, name, f"d-{name}", role, room)
        self.cookies = Cookies()
        self.failures: list[str] = []
        self._make = connect
        self._link: SocketLink | None = None
        self._hearing = Hearing(self._event, self._lost, self._fault, lambda lag_ns: None)
        self.phases: dict[str, int] = {}
        self.captured: dict[str, object] = {}

    def sign(self, secret: str) -> None:
        """The token that users sign themselves."""
        self.identity["token"] = sign(secret, self.name, str(self.identity["role"]))

    def log_in(self, timeout_s: float) -> None:
        """Go through the login, if there is one. Raises ConnectFailed."""
        log_in(self.contract, self.identity, self.requests(), timeout_s)

    def open(self, timeout_s: float) -> None:
        """Connect and authenticate; ``phases`` says how far it came. Raises ConnectFailed."""
        link = self._link = SocketLink(
            self.contract, self.identity, self._connect, self._hearing, self.requests
        )
        try:
            link.open(timeout_s)
        finally:
            self.phases, self.captured = link.phases, link.captured
            self.identity.update(link.captured)

    def _connect(self, listeners: Listeners, auth: Any) -> Connection:
        return self._make(self, listeners, auth)

    def requests(self) -> Requests:
        """For what is done over HTTP."""
        return Requests(self.contract, self.identity, self.place, "library", self._hearing, self.cookies)

    def do(self, action: Action, timeout_s: float, **variables: object) -> Fate:
        """Do it, and wait for the answer where the contract has one."""
        fate = Fate()
        assert self._link is not None
        self._link.send(action, {**self.identity, **variables}, fate)
        if action.ack is not None or action.emit is None:
            fate.outcome.wait(timeout_s)
        outcome: Outcome | None = fate.outcome.value if fate.outcome.ready() else None
        if outcome is not None and outcome.ok:
            self.identity.update(outcome.rule.captured(outcome.root))
        return fate

    def since(self, mark: int) -> Sequence[Heard]:
        """What it heard after the first ``mark`` events."""
        return self.heard[mark:]

    def close(self) -> None:
        """Part from the server."""
        if self._link is not None:
            self._link.close()

    def _event(self, name: str, args: list[Any], read_ns: int) -> None:
        self.heard.append(Heard(name, args))

    def _lost(self, cause: Cause, detail: str) -> None:
        self.failures.append(f"the connection was lost ({cause}: {detail})")

    def _fault(self, error: BaseException) -> None:
        self.failures.append(f"{type(error).__name__}: {error}")


def wait_for(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Look until it holds, or until time is up; whether it does."""
    until_ns = perf_counter_ns() + round(timeout_s * 1e9)
    while not holds():
        if perf_counter_ns() > until_ns:
            return False
        gevent.sleep(_MOMENT_S)
    return True
