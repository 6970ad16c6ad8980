"""Does a client give back what the server needs to restore its state, and hand up what the sender sent?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from socketio.packet import CONNECT, EVENT

from loadtest.protocol import Client, Connected, Event, Opened, PollingClient, Recovery

Make = Callable[..., Any]


def enter(pair: Any, answer: dict[str, str], *missed: list[Any]) -> list[Any]:
    """Into the namespace, with these events before its answer; what the client reports after Opened."""
    pair.upgrade()
    pair.server.text('0{"sid":"e","pingInterval":1000,"pingTimeout":1000}')
    for args in missed:
        pair.server.send(EVENT, args)
    pair.server.send(CONNECT, answer)
    first, *rest = pair.flow()
    assert isinstance(first, Opened)
    return rest


def hear(pair: Any, *args: Any, ack_id: int | None = None) -> list[Any]:
    """The arguments that reach the listener of an event."""
    pair.server.send(EVENT, ["a", *args], ack_id=ack_id)
    (event,) = pair.flow()
    found: list[Any] = event.args
    return found


def test_without_a_pid_nothing_is_an_offset(joined: Make) -> None:
    pair = joined()
    assert hear(pair, 1, "text") == [1, "text"]
    assert pair.client.recovery is None


def test_the_offset_is_kept_and_not_handed_up(new_pair: Make) -> None:
    pair = new_pair()
    assert enter(pair, {"sid": "s", "pid": "p"}) == [Connected("s", "p")]
    assert pair.client.recovery == Recovery("p", None)
    assert hear(pair, {"x": 1}, "o1") == [{"x": 1}]
    assert hear(pair, "text", "o2") == ["text"]
    assert hear(pair, "o3") == []
    assert pair.client.recovery == Recovery("p", "o3")
    assert hear(pair, "text", ack_id=7) == ["text"], "an event that wants an answer carries none"
    assert hear(pair, "text", 5) == ["text", 5]
    assert hear(pair) == []
    assert pair.client.recovery == Recovery("p", "o3")


@pytest.mark.parametrize(
    ("auth", "offset", "expected"),
    [
        (None, "o", {"pid": "p", "offset": "o"}),
        ({"token": "t"}, "o", {"pid": "p", "offset": "o", "token": "t"}),
        ({"token": "t"}, None, {"pid": "p", "token": "t"}),
        ({"pid": "mine"}, "o", {"pid": "mine", "offset": "o"}),
    ],
)
def test_what_is_said_on_the_next_connection(
    new_pair: Make, auth: dict[str, str] | None, offset: str | None, expected: dict[str, str]
) -> None:
    pair = new_pair(auth=auth, recovery=Recovery("p", offset))
    enter(pair, {"sid": "s"})
    (packet,) = pair.server.packets
    assert (packet.packet_type, packet.data) == (CONNECT, expected)


def test_what_was_missed_comes_before_the_answer(new_pair: Make) -> None:
    pair = new_pair(recovery=Recovery("p", "o1"))
    missed = ["m", 1, "o2"], ["m", "two", "o3"]
    assert enter(pair, {"sid": "s", "pid": "p"}, *missed) == [
        Event("m", [1]),
        Event("m", ["two"]),
        Connected("s", "p", recovered=True),
    ]
    assert pair.client.recovery == Recovery("p", "o3")
    assert hear(pair, "o4") == []
    assert pair.client.recovery == Recovery("p", "o4")


@pytest.mark.parametrize(
    ("answer", "recovery"),
    [({"sid": "s", "pid": "new"}, Recovery("new", "o1")), ({"sid": "s"}, None)],
    ids=["another pid", "a server without recovery"],
)
def test_a_server_that_does_not_restore(
    new_pair: Make, answer: dict[str, str], recovery: Recovery | None
) -> None:
    pair = new_pair(recovery=Recovery("p", "o1"))
    (connected,) = enter(pair, answer)
    assert not connected.recovered
    assert pair.client.recovery == recovery
    assert hear(pair, "text") == (["text"] if recovery is None else [])


def test_an_attempt_that_failed_keeps_what_the_next_one_needs() -> None:
    client = Client("ws://127.0.0.1:3000", recovery=Recovery("p", "o"))
    client.open()
    client.disconnect()
    assert client.recovery == Recovery("p", "o")


def test_over_long_polling() -> None:
    client = PollingClient(auth={"token": "t"}, recovery=Recovery("p", "o"))
    client.open()
    client.start_poll()
    client.receive_poll(200, b'0{"sid":"e","pingInterval":1000,"pingTimeout":1000}', 0)
    post = client.start_post()
    assert post is not None
    assert json.loads(post.body[2:]) == {"pid": "p", "offset": "o", "token": "t"}
    client.start_poll()
    assert client.receive_poll(200, b'42["m",1,"o2"]\x1e40{"sid":"s","pid":"p"}', 0) == [
        Event("m", [1]),
        Connected("s", "p", recovered=True),
    ]
    assert client.recovery == Recovery("p", "o2")


def test_claiming_another_session(new_pair: Make) -> None:
    pair = new_pair(engine_sid="no&body")
    pair.upgrade()
    assert pair.server.request.path == "/socket.io/?EIO=4&transport=websocket&sid=no%26body"
