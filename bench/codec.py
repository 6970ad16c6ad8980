"""What does it cost to turn bytes into an event and an event into bytes, in three libraries?

Everything between the socket and the handler: ours does WebSocket frame, Engine.IO, Socket.IO and JSON, and
so does ``websockets`` with ``msgspec`` by hand. python-socketio is given the text without its frame, so its
numbers are lower than what it costs in use.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import Any

import engineio.packet
import msgspec
import socketio.packet
from rich.table import Table
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from bench.session import Part, Session
from bench.task import BODY_BYTES
from loadtest.protocol import Client

_URL = "ws://127.0.0.1:3000"
_ROUNDS = 5
_NAME = "message:new"
_MESSAGE = {
    "id": "01J9Z3NDEKTSV4RRFFQ69G5FAV",
    "conversationId": "3fa2c1-0-0-12",
    "senderId": "3fa2c1-0.0.121",
    "body": ("the quick brown fox jumps over the lazy dog " * 9)[:BODY_BYTES],
    "clientMsgId": "3fa2c1:0.0.121:77",
    "meta": {"m": "3fa2c1:0.0.121:77"},
    "seq": 4711,
    "createdAt": "2026-11-23T08:15:00.123Z",
}
_TEXT = b"42" + msgspec.json.encode([_NAME, _MESSAGE])
_SENT = {name: _MESSAGE[name] for name in ("conversationId", "body", "clientMsgId", "meta")}


def measure(session: Session) -> Part:
    """Medians of several rounds, in microseconds."""
    count = session.sizes.seconds * 1000
    session.say(f"codec: {_ROUNDS} rounds of {count} events each way")
    ways: dict[str, tuple[Callable[[int], None], Callable[[int], None]]] = {
        "loadtest.protocol": (_receive_ours, _emit_ours),
        "websockets + msgspec": (_receive_websockets, _emit_websockets),
        "python-socketio (no frames)": (_receive_socketio, _emit_socketio),
    }
    found = {
        name: {"receive_us": _each_us(receive, count), "emit_us": _each_us(emit, count)}
        for name, (receive, emit) in ways.items()
    }
    title = f"codec: an event with a body of {BODY_BYTES} bytes, one frame a read"
    table = Table(title=title, title_justify="left")
    table.add_column("library")
    table.add_column("receive us", justify="right")
    table.add_column("emit us", justify="right")
    for name, costs in found.items():
        table.add_row(name, f"{costs['receive_us']:.2f}", f"{costs['emit_us']:.2f}")
    return Part("codec", table, [], found)


def _each_us(work: Callable[[int], None], count: int) -> float:
    work(count // 10)
    rounds = []
    for _ in range(_ROUNDS):
        began_ns = perf_counter_ns()
        work(count)
        rounds.append((perf_counter_ns() - began_ns) / count / 1000)
    return median(rounds)


def _upgraded(request: bytes) -> tuple[ServerProtocol, bytes]:
    """A server that has agreed to ``request``, and its answer."""
    server = ServerProtocol()
    server.receive_data(request)
    (asked,) = server.events_received()
    server.send_response(server.accept(asked))  # type: ignore[arg-type]
    return server, b"".join(server.data_to_send())


def _frame(text: bytes) -> bytes:
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def _ours() -> Client:
    client = Client(_URL)
    client.open()
    _, answer = _upgraded(b"".join(client.data_to_send()))
    opening = b'0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    client.receive_data(answer + _frame(opening) + _frame(b'40{"sid":"y"}'), 0)
    client.data_to_send()
    return client


def _receive_ours(count: int) -> None:
    client, view = _ours(), memoryview(bytearray(_frame(_TEXT)))
    for now_ns in range(count):
        (event,) = client.receive_data(view, now_ns)
        assert event.name == _NAME  # type: ignore[union-attr]


def _emit_ours(count: int) -> None:
    client = _ours()
    for _ in range(count):
        client.emit("message:send", _SENT, ack=True)
        client.data_to_send()


def _core() -> ClientProtocol:
    core = ClientProtocol(parse_uri(_URL))
    core.send_request(core.connect())
    _, answer = _upgraded(b"".join(core.data_to_send()))
    core.receive_data(answer)
    core.events_received()
    assert core.state is State.OPEN
    return core


def _receive_websockets(count: int) -> None:
    core, frame, decode = _core(), _frame(_TEXT), msgspec.json.Decoder().decode
    for _ in range(count):
        core.receive_data(frame)
        for event in core.events_received():
            name, _args = decode(event.data[2:])  # type: ignore[union-attr]
            assert name == _NAME


def _emit_websockets(count: int) -> None:
    core, encode = _core(), msgspec.json.Encoder().encode
    for number in range(count):
        core.send_text(b"42%d%b" % (number, encode(["message:send", _SENT])))
        core.data_to_send()


def _receive_socketio(count: int) -> None:
    text = _TEXT.decode()
    for _ in range(count):
        outer = engineio.packet.Packet(encoded_packet=text)
        inner = socketio.packet.Packet(encoded_packet=outer.data)
        assert inner.data[0] == _NAME


def _emit_socketio(count: int) -> None:
    for number in range(count):
        data: list[Any] = ["message:send", _SENT]
        inner = socketio.packet.Packet(socketio.packet.EVENT, data=data, namespace="/", id=number)
        engineio.packet.Packet(engineio.packet.MESSAGE, data=inner.encode()).encode()
