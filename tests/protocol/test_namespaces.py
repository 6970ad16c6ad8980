"""Does one connection keep several namespaces apart: their lives, events, acks, and what they have to recover?"""

from __future__ import annotations

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
    LocalProtocolError,
    PollingClient,
    ProtocolError,
    Recovery,
    Standing,
    State,
    Upgrade,
)

Make = Callable[..., Any]
HANDSHAKE = '0{"sid":"e","upgrades":["websocket"],"pingInterval":1000,"pingTimeout":1000}'


def sent(pair: Any) -> list[tuple[int, str, Any, int | None]]:
    """What the server has heard since the CONNECT to the first namespace."""
    return [(one.packet_type, one.namespace or "/", one.data, one.id) for one in pair.server.packets[1:]]


def entered(pair: Any, name: str, **terms: Any) -> Any:
    """A namespace that the server has let us in."""
    namespace = pair.client.join(name, **terms)
    pair.flow()
    pair.server.send(CONNECT, {"sid": f"sid-{name}"}, name)
    assert pair.flow() == [Connected(f"sid-{name}", None, name)]
    return namespace


def test_another_first_namespace(new_pair: Make) -> None:
    pair = new_pair(namespace="/chat", auth={"token": "x"})
    pair.upgrade()
    pair.server.text(HANDSHAKE)
    pair.flow()
    (packet,) = pair.server.packets
    assert (packet.packet_type, packet.namespace, packet.data) == (CONNECT, "/chat", {"token": "x"})
    pair.server.send(CONNECT, {"sid": "s"}, "/chat")
    pair.server.send(EVENT, ["news"], "/chat")
    assert pair.flow() == [Connected("s", None, "/chat"), Event("news", [], None, "/chat")]
    assert (pair.client.state, pair.client.sid) == (State.CONNECTED, "s")
    pair.client.emit("say", 1, ack=True)
    pair.client.ack(3, "yes")
    pair.flow()
    assert sent(pair) == [(EVENT, "/chat", ["say", 1], 0), (ACK, "/chat", ["yes"], 3)]
    pair.client.disconnect()
    pair.flow()
    assert sent(pair)[-1] == (DISCONNECT, "/chat", None, None)
    other = new_pair(namespace="/chat")
    other.upgrade()
    other.server.text(HANDSHAKE)
    other.server.send(CONNECT, {"sid": "s"})
    with pytest.raises(ProtocolError, match="did not join"):
        other.flow()


@pytest.mark.parametrize("name", ["chat", "", "/a,b"])
def test_what_is_no_namespace(joined: Make, name: str) -> None:
    with pytest.raises(LocalProtocolError, match="no namespace"):
        Client("ws://127.0.0.1:3000", namespace=name)
    with pytest.raises(LocalProtocolError, match="no namespace"):
        joined().client.join(name)


def test_several_over_one_connection(joined: Make) -> None:
    pair = joined()
    admin = entered(pair, "/admin", auth={"key": 7})
    news = entered(pair, "/news")
    assert (admin.sid, news.sid, pair.client.sid) == ("sid-/admin", "sid-/news", "sio-1")
    assert sent(pair) == [(CONNECT, "/admin", {"key": 7}, None), (CONNECT, "/news", None, None)]
    assert [one.emit("ask", ack=True) for one in (admin, pair.client, news, admin)] == [0, 0, 0, 1]
    assert admin.emit("tell", "x") is None
    admin.ack(12, "yes")
    pair.flow()
    assert sent(pair)[2:] == [
        (EVENT, "/admin", ["ask"], 0),
        (EVENT, "/", ["ask"], 0),
        (EVENT, "/news", ["ask"], 0),
        (EVENT, "/admin", ["ask"], 1),
        (EVENT, "/admin", ["tell", "x"], None),
        (ACK, "/admin", ["yes"], 12),
    ]
    pair.server.send(ACK, [1], "/news", 0)
    pair.server.send(EVENT, ["stats", {"n": 1}], "/admin", 5)
    pair.server.send(ACK, [2], ack_id=0)
    assert pair.flow() == [
        Ack(0, [1], "/news"),
        Event("stats", [{"n": 1}], 5, "/admin"),
        Ack(0, [2]),
    ]


def test_a_refusal_concerns_the_refused_alone(joined: Make) -> None:
    pair = joined()
    refused = pair.client.join("/admin", {"key": "wrong"})
    pair.flow()
    pair.server.send(CONNECT_ERROR, {"message": "no", "data": 1}, "/admin")
    assert pair.flow() == [ConnectError("no", 1, "/admin")]
    assert (refused.standing, pair.client.state) == (Standing.OUTSIDE, State.CONNECTED)
    with pytest.raises(LocalProtocolError, match="OUTSIDE"):
        refused.emit("anything")
    pair.client.emit("still here")
    pair.flow()
    assert sent(pair)[-1] == (EVENT, "/", ["still here"], None)
    again = pair.client.join("/admin", {"key": "right"})
    pair.flow()
    pair.server.send(CONNECT, {"sid": "s2"}, "/admin")
    assert pair.flow() == [Connected("s2", None, "/admin")]
    assert again is refused
    assert again.standing is Standing.INSIDE


def test_leaving_one_leaves_the_others(joined: Make) -> None:
    pair = joined()
    admin, news = entered(pair, "/admin"), entered(pair, "/news")
    admin.leave()
    admin.leave()
    pair.server.send(EVENT, ["on its way"], "/admin")
    assert pair.flow() == [Event("on its way", [], None, "/admin")]
    assert [packet for packet in sent(pair) if packet[0] == DISCONNECT] == [
        (DISCONNECT, "/admin", None, None)
    ]
    news.emit("hello")
    pair.flow()
    assert sent(pair)[-1] == (EVENT, "/news", ["hello"], None)
    pair.server.send(DISCONNECT, None, "/news")
    assert pair.flow() == [Disconnected("/news")]
    assert pair.client.state is State.CONNECTED
    with pytest.raises(LocalProtocolError):
        news.ack(1)
    news.leave()
    pair.flow()
    assert sent(pair)[-1] == (EVENT, "/news", ["hello"], None), "there is nothing to leave"


def test_the_first_may_refuse_us_and_another_let_us_in(new_pair: Make) -> None:
    pair = new_pair()
    pair.upgrade()
    pair.server.text(HANDSHAKE)
    pair.flow()
    admin = pair.client.join("/admin")
    pair.server.send(CONNECT_ERROR, {"message": "Invalid namespace"})
    pair.server.send(CONNECT, {"sid": "s"}, "/admin")
    assert pair.flow()[-2:] == [ConnectError("Invalid namespace"), Connected("s", None, "/admin")]
    admin.emit("hello")
    pair.client.disconnect()
    assert pair.flow() == [Closed(1000, "")]
    assert sent(pair)[-1] == (DISCONNECT, "/admin", None, None)


def test_saying_goodbye_says_it_in_each(joined: Make) -> None:
    pair = joined()
    admin = entered(pair, "/admin")
    pair.client.join("/news")
    entered(pair, "/gone").leave()
    pair.client.disconnect()
    assert pair.flow() == [Closed(1000, "")]
    left = [packet[1] for packet in sent(pair) if packet[0] == DISCONNECT]
    assert left == ["/gone", "/admin", "/news", "/"]
    for speak in (lambda: admin.emit("a"), lambda: pair.client.join("/late")):
        with pytest.raises(LocalProtocolError):
            speak()


def test_a_namespace_is_not_spoken_in_once_the_connection_is_over(joined: Make) -> None:
    pair = joined()
    admin = entered(pair, "/admin")
    pair.client.receive_eof(0)
    with pytest.raises(LocalProtocolError, match="over"):
        admin.emit("a")
    admin.leave()
    assert pair.client.data_to_send() == []


def test_what_must_not_be_asked(joined: Make) -> None:
    pair = joined()
    entered(pair, "/admin")
    for again in ("/admin", "/"):
        with pytest.raises(LocalProtocolError):
            pair.client.join(again)
    with pytest.raises(LocalProtocolError, match="IDLE"):
        Client("ws://127.0.0.1:3000").join("/admin")
    pair.server.send(EVENT, ["who?"], "/elsewhere")
    with pytest.raises(ProtocolError, match="did not join"):
        pair.flow()


def test_each_recovers_by_itself(joined: Make) -> None:
    pair = joined()
    admin = pair.client.join("/admin", None, Recovery("pid-1", "offset-1"))
    pair.flow()
    assert sent(pair) == [(CONNECT, "/admin", {"pid": "pid-1", "offset": "offset-1"}, None)]
    pair.server.send(EVENT, ["missed", "offset-2"], "/admin")
    pair.server.send(CONNECT, {"sid": "s", "pid": "pid-1"}, "/admin")
    pair.server.send(EVENT, ["plain", "text"])
    assert pair.flow() == [
        Event("missed", [], None, "/admin"),
        Connected("s", "pid-1", "/admin", recovered=True),
        Event("plain", ["text"]),
    ]
    assert admin.recovery == Recovery("pid-1", "offset-2")
    assert pair.client.recovery is None


def test_namespaces_move_with_an_upgrade(new_server: Make) -> None:
    polling, server = PollingClient(), new_server()
    polling.open()
    polling.start_poll()
    polling.receive_poll(200, HANDSHAKE.encode(), 0)
    admin = polling.join("/admin")
    post = polling.start_post()
    assert post is not None
    assert post.body == b"40\x1e40/admin,"
    polling.receive_post(200, b"ok", 0)
    polling.start_poll()
    polling.receive_poll(200, b'40{"sid":"s"}\x1e40/admin,{"sid":"t"}', 0)
    upgrade = Upgrade(polling, "ws://127.0.0.1:3000")
    upgrade.open()
    server.receive(b"".join(upgrade.data_to_send()))
    upgrade.receive_data(server.output())
    server.receive(b"".join(upgrade.data_to_send()))
    server.text("3probe")
    upgrade.receive_data(server.output())
    client = upgrade.finish()
    admin.emit("by the new way")
    server.receive(b"".join(client.data_to_send()))
    server.send(EVENT, ["and back"], "/admin")
    assert client.receive_data(server.output(), 0) == [Event("and back", [], None, "/admin")]
    assert server.packets[-1].data == ["by the new way"]
