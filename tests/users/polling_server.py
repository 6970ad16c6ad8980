"""An Engine.IO server on the test's own hub with long-polling and the upgrade: one session, as tests want it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.event import Event
from gevent.server import StreamServer
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from loadtest.users.connection import Place

SEPARATOR = "\x1e"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class PollingServer:
    """What came, in order: ``log``, as ``GET``, ``POST <body>``, ``UPGRADE``, ``> <frame>``; ``got``, the packets.

    ``heads``: the header lines of each request. ``hears`` may be replaced; ``say`` sends. ``refusal`` answers
    every request once it is set. A POST and a probe are answered when the gates ``posts`` and ``probes`` are
    open. ``noops``: whether a hanging poll is ended for an upgrade.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.heads: list[bytes] = []
        self.got: list[str] = []
        self.out: list[str] = []
        self.socks: list[Any] = []
        self.connections = 0
        self.refusal: bytes | None = None
        self.websocket_refusal: tuple[int, str] | None = None
        self.upgrades = ["websocket"]
        self.posts, self.probes = Event(), Event()
        self.posts.set()
        self.probes.set()
        self.noops = True
        self.close_after: set[int] = set()
        self.probed = self.upgraded = self.hanging = False
        self.hears: Callable[[PollingServer, str], None] = lambda server, packet: None
        self.connects = '40{"sid":"the-sid"}'
        self._news = Event()
        self._ws: tuple[Any, ServerProtocol] | None = None

    # -- what tests do ----------------------------------------------------------------------------------

    def say(self, *packets: str) -> None:
        """Send, whatever carries the session."""
        self.out += packets
        if self._ws is not None and self.upgraded:
            self._flush()
        self._news.set()

    def event(self, name: str, *args: object) -> None:
        """Emit."""
        self.say("42" + json.dumps([name, *args]))

    @property
    def frames(self) -> list[str]:
        """What came over WebSocket."""
        return [line[2:] for line in self.log if line.startswith("> ")]

    def handshake(self) -> str:
        """The open packet."""
        terms = {"pingInterval": 25_000, "pingTimeout": 20_000, "maxPayload": 1000}
        return "0" + json.dumps({"sid": "engine", "upgrades": self.upgrades, **terms})

    # -- one connection -----------------------------------------------------------------------------------

    def serve(self, sock: Any, _address: object) -> None:
        """Serve one connection to its end."""
        number, self.connections = self.connections, self.connections + 1
        self.socks.append(sock)
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(1 << 16)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self.heads.append(head)
                if b"upgrade: websocket" in head.lower():
                    self._websocket(sock, head)
                    return
                found = _LENGTH.search(head)
                length = int(found[1]) if found else 0
                while len(buffer) < length:
                    buffer += sock.recv(1 << 16)
                body, buffer = buffer[:length].decode(), buffer[length:]
                sock.sendall(self._answer(head, body))
                if number in self.close_after:
                    return
        except OSError:
            pass  # the test ended it from this side
        finally:
            sock.close()

    def _answer(self, head: bytes, body: str) -> bytes:
        if head.startswith(b"POST"):
            self.log.append(f"POST {body}")
            if self.refusal is None:
                for packet in body.split(SEPARATOR):
                    self._take(packet)
            self.posts.wait()
            return self.refusal or response(b"ok")
        first = b"sid=" not in head.split(b" ")[1]
        self.log.append("GET open" if first else "GET")
        if self.refusal is not None:
            return self.refusal
        if first:
            return response(self.handshake().encode())
        assert not self.hanging, "two polls at once"
        self.hanging = True
        try:
            return self._hang()
        finally:
            self.hanging = False

    def _hang(self) -> bytes:
        while not self.out and self.refusal is None and not (self.probed and self.noops):
            self._news.clear()
            self._news.wait()
        if self.refusal is not None:
            return self.refusal
        packets, self.out = self.out, []
        return response(SEPARATOR.join(packets or ["6"]).encode())

    def refuse(self, status: str, body: bytes) -> None:
        """Answer the hanging poll and every other request like that."""
        self.refusal = response(body, status)
        self._news.set()

    def _take(self, packet: str) -> None:
        self.got.append(packet)
        if packet.startswith("40"):
            if self.connects:
                self.say(self.connects)
        elif packet == "1":
            self.say("6")
        else:
            self.hears(self, packet)

    # -- WebSocket ----------------------------------------------------------------------------------------

    def _websocket(self, sock: Any, head: bytes) -> None:
        self.log.append("UPGRADE")
        ws = ServerProtocol()
        self._ws = sock, ws
        data = head + b"\r\n\r\n"
        while data:
            ws.receive_data(data)
            for event in ws.events_received():
                if isinstance(event, Request):
                    refusal = self.websocket_refusal
                    ws.send_response(ws.reject(*refusal) if refusal else ws.accept(event))
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    self._frame(ws, bytes(event.data).decode())
            self._write()
            data = sock.recv(1 << 16)

    def _frame(self, ws: ServerProtocol, text: str) -> None:
        self.log.append(f"> {text}")
        if text == "2probe":
            self.probes.wait()
            ws.send_text(b"3probe")
            self.probed = True
            self._news.set()
        elif text == "5":
            assert not self.hanging, "it moved while a poll was under way"
            self.upgraded, self.probed = True, False
            self._flush()
        else:
            assert self.upgraded, "spoken before the upgrade was done"
            self._take(text)

    def _flush(self) -> None:
        assert self._ws is not None
        for packet in self.out:
            self._ws[1].send_text(packet.encode())
        self.out = []
        self._write()

    def _write(self) -> None:
        assert self._ws is not None
        sock, ws = self._ws
        data = b"".join(ws.data_to_send())
        if data:
            sock.sendall(data)

    def cut_websocket(self) -> None:
        """End the WebSocket's stream."""
        assert self._ws is not None
        self.probed = False
        self._ws[0].shutdown(2)


def response(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    """An HTTP answer."""
    return f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def listening(server: PollingServer) -> Iterator[Place]:
    """Where it is, as long as it is there."""
    stream = StreamServer(("127.0.0.1", 0), server.serve)
    stream.start()
    try:
        port = stream.server_port
        yield Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    finally:
        server.posts.set()
        server.probes.set()
        server.refuse("503 Service Unavailable", b"")
        gevent.sleep(0)
        for sock in server.socks:
            sock.close()
        stream.stop(timeout=0)
        gevent.sleep(0)
