"""Is a server of Socket.IO 2, or one that does not speak our version, named for what it is?

The bytes are those of socket.io 2.5 (engine.io 3) and of python-socketio 4, as they answer a client of EIO=4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadtest.protocol import HandshakeError, OtherVersion, PollingClient, ProtocolError

Make = Callable[..., Any]
OPEN = '0{"sid":"4uxFlUMl-5TWu8VRAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}'


def _polling() -> PollingClient:
    client = PollingClient()
    client.open()
    client.start_poll()
    return client


@pytest.mark.parametrize(
    "body",
    [
        f"{len(OPEN)}:{OPEN}2:40".encode(),
        f"{len(OPEN)}:{OPEN}".encode(),
        b"\x00\x09\x06\xff" + OPEN.encode() + b"\x00\x02\xff40",
    ],
)
def test_a_length_before_each_packet(body: bytes) -> None:
    with pytest.raises(OtherVersion, match=r"Socket\.IO 2"):
        _polling().receive_poll(200, body, 0)


@pytest.mark.parametrize("body", [b'{"code":5,"message":"Unsupported protocol version"}'])
def test_a_server_that_says_so(new_pair: Make, body: bytes) -> None:
    with pytest.raises(OtherVersion, match="Unsupported protocol version"):
        _polling().receive_poll(400, body, 0)
    pair = new_pair()
    pair.client.open()
    pair.client.data_to_send()
    with pytest.raises(OtherVersion, match="Unsupported protocol version"):
        pair.client.receive_data(
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body), 0
        )


def test_a_websocket_that_lets_us_in_without_an_id(new_pair: Make) -> None:
    pair = new_pair()
    pair.upgrade()
    pair.server.text(OPEN)
    pair.server.text("40")
    with pytest.raises(OtherVersion, match=r"Socket\.IO 2"):
        pair.flow()


def test_what_is_something_else() -> None:
    for body in (b"96", b"hello", b'{"sid":"x"}', b"4:40"):
        with pytest.raises(ProtocolError) as caught:
            _polling().receive_poll(200, body, 0)
        assert not isinstance(caught.value, OtherVersion)
    with pytest.raises(HandshakeError) as refused:
        _polling().receive_poll(400, b'{"code":1,"message":"Session ID unknown"}', 0)
    assert not isinstance(refused.value, OtherVersion)
