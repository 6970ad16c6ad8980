"""What is written into the log?

A command is a request that changes the state or asks about it. It says everything that its execution needs, so
that each instance can carry it out alike.
"""

from typing import Any

import msgspec

from loadtest.targets.reference.faults import Fault


class Enter(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A socket has authenticated."""

    sid: str
    user: str
    role: str
    device: str


class Leave(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """That socket is gone."""

    sid: str


class Do(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """An action that was asked for by a socket."""

    sid: str
    name: str
    payload: bytes


class Ask(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """An action that was asked for over HTTP. `key` stands for the token, `free` is charged to nobody."""

    user: str
    role: str
    key: str
    name: str
    payload: bytes
    free: bool


class Read(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Somebody asks for their feed of the kind `letter`."""

    user: str
    letter: str
    cursor: str | None
    limit: int


class LookUp(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Somebody asks for what was said in a conversation."""

    user: str
    conversation: str
    after_seq: int
    limit: int


class Order(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A fault that lasts begins, or all of them end."""

    fault: Fault


class Tick(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Time has passed."""


class Gone(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """An instance has died, and its sockets with it."""

    origin: str


class Count(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Each instance is to say what it has counted up to here, and a digest of its copy if it is wanted."""

    digest: bool


Command = Enter | Leave | Do | Ask | Read | LookUp | Order | Tick | Gone | Count


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What one instance had to say at one moment: commands, each with its number among those of `origin`."""

    origin: str
    at_ns: int
    commands: list[tuple[int, Command]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode(encoded: bytes) -> Entry:
    """Raises msgspec.MsgspecError for what another version of this server wrote."""
    return _decoder.decode(encoded)


def pack(payload: object) -> bytes:
    """A payload as it came from the peer, attachments and all."""
    try:
        return b"m" + _encoder.encode(payload)
    except OverflowError:  # JSON knows numbers beyond 64 bits
        return b"j" + msgspec.json.encode(payload)


def unpack(packed: bytes) -> Any:
    """What `pack` was given."""
    decode_payload = msgspec.msgpack.decode if packed[:1] == b"m" else msgspec.json.decode
    return decode_payload(packed[1:])
