"""Do namespaces and bytes work with python-socketio's server as it stands on a port, over both carriers?"""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import socketio
import uvicorn

from loadtest.protocol import Ack, Client, ClientEvent, Connected, ConnectError, Event, PollingClient, Session

PATIENCE_S = 20.0


class Echoes(socketio.AsyncNamespace):  # type: ignore[misc]
    """Answers with what it got, and sends it back as an event."""

    async def on_connect(self, sid: str, environ: object, auth: Any) -> None:
        if (auth or {}).get("key") == "wrong":
            raise socketio.exceptions.ConnectionRefusedError("not you")

    async def on_up(self, sid: str, *args: Any) -> Any:
        await self.emit("down", args, to=sid)
        return args


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    sio = socketio.AsyncServer(async_mode="asgi", namespaces=["/", "/admin"])
    for name in ("/", "/admin"):
        sio.register_namespace(Echoes(name))
    server = uvicorn.Server(uvicorn.Config(socketio.ASGIApp(sio), log_level="error", lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


class OverWebSocket:
    """The client's bytes on a plain socket."""

    def __init__(self, port: int, **options: Any) -> None:
        self.client: Session = Client(f"ws://127.0.0.1:{port}", **options)
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.client.open()

    def turn(self) -> list[ClientEvent]:
        self.say()
        return self.client.receive_data(self._sock.recv(1 << 16), time.perf_counter_ns())

    def say(self) -> None:
        self._sock.sendall(b"".join(self.client.data_to_send()))

    def close(self) -> None:
        self._sock.close()


class OverPolling:
    """The client's requests, one after the other."""

    def __init__(self, port: int, **options: Any) -> None:
        self.client: Session = PollingClient(**options)
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self.client.open()

    def turn(self) -> list[ClientEvent]:
        self.say()
        target = self.client.start_poll()
        assert target is not None
        return self.client.receive_poll(*self._ask("GET", target), time.perf_counter_ns())

    def say(self) -> None:
        while (post := self.client.start_post()) is not None:
            self.client.receive_post(*self._ask("POST", post.target, post.body), time.perf_counter_ns())

    def _ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
        self._http.request(method, target, body, {"Content-Type": "text/plain;charset=UTF-8"})
        answer = self._http.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._http.close()


@pytest.fixture(params=[OverWebSocket, OverPolling])
def carrier(request: pytest.FixtureRequest, port: int) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(request.param(port, **options))
        return made[-1]

    yield make
    for one in made:
        one.client.disconnect()
        one.say()
        one.close()


def _until(one: Any, count: int) -> list[ClientEvent]:
    """So many events, in order of their names: two servers' tasks may overtake each other."""
    events: list[ClientEvent] = []
    while len(events) < count:
        events += one.turn()
    return events


def test_bytes_there_and_back(carrier: Callable[..., Any]) -> None:
    one = carrier()
    assert [type(event).__name__ for event in _until(one, 2)] == ["Opened", "Connected"]
    data = bytes(range(256)) * 40
    assert one.client.emit("up", data, {"again": [data]}, "text", ack=True) == 0
    events = _until(one, 2)
    assert Ack(0, [data, {"again": [data]}, "text"]) in events
    assert Event("down", [data, {"again": [data]}, "text"]) in events


def test_several_namespaces(carrier: Callable[..., Any]) -> None:
    one = carrier()
    _until(one, 2)
    admin, nowhere = one.client.join("/admin", {"key": "right"}), one.client.join("/nowhere")
    connected, refused = _until(one, 2)
    assert isinstance(connected, Connected) and connected.namespace == "/admin"
    assert refused == ConnectError("Unable to connect", None, "/nowhere")
    assert (admin.sid, nowhere.sid) == (connected.sid, None)
    assert admin.emit("up", b"x", ack=True) == one.client.emit("up", 1, ack=True) == 0
    events = _until(one, 4)
    for expected in (
        Ack(0, [b"x"], "/admin"),
        Event("down", [b"x"], None, "/admin"),
        Ack(0, [1]),
        Event("down", [1]),
    ):
        assert expected in events
    admin.leave()
    one.client.emit("up", 2, ack=True)
    assert Ack(1, [2]) in _until(one, 2)


def test_a_refusal_and_another_first_namespace(carrier: Callable[..., Any]) -> None:
    one = carrier(namespace="/admin", auth={"key": "right"})
    _, connected = _until(one, 2)
    assert isinstance(connected, Connected) and connected.namespace == "/admin"
    one.client.join("/", {"key": "wrong"})
    (refused,) = _until(one, 1)
    assert isinstance(refused, ConnectError) and (refused.message, refused.namespace) == ("not you", "/")
    one.client.emit("up", b"still here", ack=True)
    assert Ack(0, [b"still here"], "/admin") in _until(one, 2)
