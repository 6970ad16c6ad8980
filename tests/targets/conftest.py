"""Two real ends: the server in a process of its own, and python-socketio's client or plain HTTP."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import engineio
import pytest
import requests
import socketio
import websocket
from hypothesis import HealthCheck, settings

PATIENCE_S = 10.0
# How long an example takes says something about the machine, not about the code.
settings.register_profile(
    "steady", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
Payload = dict[str, Any]


@dataclass
class Reply:
    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        assert self.body["ok"] is False
        return str(self.body["error"]["code"])


@dataclass
class Server:
    """A `loadtest serve` under test."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return Reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Reply(refused.code, refused.headers, refused.read())

    def get(self, path: str, token: str | None = None, **headers: str) -> Reply:
        return self.request(
            "GET", path, token=token, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    def post(self, path: str, body: object, token: str | None = None) -> Reply:
        return self.request("POST", path, body, token)

    def token(self, user: str, **more: Any) -> str:
        reply = self.post("/api/auth/token", {"userId": user, **more})
        assert reply.status == 201
        return str(reply.body["token"])

    def stats(self) -> Payload:
        stats: Payload = self.get("/__stats").body
        return stats

    def fault(self, kind: str, **more: Any) -> Payload:
        reply = self.post("/__fault", {"kind": kind, **more})
        assert reply.status == 200, reply.raw
        body: Payload = reply.body
        return body

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


class _InOrder(engineio.Client):  # type: ignore[misc]
    """Handles packets one after the other: a thread per packet, as is usual, loses their order."""

    def _trigger_event(self, event: str, *args: Any, **_options: Any) -> Any:
        return super()._trigger_event(event, *args, run_async=False)


class _Client(socketio.Client):  # type: ignore[misc]
    def _engineio_client_class(self) -> type[engineio.Client]:
        return _InOrder


class Peer:
    """One Socket.IO connection that remembers every event it received, in order."""

    def __init__(self, server: Server, auth: object, transports: tuple[str, ...] = ("websocket",)) -> None:
        self.events: list[tuple[str, Payload]] = []
        self.disconnected = threading.Event()
        self._news = threading.Condition()
        # The client forgets its sockets without closing them, wherever the other end hung up first.
        self._http = requests.Session()
        self.client = _Client(reconnection=False, handle_sigint=False, http_session=self._http)
        self.client.on("*", self._note)
        self.client.on("disconnect", lambda *_reason: self.disconnected.set())
        try:
            self.client.connect(server.url, auth=auth, transports=list(transports), wait_timeout=PATIENCE_S)
        except Exception:
            self.close()
            raise

    def _note(self, event: str, *arguments: Any) -> None:
        with self._news:
            self.events.append((event, arguments[0]))
            self._news.notify_all()

    def named(self, event: str) -> list[Payload]:
        return [data for name, data in self.events if name == event]

    def wait(self, event: str, count: int = 1, patience_s: float = PATIENCE_S) -> list[Payload]:
        """The events of that name, once there are `count`."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self.named(event)) >= count, patience_s)
        assert enough, f"{len(self.named(event))} of {count} {event} after {patience_s} s"
        return self.named(event)

    def call(self, event: str, payload: object) -> Payload:
        answer: Payload = self.client.call(event, payload, timeout=PATIENCE_S)
        return answer

    def emit(self, event: str, payload: object) -> None:
        self.client.emit(event, payload)

    def settle(self) -> None:
        """Returns when whatever the server had already sent to this peer has arrived."""
        assert "serverTime" in self.call("echo", {})

    def join(self, conversation: str, **more: Any) -> Payload:
        answer = self.call("joinRoom", {"room": f"conversation:{conversation}", **more})
        assert answer["ok"], answer
        return answer

    def send(self, conversation: str, **more: Any) -> Payload:
        message = {"conversationId": conversation, "body": "hello", "clientMsgId": uuid.uuid4().hex, **more}
        return self.call("message:send", message)

    def close(self) -> None:
        websocket = self.client.eio.ws
        # A connection the server has cut is closed already.
        with contextlib.suppress(Exception):
            self.client.disconnect()
        self._http.close()
        if websocket is not None:
            websocket.shutdown()


def hello(token: str) -> str:
    """The Socket.IO CONNECT packet of a user, as it goes over the wire."""
    return "40" + json.dumps({"token": token})


StartServer = Callable[..., Server]
Connect = Callable[..., Peer]


@contextlib.contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Server]:
    """`loadtest serve --port 0 ARGUMENTS`, from its first line of output to its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first = process.stdout.readline()
        assert first.startswith("listening on http://127.0.0.1:"), first + process.stderr.read()
        yield Server(process, first.split()[-1], [first])
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    yield shared_server
    shared_server.fault("none")


@pytest.fixture
def start() -> Iterator[StartServer]:
    """Starts further servers, with other switches."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(running(*arguments, **environment))


@pytest.fixture(scope="module")
def start_for_all() -> Iterator[StartServer]:
    """The same for all tests of a module."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(running(*arguments, **environment))


@pytest.fixture(scope="module")
def start_once() -> Iterator[StartServer]:
    """The same, for all tests of a file."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(running(*arguments, **environment))


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    """Connects a user, authenticated in CONNECT, to the shared server or to `at`."""
    peers: list[Peer] = []

    def connected(
        user: str, at: Server = server, role: str = "", device: str | None = None, **options: Any
    ) -> Peer:
        token = at.token(user, role=role) if role else at.token(user)
        peers.append(Peer(at, {"token": token, "deviceId": device}, **options))
        return peers[-1]

    yield connected
    for peer in peers:
        peer.close()


@pytest.fixture
def wire(server: Server) -> Iterator[Callable[..., websocket.WebSocket]]:
    """Opens a WebSocket in the hands of the test: a new session, or the upgrade of `sid`."""
    opened: list[websocket.WebSocket] = []

    def open_wire(at: Server = server, sid: str | None = None, **options: Any) -> websocket.WebSocket:
        session = "" if sid is None else f"&sid={sid}"
        address = at.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket" + session
        opened.append(websocket.create_connection(address, timeout=PATIENCE_S, **options))
        return opened[-1]

    yield open_wire
    for ws in opened:
        ws.shutdown()


@pytest.fixture(name="hello")
def hello_fixture() -> Callable[[str], str]:
    return hello


@pytest.fixture
def connect_with(server: Server) -> Iterator[Callable[[object], Peer]]:
    """Connects with the given CONNECT auth, or with None."""
    peers: list[Peer] = []

    def connected(auth: object) -> Peer:
        peers.append(Peer(server, auth))
        return peers[-1]

    yield connected
    for peer in peers:
        peer.close()


@pytest.fixture
def name() -> str:
    """A name nobody else uses: tests share the server."""
    return uuid.uuid4().hex[:12]


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Waits for a condition, and fails if it never holds."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"still false after {patience_s} s"
        time.sleep(0.01)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until
