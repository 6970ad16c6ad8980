"""Do users on different transports hold one conversation, on a real server in a process of its own?"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import gevent
import pytest
from tls_end import Authority, in_front_of

from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.users import secure
from loadtest.users.causes import Cause
from loadtest.users.connection import Connection, Listeners, NativeConnection, Place, call
from loadtest.users.http import fetch
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.target import locate
from loadtest.users.tokens import sign
from loadtest.users.upgrading import UpgradingConnection

Until = Callable[[Callable[[], object]], None]
MESSAGES = 60


@contextlib.contextmanager
def reference(*flags: str) -> Iterator[str]:
    """A reference server: its URL."""
    args = [sys.executable, "-m", "loadtest", "serve", "--port", "0", "--rate-limit", "0", *flags]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[2]
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["plain", "TLS", "IPv6"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A reference server; with an end of TLS in front of it; listening on ::1 alone."""
    if request.param == "IPv6":
        with reference("--bind", "::1") as url:
            yield locate(url)
        return
    with reference() as url, pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            yield locate(url)
            return
        authority = Authority()
        authority.trusted(patch, tmp_path_factory.mktemp("ca"))
        port = urlsplit(url).port
        assert port is not None
        with in_front_of(port, authority.server()) as own:
            yield locate(f"https://localhost:{own}")
        secure.context.cache_clear()


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
    for talker in talkers:
        assert ("tls" in talker.connection.phases) == (place.secure is not None)
    assert len(talkers[0].connection.local_ports) == len(talkers[2].connection.local_ports) == 1
    for talker in talkers:
        talker.connection.close()
    until(lambda: not any(talker.connection.local_ports for talker in talkers))
    until(lambda: _connections(place) == 0)


def _connections(place: Place) -> int:
    """How many the server says that it has, as soon as our goodbyes have come."""
    number: int = json.loads(fetch(place, "/__stats", 10).body)["sockets"]
    return number
