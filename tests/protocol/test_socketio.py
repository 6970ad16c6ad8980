"""The Socket.IO packet codec, against python-socketio's in both directions."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet

from loadtest.protocol import (
    Ack,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    LocalProtocolError,
    ProtocolError,
)
from loadtest.protocol.socketio import (
    RESERVED_NAMES,
    decode,
    encode_ack,
    encode_connect,
    encode_disconnect,
    encode_event,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
names = texts.filter(lambda name: name not in RESERVED_NAMES)
ids = st.none() | st.integers(0, 2**63)
namespaces = st.just("/") | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=",?"), min_size=1, max_size=12
).map("/{}".format)


def theirs(kind: int, data: Any = None, namespace: str | None = None, ack_id: int | None = None) -> bytes:
    text: str = Packet(kind, data, namespace, ack_id, binary=False).encode()
    return b"4" + text.encode()


def read_by_them(packet: bytes) -> tuple[int, Any, str, int | None]:
    assert packet[:1] == b"4"
    read = Packet(encoded_packet=packet[1:].decode())
    return read.packet_type, read.data, read.namespace or "/", read.id


@given(name=names, args=st.lists(values, max_size=4), ack_id=ids, namespace=namespaces)
def test_event_both_ways(name: str, args: list[Any], ack_id: int | None, namespace: str) -> None:
    ours = encode_event([name, *args], ack_id, namespace)
    assert read_by_them(ours) == (EVENT, [name, *args], namespace, ack_id)
    expected = Event(name, args, ack_id, namespace)
    assert decode(theirs(EVENT, [name, *args], namespace, ack_id)) == expected
    assert decode(ours) == expected


@given(args=st.lists(values, max_size=4), ack_id=st.integers(0, 2**63), namespace=namespaces)
def test_ack_both_ways(args: list[Any], ack_id: int, namespace: str) -> None:
    ours = encode_ack(ack_id, args, namespace)
    assert read_by_them(ours) == (ACK, args, namespace, ack_id)
    assert decode(theirs(ACK, args, namespace, ack_id)) == Ack(ack_id, args, namespace)


@given(auth=st.none() | st.dictionaries(texts, values, max_size=4), namespace=namespaces)
def test_connect_is_read_by_them(auth: dict[str, Any] | None, namespace: str) -> None:
    assert read_by_them(encode_connect(auth, namespace)) == (CONNECT, auth, namespace, None)


@given(sid=texts, pid=st.none() | texts, namespace=namespaces)
def test_connect_answer_of_theirs(sid: str, pid: str | None, namespace: str) -> None:
    answer = {"sid": sid} if pid is None else {"sid": sid, "pid": pid}
    assert decode(theirs(CONNECT, answer, namespace)) == Connected(sid, pid, namespace)


@given(message=texts, data=values, namespace=namespaces)
def test_connect_error_of_theirs(message: str, data: Any, namespace: str) -> None:
    packet = theirs(CONNECT_ERROR, {"message": message, "data": data}, namespace)
    assert decode(packet) == ConnectError(message, data, namespace)
    assert decode(theirs(CONNECT_ERROR, message, namespace)) == ConnectError(message, None, namespace)


@given(namespace=namespaces)
def test_disconnect_both_ways(namespace: str) -> None:
    assert read_by_them(encode_disconnect(namespace)) == (DISCONNECT, None, namespace, None)
    assert decode(theirs(DISCONNECT, None, namespace)) == Disconnected(namespace)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b'42["message:new",{"text":"hi"}]', Event("message:new", [{"text": "hi"}])),
        (b'42["roommsg",{"x":1},"Q85-XYQ"]', Event("roommsg", [{"x": 1}, "Q85-XYQ"])),
        (b'4212["ask"]', Event("ask", [], 12)),
        (b'42/admin,13["x"]', Event("x", [], 13, "/admin")),
        (b'42 ["x"]', Event("x", [])),
        (b'42["-"]', Event("-", [])),
        (b"4312[]", Ack(12, [])),
        (b"43/admin,0[1]", Ack(0, [1], "/admin")),
        (b'40{"sid":"a","pid":"b"}', Connected("a", "b")),
        (b'44{"message":"no","data":{"code":3}}', ConnectError("no", {"code": 3})),
        (b'44/x,"Unable to connect"', ConnectError("Unable to connect", None, "/x")),
        (b"44{}", ConnectError("")),
        (b"41", Disconnected()),
        (b"41/admin,", Disconnected("/admin")),
        (b"41/admin", Disconnected("/admin")),
    ],
)
def test_packets_as_they_stand_on_the_wire(packet: bytes, expected: object) -> None:
    assert decode(packet) == expected


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (encode_connect(), b"40"),
        (encode_connect({}), b"40{}"),
        (encode_connect({"token": "x"}), b'40{"token":"x"}'),
        (encode_connect({"token": "x"}, "/admin"), b'40/admin,{"token":"x"}'),
        (encode_event(["a", 1]), b'42["a",1]'),
        (encode_event(["a"], 0), b'420["a"]'),
        (encode_event(["a"], 13, "/admin"), b'42/admin,13["a"]'),
        (encode_ack(12, []), b"4312[]"),
        (encode_disconnect(), b"41"),
        (encode_disconnect("/admin"), b"41/admin,"),
    ],
)
def test_bytes_we_write(packet: bytes, expected: bytes) -> None:
    assert packet == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"4",
        b"47",
        b"4x[]",
        b"42",
        b"42[]",
        b"42[1]",
        b"42{}",
        b"42null",
        b'42["a"',
        b'42["a"]]',
        b'42["a",NaN]',
        b'42["a",-Infinity]',
        b'42["\xff"]',
        b'42["\xed\xa0\x80"]',
        b'42["connect"]',
        b'427["disconnecting"]',
        b"42" + b"[" * 100_000,
        b"42" + b"[" * 100_000 + b"]" * 100_000,
        b'42["a",' + b"1" * 5_000 + b"]",
        b"42" + b"1" * 5_000 + b'["a"]',
        b"42/\xff,[]",
        b"42/admin",
        b"43[]",
        b"431{}",
        b"431",
        b"40",
        b"40{}",
        b'40{"sid":1}',
        b'40"sid"',
        b'401{"sid":"a"}',
        b"44",
        b"44null",
        b"44[1]",
        b"41{}",
        b'421-["a"]',
    ],
)
def test_what_says_nothing_legal_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(packet)
    assert len(str(caught.value)) < 500


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_read(tail: bytes) -> None:
    for packet in (
        b"4" + tail,
        b"42" + tail,
        b"42[" + tail,
        b'42["a",' + tail + b"]",
        b"40{" + tail,
        b"43" + tail,
    ):
        try:
            assert decode(packet) is not None
        except ProtocolError:
            pass


def test_a_character_cut_in_half_is_read_as_a_browser_does() -> None:
    """JSON.stringify writes the half of a split emoji as an escape, and JSON.parse reads it back."""
    (text,) = decode(b'42["say","\\ud83d"]').args  # type: ignore[union-attr]
    assert text == "\ud83d"
    (number,) = decode(b'42["say",1e999]').args  # type: ignore[union-attr]
    assert math.isinf(number)


@pytest.mark.parametrize(
    "arg",
    [
        b"raw",
        bytearray(b"raw"),
        memoryview(b"raw"),
        {"a": {"b": [1, b"raw"]}},
        (1, [b"raw"]),
        object(),
        "\ud83d",
        {"a": {1.5: object()}},
    ],
)
def test_what_json_cannot_carry_is_the_callers_fault(arg: object) -> None:
    with pytest.raises(LocalProtocolError):
        encode_event(["a", arg])
    with pytest.raises(LocalProtocolError):
        encode_ack(1, [arg])
    with pytest.raises(LocalProtocolError):
        encode_connect({"token": arg})


def test_a_list_in_itself_is_the_callers_fault() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(LocalProtocolError):
        encode_event(["a", endless])


def test_compact_as_the_official_client() -> None:
    value = {"a": [1, 2.5, "ü"], "b": None}
    compact = json.dumps(["e", value], separators=(",", ":"), ensure_ascii=False).encode()
    assert encode_event(["e", value]) == b"42" + compact
