"""What does a user need of a transport? The seam between what users do and how it travels.

A user performs the contract's actions and hears its events, over a socket or over requests and a feed; a
scenario is written once and runs on either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from loadtest.contract import Action
from loadtest.contract.answers import Answer
from loadtest.users.causes import Cause
from loadtest.users.tcp import Carried

Variables = Mapping[str, object]
ACTION_TIMEOUT_S = 10.0
"""How long a journey waits for an answer that it cannot go on without."""


class Outcome(NamedTuple):
    """What the server answered. ``rule`` reads further values out of ``root``."""

    ok: bool
    error: str | None
    rule: Answer
    root: object
    sent_ns: int
    read_ns: int


class Errand(Protocol):
    """Something sent without waiting; told on the hub what became of it, so nothing here may block."""

    def left(self, sent_ns: int) -> None:
        """It is on its way; comes first, unless ``failed`` comes instead."""

    def answered(self, outcome: Outcome) -> None:
        """The server answered; never comes where the contract has no answer."""

    def failed(self, cause: Cause, detail: str) -> None:
        """It could not leave."""


class Hearing(NamedTuple):
    """Who hears what a link brings; all of it on the hub."""

    event: Callable[[str, list[Any], int], None]
    lost: Callable[[Cause, str], None]
    fault: Callable[[BaseException], None]
    lag: Callable[[int], object]


class Heartbeat(NamedTuple):
    """What a link does while nobody does anything: once in ``period_ns``.

    A window of fewer than ``fair`` periods samples it badly. carried: what one costs by the protocol, for
    links whose window was too short; None where that has to be measured.
    """

    period_ns: int
    fair: int
    carried: Carried | None


class Link(Protocol):
    """One user's way to the server. ``phases``: ns of the parts of ``open``.

    captured: what the server said in it, by the names that the contract gives.
    """

    phases: dict[str, int]
    captured: dict[str, object]
    transport: str
    ordered: bool

    def open(self, timeout_s: float) -> None:
        """Connect and authenticate; blocks. Raises ConnectFailed."""

    def send(self, action: Action, variables: Variables, errand: Errand) -> None:
        """Do it without waiting. Never raises for a link that is down: ``errand.failed`` is called."""

    def perform(self, action: Action, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""

    def check(self, now_ns: int) -> None:
        """About once a second."""

    def carried(self) -> Carried:
        """Bytes and segments of all connections of this link so far."""

    @property
    def sockets(self) -> int:
        """Connections open now."""

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of what is being read."""

    @property
    def heartbeat(self) -> Heartbeat | None:
        """What idling does; None if unknown."""

    @property
    def name(self) -> str:
        """How the server calls this connection, for a person who searches its log."""

    def cut(self, reset: bool) -> bool:
        """End the connections without a word, by a reset or a plain close; whether this link is lost by it.

        ``lost`` is not called. A link that connects anew for each request is not lost.
        """

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the socket, as a client does that is too slow."""

    @property
    def patience_ns(self) -> int | None:
        """How long the server waits for a sign of life that it asked for; None if unknown."""

    def close(self) -> None:
        """Part in peace; never raises."""


class ActionFailed(Exception):
    """An action that a journey needs did not work out: no connection, no answer in time."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail
