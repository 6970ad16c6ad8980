"""Users on our own client, over each of its transports, that write down what they hear."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
from e2e_running import PATIENCE_S
from official_running import RoomServer

from loadtest.protocol import Recovery
from loadtest.users.causes import Cause
from loadtest.users.connection import Connection, Listeners, NativeConnection, Place, call
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.upgrading import UpgradingConnection

Make = Callable[[Place, Listeners, Recovery | None], Connection]


def _websocket(place: Place, listeners: Listeners, recovery: Recovery | None) -> Connection:
    return NativeConnection(place, "/socket.io", None, (), False, listeners, recovery=recovery)


def _polling(place: Place, listeners: Listeners, recovery: Recovery | None) -> Connection:
    return LongPollingConnection(place, "/socket.io", None, _head(place), listeners, recovery=recovery)


def _upgrading(place: Place, listeners: Listeners, recovery: Recovery | None) -> Connection:
    head = _head(place)
    return UpgradingConnection(place, "/socket.io", None, head, (), False, listeners, recovery=recovery)


def _head(place: Place) -> bytes:
    return f"Host: {place.host}\r\n".encode()


MADE: dict[str, Make] = {"websocket": _websocket, "long-polling": _polling, "upgrade": _upgrading}


def until(holds: Callable[[], object]) -> None:
    """Run the hub until it holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        gevent.sleep(0.002)


class Departed:
    """Nobody waits for an event to leave; that it never did is a fault."""

    def __init__(self, user: User) -> None:
        self._user = user

    def left(self, sent_ns: int) -> None:
        """As it should."""

    def failed(self, cause: Cause, detail: str) -> None:
        self._user.faults.append(AssertionError(f"never left: {cause} {detail}"))


class User:
    """``got``: the messages; ``acks``: answers by clientMsgId; ``last_seq``: of its room when it came in."""

    def __init__(self, server: RoomServer, name: str, make: Make, recovery: Recovery | None = None) -> None:
        port = int(server.url.rpartition(":")[2])
        place = Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", server.url)
        self.name = name
        self.got: list[dict[str, Any]] = []
        self.acks: dict[str, dict[str, Any]] = {}
        self.losses: list[Cause] = []
        self.faults: list[BaseException] = []
        self.last_seq = 0
        self.connection = make(
            place, Listeners(self._event, self._lost, self.faults.append, lambda lag_ns: None), recovery
        )

    def _event(self, name: str, args: list[Any], read_ns: int) -> None:
        if name == "message:new":
            (message,) = args  # what recovery hangs on an event is not the sender's
            self.got.append(message)

    def _lost(self, cause: Cause, detail: str) -> None:
        self.losses.append(cause)

    def come_in(self, room: str) -> None:
        """Connect, authenticate, join."""
        self.connection.open(PATIENCE_S)
        assert self.ask("authenticate", {"userId": self.name, "token": ""})["ok"]
        joined = self.ask("joinRoom", {"room": f"conversation:{room}"})
        assert joined["ok"]
        self.last_seq = joined["lastSeq"]

    def ask(self, name: str, payload: object) -> dict[str, Any]:
        """Emit and wait for the answer."""
        answer, _, _ = call(self.connection, name, [payload], PATIENCE_S)
        return dict(answer[0])

    def say(self, room: str, client_id: str) -> None:
        """Without waiting for the answer."""

        def answered(args: list[Any] | None, read_ns: int) -> None:
            assert args is not None, "lost before it was answered"
            assert client_id not in self.acks, "answered twice"
            self.acks[client_id] = args[0]

        payload = {"conversationId": room, "body": f"häß 😀 {client_id}", "clientMsgId": client_id}
        self.connection.request("message:send", [payload], answered, Departed(self))

    def seqs(self) -> list[int]:
        """Numbers of the messages heard, in order of arrival."""
        return [message["seq"] for message in self.got]
