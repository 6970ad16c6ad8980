"""The byte stream: cut anywhere it means the same, and whatever it holds, only ProtocolError comes of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from socketio.packet import ACK, CONNECT, DISCONNECT, EVENT

from loadtest.protocol import ClientEvent, FrameTooLarge, ProtocolError, State

Make = Callable[..., Any]

HANDSHAKE = '0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
args = st.lists(words | st.integers(-(2**53), 2**53) | st.dictionaries(words, words, max_size=3), max_size=3)
sizes = st.sampled_from([0, 1, 100, 120, 130, 300])

# What a server may do while we are in the namespace; each is (kind, value).
actions = st.one_of(
    st.tuples(st.just("event"), args),
    st.tuples(st.just("asking event"), args),
    st.tuples(st.just("ack"), args),
    st.tuples(st.just("fragments"), st.tuples(args, st.lists(st.integers(0, 40), max_size=4))),
    st.tuples(st.just("filler"), sizes),
    st.tuples(st.sampled_from(["ping", "noop", "ws ping", "ws pong"]), st.none()),
)
endings = st.sampled_from(["none", "close", "dismissed", "engine close", "bad packet", "bad frame", "binary"])


def play(server: Any, script: list[tuple[str, Any]], ending: str) -> bytes:
    """Everything the server writes, from its 101 to the end of the script."""
    server.text(HANDSHAKE)
    server.send(CONNECT, {"sid": "s"})
    for at, (kind, value) in enumerate(script):
        if kind == "event":
            server.send(EVENT, ["event", *value])
        elif kind == "asking event":
            server.send(EVENT, ["event", *value], ack_id=at)
        elif kind == "ack":
            server.send(ACK, value, ack_id=at)
        elif kind == "filler":
            server.send(EVENT, ["filler", "x" * value])
        elif kind == "fragments":
            raw = b'42["pieces",%d]' % at
            cuts = [0, *sorted(min(cut, len(raw)) for cut in value[1]), len(raw)]
            server.fragments([raw[a:b] for a, b in pairwise(cuts)])
        elif kind == "ping":
            server.text("2")
        elif kind == "noop":
            server.text("6")
        elif kind == "ws ping":
            server.ws.send_ping(b"hello")
        else:
            server.ws.send_pong(b"hello")
    end(server, ending)
    output: bytes = server.output()
    return output


def end(server: Any, ending: str) -> None:
    if ending == "close":
        server.ws.send_close(1009, "enough")
    elif ending == "dismissed":
        server.send(DISCONNECT)
    elif ending == "engine close":
        server.text("1")
    elif ending == "bad packet":
        server.text("42[]")
    elif ending == "binary":
        server.ws.send_binary(b"\x00")
    elif ending == "bad frame":
        server.ws.writes.append(b"\x83\x00")


def hear(client: Any, parts: list[bytes]) -> tuple[list[ClientEvent], str]:
    """All events, and the fault that ended them, if any."""
    events: list[ClientEvent] = []
    for part in parts:
        try:
            events += client.receive_data(part, 0)
        except ProtocolError as error:
            return events + error.events, f"{type(error).__name__}: {error}"
    return events, ""


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(stream) + 1) for place in at), len(stream)]
    return [stream[a:b] for a, b in pairwise(places)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


Told = tuple[list[ClientEvent], str, State]
Said = tuple[list[Any], list[str]]


def run(
    new_pair: Make, script: Any, ending: str, deflate: bool, split: Callable[[bytes], list[bytes]]
) -> tuple[Told, Said]:
    """What a fresh client reports, and says, if the server's bytes come in these parts."""
    pair = new_pair(deflate=deflate)
    pair.client.open()
    pair.server.receive(b"".join(pair.client.data_to_send()))
    events, fault = hear(pair.client, split(play(pair.server, script, ending)))
    # The other way the stream is cut byte by byte.
    for byte in b"".join(pair.client.data_to_send()):
        pair.server.receive(bytes([byte]))
    said = [(packet.packet_type, packet.data) for packet in pair.server.packets]
    return (events, fault, pair.client.state), (said, pair.server.engine)


@given(
    script=st.lists(actions, max_size=8),
    ending=endings,
    deflate=st.booleans(),
    at=st.lists(st.integers(0, 5_000), max_size=12),
)
def test_the_same_events_for_every_split(
    new_pair: Make, script: Any, ending: str, deflate: bool, at: list[int]
) -> None:
    told, said = run(new_pair, script, ending, deflate, lambda stream: [stream])
    told_in_parts, said_in_parts = run(new_pair, script, ending, deflate, lambda stream: cut(stream, at))
    assert told_in_parts == told
    reported = {"event", "asking event", "ack", "filler", "fragments"}
    ended = {"close", "dismissed", "engine close"}
    assert len(told[0]) == 2 + sum(kind in reported for kind, _ in script) + (ending in ended)
    assert bool(told[1]) == (ending in {"bad packet", "bad frame", "binary"})
    # Who reads the end together with what came before it does not answer any more.
    if ending in {"none", "dismissed"}:
        assert said_in_parts == said
        assert said == ([(CONNECT, None)], ["3"] * sum(kind == "ping" for kind, _ in script))


@pytest.mark.parametrize("deflate", [False, True])
def test_byte_by_byte(new_pair: Make, deflate: bool) -> None:
    script: list[tuple[str, Any]] = [
        ("filler", 100),
        ("filler", 300),
        ("filler", 70_000),
        ("fragments", ([], [3, 9])),
        ("ws ping", None),
        ("ping", None),
        ("event", ["ü", {"a": 1}]),
    ]
    whole = run(new_pair, script, "none", deflate, lambda stream: [stream])
    assert run(new_pair, script, "none", deflate, bytewise) == whole
    assert len(whole[0][0]) == 7


def test_a_long_frame_in_small_reads(joined: Make) -> None:
    """To look at all of it again with every read would be quadratic: terabytes copied, not megabytes."""
    pair = joined()
    text = "x" * 12_000_000
    pair.server.send(EVENT, ["a", text])
    stream = pair.server.output()
    (event,) = [
        event
        for at in range(0, len(stream), 64)
        for event in pair.client.receive_data(stream[at : at + 64], 0)
    ]
    assert event.args == [text]


def survive(client: Any, parts: list[bytes]) -> None:
    """Feed it; ProtocolError is the only way out, and the end is the end."""
    try:
        for part in parts:
            client.receive_data(part, 0)
        client.receive_eof(0)
    except ProtocolError:
        pass
    assert client.state is State.CLOSED
    assert client.receive_data(b"\x81\x01" + b"2", 0) == []
    client.data_to_send()


@settings(max_examples=200)
@given(parts=st.lists(st.binary(max_size=200), max_size=6), deflate=st.booleans())
def test_random_bytes(joined: Make, parts: list[bytes], deflate: bool) -> None:
    survive(joined(deflate=deflate, max_size=4_096).client, parts)


@settings(max_examples=200)
@given(
    script=st.lists(actions, max_size=6),
    ending=endings,
    deflate=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    at=st.lists(st.integers(0, 5_000), max_size=4),
)
def test_damaged_frames(
    new_pair: Make, script: Any, ending: str, deflate: bool, changes: list[tuple[int, int]], at: list[int]
) -> None:
    pair = new_pair(deflate=deflate, max_size=4_096)
    pair.upgrade()
    stream = bytearray(play(pair.server, script, ending))
    for place, byte in changes:
        stream[place % len(stream)] = byte
    survive(pair.client, cut(bytes(stream), at))


@settings(max_examples=200)
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0x00, 0x01, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x41]),
            st.sampled_from([b"", b"2", b"0{}", b'42["a"]', b"\x03\xe8", b"1", b"\xff", b"41", b"x" * 130])
            | st.binary(max_size=10),
        ),
        max_size=8,
    ),
    deflate=st.booleans(),
)
def test_legal_frames_in_an_illegal_order(
    joined: Make, frames: list[tuple[int, bytes]], deflate: bool
) -> None:
    stream = b"".join(
        bytes([head, len(body)]) + body if len(body) < 126 else bytes([head, 126, 0, len(body)]) + body
        for head, body in frames
    )
    survive(joined(deflate=deflate, max_size=4_096).client, [stream])


MAX_SIZE = 65_536


def flood(kind: str) -> tuple[bytes, list[bytes]]:
    """How a hostile server begins, and what it repeats for ever.

    A list that grew by one pointer for each of these frames would take four times MAX_SIZE.
    """
    if kind == "one endless frame":
        return b"\x81\x7f" + (MAX_SIZE).to_bytes(8, "big"), [b"x" * (MAX_SIZE - 1)]
    if kind == "empty fragments":
        return b"\x01\x00", [b"\x00\x00" * 32_768]
    if kind == "small fragments":
        return b"\x01\x00", [b"\x00\x08xxxxxxxx" * 6_554] * 64
    return b"", [b"\x8a\x00" * 32_768]


@pytest.mark.parametrize("kind", ["one endless frame", "empty fragments", "small fragments", "pongs"])
def test_memory_stays_within_max_size(joined: Make, kind: str) -> None:
    client = joined(max_size=MAX_SIZE).client
    first, chunks = flood(kind)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        client.receive_data(first, 0)
        for chunk in chunks:
            client.receive_data(chunk, 0)
        kept = tracemalloc.get_traced_memory()[0] - before
    except FrameTooLarge:
        assert kind == "small fragments"
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 1.5 * MAX_SIZE
