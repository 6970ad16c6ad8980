"""Do bytes travel in arguments, both ways, over every carrier, as they do between python-socketio's own ends?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, EVENT, Packet

from loadtest.protocol import (
    Ack,
    Connected,
    Event,
    HoldsBinary,
    LocalProtocolError,
    PollingClient,
    ProtocolError,
    State,
    Upgrade,
)
from loadtest.protocol.attachments import Unfinished
from loadtest.protocol.socketio import (
    MAX_ATTACHMENTS,
    decode,
    encode_ack,
    encode_binary_ack,
    encode_binary_event,
    encode_connect,
    encode_event,
)

Make = Callable[..., Any]

texts = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | texts | st.binary(max_size=40)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
namespaces = st.sampled_from(["/", "/admin", "/ü"])


def theirs(kind: int, data: Any, namespace: str, ack_id: int | None) -> list[Any]:
    """As python-socketio sends it: the text, and what follows it."""
    packet = Packet(kind, data, namespace, ack_id)
    encoded = packet.encode()
    return encoded if isinstance(encoded, list) else [encoded]


def read_by_them(packet: bytes, attachments: list[bytes]) -> tuple[int, Any, str, int | None]:
    read = Packet(encoded_packet=packet[1:].decode())
    assert read.attachment_count == len(attachments)
    for attachment in attachments:
        read.add_attachment(attachment)
    return read.packet_type, read.data, read.namespace or "/", read.id


def put_together(text: str, attachments: list[bytes]) -> Any:
    """As we read it."""
    found = decode(b"4" + text.encode())
    if not attachments:
        return found
    assert isinstance(found, Unfinished)
    for attachment in attachments[:-1]:
        assert found.attach(attachment) is None
    return found.attach(attachments[-1])


def _binaries(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_binaries, value.values()))
    if isinstance(value, list):
        return sum(map(_binaries, value))
    return isinstance(value, bytes)


some_bytes = st.lists(values, max_size=4).filter(lambda args: 1 <= _binaries(args) <= MAX_ATTACHMENTS)


@given(args=some_bytes, ack_id=st.none() | st.integers(0, 2**40), namespace=namespaces)
def test_an_event_both_ways(args: list[Any], ack_id: int | None, namespace: str) -> None:
    packet, attachments = encode_binary_event(["up", *args], ack_id, namespace)
    assert read_by_them(packet, attachments) == (BINARY_EVENT, ["up", *args], namespace, ack_id)
    text, *parts = theirs(EVENT, ["up", *args], namespace, ack_id)
    assert put_together(text, parts) == Event("up", args, ack_id, namespace)
    assert parts == attachments


@given(args=some_bytes, ack_id=st.integers(0, 2**40), namespace=namespaces)
def test_an_ack_both_ways(args: list[Any], ack_id: int, namespace: str) -> None:
    packet, attachments = encode_binary_ack(ack_id, args, namespace)
    assert read_by_them(packet, attachments) == (BINARY_ACK, args, namespace, ack_id)
    text, *parts = theirs(ACK, args, namespace, ack_id)
    assert put_together(text, parts) == Ack(ack_id, args, namespace)


@pytest.mark.parametrize(
    ("packet", "attachments", "expected"),
    [
        (b'451-["up",{"_placeholder":true,"num":0}]', [b"\x00"], Event("up", [b"\x00"])),
        (
            b'452-["up",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]',
            [b"a", b"b"],
            Event("up", [b"b", b"a"]),
        ),
        (
            b'451-/admin,7["up",{"a":[{"_placeholder":true,"num":0}]}]',
            [b"a"],
            Event("up", [{"a": [b"a"]}], 7, "/admin"),
        ),
        (b'461-15["ok",{"_placeholder":true,"num":0}]', [b""], Ack(15, ["ok", b""])),
        # What is not a placeholder stays what it is.
        (
            b'451-["up",{"_placeholder":false,"num":0}]',
            [b"a"],
            Event("up", [{"_placeholder": False, "num": 0}]),
        ),
    ],
)
def test_packets_as_they_stand_on_the_wire(packet: bytes, attachments: list[bytes], expected: object) -> None:
    assert put_together(packet[1:].decode(), attachments) == expected


def test_bytes_we_write() -> None:
    args = ["up", {"a": bytearray(b"1")}, (memoryview(b"2"), 3)]
    packet, attachments = encode_binary_event(args, 4, "/admin")
    assert packet == (
        b'452-/admin,4["up",{"a":{"_placeholder":true,"num":0}},[{"_placeholder":true,"num":1},3]]'
    )
    assert attachments == [b"1", b"2"]
    assert encode_binary_ack(9, [b"x"]) == (b'461-9[{"_placeholder":true,"num":0}]', [b"x"])


@pytest.mark.parametrize(
    "packet",
    [
        b'45["up",{"_placeholder":true,"num":0}]',
        b'450-["up"]',
        b'4511-["up",{"_placeholder":true,"num":0}]',
        b"45" + b"9" * 5_000 + b'-["up"]',
        b'45-1-["up"]',
        b'451-["connect"]',
        b"451-{}",
        b'461-["ok"]',
        b"461-1{}",
        b'421-["a"]',
    ],
)
def test_what_announces_attachments_wrongly_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(packet)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("number", ["1", "-1", '"0"', "null", "0.5", "true"])
def test_a_place_for_an_attachment_that_there_is_none_for(number: str) -> None:
    found = decode(b'451-["up",{"_placeholder":true,"num":' + number.encode() + b"}]")
    assert isinstance(found, Unfinished)
    with pytest.raises(ProtocolError, match="no attachment"):
        found.attach(b"a")


def test_bytes_where_only_json_may_stand() -> None:
    for encode in (
        lambda: encode_event(["up", [{"a": b"1"}]]),
        lambda: encode_ack(1, [bytearray(b"1")]),
        lambda: encode_connect({"token": b"1"}),
    ):
        with pytest.raises(HoldsBinary):
            encode()
    with pytest.raises(LocalProtocolError, match="JSON"):
        encode_binary_event(["up", b"1", object()])


# -- over WebSocket -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 70_000])
def test_events_and_acks_over_websocket(joined: Make, deflate: bool, size: int) -> None:
    pair = joined(deflate=deflate)
    client, server, data = pair.client, pair.server, b"4" * size
    assert client.emit("up", data, {"n": [data]}, ack=True) == 0
    client.emit("text", "after it")
    pair.flow()
    up, text = server.packets[1:]
    assert (up.packet_type, up.data, up.id) == (BINARY_EVENT, ["up", data, {"n": [data]}], 0)
    assert text.data == ["text", "after it"]
    server.send_binary(BINARY_ACK, ["ok", data], ack_id=0)
    server.send_binary(BINARY_EVENT, ["down", data, data], ack_id=5)
    server.send(EVENT, ["text"])
    assert pair.flow() == [Ack(0, ["ok", data]), Event("down", [data, data], 5), Event("text", [])]
    client.ack(5, data)
    pair.flow()
    assert (server.packets[-1].packet_type, server.packets[-1].data) == (BINARY_ACK, [data])


def test_attachments_in_fragments_and_between_pings(joined: Make) -> None:
    pair = joined()
    server = pair.server
    server.text('452-["down",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
    server.ws.send_binary(b"one ", fin=False)
    server.ws.send_ping(b"")
    server.ws.send_continuation(b"half", fin=True)
    assert pair.flow() == []
    server.text("2")
    assert pair.flow() == []
    assert server.engine == ["3"], "a ping between the parts is answered"
    server.ws.send_binary(b"two")
    assert pair.flow() == [Event("down", [b"one half", b"two"])]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (lambda server: server.ws.send_binary(b"4"), "no packet announced"),
        (lambda server: server.text('42["text"]'), "text where an attachment"),
        (lambda server: server.text('451-["up"]'), "text where an attachment"),
    ],
    ids=["one more than announced", "an event between", "another packet with attachments"],
)
def test_what_does_not_belong_there_ends_the_connection(joined: Make, said: Any, what: str) -> None:
    pair = joined()
    server = pair.server
    server.text('451-["down",{"_placeholder":true,"num":0}]')
    if "announced" in what:
        server.ws.send_binary(b"1")
        assert pair.flow() == [Event("down", [b"1"])]
    said(server)
    with pytest.raises(ProtocolError, match=what):
        pair.flow()
    assert pair.client.state is State.CLOSED


def test_more_than_the_server_takes_is_not_sent_in_part(joined: Make) -> None:
    pair = joined()
    pair.client.max_payload = 100
    with pytest.raises(LocalProtocolError, match="attachment of 101 bytes"):
        pair.client.emit("up", b"1", b"x" * 101)
    with pytest.raises(LocalProtocolError, match="11 attachments"):
        pair.client.emit("up", [b"1"] * 11)
    assert pair.client.data_to_send() == []
    assert pair.client.emit("up", b"x" * 100, ack=True) == 0


# -- over long-polling --------------------------------------------------------------------------------------

SEPARATOR = b"\x1e"
OPEN = b'0{"sid":"e","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}'


def polling() -> PollingClient:
    client = PollingClient()
    client.open()
    client.start_poll()
    client.receive_poll(200, OPEN, 0)
    client.start_post()
    client.receive_post(200, b"ok", 0)
    client.start_poll()
    assert client.receive_poll(200, b'40{"sid":"s"}', 0) == [Connected("s")]
    client.start_poll()
    return client


def posts(client: PollingClient) -> list[bytes]:
    bodies = []
    while (post := client.start_post()) is not None:
        bodies.append(post.body)
        client.receive_post(200, b"ok", 0)
    return bodies


def test_events_and_acks_over_long_polling() -> None:
    client = polling()
    body = b'451-["down",{"_placeholder":true,"num":0}]\x1ebAAEC/w==\x1e461-0[{"_placeholder":true,"num":0}]\x1eb'
    client.emit("up", b"\x00\xff", ack=True)
    assert posts(client) == [b'451-0["up",{"_placeholder":true,"num":0}]\x1ebAP8=']
    assert client.packets_left == client.packets_queued
    assert client.receive_poll(200, body, 0) == [Event("down", [b"\x00\x01\x02\xff"]), Ack(0, [b""])]


def test_a_packet_and_its_attachments_may_come_in_several_answers_and_leave_in_several_bodies() -> None:
    client = polling()
    assert client.receive_poll(200, b'451-["down",{"_placeholder":true,"num":0}]', 0) == []
    client.start_poll()
    assert client.receive_poll(200, b"2\x1ebMQ==", 0) == [Event("down", [b"1"])]
    assert posts(client) == [b"3"]
    client.emit("up", b"x" * 60)
    packet, attachment = posts(client)
    assert packet == b'451-["up",{"_placeholder":true,"num":0}]'
    assert len(attachment) == 81
    with pytest.raises(LocalProtocolError, match="attachment of 101 bytes"):
        client.emit("up", b"x" * 75)
    assert posts(client) == []


@pytest.mark.parametrize("body", [b"b*", b"bQUI", b"bMQ==MQ==", b"bMQ"])
def test_base64_that_is_none(body: bytes) -> None:
    client = polling()
    client.receive_poll(200, b'451-["down",{"_placeholder":true,"num":0}]', 0)
    client.start_poll()
    with pytest.raises(ProtocolError, match="base64"):
        client.receive_poll(200, body, 0)


def test_what_waits_for_a_post_moves_to_websocket_as_bytes(new_server: Make) -> None:
    client, server = polling(), new_server()
    upgrade = Upgrade(client, "ws://127.0.0.1:3000")
    upgrade.open()
    server.receive(b"".join(upgrade.data_to_send()))
    upgrade.receive_data(server.output())
    server.receive(b"".join(upgrade.data_to_send()))
    server.text("3probe")
    upgrade.receive_data(server.output())
    client.emit("up", b"\x00\xff")
    assert posts(client) == []
    client.receive_poll(200, b"6", 0)
    moved = upgrade.finish()
    server.receive(b"".join(moved.data_to_send()))
    assert server.engine == ["2probe", "5"]
    (packet,) = server.packets
    assert packet.data == ["up", b"\x00\xff"]
