"""Does a connection to this machine leave from another address when one has no ports left?"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from loadtest.measure.sockets import LOOPBACK_ADDRESSES
from loadtest.users import sources
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.wire import Wire

_LOCAL_PORT_RANGE = 51
"""IP_LOCAL_PORT_RANGE: one socket's own ephemeral ports; Linux 6.3."""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="loopback is 127.0.0.1 alone here"
)


@pytest.fixture
def few_ports(monkeypatch: pytest.MonkeyPatch) -> int:
    """Every connection has these three ports to choose from."""
    with socket.socket() as one:
        try:
            one.setsockopt(socket.IPPROTO_IP, _LOCAL_PORT_RANGE, 0)
        except OSError:
            pytest.skip("the kernel knows no range of ports for one socket (Linux 6.3)")
    plain = sources.gsocket.socket

    class Narrow(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.setsockopt(socket.IPPROTO_IP, _LOCAL_PORT_RANGE, struct.pack("=HH", 50_001, 50_003))

    monkeypatch.setattr(sources.gsocket, "socket", Narrow)
    monkeypatch.setattr(sources, "_current", 1)
    return 3


class Nobody:
    def received(self, data: memoryview, read_ns: int) -> None: ...
    def ended(self, cause: Cause, detail: str) -> None: ...
    def failed(self, error: BaseException) -> None: ...


Ends = list[Wire | socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of every connection; ours go first, so that no port stays taken for a while."""
    made: Ends = []
    yield made
    for one in made:
        if isinstance(one, Wire):
            one.abort()
    for one in made:
        one.close()


def _dial(listener: socket.socket, ends: Ends) -> str:
    wire = Wire(Nobody(), lambda lag: None)
    ends.append(wire)
    wire.connect(socket.AF_INET, listener.getsockname(), 5)
    peer, (address, _) = listener.accept()
    ends.append(peer)
    return str(address)


def test_the_next_address_when_the_ports_of_one_are_used_up(
    few_ports: int, listener: socket.socket, ends: Ends
) -> None:
    found = [_dial(listener, ends) for _ in range(2 * few_ports + 1)]
    assert sorted(set(found)) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert found == sorted(found)
    assert found.count("127.0.0.1") == found.count("127.0.0.2") == few_ports


def test_round_again(
    few_ports: int, listener: socket.socket, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_current", LOOPBACK_ADDRESSES)
    found = [_dial(listener, ends) for _ in range(few_ports + 1)]
    assert found == [f"127.0.0.{LOOPBACK_ADDRESSES}"] * few_ports + ["127.0.0.1"]


def test_no_port_anywhere_is_said_so(
    few_ports: int, listener: socket.socket, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LOOPBACK_ADDRESSES", 2)
    for _ in range(2 * few_ports):
        _dial(listener, ends)
    with pytest.raises(ConnectFailed) as failed:
        _dial(listener, ends)
    assert failed.value.cause is Cause.NO_PORTS


def test_only_to_this_machine_and_by_ipv4() -> None:
    assert sources.how_many(socket.AF_INET, ("127.0.0.1", 1)) == LOOPBACK_ADDRESSES
    assert sources.how_many(socket.AF_INET, ("192.0.2.1", 1)) == 1
    assert sources.how_many(socket.AF_INET6, ("::1", 1, 0, 0)) == 1


def test_other_errors_are_not_tried_away() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as refused:  # noqa: PT011
            sources.connected(socket.AF_INET, nobody.getsockname(), 5)
    assert refused.value.errno == errno.ECONNREFUSED
