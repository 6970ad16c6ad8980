"""Does a connection over long-polling come up, say what it is given when it can, and end once, for its reason?"""

from __future__ import annotations

import gzip
import select
import socket
import struct
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

import gevent
import pytest
from polling_server import PollingServer, listening, response

from loadtest.protocol import Recovery
from loadtest.users import longpolling
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Listeners, NotConnected, Place, call, tell
from loadtest.users.longpolling import LongPollingConnection

Until = Callable[[Callable[[], object]], None]
HEAD = b"Host: h\r\nX-Mine: yes\r\n"


class Ear:
    """Writes down what a connection tells, and what becomes of what is sent."""

    def __init__(self) -> None:
        self.events: list[tuple[str, list[Any]]] = []
        self.losses: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.raising: Exception | None = None
        self.left_ns: list[int] = []
        self.failures: list[tuple[Cause, str]] = []
        self.listeners = Listeners(
            self._event, lambda *loss: self.losses.append(loss), self.faults.append, lambda lag_ns: None
        )

    def _event(self, name: str, args: list[Any], read_ns: int) -> None:
        self.events.append((name, args))
        if self.raising is not None:
            raise self.raising

    def left(self, sent_ns: int) -> None:
        self.left_ns.append(sent_ns)

    def failed(self, cause: Cause, detail: str) -> None:
        self.failures.append((cause, detail))


@pytest.fixture
def server() -> PollingServer:
    return PollingServer()


@pytest.fixture
def place(server: PollingServer) -> Iterator[Place]:
    with listening(server) as where:
        yield where


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def connection(place: Place, ear: Ear) -> Iterator[LongPollingConnection]:
    made = LongPollingConnection(place, "/socket.io", {"token": "t"}, HEAD, ear.listeners)
    yield made
    made.cut(reset=False)


def test_it_comes_up_in_its_phases_on_two_connections(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    assert list(connection.phases) == ["tcp", "open", "namespace"]
    assert all(duration > 0 for duration in connection.phases.values())
    assert connection.session == "the-sid"
    assert (connection.ping_interval_ns, connection.ping_timeout_ns) == (25_000_000_000, 20_000_000_000)
    until(lambda: server.hanging)
    assert server.log[:3] == ["GET open", 'POST 40{"token":"t"}', "GET"]
    assert all(b"\r\nHost: h\r\nX-Mine: yes" in head for head in server.heads)
    posts = [head for head in server.heads if head.startswith(b"POST")]
    assert b"Content-Type: text/plain;charset=UTF-8" in posts[0]
    for number in range(5):
        assert tell(connection, "tell", [number], 5) > 0
    until(lambda: len(server.got) == 6)
    assert server.connections == len(connection.local_ports) == 2
    assert connection.carried().bytes_sent > sum(map(len, server.heads))
    assert not ear.losses
    assert not ear.faults


def test_events_and_answers_find_their_way(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    def answer(server: PollingServer, packet: str) -> None:
        if packet.startswith("420"):
            server.say('430["yes"]', '42["news",{"n":1}]', "2")

    server.hears = answer
    connection.open(5)
    args, sent_ns, read_ns = call(connection, "ask", [{"q": 1}], 5)
    assert args == ["yes"]
    assert 0 < sent_ns < read_ns
    until(lambda: "3" in server.got)
    assert ear.events == [("news", [{"n": 1}])]


def test_what_is_said_while_a_post_is_in_flight_leaves_with_the_next(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    until(lambda: connection._client.start_post() is None and not connection._client._posting)
    server.posts.clear()
    first, second, third = Ear(), Ear(), Ear()
    connection.emit("a", [], first)
    until(lambda: 'POST 42["a"]' in server.log)
    connection.emit("b", [], second)
    connection.request("c", [], lambda args, read_ns: None, third)
    assert len(first.left_ns) == 1
    assert second.left_ns == third.left_ns == []
    answered_ns = perf_counter_ns()
    server.posts.set()
    until(lambda: third.left_ns)
    assert server.log[-1] == 'POST 42["b"]\x1e420["c"]'
    assert second.left_ns == third.left_ns
    assert first.left_ns[0] < answered_ns < second.left_ns[0]


def test_what_does_not_fit_into_a_body_leaves_with_the_next(
    connection: LongPollingConnection, server: PollingServer, until: Until
) -> None:
    """The server takes 1000 bytes."""

    def hold(server: PollingServer, packet: str) -> None:
        if packet.startswith('42["b"'):
            server.posts.clear()

    connection.open(5)
    until(lambda: server.hanging and not connection._client._posting)
    server.posts.clear()
    server.hears = hold
    senders = [Ear(), Ear(), Ear()]
    for name, sender in zip("abc", senders, strict=True):
        connection.emit(name, ["x" * 600], sender)
    server.posts.set()
    until(lambda: server.got[-1].startswith('42["b"'))
    assert [len(sender.left_ns) for sender in senders] == [1, 1, 0]
    server.posts.set()
    until(lambda: senders[2].left_ns)


def test_what_never_left_is_told_so_when_the_connection_is_lost(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    server.posts.clear()
    connection.emit("a", [], ear)
    connection.emit("b", [], ear)
    acks: list[Any] = []
    connection.request("c", [], lambda args, read_ns: acks.append(args), ear)
    server.say("1")
    until(lambda: ear.losses)
    assert ear.losses == [(Cause.TRANSPORT_CLOSE, "Engine.IO close packet")]
    assert len(ear.left_ns) == 1
    assert ear.failures == ear.losses * 2
    assert acks == [None]
    assert connection.local_ports == []
    with pytest.raises(NotConnected):
        connection.emit("too late", [], ear)
    with pytest.raises(NotConnected):
        connection.request("too late", [], lambda args, read_ns: None, ear)


def test_a_compressed_answer(connection: LongPollingConnection, server: PollingServer, ear: Ear) -> None:
    body = gzip.compress(server.handshake().encode())
    server.refusal = response(body, "200 OK", "Content-Encoding: gzip\r\n")
    with pytest.raises(ConnectFailed):
        connection.open(0.2)
    assert connection.opened is not None


@pytest.mark.parametrize(
    ("status", "body", "cause", "said"),
    [
        ("403 Forbidden", b'{"code":4,"message":"Forbidden"}', Cause.HANDSHAKE_REFUSED, "Forbidden (code 4)"),
        ("503 Service Unavailable", b"full up", Cause.HANDSHAKE_REFUSED, "HTTP 503: full up"),
        ("200 OK", b"<html>", Cause.PARSE_ERROR, "<html>"),
        ("200 OK", b"", Cause.PARSE_ERROR, "no open packet"),
    ],
)
def test_why_it_could_not_be_made(
    connection: LongPollingConnection,
    server: PollingServer,
    ear: Ear,
    status: str,
    body: bytes,
    cause: Cause,
    said: str,
) -> None:
    server.refuse(status, body)
    with pytest.raises(ConnectFailed) as failed:
        connection.open(5)
    assert failed.value.cause is cause
    assert said in failed.value.detail
    assert ear.losses == ear.faults == []
    assert connection.local_ports == []


def test_a_server_that_is_silent_or_hangs_up(place: Place, server: PollingServer, ear: Ear) -> None:
    server.connects = ""
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, ear.listeners)
    with pytest.raises(ConnectFailed) as failed:
        connection.open(0.1)
    assert failed.value.cause is Cause.CONNECT_TIMEOUT
    assert connection.local_ports == []
    connection.close()
    server.refusal = b""
    server.close_after = {server.connections}
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, ear.listeners)
    with pytest.raises(ConnectFailed) as failed:
        connection.open(5)
    assert failed.value.cause is Cause.HANDSHAKE_REFUSED
    assert "without answering the first poll" in failed.value.detail


def test_refused_by_the_namespace(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    server.connects = '44{"message":"AUTH_INVALID"}'
    with pytest.raises(ConnectFailed) as failed:
        connection.open(5)
    assert (failed.value.cause, failed.value.detail) == (Cause.CONNECT_ERROR, "AUTH_INVALID")
    until(lambda: server.got[-1] == "1")
    until(lambda: not connection.local_ports)
    assert ear.losses == ear.faults == []


@pytest.mark.parametrize(
    ("end", "cause", "said"),
    [
        (lambda server: server.say("1"), Cause.TRANSPORT_CLOSE, "close packet"),
        (lambda server: server.say("41"), Cause.SERVER_NAMESPACE, "disconnected us"),
        (lambda server: server.say('42["last"]', "4nonsense"), Cause.PARSE_ERROR, "nonsense"),
        (
            lambda server: server.refuse("400 Bad Request", b'{"code":1,"message":"Session ID unknown"}'),
            Cause.SESSION_UNKNOWN,
            "HTTP 400: Session ID unknown (code 1)",
        ),
        (
            lambda server: server.refuse("400 Bad Request", b'"Invalid session abc"'),
            Cause.SESSION_UNKNOWN,
            "HTTP 400: Invalid session abc",
        ),
        (
            lambda server: server.refuse("400 Bad Request", b'{"code":3,"message":"Bad request"}'),
            Cause.TRANSPORT_CLOSE,
            "HTTP 400: Bad request (code 3)",
        ),
        (lambda server: server.refuse("502 Bad Gateway", b"oops"), Cause.TRANSPORT_ERROR, "HTTP 502: oops"),
    ],
    ids=["close", "kick", "garbage", "unknown session", "Python's words", "bad request", "bad gateway"],
)
def test_a_loss_is_told_once_and_with_its_cause(
    connection: LongPollingConnection,
    server: PollingServer,
    ear: Ear,
    until: Until,
    end: Callable[[PollingServer], None],
    cause: Cause,
    said: str,
) -> None:
    connection.open(5)
    until(lambda: server.hanging)
    end(server)
    until(lambda: ear.losses)
    until(lambda: not connection.local_ports)
    ((found, detail),) = ear.losses
    assert found is cause
    assert said in detail
    assert not ear.faults
    if cause is Cause.SERVER_NAMESPACE:
        assert server.got[-1] == "1", "the server keeps the session until it is told"


def test_a_post_that_is_refused(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    until(lambda: server.hanging)
    server.refusal = response(b"", "413 Payload Too Large")
    connection.emit("a", [], ear)
    until(lambda: ear.losses)
    ((cause, detail),) = ear.losses
    assert cause is Cause.TRANSPORT_ERROR
    assert detail == "the server answered a POST with HTTP 413"


def _reset(sock: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_kept_connection_that_was_closed_meanwhile_costs_a_retry_and_no_loss(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    """The server closes an idle connection at the moment it is used: only the next read would tell us."""
    connection.open(5)
    until(lambda: server.hanging and not connection._client._posting)
    idle = [one for one in connection._pool._open if one.idle]
    assert len(idle) == 1
    ports = [sock.getpeername()[1] for sock in server.socks]
    _reset(server.socks[ports.index(idle[0].wire.local_port)])
    assert idle[0].idle, "the hub has had no turn to find out"
    assert tell(connection, "a", [1], 5) > 0
    until(lambda: server.got[-1] == '42["a",1]')
    assert server.connections == 3
    assert ear.losses == ear.faults == []


def test_a_server_that_is_gone_is_told_with_what_cut_us_off(
    place: Place, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, ear.listeners)
    connection.open(5)
    until(lambda: server.hanging)
    server.refuse("400 Bad Request", b'{"code":1,"message":"Session ID unknown"}')
    until(lambda: ear.losses)
    assert ear.losses[0][0] is Cause.SESSION_UNKNOWN


def test_silence_is_a_ping_timeout_and_only_pings_count(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    last_ns, limit_ns = connection._client.last_ping_ns, 45_000_000_000
    server.event("chatter")
    until(lambda: ear.events)
    connection.check(last_ns + limit_ns)
    assert ear.losses == []
    connection.pause_reading(True)
    connection.check(last_ns + limit_ns + 1)
    assert ear.losses == [], "who does not read cannot know"
    connection.pause_reading(False)
    connection.check(last_ns + limit_ns + 1)
    assert [cause for cause, _ in ear.losses] == [Cause.PING_TIMEOUT]
    connection.check(last_ns + 2 * limit_ns)
    assert len(ear.losses) == 1


def test_a_ping_that_waits_in_the_socket_came_in_time(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    until(lambda: server.hanging)
    last_ns = connection._client.last_ping_ns
    server.say("2")
    connection.pause_reading(True)
    until(lambda: not server.hanging)
    # As after a stall: it waits, and the hub has had no turn yet.
    select.select([one.wire._raw for one in connection._pool._open], [], [], 5)
    connection._paused = False
    for one in connection._pool._open:
        one.wire.paused = False
    connection.check(last_ns + 45_000_000_001)
    assert ear.losses == []
    assert connection._client.last_ping_ns > last_ns


def test_an_exception_of_a_listener_costs_its_own_connection_only(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    ear.raising = ZeroDivisionError("a bug")
    server.event("news")
    until(lambda: ear.losses)
    assert ear.faults == [ear.raising]
    assert [cause for cause, _ in ear.losses] == [Cause.INTERNAL]


def test_closing_says_goodbye_behind_what_is_still_to_be_said(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    until(lambda: server.hanging)
    server.posts.clear()
    connection.emit("a", [], ear)
    connection.emit("b", [], ear)
    for _ in range(2):
        connection.close()
    server.event("late")
    until(lambda: not server.hanging)
    with pytest.raises(NotConnected):
        connection.emit("too late", [], ear)
    server.posts.set()
    until(lambda: not connection.local_ports)
    assert server.got[-4:] == ['42["a"]', '42["b"]', "41", "1"]
    assert server.log[-1] == "POST 1", "alone: the official server takes a close before what it stands behind"
    assert len(ear.left_ns) == 2
    assert ear.losses == ear.failures == ear.faults == ear.events == []
    carried = connection.carried()
    assert carried.bytes_sent > 0


def test_a_goodbye_that_is_not_answered_ends_all_the_same(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until, monkeypatch: Any
) -> None:
    monkeypatch.setattr(longpolling, "GOODBYE_S", 0.01)
    connection.open(5)
    server.posts.clear()
    connection.close()
    until(lambda: not connection.local_ports)
    assert ear.losses == ear.faults == []


def test_closing_half_way_in(place: Place, server: PollingServer, ear: Ear, until: Until) -> None:
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, ear.listeners)
    connection.close()
    server.connects = ""
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, ear.listeners)
    opening = gevent.spawn(connection.open, 60)
    until(lambda: "POST 40" in server.log)
    connection.close()
    opening.kill()
    until(lambda: not connection.local_ports)
    assert server.got[-1] == "1"
    assert ear.losses == ear.faults == []


def test_what_was_not_said_before_a_kick_is_not_said_after_it(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    until(lambda: server.hanging and not connection._client._posting)
    server.posts.clear()
    connection.emit("a", [], ear)
    connection.emit("b", [], ear)
    server.say("41")
    until(lambda: ear.losses)
    server.posts.set()
    until(lambda: not connection.local_ports)
    assert ear.failures == ear.losses
    assert server.got[-2:] == ['42["a"]', "1"]


@pytest.mark.parametrize("reset", [True, False])
def test_cutting_is_silent_and_says_nothing(
    connection: LongPollingConnection, server: PollingServer, ear: Ear, until: Until, reset: bool
) -> None:
    connection.open(5)
    until(lambda: server.hanging)
    said = list(server.got)
    acks: list[Any] = []
    connection.request("a", [], lambda args, read_ns: acks.append(args), ear)
    connection.cut(reset)
    assert connection.local_ports == []
    gevent.sleep(0.01)
    assert ear.losses == ear.faults == acks == []
    assert "41" not in server.got[len(said) :]
    connection.close()


def test_the_state_of_the_connection_before(place: Place, server: PollingServer, ear: Ear) -> None:
    server.connects = '42["missed",1,"o2"]\x1e40{"sid":"s","pid":"p"}'
    connection = LongPollingConnection(
        place, "/socket.io", None, HEAD, ear.listeners, recovery=Recovery("p", "o1")
    )
    connection.open(5)
    assert server.got[0] == '40{"pid":"p","offset":"o1"}'
    assert connection.recovered
    assert connection.recovery == Recovery("p", "o2")
    assert ear.events == [("missed", [1])]
    connection.close()
