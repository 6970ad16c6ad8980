"""A server end without a socket, on others' implementation of every layer, to be joined to our Client.

WebSocket is websockets' ServerProtocol; Engine.IO and Socket.IO are the packets of python-socketio's stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from engineio.packet import packet_names as engine_names
from socketio.packet import CONNECT, Packet
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from loadtest.protocol import Client, ClientEvent, Connected, Opened

HANDSHAKE = '{"sid":"eio-1","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
OPENED = Opened("eio-1", 25_000_000_000, 20_000_000_000, 1_000_000, ())


class ServerEnd:
    """What the client said: ``request``, ``packets``, ``engine`` (texts that are no messages), ``close``."""

    def __init__(self, *, deflate: bool = False) -> None:
        extensions = [ServerPerMessageDeflateFactory()] if deflate else None
        self.ws = ServerProtocol(extensions=extensions)
        self.request: Request | None = None
        self.engine: list[str] = []
        self.packets: list[Packet] = []
        self.close: tuple[int, str] | None = None

    def receive(self, data: bytes) -> None:
        if self.ws.reader.eof:
            return
        self.ws.receive_data(data)
        for event in self.ws.events_received():
            if isinstance(event, Request):
                self.request = event
                self.ws.send_response(self.ws.accept(event))
            elif isinstance(event, Frame):
                self._frame(event)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            assert self.packets[-1].add_attachment(bytes(frame.data)) is not None
        elif frame.opcode is Opcode.TEXT:
            text = bytes(frame.data).decode()
            assert text[0].isdigit()
            assert int(text[0]) < len(engine_names)
            if text[0] == "4":
                self.packets.append(Packet(encoded_packet=text[1:]))
            else:
                self.engine.append(text)
        elif frame.opcode is Opcode.CLOSE:
            assert self.ws.close_rcvd is not None
            self.close = (self.ws.close_rcvd.code, self.ws.close_rcvd.reason)

    def text(self, text: str) -> None:
        self.ws.send_text(text.encode())

    def send(
        self, kind: int, data: Any = None, namespace: str | None = None, ack_id: int | None = None
    ) -> None:
        self.text("4" + Packet(kind, data, namespace, ack_id, binary=False).encode())

    def send_binary(
        self, kind: int, data: Any = None, namespace: str | None = None, ack_id: int | None = None
    ) -> None:
        """A packet with bytes in it, and its attachments."""
        text, *attachments = Packet(kind - 3, data, namespace, ack_id).encode()
        assert text[0] == str(kind)
        self.text("4" + text)
        for attachment in attachments:
            self.ws.send_binary(attachment)

    def fragments(self, pieces: Sequence[bytes]) -> None:
        """One text message in as many frames as there are pieces."""
        self.ws.send_text(pieces[0], fin=len(pieces) == 1)
        for at, piece in enumerate(pieces[1:], 2):
            self.ws.send_continuation(piece, fin=at == len(pieces))

    def output(self) -> bytes:
        return b"".join(self.ws.data_to_send())


class Pair:
    """Client and server joined by a fake link that carries everything until both are silent."""

    def __init__(self, *, deflate: bool = False, **options: Any) -> None:
        self.client = Client("ws://127.0.0.1:3000", compression=deflate, **options)
        self.server = ServerEnd(deflate=deflate)
        self.now_ns = 0

    def flow(self) -> list[ClientEvent]:
        """Carry bytes both ways until nothing moves; what the client reported."""
        events: list[ClientEvent] = []
        while True:
            up, down = b"".join(self.client.data_to_send()), self.server.output()
            if not up and not down:
                return events
            if up:
                self.server.receive(up)
            if down:
                events += self.client.receive_data(down, self.now_ns)

    def upgrade(self) -> None:
        self.client.open()
        assert self.flow() == []

    def connect(self) -> None:
        """All the way into the namespace."""
        self.upgrade()
        self.server.text("0" + HANDSHAKE)
        assert self.flow() == [OPENED]
        self.server.send(CONNECT, {"sid": "sio-1"})
        assert self.flow() == [Connected("sio-1")]


@pytest.fixture(scope="session")
def new_server() -> Callable[..., ServerEnd]:
    return ServerEnd


@pytest.fixture(scope="session")
def new_pair() -> Callable[..., Pair]:
    """A pair before open(); keyword arguments go to the Client, ``deflate`` to both ends."""
    return Pair


@pytest.fixture(scope="session")
def joined() -> Callable[..., Pair]:
    """A pair whose client is in the namespace."""

    def make(**options: Any) -> Pair:
        pair = Pair(**options)
        pair.connect()
        return pair

    return make
