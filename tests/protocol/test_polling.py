"""Is a session over long-polling the same session, however the packets are spread over answers and bodies?"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from engineio.payload import Payload
from hypothesis import given
from hypothesis import strategies as st

from loadtest.protocol import (
    Ack,
    Client,
    ClientEvent,
    Closed,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    HandshakeError,
    LocalProtocolError,
    Opened,
    PollingClient,
    ProtocolError,
    RequestRefused,
    State,
)

SEPARATOR = b"\x1e"
OPEN = b'0{"sid":"e","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}'
OPENED = Opened("e", 25_000_000_000, 20_000_000_000, 100, ("websocket",))


def opened(**options: Any) -> PollingClient:
    """A client whose session is open and that has said CONNECT."""
    client = PollingClient(**options)
    client.open()
    assert client.start_poll() is not None
    assert client.receive_poll(200, OPEN, 7) == [OPENED]
    assert said(client) == [b"40"] or options
    return client


def joined(**options: Any) -> PollingClient:
    """A client in the namespace, with a poll in flight."""
    client = opened(**options)
    assert client.start_poll() is not None
    assert client.receive_poll(200, b'40{"sid":"s"}', 8) == [Connected("s")]
    assert client.start_poll() is not None
    return client


def said(client: PollingClient) -> list[bytes]:
    """The packets of one POST, which the server takes."""
    post = client.start_post()
    if post is None:
        return []
    assert client.receive_post(200, b"ok", 0) == []
    return post.body.split(SEPARATOR)


def query(target: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(target).query))


def test_the_requests_of_a_session() -> None:
    client = PollingClient(path="rt/", auth={"token": "x"})
    assert client.start_poll() is client.start_post() is None
    client.open()
    first = client.start_poll()
    assert first is not None
    assert first.startswith("/rt/?EIO=4&transport=polling&t=")
    assert "sid" not in query(first)
    assert client.start_poll() is None, "one is in flight"
    assert client.start_post() is None
    client.receive_poll(200, OPEN, 77)
    assert (client.last_ping_ns, client.silence_limit_ns, client.max_payload) == (77, 45_000_000_000, 100)
    assert client.state is State.CONNECTING
    post, second = client.start_post(), client.start_poll()
    assert post is not None
    assert second is not None
    assert post.body == b'40{"token":"x"}'
    assert query(post.target)["sid"] == query(second)["sid"] == "e"
    assert len({query(target)["t"] for target in (first, second, post.target)}) == 3
    assert client.start_post() is client.start_poll() is None
    client.receive_poll(200, b'40{"sid":"s"}', 78)
    assert (client.state, client.sid) == (State.CONNECTED, "s")


def test_a_session_id_cannot_break_out_of_the_request() -> None:
    client = PollingClient()
    client.open()
    client.start_poll()
    client.receive_poll(200, b'0{"sid":"a b\\r\\n&x=1","pingInterval":1,"pingTimeout":1}', 0)
    target = client.start_poll()
    assert target is not None
    assert target.endswith("&sid=a%20b%0D%0A%26x%3D1")


def test_what_is_said_while_a_post_is_in_flight_goes_with_the_next() -> None:
    client = joined()
    client.emit("a", 1)
    first = client.start_post()
    assert first is not None
    assert first.body == b'42["a",1]'
    left = client.packets_left
    assert client.packets_queued == left
    assert client.emit("b", ack=True) == 0
    assert client.packets_queued == left + 1
    assert client.start_post() is None
    client.receive_poll(200, b"2", 99)
    assert client.last_ping_ns == 99
    client.receive_post(200, b"ok", 0)
    assert said(client) == [b'420["b"]', b"3"]
    assert client.packets_left == client.packets_queued == left + 2
    assert said(client) == []


@given(
    lengths=st.lists(st.integers(0, 90), max_size=12),
    letters=st.sampled_from(["x", "ü", "\u4e16", "\U0001f600"]),
    limit=st.sampled_from([None, 100, 150]),
)
def test_bodies_stay_within_max_payload(lengths: list[int], letters: str, limit: int | None) -> None:
    """Checked against the official client's sum: a first byte, the data, two more for each next packet."""
    client = joined()
    client.max_payload = limit
    texts = [letters * (length // len(letters.encode())) for length in lengths]
    for text in texts:
        client.emit("a", text)
    bodies = []
    while packets := said(client):
        bodies.append(packets)
        size = 1 + sum(len(packet) - 1 for packet in packets) + 2 * (len(packets) - 1)
        assert limit is None or size <= limit
        if limit is None:
            assert len(packets) == len(texts)
    assert [json.loads(packet[2:])[1] for body in bodies for packet in body] == texts
    for body, after in pairwise(bodies):
        assert limit is not None
        assert sum(map(len, body)) + len(body) + len(after[0]) > limit, (
            "it would have gone into the one before"
        )


def test_the_body_is_what_python_engineio_reads() -> None:
    client = joined()
    client.emit("a", "ü")
    client.emit("b")
    post = client.start_post()
    assert post is not None
    packets = Payload(encoded_payload=post.body.decode()).packets
    assert [packet.data for packet in packets] == ['2["a","ü"]', '2["b"]']


def test_too_long_a_message_is_refused_before_it_is_sent() -> None:
    client = joined()
    with pytest.raises(LocalProtocolError, match="maxPayload of 100"):
        client.emit("a", "x" * 100)
    assert client.start_post() is None


# -- the same events as over WebSocket ------------------------------------------------------------------

packets = st.one_of(
    st.sampled_from(
        [
            b"2",
            b"6",
            b'42["a"]',
            '42["\u00fc",{"n":[1,null]}]'.encode(),
            b'4217["ask"]',
            b'430["yes",{}]',
            b"41",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
        lambda text: f'42["t",{json.dumps(text)}]'.encode()
    ),
)
endings = st.sampled_from([b"", b"1", b"42[]", b"4nonsense", b"9", b"5"])


def hear(client: Client | PollingClient, takes: list[Any]) -> tuple[list[ClientEvent], str, State]:
    events: list[ClientEvent] = []
    for take in takes:
        try:
            events += take()
        except ProtocolError as error:
            return events + error.events, str(error), client.state
    return events, "", client.state


def frame(packet: bytes) -> bytes:
    length = bytes([len(packet)]) if len(packet) < 126 else b"\x7e" + len(packet).to_bytes(2, "big")
    return b"\x81" + length + packet


@given(
    script=st.lists(packets, max_size=10),
    ending=endings,
    cuts=st.lists(st.integers(0, 11), max_size=6),
    posted=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_the_same_events_and_answers_as_over_websocket(
    new_pair: Any, script: list[bytes], ending: bytes, cuts: list[int], posted: list[bool]
) -> None:
    everything = [b'40{"sid":"s"}', *script, *([ending] if ending else [])]
    pair = new_pair()
    pair.upgrade()
    pair.client.receive_data(frame(OPEN), 7)
    told = hear(pair.client, [lambda one=one: pair.client.receive_data(frame(one), 9) for one in everything])
    for chunk in pair.client.data_to_send():
        pair.server.receive(chunk)
    pongs = [text for text in pair.server.engine if text == "3"]

    client = PollingClient()
    client.open()
    client.start_poll()
    client.receive_poll(200, OPEN, 7)
    places = sorted({0, len(everything), *(cut for cut in cuts if cut < len(everything))})
    spoken: list[bytes] = []

    def answer(a: int, b: int, post: bool) -> list[ClientEvent]:
        if post:
            spoken.extend(said(client))
        assert client.start_poll() is not None
        return client.receive_poll(200, SEPARATOR.join(everything[a:b]), 9)

    takes = [
        lambda a=a, b=b, post=post: answer(a, b, post)
        for (a, b), post in zip(pairwise(places), posted, strict=False)
    ]
    assert hear(client, takes) == told
    assert client.last_ping_ns == pair.client.last_ping_ns
    if client.state is not State.CLOSED:
        while more := said(client):
            spoken += more
        assert [one.decode() for one in spoken] == ["40", *pongs]


# -- refusals and ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "code", "shown"),
    [
        (400, b'{"code":0,"message":"Transport unknown"}', 0, "HTTP 400: Transport unknown (code 0)"),
        (403, b'{"code":4,"message":"Forbidden"}', 4, "HTTP 403: Forbidden (code 4)"),
        (400, b'"The client is using an unsupported version"', None, "HTTP 400: The client is using"),
        (502, b"<html>Bad Gateway</html>", None, "HTTP 502: <html>Bad Gateway</html>"),
        (503, b"", None, "HTTP 503"),
    ],
)
def test_a_refused_session(status: int, body: bytes, code: int | None, shown: str) -> None:
    client = PollingClient()
    client.open()
    client.start_poll()
    with pytest.raises(HandshakeError) as refused:
        client.receive_poll(status, body, 0)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert shown in str(refused.value)
    assert client.state is State.CLOSED
    assert client.start_poll() is client.start_post() is None


@pytest.mark.parametrize("of_poll", [True, False])
def test_a_request_refused_later(of_poll: bool) -> None:
    client = joined()
    client.emit("a")
    assert client.start_post() is not None
    receive = client.receive_poll if of_poll else client.receive_post
    with pytest.raises(RequestRefused, match=r"Session ID unknown \(code 1\)") as refused:
        receive(400, b'{"code":1,"message":"Session ID unknown"}', 0)
    assert (refused.value.status, refused.value.code) == (400, 1)
    assert client.state is State.CLOSED
    other = client.receive_post if of_poll else client.receive_poll
    assert other(400, b"", 0) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no open packet"),
        (b"6", "illegal in state HANDSHAKING"),
        (b"<html>", "unknown Engine.IO packet type"),
        (b"0{}", "bad Engine.IO handshake"),
        (OPEN + SEPARATOR, "empty packet"),
    ],
)
def test_no_session_in_the_first_answer(body: bytes, said: str) -> None:
    client = PollingClient()
    client.open()
    client.start_poll()
    with pytest.raises(ProtocolError, match=said):
        client.receive_poll(200, body, 0)
    assert client.state is State.CLOSED


def test_bytes_that_nobody_announced() -> None:
    client = joined()
    with pytest.raises(ProtocolError, match="binary message of 3 bytes that no packet announced") as fault:
        client.receive_poll(200, b'42["a"]\x1ebAQID', 0)
    assert fault.value.events == [Event("a", [])]


def test_a_closed_session() -> None:
    client = joined()
    assert client.receive_poll(200, b'42["a"]\x1e1\x1e42["late"]', 0) == [
        Event("a", []),
        Closed(None, "Engine.IO close packet"),
    ]
    assert client.start_poll() is client.start_post() is None
    client = joined()
    assert client.receive_poll(200, b"", 0) == [Closed(None, "empty answer to a poll")]
    client = joined()
    assert client.receive_eof(0) == [Closed(None, "end of stream")]
    assert client.receive_eof(0) == client.receive_poll(200, b"2", 0) == []


def test_no_answer_at_all() -> None:
    client = PollingClient()
    client.open()
    client.start_poll()
    with pytest.raises(HandshakeError, match="without answering the first poll"):
        client.receive_eof(0)


def test_a_goodbye_is_said_in_two_bodies_and_waits_for_its_answer() -> None:
    """In one body the official server takes the close first, and calls the disconnect a lost transport."""
    client = joined()
    client.emit("last", ack=True)
    client.disconnect()
    client.disconnect()
    with pytest.raises(LocalProtocolError, match="CLOSING"):
        client.emit("too late")
    assert said(client) == [b'420["last"]', b"41"]
    close = client.start_post()
    assert close is not None
    assert close.body == b"1"
    assert client.receive_poll(200, b'430["on its way"]\x1e6', 0) == [Ack(0, ["on its way"])]
    assert client.start_poll() is None
    assert client.receive_post(200, b"ok", 0) == [Closed(None, "our goodbye was answered")]
    assert client.state is State.CLOSED


@pytest.mark.parametrize(("status", "body"), [(400, b'{"code":1}'), (200, b"1"), (200, b"")])
def test_a_goodbye_to_a_server_that_forgot_us_first(status: int, body: bytes) -> None:
    client = joined()
    client.disconnect()
    (closed,) = client.receive_poll(status, body, 0)
    assert isinstance(closed, Closed)
    assert client.state is State.CLOSED
    assert client.start_post() is None


def test_leaving_before_there_is_a_session_says_nothing() -> None:
    client = PollingClient()
    client.open()
    client.start_poll()
    client.disconnect()
    assert client.state is State.CLOSED
    assert client.receive_poll(200, OPEN, 0) == []
    assert client.start_post() is None


def test_refused_by_the_namespace_and_dismissed() -> None:
    client = opened()
    client.start_poll()
    assert client.receive_poll(200, b'44{"message":"no"}', 0) == [ConnectError("no")]
    assert client.start_poll() is not None, "the heartbeat goes on"
    client.receive_poll(200, b"2", 0)
    assert said(client) == [b"3"]
    client.disconnect()
    assert said_last(client) == b"1"
    client = joined()
    assert client.receive_poll(200, b"41", 0) == [Disconnected()]
    client.disconnect()
    assert said_last(client) == b"1"


def said_last(client: PollingClient) -> bytes:
    post = client.start_post()
    assert post is not None
    return post.body


def test_while_it_is_paused_nothing_new_is_asked_or_said() -> None:
    client = joined()
    client.pause()
    client.emit("a")
    assert client.start_post() is None
    assert not client.quiet
    assert client.receive_poll(200, b"6", 0) == []
    assert client.quiet
    assert client.start_poll() is client.start_post() is None
    client.resume()
    assert client.start_poll() is not None
    assert said(client) == [b'42["a"]']


def test_a_goodbye_is_said_although_it_is_paused() -> None:
    client = joined()
    client.pause()
    client.disconnect()
    assert said(client) == [b"41"]
