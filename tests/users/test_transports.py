"""Do users on different transports hold one conversation, on a real server in a process of its own?"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import gevent
import pytest

from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.users.causes import Cause
from loadtest.users.connection import Connection, Listeners, NativeConnection, Place, call
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.tokens import sign
from loadtest.users.upgrading import UpgradingConnection

Until = Callable[[Callable[[], object]], None]
MESSAGES = 60


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A reference server."""
    args = [sys.executable, "-m", "loadtest", "serve", "--port", "0", "--rate-limit", "0"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            address = urlsplit(process.stdout.readline().split()[2])
            host, port = address.hostname, address.port
            yield Place(2, (host, port), f"{host}:{port}", f"http://{host}:{port}")
        finally:
            process.kill()


class Talker:
    """One user: what it hears of others, in order, and what became of what it said."""

    def __init__(self, place: Place, transport: str, name: str) -> None:
        self.name = name
        self.heard: list[str] = []
        self.left_ns: list[int] = []
        self.acks: list[Any] = []
        self.losses: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.upgrades: list[Any] = []
        listeners = Listeners(
            self._event, lambda *loss: self.losses.append(loss), self.faults.append, lambda lag_ns: None
        )
        head = f"Host: {place.host}\r\nAccept-Encoding: gzip, deflate\r\n".encode()
        self.connection: Connection
        if transport == "websocket":
            self.connection = NativeConnection(place, "/socket.io", None, (), False, listeners)
        elif transport == "long-polling":
            self.connection = LongPollingConnection(place, "/socket.io", None, head, listeners)
        else:
            self.connection = UpgradingConnection(
                *(place, "/socket.io", None, head, (), False, listeners),
                on_upgrade=lambda *outcome: self.upgrades.append(outcome),
            )

    def _event(self, name: str, args: list[Any], read_ns: int) -> None:
        if name == "message:new":
            self.heard.append(args[0]["body"])

    def left(self, sent_ns: int) -> None:
        self.left_ns.append(sent_ns)

    def failed(self, cause: Cause, detail: str) -> None:
        raise AssertionError(f"{cause} {detail}")

    def enter(self) -> None:
        self.connection.open(10)
        token = sign(DEVELOPMENT_SECRET, self.name)
        ask = (
            ("authenticate", {"userId": self.name, "token": token}),
            ("joinRoom", {"room": "conversation:c"}),
        )
        for event, payload in ask:
            (answer,), _, _ = call(self.connection, event, [payload], 10)
            assert answer["ok"], answer

    def say(self, number: int) -> None:
        said = {
            "conversationId": "c",
            "body": f"{self.name} {number}",
            "clientMsgId": f"{self.name}:{number}",
        }
        self.connection.request("message:send", [said], lambda args, read_ns: self.acks.append(args), self)


def test_they_all_hear_everything_in_order(place: Place, until: Until) -> None:
    talkers = [Talker(place, transport, transport) for transport in ("websocket", "long-polling", "upgrade")]
    for talker in talkers:
        talker.enter()
    for number in range(MESSAGES):
        for talker in talkers:
            talker.say(number)
        gevent.sleep(0.001)
    until(lambda: all(len(talker.heard) == MESSAGES * len(talkers) for talker in talkers))
    until(lambda: all(len(talker.acks) == MESSAGES for talker in talkers))
    for talker in talkers:
        assert talker.heard == talkers[0].heard
        for other in talkers:
            mine = [body for body in talker.heard if body.startswith(f"{other.name} ")]
            assert mine == [f"{other.name} {number}" for number in range(MESSAGES)]
        assert all(args[0]["ok"] for args in talker.acks)
        assert len(talker.left_ns) == MESSAGES
        assert talker.losses == talker.faults == []
    ((took_ns, why),) = talkers[2].upgrades
    assert why is None
    assert took_ns > 0
    assert len(talkers[0].connection.local_ports) == len(talkers[2].connection.local_ports) == 1
    for talker in talkers:
        talker.connection.close()
    until(lambda: not any(talker.connection.local_ports for talker in talkers))
    until(lambda: _connections(place) == 0)


def _connections(place: Place) -> int:
    """How many the server says that it has, as soon as our goodbyes have come."""
    with contextlib.closing(urllib.request.urlopen(f"{place.base}/__stats", timeout=10)) as answer:
        stats = json.load(answer)
    number: int = stats["sockets"]
    return number
