"""Engine.IO packets, handshake and polling bodies, against python-engineio's."""

from __future__ import annotations

import base64

import pytest
from engineio.packet import MESSAGE, OPEN, Packet
from engineio.payload import Payload
from hypothesis import given
from hypothesis import strategies as st

from loadtest.protocol import Opened, ProtocolError
from loadtest.protocol.engineio import (
    PacketType,
    decode_packet,
    encode_packet,
    join_payload,
    parse_handshake,
    split_payload,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"))
# python-engineio refuses more than 16 packets in a body.
bodies = st.lists(
    st.sampled_from(range(1, 7)).flatmap(lambda kind: texts.map(f"{kind}{{}}".format)), max_size=16
)


@given(kind=st.sampled_from(PacketType), text=texts)
def test_packet_both_ways(kind: PacketType, text: str) -> None:
    number = kind - ord("0")
    ours = encode_packet(kind, text.encode())
    assert ours.decode() == Packet(number, text).encode()
    assert Packet(encoded_packet=ours.decode()).packet_type == number
    assert decode_packet(ours) == (kind, text.encode())


@pytest.mark.parametrize("packet", [b"", b"7", b"x", b"\xff", b"b64"])
def test_no_packet(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_packet(packet)


@given(
    sid=texts,
    upgrades=st.lists(texts, max_size=3),
    interval=st.integers(0, 10**7),
    timeout=st.integers(0, 10**7),
    payload=st.integers(0, 2**53),
)
def test_handshake_of_theirs(
    sid: str, upgrades: list[str], interval: int, timeout: int, payload: int
) -> None:
    said = {
        "sid": sid,
        "upgrades": upgrades,
        "pingTimeout": timeout,
        "pingInterval": interval,
        "maxPayload": payload,
    }
    kind, data = decode_packet(Packet(OPEN, said).encode().encode())
    assert kind is PacketType.OPEN
    assert parse_handshake(data) == Opened(
        sid, interval * 1_000_000, timeout * 1_000_000, payload, tuple(upgrades)
    )


def test_handshake_of_an_early_version_4_and_with_fractions() -> None:
    said = b'{"sid":"a","upgrades":["websocket"],"pingInterval":300.5,"pingTimeout":200,"later":{}}'
    assert parse_handshake(said) == Opened("a", 300_500_000, 200_000_000, None, ("websocket",))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "handshake"),
        (b"[]", "object"),
        (b'{"sid":"a","pingInterval":1}', "pingTimeout"),
        (b'{"sid":1,"pingInterval":1,"pingTimeout":1}', "sid"),
        (b'{"sid":"a","pingInterval":-1,"pingTimeout":1}', "pingInterval"),
        (b'{"sid":"a","pingInterval":1e300,"pingTimeout":1}', "pingInterval"),
        (b'{"sid":"a","pingInterval":1e999,"pingTimeout":1}', "pingInterval"),
        (b'{"sid":"a","pingInterval":"1","pingTimeout":1}', "pingInterval"),
        (b'{"sid":"a","pingInterval":1,"pingTimeout":1,"maxPayload":-1}', "maxPayload"),
        (b'{"sid":"\xff","pingInterval":1,"pingTimeout":1}', "handshake"),
        (b'{"x":' + b"[" * 100_000, "handshake"),
    ],
)
def test_a_bad_handshake_says_which_field(data: bytes, what: str) -> None:
    with pytest.raises(ProtocolError, match=what):
        parse_handshake(data)


@given(bodies)
def test_polling_body_of_theirs_is_split(packets: list[str]) -> None:
    payload = Payload(packets=[Packet(int(packet[0]), packet[1:]) for packet in packets])
    assert split_payload(payload.encode().encode()) == [packet.encode() for packet in packets]


@given(bodies)
def test_polling_body_of_ours_is_split_by_them(packets: list[str]) -> None:
    body = join_payload(packet.encode() for packet in packets)
    read = Payload(encoded_payload=body.decode()).packets
    alone = [Packet(encoded_packet=packet) for packet in packets]
    assert [(one.packet_type, one.data) for one in read] == [(one.packet_type, one.data) for one in alone]


def test_binary_in_a_polling_body_stays_as_it_is() -> None:
    payload = Payload(packets=[Packet(MESSAGE, "2[]"), Packet(MESSAGE, b"\x00\x1e\xff")])
    assert split_payload(payload.encode().encode()) == [b"42[]", b"b" + base64.b64encode(b"\x00\x1e\xff")]


@pytest.mark.parametrize("body", [b"\x1e", b"42[]\x1e", b"\x1e42[]", b"42[]\x1e\x1e42[]"])
def test_an_empty_packet_in_a_polling_body(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="empty packet"):
        split_payload(body)
