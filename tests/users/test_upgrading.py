"""Does a user that begins on polling come to WebSocket as a browser does, and stay where it is if it cannot?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from polling_server import PollingServer, listening

from loadtest.protocol import Recovery
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Listeners, NotConnected, Place, call, tell
from loadtest.users.talk import Ending
from loadtest.users.upgrading import UpgradingConnection

Until = Callable[[Callable[[], object]], None]


class Ear:
    """Writes down what a connection tells, and what becomes of what is sent."""

    def __init__(self) -> None:
        self.events: list[tuple[str, list[Any]]] = []
        self.losses: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.left_ns: list[int] = []
        self.failures: list[tuple[Cause, str]] = []
        self.upgrades: list[tuple[int | None, Ending | None]] = []
        self.listeners = Listeners(
            lambda name, args, read_ns: self.events.append((name, args)),
            lambda *loss: self.losses.append(loss),
            self.faults.append,
            lambda lag_ns: None,
        )

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


def make(place: Place, ear: Ear, **options: Any) -> UpgradingConnection:
    return UpgradingConnection(
        place,
        "/socket.io",
        {"token": "t"},
        b"Host: h\r\n",
        (("X-Mine", "yes"),),
        False,
        ear.listeners,
        on_upgrade=lambda *outcome: ear.upgrades.append(outcome),
        **options,
    )


@pytest.fixture
def connection(place: Place, ear: Ear) -> Iterator[UpgradingConnection]:
    made = make(place, ear)
    yield made
    made.cut(reset=False)


def test_the_order_of_a_browser(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    """As the official client was seen to do it against the official server."""
    server.probes.clear()
    connection.open(5)
    assert connection.upgraded is None
    assert list(connection.phases) == ["tcp", "open", "namespace"]
    until(lambda: "> 2probe" in server.log)
    server.probes.set()
    until(lambda: server.upgraded)
    assert server.log[:3] == ["GET open", 'POST 40{"token":"t"}', "UPGRADE"]
    assert server.log[-1] == "> 5"
    (head,) = [head for head in server.heads if b"websocket" in head.split(b"\r\n")[0]]
    assert head.startswith(b"GET /socket.io/?EIO=4&transport=websocket&sid=engine HTTP/1.1\r\n")
    assert b"X-Mine: yes" in head
    assert connection.upgraded is True
    assert ear.upgrades == [(connection.upgrade_ns, None)]
    assert connection.phases["upgrade"] == connection.upgrade_ns
    assert connection.upgrade_ns is not None and connection.upgrade_ns > 0
    assert len(connection.local_ports) == 1
    assert connection.session == "the-sid"
    assert not ear.losses
    assert not ear.faults


def test_an_upgrade_that_is_faster_than_the_namespace(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    server.connects = ""
    opening = gevent.spawn(connection.open, 5)
    until(lambda: server.upgraded)
    assert not opening.ready()
    server.say('40{"sid":"late"}')
    opening.get(timeout=5)
    assert connection.session == "late"
    assert sorted(connection.phases) == ["namespace", "open", "tcp", "upgrade"]
    assert tell(connection, "a", [], 5) > 0
    until(lambda: '42["a"]' in server.frames)


def test_nothing_is_lost_while_it_moves(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    def echo(server: PollingServer, packet: str) -> None:
        if packet.startswith("42"):
            server.event("echo", *json.loads(packet[2:])[1:])

    server.hears = echo
    connection.open(5)
    said = 0
    while connection.upgraded is None or said < 100:
        connection.emit("say", [said], ear)
        server.event("push", said)
        said += 1
        gevent.sleep(0)
    until(lambda: len(ear.events) == 2 * said)
    for name in ("echo", "push"):
        assert [args[0] for event, args in ear.events if event == name] == list(range(said))
    assert len(ear.left_ns) == said
    assert ear.left_ns == sorted(ear.left_ns)
    assert any(packet.startswith("42") for packet in server.frames)
    assert not ear.failures
    assert not ear.losses
    assert not ear.faults


def test_what_waits_for_the_move_leaves_with_it(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    server.noops = False
    connection.open(5)
    until(lambda: server.probed and connection._polling.client._paused)
    acks: list[Any] = []
    connection.emit("a", [], ear)
    connection.request("b", [], lambda args, read_ns: acks.append(args), ear)
    gevent.sleep(0.01)
    assert ear.left_ns == []
    server.hears = lambda server, packet: server.say('430["yes"]') if packet.startswith("420") else None
    server.event("ends the poll")
    until(lambda: acks)
    assert server.frames[-3:] == ["5", '42["a"]', '420["b"]']
    assert len(ear.left_ns) == 2
    assert acks == [["yes"]]


def _refused(server: PollingServer) -> None:
    server.websocket_refusal = (400, "no WebSocket here")


def _not_offered(server: PollingServer) -> None:
    server.upgrades = []


@pytest.mark.parametrize(
    ("arrange", "said"),
    [(_refused, "no WebSocket here"), (_not_offered, "offers no upgrade")],
)
def test_an_upgrade_that_is_refused_is_not_heard_of(
    connection: UpgradingConnection,
    server: PollingServer,
    ear: Ear,
    until: Until,
    arrange: Callable[[PollingServer], None],
    said: str,
) -> None:
    arrange(server)
    connection.open(5)
    until(lambda: connection.upgraded is False)
    ((took_ns, why),) = ear.upgrades
    assert took_ns is None
    assert why is not None
    assert why == connection.refusal
    assert why[0] is Cause.HANDSHAKE_REFUSED
    assert said in why[1]
    assert "upgrade" not in connection.phases
    tell(connection, "a", [], 5)
    server.event("b")
    until(lambda: ear.events and server.got[-1] == '42["a"]')
    assert not ear.losses
    assert not ear.faults


def test_a_probe_that_breaks_while_polling_pauses_lets_it_go_on(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    server.noops = False
    connection.open(5)
    until(lambda: server.probed and connection._polling.client._paused)
    connection.emit("a", [], ear)
    assert ear.left_ns == []
    server.cut_websocket()
    until(lambda: ear.left_ns)
    assert connection.upgraded is False
    assert connection.refusal is not None
    assert connection.refusal[0] is Cause.TRANSPORT_CLOSE
    server.event("b")
    until(lambda: ear.events and server.got[-1] == '42["a"]')
    until(lambda: server.hanging)
    assert not ear.losses
    assert not ear.faults


def test_a_session_that_ends_while_it_moves_is_lost_once(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    server.probes.clear()
    connection.open(5)
    until(lambda: "> 2probe" in server.log)
    connection.emit("a", [], ear)
    server.say("1")
    until(lambda: ear.losses)
    server.probes.set()
    until(lambda: not connection.local_ports)
    assert [cause for cause, _ in ear.losses] == [Cause.TRANSPORT_CLOSE]
    assert connection.upgraded is None
    with pytest.raises(NotConnected):
        connection.emit("too late", [], ear)
    assert not ear.faults


def test_a_loss_after_the_move(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    until(lambda: connection.upgraded)
    answers: list[Any] = []
    connection.request("ask", [], lambda args, read_ns: answers.append(args), ear)
    server.cut_websocket()
    until(lambda: ear.losses)
    assert [cause for cause, _ in ear.losses] == [Cause.TRANSPORT_CLOSE]
    assert answers == [None]
    assert connection.local_ports == []
    assert connection.carried().bytes_sent > sum(map(len, server.heads))


def test_silence_is_found_out_on_either_side(
    connection: UpgradingConnection, server: PollingServer, ear: Ear, until: Until
) -> None:
    connection.open(5)
    last_ns = connection._polling.client.last_ping_ns
    until(lambda: connection.upgraded)
    connection.check(last_ns + 45_000_000_000)
    assert ear.losses == []
    connection.check(last_ns + 45_000_000_001)
    assert [cause for cause, _ in ear.losses] == [Cause.PING_TIMEOUT]


@pytest.mark.parametrize("when", ["before", "probing", "pausing", "after"])
def test_closing_at_any_moment(
    place: Place, server: PollingServer, ear: Ear, until: Until, when: str
) -> None:
    connection = make(place, ear)
    if when == "probing":
        server.probes.clear()
    server.noops = when != "pausing"
    if when != "before":
        connection.open(5)
    if when == "probing":
        until(lambda: "> 2probe" in server.log)
    if when == "pausing":
        until(lambda: connection._polling.client._paused)
    if when == "after":
        until(lambda: server.upgraded)
    for _ in range(2):
        connection.close()
    server.probes.set()
    until(lambda: not connection.local_ports)
    if when == "after":
        until(lambda: server.frames[-1] == "41")
    elif when != "before":
        assert server.got[-2:] == ["41", "1"]
    assert ear.losses == ear.faults == []


def test_cutting_at_any_moment(place: Place, server: PollingServer, ear: Ear, until: Until) -> None:
    for reset in (True, False):
        connection = make(place, ear)
        connection.open(5)
        until(lambda connection=connection: connection.upgraded)
        connection.cut(reset)
        assert connection.local_ports == []
        server.upgraded = False
        server.probes.clear()
        connection = make(place, ear)
        connection.open(5)
        connection.cut(reset)
        until(lambda connection=connection: not connection.local_ports)
        server.probes.set()
    gevent.sleep(0.01)
    assert ear.losses == ear.faults == []


def test_nobody_there(ear: Ear) -> None:
    place = Place(2, ("127.0.0.1", 1), "h", "http://h")
    connection = make(place, ear)
    with pytest.raises(ConnectFailed) as failed:
        connection.open(5)
    assert failed.value.cause is Cause.CONNECT_REFUSED
    connection.close()
    assert ear.losses == ear.faults == ear.upgrades == []


def test_the_state_of_the_connection_before(
    place: Place, server: PollingServer, ear: Ear, until: Until
) -> None:
    server.connects = '40{"sid":"s","pid":"p"}'
    connection = make(place, ear, recovery=Recovery("p", "o1"))
    connection.open(5)
    until(lambda: connection.upgraded)
    assert connection.recovered
    server.say('42["m","x","o3"]')
    until(lambda: ear.events)
    assert ear.events == [("m", ["x"])]
    assert connection.recovery == Recovery("p", "o3")
    args, _, _ = _echoing(server, connection)
    assert args == ["yes"]
    connection.cut(reset=True)


def _echoing(server: PollingServer, connection: UpgradingConnection) -> Any:
    server.hears = lambda server, packet: server.say('430["yes"]') if packet.startswith("420") else None
    return call(connection, "ask", [], 5)
