"""Is a connection that somebody cuts for its silence told from one that the server closes?"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from gevent.event import Event
from socketio_server import SocketIoServer
from socketio_server import listening as socket_at
from tls_end import listening

from loadtest.measure.units import SECOND
from loadtest.users import wire as wire_module
from loadtest.users.causes import REPAIRABLE, SILENCE_NS, STREAM_ENDED, Cause
from loadtest.users.connection import Listeners, NativeConnection, Place
from loadtest.users.http import HttpPool, Request, compose
from loadtest.users.wire import Wire

Until = Callable[[Callable[[], object]], None]


class Owner:
    def __init__(self) -> None:
        self.ends: list[tuple[Cause, str]] = []

    def received(self, data: memoryview, read_ns: int) -> None: ...
    def ended(self, cause: Cause, detail: str) -> None:
        self.ends.append((cause, detail))

    def failed(self, error: BaseException) -> None: ...


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``aged(ns)``: the clock of the wires goes on by that much at once."""
    plain, ahead = wire_module.perf_counter_ns, [0]
    monkeypatch.setattr(wire_module, "perf_counter_ns", lambda: plain() + ahead[0])

    def go_on(by_ns: int) -> None:
        ahead[0] += by_ns

    return go_on


def _joined(listener: socket.socket) -> tuple[Wire, Owner, socket.socket]:
    wire = Wire(owner := Owner(), lambda lag: None)
    wire.connect(socket.AF_INET, listener.getsockname(), 5)
    peer, _ = listener.accept()
    return wire, owner, peer


def test_the_length_of_the_silence_decides(
    listener: socket.socket, until: Until, aged: Callable[[int], None]
) -> None:
    for silent_ns, cause, detail in (
        (0, Cause.TRANSPORT_CLOSE, "end of stream"),
        (SILENCE_NS, Cause.IDLE_CLOSE, "end of stream, after 5.0 s of silence"),
        (75 * SECOND, Cause.IDLE_CLOSE, "end of stream, after 1 min 15 s of silence"),
    ):
        wire, owner, peer = _joined(listener)
        peer.sendall(b"x")
        until(lambda: wire.received_bytes)  # noqa: B023
        aged(silent_ns)
        peer.close()
        until(lambda: owner.ends)  # noqa: B023
        assert owner.ends == [(cause, detail)]


def test_a_silence_of_our_own_is_none(
    listener: socket.socket, until: Until, aged: Callable[[int], None]
) -> None:
    wire, owner, peer = _joined(listener)
    wire.pause_reading(True)
    aged(30 * SECOND)
    wire.pause_reading(False)
    peer.close()
    until(lambda: owner.ends)
    assert owner.ends == [(Cause.TRANSPORT_CLOSE, "end of stream")]


def test_a_reset_says_how_long_it_was_silent(
    listener: socket.socket, until: Until, aged: Callable[[int], None]
) -> None:
    _wire, owner, peer = _joined(listener)
    aged(31 * SECOND)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    until(lambda: owner.ends)
    ((cause, detail),) = owner.ends
    assert cause is Cause.TRANSPORT_ERROR
    assert detail.endswith(", after 31 s of silence")


class Ear:
    def __init__(self) -> None:
        self.losses: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.listeners = Listeners(
            lambda name, args, read_ns: None,
            lambda cause, detail: self.losses.append((cause, detail)),
            self.faults.append,
            lambda lag_ns: None,
        )


def test_a_proxy_that_cuts_a_websocket(until: Until, aged: Callable[[int], None]) -> None:
    with socket_at(server := SocketIoServer()) as place:
        ear = Ear()
        connection = NativeConnection(place, "/socket.io", None, (), False, ear.listeners)
        connection.open(5)
        aged(10 * SECOND)
        server.visits[0].sock.shutdown(socket.SHUT_WR)
        until(lambda: ear.losses)
        assert ear.losses == [(Cause.IDLE_CLOSE, "end of stream, after 10 s of silence")]


def test_a_server_that_says_goodbye_after_a_silence(until: Until, aged: Callable[[int], None]) -> None:
    with socket_at(server := SocketIoServer()) as place:
        ear = Ear()
        connection = NativeConnection(place, "/socket.io", None, (), False, ear.listeners)
        connection.open(5)
        aged(10 * SECOND)
        server.visits[0].ws.send_close(1001)
        server.visits[0].flush()
        until(lambda: ear.losses)
        assert ear.losses == [(Cause.TRANSPORT_CLOSE, "close code 1001")]


def test_a_proxy_that_cuts_a_hanging_request(until: Until, aged: Callable[[int], None]) -> None:
    socks: list[Any] = []
    gate = Event()

    def serve(sock: Any, _address: object) -> None:
        sock.recv(1 << 16)
        socks.append(sock)
        gate.wait()

    with listening(serve) as port:
        place = Place(2, ("127.0.0.1", port), "h", "http://h")
        pool = HttpPool(place, lambda: 0, _raise, lambda lag_ns: None, 5)
        cuts: list[tuple[Cause, str]] = []
        content = compose("GET", "/", b"Host: h\r\n")
        pool.request(Request(content, lambda ns: None, _raise, lambda *cut: cuts.append(cut), again=True))
        until(lambda: socks)
        aged(10 * SECOND)
        gate.set()
        until(lambda: cuts)
    assert cuts == [(Cause.IDLE_CLOSE, "end of stream, after 10 s of silence")]


def _raise(found: object) -> None:
    raise AssertionError(found)


def test_who_was_cut_comes_back() -> None:
    assert STREAM_ENDED <= REPAIRABLE
    assert Cause.TLS_ERROR in REPAIRABLE
