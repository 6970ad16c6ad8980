"""Does a connection come up in its phases, carry what it is given, and end once, for the reason it had?"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from socketio_server import SocketIoServer, Visit, listening

from loadtest.protocol import Recovery
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Listeners, NativeConnection, NotConnected, Place, call, tell
from loadtest.users.tcp import Carried

Until = Callable[[Callable[[], object]], None]


class Sender:
    """Writes down what becomes of what it sends."""

    def __init__(self) -> None:
        self.left_ns: list[int] = []
        self.failures: list[tuple[Cause, str]] = []

    def left(self, sent_ns: int) -> None:
        self.left_ns.append(sent_ns)

    def failed(self, cause: Cause, detail: str) -> None:
        self.failures.append((cause, detail))


class Ear:
    """Writes down what a connection tells."""

    def __init__(self) -> None:
        self.events: list[tuple[str, list[Any]]] = []
        self.losses: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.raising: Exception | None = None
        self.listeners = Listeners(
            self._event, lambda *loss: self.losses.append(loss), self.faults.append, lambda lag_ns: None
        )

    def _event(self, name: str, args: list[Any], read_ns: int) -> None:
        self.events.append((name, args))
        if self.raising is not None:
            raise self.raising


@pytest.fixture
def server() -> SocketIoServer:
    return SocketIoServer()


@pytest.fixture
def place(server: SocketIoServer) -> Iterator[Place]:
    with listening(server) as where:
        yield where


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def connection(place: Place, ear: Ear) -> Iterator[NativeConnection]:
    made = NativeConnection(place, "/socket.io", {"token": "t"}, (), False, ear.listeners)
    yield made
    made.close()


def test_it_comes_up_in_its_phases(connection: NativeConnection, server: SocketIoServer, ear: Ear) -> None:
    connection.open(5)
    assert list(connection.phases) == ["tcp", "open", "namespace"]
    assert all(duration > 0 for duration in connection.phases.values())
    assert connection.session == "the-sid"
    assert connection.ping_interval_ns == 25_000_000_000
    (visit,) = server.visits
    assert visit.request is not None
    assert visit.request.path == "/socket.io/?EIO=4&transport=websocket"
    assert visit.texts == ['40{"token":"t"}']
    assert not ear.losses
    assert not ear.faults


def test_events_and_answers_find_their_way(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    def answer(visit: Visit, text: str) -> None:
        if text.startswith("420"):
            visit.text('430["yes"]', '42["news",{"n":1}]')

    server.heard = answer
    connection.open(5)
    args, sent_ns, read_ns = call(connection, "ask", [{"q": 1}], 5)
    assert args == ["yes"]
    assert 0 < sent_ns < read_ns
    until(lambda: ear.events)
    assert ear.events == [("news", [{"n": 1}])]
    assert 0 < tell(connection, "tell", [2], 5) >= sent_ns
    until(lambda: server.visits[0].texts[-1] == '42["tell",2]')
    carried = connection.carried()
    assert carried.bytes_sent > 0
    assert carried.bytes_received > 0


def test_a_ping_is_answered(connection: NativeConnection, server: SocketIoServer, until: Until) -> None:
    connection.open(5)
    server.visits[0].text("2")
    until(lambda: "3" in server.visits[0].texts)


def _rejecting(status: int, body: str) -> Callable[[SocketIoServer], None]:
    def arrange(server: SocketIoServer) -> None:
        server.upgrade = lambda visit, request: visit.ws.send_response(visit.ws.reject(status, body))
        server.open = lambda visit: None

    return arrange


def _opening(act: Callable[[Visit], object]) -> Callable[[SocketIoServer], None]:
    return lambda server: setattr(server, "open", act)


def _joining(act: Callable[[Visit], object]) -> Callable[[SocketIoServer], None]:
    return lambda server: setattr(server, "join", act)


def _mute(server: SocketIoServer) -> None:
    server.upgrade = lambda visit, request: None
    server.open = lambda visit: None


def _reset(visit: Visit) -> None:
    visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.sock.close()
    raise OSError("gone")  # ends the visit


def test_nobody_there(ear: Ear) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = nobody.getsockname()
        place = Place(2, address, f"127.0.0.1:{address[1]}", f"http://127.0.0.1:{address[1]}")
        connection = NativeConnection(place, "/socket.io", None, (), False, ear.listeners)
        with pytest.raises(ConnectFailed) as failed:
            connection.open(5)
    assert failed.value.cause is Cause.CONNECT_REFUSED
    connection.close()
    with pytest.raises(NotConnected):
        connection.emit("anything", [], Sender())
    assert ear.losses == []


@pytest.mark.parametrize(
    ("arrange", "cause", "said"),
    [
        (_rejecting(404, "Not Found"), Cause.HANDSHAKE_REFUSED, "404"),
        (_rejecting(503, "full up"), Cause.HANDSHAKE_REFUSED, "full up"),
        (_joining(lambda v: v.text('44{"message":"AUTH_INVALID"}')), Cause.CONNECT_ERROR, "AUTH_INVALID"),
        (_opening(lambda v: v.text("0nonsense")), Cause.PARSE_ERROR, ""),
        (_joining(lambda v: v.sock.shutdown(socket.SHUT_WR)), Cause.TRANSPORT_CLOSE, "end of stream"),
        (_joining(_reset), Cause.TRANSPORT_ERROR, "reset"),
        (_joining(lambda v: None), Cause.CONNECT_TIMEOUT, "0.1 s"),
        (_mute, Cause.CONNECT_TIMEOUT, "0.1 s"),
    ],
    ids=["404", "503", "refused", "nonsense", "closed", "reset", "silent after open", "silent"],
)
def test_why_it_could_not_be_made(
    connection: NativeConnection,
    server: SocketIoServer,
    ear: Ear,
    arrange: Callable[[SocketIoServer], None],
    cause: Cause,
    said: str,
) -> None:
    arrange(server)
    with pytest.raises(ConnectFailed) as failed:
        connection.open(0.1 if cause is Cause.CONNECT_TIMEOUT else 5)
    assert failed.value.cause is cause
    assert said in failed.value.detail
    connection.close()
    gevent.sleep(0)
    assert ear.losses == [], "what never was cannot be lost"
    assert ear.faults == []


def test_a_kick_with_its_close_in_one_segment_is_one_loss(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    visit = server.visits[0]
    visit.ws.send_text(b"41")
    visit.ws.send_close(1000)
    visit.flush()
    until(lambda: ear.losses)
    gevent.sleep(0.01)
    assert [cause for cause, _ in ear.losses] == [Cause.SERVER_NAMESPACE]


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda visit: visit.text("41"), Cause.SERVER_NAMESPACE),
        (lambda visit: visit.text("1"), Cause.TRANSPORT_CLOSE),
        (lambda visit: (visit.ws.send_close(1001, "going"), visit.flush()), Cause.TRANSPORT_CLOSE),
        (lambda visit: visit.sock.shutdown(socket.SHUT_WR), Cause.TRANSPORT_CLOSE),
        (lambda visit: visit.text("42not json"), Cause.PARSE_ERROR),
        (lambda visit: visit.text('42["fine"]', "42not json", "41"), Cause.PARSE_ERROR),
        (lambda visit: visit.text("41", "9"), Cause.SERVER_NAMESPACE),
    ],
    ids=["kick", "engine close", "close frame", "end of stream", "garbage", "garbage later", "kick, garbage"],
)
def test_a_loss_is_told_once_and_with_its_cause(
    connection: NativeConnection,
    server: SocketIoServer,
    ear: Ear,
    until: Until,
    end: Callable[[Visit], None],
    cause: Cause,
) -> None:
    connection.open(5)
    end(server.visits[0])
    until(lambda: ear.losses)
    until(lambda: server.visits[0].over)
    assert [one for one, _ in ear.losses] == [cause]
    with pytest.raises(NotConnected):
        connection.emit("too late", [], Sender())


def test_silence_is_a_ping_timeout_and_only_pings_count(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    last_ns = connection._client.last_ping_ns
    limit_ns = 45_000_000_000
    server.visits[0].event("chatter")
    until(lambda: ear.events)
    connection.check(last_ns + limit_ns)
    assert ear.losses == []
    connection.check(last_ns + limit_ns + 1)
    assert [cause for cause, _ in ear.losses] == [Cause.PING_TIMEOUT]
    connection.check(last_ns + 2 * limit_ns)
    assert len(ear.losses) == 1


def test_a_ping_that_waits_in_the_socket_came_in_time(
    connection: NativeConnection, server: SocketIoServer, ear: Ear
) -> None:
    """After a stall of our own: the hub has had no turn to read it."""
    connection.open(5)
    last_ns = connection._client.last_ping_ns
    server.visits[0].text("2")
    select.select([connection._wire._raw], [], [], 5)
    connection.check(last_ns + 45_000_000_001)
    assert ear.losses == []
    assert connection._client.last_ping_ns > last_ns


def test_who_does_not_read_cannot_know_of_a_silence(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    last_ns = connection._client.last_ping_ns
    connection.pause_reading(True)
    server.visits[0].event("unread")
    connection.check(last_ns + 45_000_000_001)
    gevent.sleep(0.01)
    assert ear.events == ear.losses == []
    connection.pause_reading(False)
    until(lambda: ear.events)


@pytest.mark.parametrize("reset", [True, False])
def test_cutting_is_silent_and_says_nothing(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until, reset: bool
) -> None:
    connection.open(5)
    assert len(connection.local_ports) == 1
    acks: list[Any] = []
    connection.request("ask", [], lambda args, read_ns: acks.append(args), Sender())
    connection.cut(reset)
    assert connection.local_ports == []
    until(lambda: server.visits[0].over)
    assert "41" not in server.visits[0].texts
    assert ear.losses == acks == []
    connection.close()


def test_the_state_of_the_connection_before(place: Place, server: SocketIoServer, ear: Ear) -> None:
    server.join = lambda visit: visit.text('42["missed",1,"o2"]', '40{"sid":"s","pid":"p"}')
    connection = NativeConnection(
        place, "/socket.io", None, (), False, ear.listeners, recovery=Recovery("p", "o1")
    )
    connection.open(5)
    assert server.visits[0].texts == ['40{"pid":"p","offset":"o1"}']
    assert connection.recovered
    assert connection.recovery == Recovery("p", "o2")
    assert ear.events == [("missed", [1])]
    connection.close()


def test_claiming_a_session_that_nobody_knows(place: Place, server: SocketIoServer, ear: Ear) -> None:
    _rejecting(400, '{"code":1,"message":"Session ID unknown"}')(server)
    connection = NativeConnection(place, "/socket.io", None, (), False, ear.listeners, engine_sid="bogus")
    with pytest.raises(ConnectFailed, match="Session ID unknown") as failed:
        connection.open(5)
    assert failed.value.cause is Cause.HANDSHAKE_REFUSED
    request = server.visits[0].request
    assert request is not None
    assert request.path == "/socket.io/?EIO=4&transport=websocket&sid=bogus"


def test_an_exception_of_a_listener_costs_its_own_connection_only(
    connection: NativeConnection, server: SocketIoServer, place: Place, ear: Ear, until: Until
) -> None:
    other_ear = Ear()
    other = NativeConnection(place, "/socket.io", None, (), False, other_ear.listeners)
    connection.open(5)
    other.open(5)
    ear.raising = ZeroDivisionError("a bug")
    for visit in server.visits:
        visit.event("news")
    until(lambda: ear.losses and other_ear.events)
    assert ear.faults == [ear.raising]
    assert [cause for cause, _ in ear.losses] == [Cause.INTERNAL]
    for _ in range(2):
        server.visits[1].event("more")
    until(lambda: len(other_ear.events) == 3)
    assert other_ear.losses == []
    other.close()


def test_what_cannot_leave_was_not_sent(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    """The kernel may learn of a reset before our watcher does: a write that fails is no message sent."""
    connection.open(5)
    sock = server.visits[0].sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()

    def until_refused() -> None:  # no turn of the hub in between: only the write can find out
        while True:
            sender = Sender()
            senders.append(sender)
            connection.emit("into the void", ["x" * 100], sender)
            assert ear.losses == [], "sent, on a connection that is lost"

    senders: list[Sender] = []
    with pytest.raises(NotConnected):
        until_refused()
    assert len(ear.losses) == 1
    assert senders[-1].left_ns == senders[-1].failures == []
    assert all(len(sender.left_ns) == 1 for sender in senders[:-1])


def test_who_waits_for_an_answer_hears_of_the_loss_at_once(
    connection: NativeConnection, server: SocketIoServer, ear: Ear
) -> None:
    server.heard = lambda visit, text: visit.sock.shutdown(socket.SHUT_WR)
    connection.open(5)
    with pytest.raises(NotConnected), gevent.Timeout(5, AssertionError("still waiting")):
        call(connection, "ask", [], 60)
    assert len(ear.losses) == 1


def test_no_answer_is_a_timeout_and_a_late_one_is_nobody_s(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    with pytest.raises(TimeoutError, match="no answer to ask"):
        call(connection, "ask", [], 0.01)
    server.visits[0].text('430["late"]')
    server.visits[0].event("after")
    until(lambda: ear.events)
    assert not ear.losses
    assert not ear.faults


def test_closing_says_goodbye_once(
    connection: NativeConnection, server: SocketIoServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    for _ in range(2):
        connection.close()
    until(lambda: server.visits[0].over)
    assert server.visits[0].texts[-1] == "41"
    assert server.visits[0].ws.close_rcvd is not None
    assert ear.losses == []
    assert connection.carried().plus(Carried()) == connection.carried()
    with pytest.raises(NotConnected):
        connection.request("too late", [], lambda args, read_ns: None, Sender())
