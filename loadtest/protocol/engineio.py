r"""How does an Engine.IO 4 packet look on the wire?

One packet is one WebSocket text frame, or one piece of a polling body:

    0{"sid":"lv_VI97","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}    open
    1            close                       3probe       pong, with the data of its ping
    2            ping (server to client)     4<text>      message: one Socket.IO packet
    5            upgrade                     6            noop
    b<base64>    binary message, in polling only; over WebSocket it is a binary frame

A polling body is packets joined by the record separator U+001E: ``42["a"]\x1e42["b"]``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from loadtest.protocol.errors import ProtocolError
from loadtest.protocol.events import Opened

SEPARATOR = b"\x1e"
_NS_PER_MS = 1_000_000
BASE64 = b"b"
UNSUPPORTED_VERSION = 5
"""Engine.IO's number for a client of a version that the server does not speak."""
_SHOWN_CHARACTERS = 200


# How Engine.IO 3 frames the open packet in a polling body: as text, and as bytes.
_OLDER = re.compile(rb"(?:\d+:|\x00[\x00-\x09]+\xff)0\{")


class Binary(NamedTuple):
    """A binary message. A tuple, so that nobody takes it for a text packet that begins with the same byte."""

    data: bytes


Packet: TypeAlias = bytes | Binary
"""What one WebSocket message is, or one piece of a polling body."""


class PacketType(IntEnum):
    """The first byte of a text packet."""

    OPEN = ord("0")
    CLOSE = ord("1")
    PING = ord("2")
    PONG = ord("3")
    MESSAGE = ord("4")
    UPGRADE = ord("5")
    NOOP = ord("6")


_PREFIX = {kind: bytes([kind]) for kind in PacketType}
_TYPES = {int(kind): kind for kind in PacketType}

# JavaScript writes any number here, so milliseconds may have a fraction; the bound keeps nanoseconds finite.
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=2**53)]


class _Handshake(msgspec.Struct, frozen=True, rename="camel"):
    """The JSON of the open packet. ``maxPayload`` is younger than the rest of version 4."""

    sid: str
    ping_interval: _Milliseconds
    ping_timeout: _Milliseconds
    upgrades: tuple[str, ...] = ()
    max_payload: Annotated[int, msgspec.Meta(ge=0)] | None = None


_handshake = msgspec.json.Decoder(_Handshake).decode


def encode_packet(kind: PacketType, data: bytes = b"") -> bytes:
    """A text packet: the type's byte, then ``data``."""
    return _PREFIX[kind] + data


def decode_packet(packet: bytes) -> tuple[PacketType, bytes]:
    """Type and data of a text packet. ProtocolError if it is empty or of no known type."""
    if not packet:
        raise ProtocolError("empty Engine.IO packet")
    kind = _TYPES.get(packet[0])
    if kind is None:
        raise ProtocolError(f"unknown Engine.IO packet type: {packet[:40]!r}")
    return kind, packet[1:]


def target(path: str, query: str, transport: str) -> str:
    """Where a request of Engine.IO's goes; what the caller asks stands first, as the official client writes it."""
    more = query and f"{query}&"
    return f"/{path.strip('/')}/?{more}EIO=4&transport={transport}"


def encode_base64(data: bytes) -> bytes:
    """A binary message as it stands in a polling body."""
    return BASE64 + binascii.b2a_base64(data, newline=False)


def decode_base64(packet: bytes) -> bytes:
    """The binary message in such a packet. ProtocolError if it is none."""
    try:
        return binascii.a2b_base64(packet[1:], strict_mode=True)
    except binascii.Error as error:
        raise ProtocolError(f"bad base64 ({error}): {packet[:40]!r}") from None


def is_older(body: bytes) -> bool:
    """Whether this answer to a first poll is Engine.IO 3's, which puts a length before each packet."""
    return _OLDER.match(body) is not None


def parse_handshake(data: bytes) -> Opened:
    """The session that the data of an open packet describes. ProtocolError says which field is wrong."""
    try:
        handshake = _handshake(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"bad Engine.IO handshake {data[:120]!r}: {error}") from None
    return Opened(
        sid=handshake.sid,
        ping_interval_ns=round(handshake.ping_interval * _NS_PER_MS),
        ping_timeout_ns=round(handshake.ping_timeout * _NS_PER_MS),
        max_payload=handshake.max_payload,
        upgrades=handshake.upgrades,
    )


def join_payload(packets: Iterable[bytes]) -> bytes:
    """One polling body of these packets."""
    return SEPARATOR.join(packets)


def split_payload(body: bytes) -> list[bytes]:
    """The packets of a polling body; none for an empty one. ProtocolError if a packet is empty."""
    if not body:
        return []
    packets = body.split(SEPARATOR)
    if b"" in packets:
        raise ProtocolError(f"empty packet in a polling body of {len(packets)} packets")
    return packets


class _Refusal(msgspec.Struct, frozen=True):
    code: int | None = None
    message: str = ""


_refusal = msgspec.json.Decoder(_Refusal | str).decode


def parse_refusal(body: bytes) -> tuple[int | None, str]:
    """Engine.IO's number and words in the body of an HTTP error, as far as there are any.

    Node's server sends ``{"code":1,"message":"Session ID unknown"}``, python-engineio a JSON string; what
    something in between sends is shown as it is.
    """
    try:
        refusal = _refusal(body)
    except (ValueError, RecursionError):
        return None, body.decode("utf-8", "replace").strip()[:_SHOWN_CHARACTERS]
    if isinstance(refusal, str):
        return None, refusal[:_SHOWN_CHARACTERS]
    return refusal.code, refusal.message[:_SHOWN_CHARACTERS]
