"""One client against an independent server end, joined in memory: every step of a connection's life."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT

from loadtest.protocol import (
    Ack,
    Client,
    Closed,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    FrameTooLarge,
    LocalProtocolError,
    ProtocolError,
    State,
)

Make = Callable[..., Any]


def test_upgrade_request(new_pair: Make) -> None:
    pair = new_pair(headers=[("Authorization", "Bearer x"), ("host", "example.org"), ("Cookie", "a=1")])
    pair.upgrade()
    request = pair.server.request
    assert request.path == "/socket.io/?EIO=4&transport=websocket"
    assert request.headers["Authorization"] == "Bearer x"
    assert request.headers.get_all("Host") == ["example.org"]
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert pair.client.state is State.HANDSHAKING


@pytest.mark.parametrize("path", ["/rt", "rt/", "/rt/"])
def test_another_path(new_pair: Make, path: str) -> None:
    pair = new_pair(path=path)
    pair.upgrade()
    assert pair.server.request.path == "/rt/?EIO=4&transport=websocket"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3000", "127.0.0.1:3000", "ws://", "ws://h:port", "ws://[::1"]
)
def test_no_websocket_url(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="WebSocket URL"):
        Client(url)


@pytest.mark.parametrize(
    "header", [("X", "a\r\nY: b"), ("X\nY", "b"), ("X", "a\x00b"), ("X", "\u20ac"), ("X\u20ac", "a")]
)
def test_a_header_that_cannot_be_sent(header: tuple[str, str]) -> None:
    client = Client("ws://127.0.0.1:3000", headers=[header])
    with pytest.raises(LocalProtocolError, match="header"):
        client.open()
    assert client.data_to_send() == []


def test_connect_with_auth(new_pair: Make) -> None:
    pair = new_pair(auth={"token": "x", "n": [1]})
    pair.upgrade()
    client, server = pair.client, pair.server
    assert (client.sid, client.silence_limit_ns, client.max_payload) == (None, None, None)
    pair.now_ns = 77
    server.text(
        '0{"sid":"e","upgrades":["webtransport"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":9}'
    )
    (opened,) = pair.flow()
    assert (opened.sid, opened.upgrades) == ("e", ("webtransport",))
    assert (client.last_ping_ns, client.silence_limit_ns, client.max_payload) == (77, 45_000_000_000, 9)
    assert client.state is State.CONNECTING
    (packet,) = server.packets
    assert (packet.packet_type, packet.data) == (CONNECT, {"token": "x", "n": [1]})
    server.send(CONNECT, {"sid": "s", "pid": "p"})
    assert pair.flow() == [Connected("s", "p")]
    assert (client.state, client.sid) == (State.CONNECTED, "s")


def test_connect_without_auth_has_no_payload(joined: Make) -> None:
    (packet,) = joined().server.packets
    assert (packet.packet_type, packet.data) == (CONNECT, None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"message": "not authorized", "data": {"code": 7}}, ConnectError("not authorized", {"code": 7})),
        ("Unable to connect", ConnectError("Unable to connect")),
    ],
)
def test_connect_error_leaves_the_transport_open(new_pair: Make, said: Any, expected: ConnectError) -> None:
    pair = new_pair()
    pair.upgrade()
    pair.server.text('0{"sid":"e","pingInterval":1000,"pingTimeout":1000}')
    pair.flow()
    pair.server.send(CONNECT_ERROR, said)
    assert pair.flow() == [expected]
    assert pair.client.state is State.DETACHED
    with pytest.raises(LocalProtocolError, match="DETACHED"):
        pair.client.emit("a")
    pair.server.text("2")
    pair.flow()
    assert pair.server.engine == ["3"]
    pair.client.disconnect()
    assert pair.flow() == [Closed(1000, "")]
    assert [packet.packet_type for packet in pair.server.packets] == [CONNECT]  # no DISCONNECT: never in


def test_events_before_the_connect_answer_are_reported(new_pair: Make) -> None:
    pair = new_pair()
    pair.upgrade()
    pair.server.text('0{"sid":"e","pingInterval":1000,"pingTimeout":1000}')
    pair.server.send(EVENT, ["missed", 1, "offset-1"])
    pair.server.send(CONNECT, {"sid": "s", "pid": "p"})
    assert pair.flow()[1:] == [Event("missed", [1, "offset-1"]), Connected("s", "p")]


def test_events_and_acks_both_ways(joined: Make) -> None:
    pair = joined()
    client, server = pair.client, pair.server
    assert client.emit("join", {"room": "r"}) is None
    assert client.emit("ask", "a", 2, ack=True) == 0
    assert client.emit("ask", ack=True) == 1
    pair.flow()
    sent = [(packet.packet_type, packet.data, packet.id) for packet in server.packets[1:]]
    assert sent == [
        (EVENT, ["join", {"room": "r"}], None),
        (EVENT, ["ask", "a", 2], 0),
        (EVENT, ["ask"], 1),
    ]
    server.send(ACK, [], ack_id=1)
    server.send(ACK, ["ok", {"n": 1}], ack_id=0)
    server.send(EVENT, ["question", "ü", None], ack_id=512)
    assert pair.flow() == [Ack(1, []), Ack(0, ["ok", {"n": 1}]), Event("question", ["ü", None], 512)]
    client.ack(512, "yes", [1])
    pair.flow()
    answer = server.packets[-1]
    assert (answer.packet_type, answer.data, answer.id) == (ACK, ["yes", [1]], 512)


def test_ack_ids_count_only_what_was_sent(joined: Make) -> None:
    client = joined().client
    with pytest.raises(LocalProtocolError):
        client.emit("a", object(), ack=True)
    assert client.emit("a", ack=True) == 0


def test_only_server_pings_reset_the_silence(joined: Make) -> None:
    pair = joined()
    pair.now_ns = 1_000
    pair.server.send(EVENT, ["a"])
    pair.server.text("6")
    pair.server.ws.send_ping(b"ws")
    pair.flow()
    assert pair.client.last_ping_ns == 0
    pair.now_ns = 2_000
    pair.server.text("2")
    assert pair.flow() == []
    assert pair.client.last_ping_ns == 2_000
    assert pair.server.engine == ["3"]


def test_disconnect_leaves_the_namespace_before_it_closes(joined: Make) -> None:
    pair = joined()
    pair.client.disconnect()
    pair.client.disconnect()
    assert pair.client.state.name == "CLOSING"
    with pytest.raises(LocalProtocolError, match="CLOSING"):
        pair.client.emit("a")
    pair.server.send(EVENT, ["on its way"])
    assert pair.flow() == [Event("on its way", []), Closed(1000, "")]
    assert pair.server.packets[-1].packet_type == DISCONNECT
    assert pair.server.close == (1000, "")
    assert pair.client.state is State.CLOSED
    assert pair.client.receive_eof(0) == []
    pair.client.disconnect()
    assert pair.client.data_to_send() == []


def test_leaving_while_the_session_opens(new_pair: Make) -> None:
    """The open packet that crosses our close frame is reported and not answered."""
    pair = new_pair()
    pair.upgrade()
    pair.client.disconnect()
    pair.server.text('0{"sid":"e","pingInterval":1000,"pingTimeout":1000}')
    pair.server.text("2")
    events = pair.flow()
    assert [type(event).__name__ for event in events] == ["Opened", "Closed"]
    assert pair.server.packets == []
    assert pair.server.engine == []


def test_nothing_is_sent_behind_our_close_frame(joined: Make) -> None:
    client = joined().client
    client.disconnect()
    assert [frame[0] for frame in client.data_to_send()] == [0x81, 0x88]
    assert client.receive_data(b"\x81\x012", 5) == []
    assert client.last_ping_ns == 5
    assert client.data_to_send() == []


@pytest.mark.parametrize("opened", [False, True])
def test_leaving_before_the_upgrade_says_nothing(opened: bool) -> None:
    client = Client("ws://127.0.0.1:3000")
    if opened:
        client.open()
        client.data_to_send()
    client.disconnect()
    assert client.state is State.CLOSED
    assert client.data_to_send() == []
    assert client.receive_data(b"HTTP/1.1 101", 0) == []
    with pytest.raises(LocalProtocolError):
        client.open()


def test_the_servers_disconnect(joined: Make) -> None:
    pair = joined()
    pair.server.send(DISCONNECT)
    pair.server.ws.send_close(1000)
    assert pair.flow() == [Disconnected(), Closed(1000, "")]
    assert pair.server.close == (1000, "")


@pytest.mark.parametrize(("code", "reason"), [(1009, "too big"), (1001, ""), (4321, "ü")])
def test_the_servers_close_frame(joined: Make, code: int, reason: str) -> None:
    pair = joined()
    pair.server.send(EVENT, ["last"])
    pair.server.ws.send_close(code, reason)
    assert pair.flow() == [Event("last", []), Closed(code, reason)]
    assert pair.server.close == (code, reason)  # echoed
    assert pair.client.receive_data(b"anything", 0) == []


def test_a_close_frame_without_a_code(joined: Make) -> None:
    pair = joined()
    pair.server.ws.send_close()
    assert pair.flow() == [Closed(1005, "")]


def test_engine_io_close(joined: Make) -> None:
    pair = joined()
    pair.server.text("1")
    pair.server.send(EVENT, ["after the end"])
    (closed,) = pair.flow()
    assert closed == Closed(None, "Engine.IO close packet")
    assert pair.server.close == (1000, "")


@pytest.mark.parametrize("half", [b"", b"\x81", b"\x81\x05ab", b"\x01\x02ab"])
def test_end_of_stream(joined: Make, half: bytes) -> None:
    client = joined().client
    assert client.receive_data(half, 0) == []
    assert client.receive_eof(1) == [Closed(None, "end of stream")]
    assert client.receive_eof(2) == []
    assert client.state is State.CLOSED


def test_fragments_and_pings_between_them(joined: Make) -> None:
    pair = joined()
    message = '42["ä",{"text":"' + "ü" * 300 + '"}]'
    raw = message.encode()
    pair.server.ws.send_text(raw[:4], fin=False)
    pair.server.ws.send_ping(b"between")
    pair.server.ws.send_continuation(b"", fin=False)
    pair.server.ws.send_continuation(raw[4:100], fin=False)
    assert pair.flow() == []
    pair.server.ws.send_continuation(raw[100:], fin=True)
    pair.server.send(EVENT, ["next"])
    assert pair.flow() == [Event("ä", [{"text": "ü" * 300}]), Event("next", [])]


@pytest.mark.parametrize("length", [1, 100, 125, 126, 65_535, 65_536, 300_000])
@pytest.mark.parametrize("deflate", [False, True])
def test_every_form_of_length(joined: Make, length: int, deflate: bool) -> None:
    pair = joined(deflate=deflate)
    # 42["a",""] takes ten bytes around the text.
    text = "x" * max(0, length - 10)
    pair.client.emit("a", text)
    pair.server.send(EVENT, ["a", text])
    assert pair.flow() == [Event("a", [text])]
    assert pair.server.packets[-1].data == ["a", text]


def test_deflate_is_negotiated_and_used(joined: Make) -> None:
    pair = joined(deflate=True)
    assert "permessage-deflate" in pair.server.request.headers["Sec-WebSocket-Extensions"]
    text = "again and " * 500
    pair.client.emit("a", text)
    up = b"".join(pair.client.data_to_send())
    pair.server.receive(up)
    assert pair.server.packets[-1].data == ["a", text]
    pair.server.send(EVENT, ["b", text])
    down = pair.server.output()
    assert len(up) < 200
    assert len(down) < 200
    assert pair.client.receive_data(down, 0) == [Event("b", [text])]


def test_a_server_without_deflate(new_pair: Make, new_server: Make) -> None:
    pair = new_pair(deflate=True)
    pair.server = new_server()
    pair.connect()
    pair.client.emit("a", "text")
    pair.flow()
    assert pair.server.packets[-1].data == ["a", "text"]


def test_mask_keys_do_not_repeat(joined: Make) -> None:
    client = joined().client
    for _ in range(300):
        client.emit("a")
    frames = client.data_to_send()
    assert all(frame[:2] == b"\x81\x87" for frame in frames)
    assert len({frame[2:6] for frame in frames}) > 290


def test_max_payload_of_the_server(new_pair: Make) -> None:
    pair = new_pair()
    pair.upgrade()
    pair.server.text('0{"sid":"e","pingInterval":1000,"pingTimeout":1000,"maxPayload":20}')
    pair.server.send(CONNECT, {"sid": "s"})
    pair.flow()
    pair.client.emit("a", "x" * 10)  # 42["a","xxxxxxxxxx"]: exactly 20
    with pytest.raises(LocalProtocolError, match=r"21 bytes.*20 bytes"):
        pair.client.emit("a", "x" * 11)
    with pytest.raises(LocalProtocolError, match=r"24 bytes.*20 bytes"):
        pair.client.ack(1, "x" * 17)
    pair.flow()
    assert len(pair.server.packets) == 2
    assert pair.client.state is State.CONNECTED


def test_a_connect_longer_than_max_payload_goes_out(new_pair: Make) -> None:
    """No caller is there to be blamed; the server answers it as it likes."""
    pair = new_pair(auth={"token": "x" * 100})
    pair.upgrade()
    pair.server.text('0{"sid":"e","pingInterval":1000,"pingTimeout":1000,"maxPayload":20}')
    pair.flow()
    assert pair.server.packets[0].data == {"token": "x" * 100}


@pytest.mark.parametrize("name", ["connect", "disconnect", "newListener"])
def test_reserved_names(joined: Make, name: str) -> None:
    client = joined().client
    with pytest.raises(LocalProtocolError, match="reserved"):
        client.emit(name)


@pytest.mark.parametrize("state", ["IDLE", "OPENING", "HANDSHAKING"])
def test_emit_before_connected(new_pair: Make, state: str) -> None:
    pair = new_pair()
    if state != "IDLE":
        pair.client.open()
    if state == "HANDSHAKING":
        pair.flow()
    assert pair.client.state.name == state
    with pytest.raises(LocalProtocolError, match=state):
        pair.client.emit("a")
    with pytest.raises(LocalProtocolError, match=state):
        pair.client.ack(1)


def test_open_twice(joined: Make) -> None:
    with pytest.raises(LocalProtocolError):
        joined().client.open()


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (["42[]"], "event payload"),
        (["0{}"], "handshake"),
        (['0{"sid":"e","pingInterval":1,"pingTimeout":1}'], "illegal in state CONNECTED"),
        (['40{"sid":"again"}'], "illegal in state CONNECTED"),
        (['42/admin,["a"]'], "/admin"),
        (['40/admin,{"sid":"a"}'], "/admin"),
        (["3probe"], "PONG"),
        (["5"], "UPGRADE"),
        (["7"], "unknown"),
        ([""], "empty"),
        (['451-["a",{"_placeholder":true,"num":0}]'], "text where an attachment was announced"),
        (["bAAE="], "no packet announced"),
    ],
)
def test_a_fault_of_the_server(joined: Make, texts: list[str], what: str) -> None:
    pair = joined()
    pair.server.send(EVENT, ["good"])
    for text in texts:
        pair.server.text(text)
    pair.server.send(EVENT, ["after"])
    with pytest.raises(ProtocolError, match=what) as caught:
        pair.flow()
    assert caught.value.events == [Event("good", [])]
    assert pair.client.state is State.CLOSED
    pair.server.receive(b"".join(pair.client.data_to_send()))
    assert pair.server.close == (1002, "")
    assert pair.client.receive_data(b"more", 0) == []
    assert pair.client.receive_eof(0) == []


@pytest.mark.parametrize("text", ["2", "6", '42["a"]', "430[]", '40{"sid":"s"}', '44"no"', "41"])
def test_nothing_comes_before_the_session(new_pair: Make, text: str) -> None:
    pair = new_pair()
    pair.upgrade()
    pair.server.text(text)
    with pytest.raises(ProtocolError, match="illegal in state HANDSHAKING") as caught:
        pair.flow()
    assert caught.value.events == []


def test_a_binary_frame(joined: Make) -> None:
    pair = joined()
    pair.server.send(EVENT, ["good"])
    pair.server.ws.send_binary(b"\x00")
    with pytest.raises(ProtocolError, match="binary") as caught:
        pair.flow()
    assert caught.value.events == [Event("good", [])]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x85abcd\x00\x00\x00\x00\x00",  # masked
        b"\x81\xfe\x00\x7eabcd" + b"x" * 126,  # masked, two bytes of length
        b"\xc1\x01a",  # compressed, not negotiated
        b"\x83\x00",  # reserved opcode
        b"\x80\x01a",  # continuation of nothing
        b"\x09\x00",  # ping in fragments
        b"\x89\x7e\x00\x7e" + b"x" * 126,  # long ping
        b"\x01\x011\x81\x012",  # a message inside another
        b"\x88\x01x",  # half a close code
        b"\x88\x02\x03\xee",  # 1006 on the wire
        b"\x88\x03\x03\xe8\xff",  # reason is no text
    ],
)
def test_a_broken_frame(joined: Make, frame: bytes) -> None:
    pair = joined()
    with pytest.raises(ProtocolError, match="WebSocket"):
        pair.client.receive_data(frame, 0)
    assert pair.client.state is State.CLOSED
    (close,) = pair.client.data_to_send()
    assert close[0] == 0x88


def test_a_frame_too_large_is_refused_by_its_header(joined: Make) -> None:
    for header in (b"\x81\x7e\x03\xe9", b"\x82\x7f" + (2**63).to_bytes(8, "big"), b"\x01\x7e\x03\xe9"):
        pair = joined(max_size=1_000)
        with pytest.raises(FrameTooLarge, match="1000"):
            pair.client.receive_data(header, 0)
        pair.server.receive(b"".join(pair.client.data_to_send()))
        assert pair.server.close == (1009, "")


def test_max_size_itself_is_not_too_large(joined: Make) -> None:
    pair = joined(max_size=1_000)
    pair.server.send(EVENT, ["a", "x" * 990])
    assert pair.flow() == [Event("a", ["x" * 990])]


def test_fragments_add_up_to_too_large(joined: Make) -> None:
    pair = joined(max_size=1_000)
    pair.server.fragments([b"4", b"x" * 600, b"x" * 600])
    with pytest.raises(FrameTooLarge):
        pair.flow()


def test_the_header_of_one_fragment_too_many_is_enough(joined: Make) -> None:
    client = joined(max_size=1_000).client
    assert client.receive_data(b"\x01\x7e\x02\x58" + b"x" * 600, 0) == []
    with pytest.raises(FrameTooLarge):
        client.receive_data(b"\x80\x7e\x01\x91", 0)  # 401 more


def test_a_small_frame_that_inflates_beyond_max_size(joined: Make) -> None:
    pair = joined(max_size=1_000, deflate=True)
    pair.server.send(EVENT, ["a", "x" * 100_000])
    with pytest.raises(FrameTooLarge):
        pair.flow()


def test_the_buffer_may_be_reused(joined: Make) -> None:
    pair = joined()
    pair.server.send(EVENT, ["a", {"text": "kept"}])
    pair.server.send(EVENT, ["b", "split"])
    stream = pair.server.output()
    buffer = bytearray(len(stream))
    events = []
    for part in (stream[:-4], stream[-4:]):
        buffer[: len(part)] = part
        events += pair.client.receive_data(memoryview(buffer)[: len(part)], 0)
        buffer[:] = b"\xff" * len(buffer)
    assert events == [Event("a", [{"text": "kept"}]), Event("b", ["split"])]


def test_a_server_that_speaks_first() -> None:
    client = Client("ws://127.0.0.1:3000")
    with pytest.raises(ProtocolError):
        client.receive_data(b"220 smtp", 0)
    with pytest.raises(ProtocolError):
        Client("ws://127.0.0.1:3000").receive_eof(0)


def test_the_package_brings_no_other_client_and_no_event_loop() -> None:
    unwanted = {"socketio", "engineio", "gevent", "locust", "asyncio", "websocket"}
    code = f"import sys, loadtest.protocol; print(sorted({unwanted} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
