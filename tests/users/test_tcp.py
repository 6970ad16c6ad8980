"""Are the kernel's counters the bytes that were sent and received, to the unit?"""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.users import tcp
from loadtest.users.tcp import Carried

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the platform has no TCP_INFO")


@pytest.fixture
def ends(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    return near, far


def _exchange(near: socket.socket, far: socket.socket) -> None:
    near.sendall(b"q" * 12_409)
    assert len(_read(far, 12_409)) == 12_409
    far.sendall(b"a" * 317)
    assert len(_read(near, 317)) == 317


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_an_exchange_is_counted_to_the_unit(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    with near, far:
        assert tcp.read(near) == tcp.read(near)
        fresh = tcp.read(near)
        assert fresh is not None
        assert (fresh.bytes_sent, fresh.bytes_received) == (0, 0)
        _exchange(near, far)
        carried = tcp.read(near)
        assert carried is not None
        assert (carried.bytes_sent, carried.bytes_received) == (12_409, 317)
        assert carried.segments_sent >= 2
        assert carried.segments_received >= 2


def test_the_peer_s_fin_is_no_byte(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    with near:
        _exchange(near, far)
        far.close()
        assert near.recv(1) == b""
        carried = tcp.read(near)
        assert carried is not None
        assert (carried.bytes_sent, carried.bytes_received) == (12_409, 317)


def test_a_reset_keeps_the_counters(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    with near:
        _exchange(near, far)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        with pytest.raises(ConnectionResetError):
            near.recv(1)
        carried = tcp.read(near)
        assert carried is not None
        assert carried.bytes_sent == 12_409
        assert carried.bytes_received == 317


def test_a_closed_socket_has_no_counters(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    far.close()
    near.close()
    assert tcp.read(near) is None


_CARRIED = st.builds(Carried, *[st.integers(0, 1 << 50)] * 4)


@given(_CARRIED, _CARRIED)
def test_what_was_added_can_be_taken_away(one: Carried, other: Carried) -> None:
    assert one.plus(other).minus(other) == one
    assert one.plus(other) == other.plus(one)
