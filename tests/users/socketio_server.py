"""A Socket.IO server on the test's own hub, on websockets' server side: it does what a test tells it to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.server import StreamServer
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from loadtest.users.connection import Place


class Visit:
    """One connection as the server sees it. ``texts``: what the client said; ``text`` answers."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.ws = ServerProtocol()
        self.texts: list[str] = []
        self.request: Request | None = None
        self.over = False

    def text(self, *packets: str) -> None:
        """Send packets, all in one segment."""
        for packet in packets:
            self.ws.send_text(packet.encode())
        self.flush()

    def flush(self) -> None:
        """Write what is due in one piece."""
        data = b"".join(self.ws.data_to_send())
        if data:
            self.sock.sendall(data)

    def event(self, name: str, *args: object) -> None:
        """Emit."""
        self.text("42" + json.dumps([name, *args]))


class SocketIoServer:
    """Lets everybody in, unless a test says otherwise: ``upgrade``, ``open``, ``join`` may be replaced."""

    ping_interval_ms = 25_000
    ping_timeout_ms = 20_000

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.upgrade: Callable[[Visit, Request], None] = lambda visit, request: visit.ws.send_response(
            visit.ws.accept(request)
        )
        self.open: Callable[[Visit], None] = lambda visit: visit.text("0" + json.dumps(self.handshake()))
        self.join: Callable[[Visit], None] = lambda visit: visit.text('40{"sid":"the-sid"}')
        self.heard: Callable[[Visit, str], None] = lambda visit, text: None

    def handshake(self) -> dict[str, object]:
        return {
            "sid": "engine",
            "upgrades": [],
            "pingInterval": self.ping_interval_ms,
            "pingTimeout": self.ping_timeout_ms,
            "maxPayload": 1000,
        }

    def visit(self, sock: Any, _address: object) -> None:
        """Serve one connection to its end."""
        visit = Visit(sock)
        self.visits.append(visit)
        try:
            while data := sock.recv(1 << 16):
                visit.ws.receive_data(data)
                for event in visit.ws.events_received():
                    self._take(visit, event)
                visit.flush()
        except OSError:
            pass  # the test ended it from this side
        finally:
            visit.over = True
            sock.close()

    def _take(self, visit: Visit, event: object) -> None:
        if isinstance(event, Request):
            visit.request = event
            self.upgrade(visit, event)
            visit.flush()
            self.open(visit)
        elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            text = bytes(event.data).decode()
            visit.texts.append(text)
            if text.startswith("40"):
                self.join(visit)
            else:
                self.heard(visit, text)


@contextmanager
def listening(server: SocketIoServer) -> Iterator[Place]:
    """Where it is, as long as it is there."""
    stream = StreamServer(("127.0.0.1", 0), server.visit)
    stream.start()
    try:
        port = stream.server_port
        yield Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    finally:
        for visit in server.visits:
            visit.sock.close()
        stream.stop(timeout=0)
        gevent.sleep(0)
