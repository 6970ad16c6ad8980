"""Answers to the upgrade request: what is read out of a refusal, whole or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.protocol import Client, HandshakeError, Opened, ProtocolError, State
from loadtest.protocol.handshake import MAX_BODY_BYTES, MAX_HEAD_BYTES

UNKNOWN = b'{"code":1,"message":"Session ID unknown"}'
MISSING = b'{"error":"not found"}'


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers))
    return head.encode() + b"\r\n" + body


def with_length(status: str, body: bytes) -> bytes:
    return answer(status, body, "Content-Type: application/json", f"Content-Length: {len(body)}")


def feed(client: Client, parts: Iterable[bytes], eof: bool) -> None:
    for part in parts:
        assert client.receive_data(part, 0) == []
    if eof:
        client.receive_eof(0)


def refusal(parts: Iterable[bytes], *, eof: bool = False) -> HandshakeError:
    client = Client("ws://127.0.0.1:3000")
    client.open()
    with pytest.raises(HandshakeError) as caught:
        feed(client, parts, eof)
    assert client.state is State.CLOSED
    assert client.receive_data(b"more", 0) == []
    return caught.value


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


@pytest.mark.parametrize("cut", [lambda data: [data], bytewise])
@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (with_length("404 Not Found", MISSING), 404, MISSING),
        (with_length("400 Bad Request", UNKNOWN), 400, UNKNOWN),
        (answer("400 Bad Request", b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400, b"hello"),
        (answer("204 No Content"), 204, b""),
        (with_length("200 OK", b"x" * 3_000), 200, b"x" * MAX_BODY_BYTES),
        (answer("401", b"", "Content-Length: 0"), 401, b""),
    ],
)
def test_refusals_are_read(
    cut: Callable[[bytes], list[bytes]], data: bytes, status: int, body: bytes
) -> None:
    error = refusal(cut(data))
    assert (error.status, error.body) == (status, body)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (answer("502 Bad Gateway", b"<html>no len"), 502, b"<html>no len"),
        (with_length("404 Not Found", MISSING)[:-5], 404, MISSING[:-5]),
        (b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\nno server", 503, b"no server"),
        (b"HTTP/1.1 404 Not Fo", 404, b""),
        (b"HTTP/1.1 10", None, b""),
        (b"HTT", None, b""),
        (b"", None, b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso", 101, b""),
    ],
)
def test_what_broke_off_is_read_as_far_as_it_came(data: bytes, status: int | None, body: bytes) -> None:
    error = refusal([data], eof=True)
    assert (error.status, error.body) == (status, body)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
        answer("101 Switching Protocols"),
        answer("101 Switching Protocols", b"", "Upgrade: websocket", "Connection: Upgrade"),
        answer(
            "101 Switching Protocols",
            b"",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        answer("400 Bad", b"xyz\r\n", "Transfer-Encoding: chunked"),
        answer("400 Bad", b"", "Content-Length: 99999999999999999999"),
        answer("400 Bad", b"", "Content-Length: -1"),
        answer("400 Bad", b"", "Transfer-Encoding: gzip"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_at_once(data: bytes) -> None:
    refusal([data])


def test_a_long_body_is_not_waited_for() -> None:
    error = refusal([answer("500 Oops", b"x" * MAX_BODY_BYTES, "Content-Length: 900000")])
    assert error.body == b"x" * MAX_BODY_BYTES


def test_endless_headers_are_cut() -> None:
    line = b"X-Filler: " + b"x" * 1_000 + b"\r\n"
    error = refusal([b"HTTP/1.1 200 OK\r\n", *[line] * (MAX_HEAD_BYTES // len(line) + 1)])
    assert error.status == 200


@pytest.mark.parametrize("extension", ["permessage-deflate", "x-unknown"])
def test_an_extension_nobody_asked_for(new_pair: Callable[..., Any], extension: str) -> None:
    pair = new_pair()
    pair.client.open()
    pair.server.receive(b"".join(pair.client.data_to_send()))
    output = pair.server.output().replace(
        b"\r\n\r\n", f"\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n".encode()
    )
    with pytest.raises(HandshakeError, match="extension"):
        pair.client.receive_data(output, 0)


def test_frames_right_behind_the_answer(new_pair: Callable[..., Any]) -> None:
    pair = new_pair()
    pair.client.open()
    pair.server.receive(b"".join(pair.client.data_to_send()))
    pair.server.text('0{"sid":"e","pingInterval":1,"pingTimeout":2,"maxPayload":3}')
    stream = pair.server.output()
    assert pair.client.receive_data(stream[:-3], 0) == []
    assert pair.client.receive_data(stream[-3:], 0) == [Opened("e", 1_000_000, 2_000_000, 3, ())]


@given(data=st.data())
def test_a_damaged_answer_never_raises_anything_else(
    new_pair: Callable[..., Any], data: st.DataObject
) -> None:
    pair = new_pair()
    pair.client.open()
    pair.server.receive(b"".join(pair.client.data_to_send()))
    whole = pair.server.output()
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)), label="cut")])
    for _ in range(data.draw(st.integers(0, 3), label="bytes changed")):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged += data.draw(st.binary(max_size=20), label="tail")
    try:
        pair.client.receive_data(damaged, 0)
        pair.client.receive_eof(0)
    except ProtocolError:  # not always HandshakeError: behind an answer that survived, the tail is frames
        pass
    assert pair.client.state is State.CLOSED
