"""Do ordered faults strike exactly those they are counted for?"""

import json
import time
from typing import Any

import pytest
import websocket

pytestmark = pytest.mark.e2e


@pytest.fixture
def changes(server: Any) -> Any:
    """How far a counter of the server has moved since the test began."""
    before = server.stats()

    def change(group: str, name: str) -> int:
        return int(server.stats()[group].get(name, 0)) - int(before[group].get(name, 0))

    return change


def send_many(peer: Any, conversation: str, count: int) -> None:
    for _ in range(count):
        assert peer.send(conversation)["ok"]
    peer.settle()


def seqs(peer: Any) -> list[int]:
    return [message["seq"] for message in peer.named("message:new")]


def test_every_second_delivery_is_lost(server: Any, connect: Any, changes: Any, name: str) -> None:
    ann, bob = connect(f"ann-{name}"), connect(f"bob-{name}")
    ann.join(name)
    bob.join(name)
    server.fault("loseDeliveries", everyNth=2)
    send_many(ann, name, 10)
    bob.settle()
    assert seqs(ann) == list(range(1, 11))
    assert seqs(bob) == []
    assert changes("faulted", "lost") == 10
    assert changes("emitted", "message:new") == 10
    assert changes("accepted", "message:send") == 10
    assert [m["seq"] for m in ann.join(name, sinceSeq=8)["missed"]] == [9, 10]


def test_a_share_is_lost_by_chance_and_the_same_in_every_run(
    server: Any, connect: Any, changes: Any, name: str
) -> None:
    ann = connect(f"ann-{name}")
    runs = []
    for run in ("a", "b"):
        ann.join(name + run)
        server.fault("loseDeliveries", ratio=0.5, seed=7)
        seen = len(seqs(ann))
        send_many(ann, name + run, 20)
        runs.append(seqs(ann)[seen:])
    assert runs[0] == runs[1]
    assert 0 < len(runs[0]) < 20
    assert changes("faulted", "lost") == 40 - 2 * len(runs[0])


def test_feeds_lose_deliveries_too(server: Any, changes: Any, name: str) -> None:
    token = server.token(name)
    server.post("/api/rooms/join", f"conversation:{name}", token)
    cursor = server.get("/api/messages/feed", token).body["cursor"]
    server.fault("loseDeliveries", everyNth=2)
    for number in range(4):
        message = {"conversationId": name, "body": "x", "clientMsgId": f"{name}{number}"}
        assert server.post("/api/messages", message, token).status == 201
    items = server.get(f"/api/messages/feed?cursor={cursor}", token).body["items"]
    assert [item["data"]["seq"] for item in items] == [1, 3]
    assert changes("faulted", "lost") == 2


def test_every_third_delivery_comes_twice(server: Any, connect: Any, changes: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    ann.join(name)
    server.fault("duplicate", everyNth=3)
    send_many(ann, name, 6)
    assert seqs(ann) == [1, 2, 3, 3, 4, 5, 6, 6]
    assert changes("faulted", "duplicated") == 2
    assert changes("emitted", "message:new") == 8


def test_every_third_delivery_changes_places_with_its_successor(
    server: Any, connect: Any, changes: Any, name: str
) -> None:
    ann = connect(f"ann-{name}")
    ann.join(name)
    server.fault("reorder", everyNth=3)
    send_many(ann, name, 10)
    assert seqs(ann) == [1, 2, 4, 3, 5, 7, 6, 8, 10, 9]
    assert changes("faulted", "reordered") == 3


def test_the_messages_of_others_do_not_release_what_is_held_back(
    server: Any, connect: Any, name: str
) -> None:
    ann, bob = connect(f"ann-{name}"), connect(f"bob-{name}")
    ann.join(name)
    server.fault("reorder", everyNth=1)
    send_many(ann, name, 1)
    server.fault("reorder", ratio=0)
    bob.call("joinRoom", f"conversation:{name}")
    send_many(bob, name, 1)
    ann.settle()
    assert seqs(ann) == [2]
    send_many(ann, name, 1)
    assert seqs(ann) == [2, 3, 1]


def test_nothing_is_held_back_for_ever(server: Any, connect: Any, changes: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    ann.join(name)
    server.fault("reorder", ratio=1)
    send_many(ann, name, 1)
    assert seqs(ann) == []
    ann.wait("message:new")
    assert changes("faulted", "reordered") == 0


def test_the_end_of_all_faults_releases_what_is_held_back(server: Any, connect: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    ann.join(name)
    server.fault("reorder", ratio=1)
    server.fault("delay", ms=60_000)
    send_many(ann, name, 3)
    server.fault("none")
    send_many(ann, name, 1)
    assert seqs(ann) == [2, 1, 3, 4]


def test_delay_holds_deliveries_up_but_neither_acks_nor_order(server: Any, connect: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    ann.join(name)
    server.fault("delay", ms=300)
    begun = time.monotonic()
    send_many(ann, name, 20)
    ann.wait("message:new", 20)
    assert time.monotonic() - begun >= 0.3
    assert seqs(ann) == list(range(1, 21))


def test_limited_throughput_queues_in_order(server: Any, connect: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    ann.join(name)
    server.fault("limitThroughput", perSecond=20)
    begun = time.monotonic()
    send_many(ann, name, 9)
    ann.wait("message:new", 9)
    assert time.monotonic() - begun >= 8 / 20
    assert seqs(ann) == list(range(1, 10))


def test_freeze_stops_the_whole_server(server: Any, connect: Any, until: Any) -> None:
    ann = connect("ann")
    server.fault("freeze", ms=400)

    def stood_still() -> bool:
        begun = time.monotonic()
        ann.settle()
        return time.monotonic() - begun > 0.3

    until(stood_still)


def test_kick_disconnects_by_the_server(start: Any, connect: Any, until: Any) -> None:
    server = start()
    peers = [connect(f"user{n}", at=server) for n in range(4)]
    assert server.fault("kick", ratio=0.5)["struck"] == 2
    until(lambda: sum(peer.disconnected.is_set() for peer in peers) == 2)
    until(lambda: server.stats()["sockets"] == 2)
    for peer in peers:
        if not peer.disconnected.is_set():
            peer.settle()


@pytest.mark.parametrize(("transport", "other"), [("websocket", "polling"), ("polling", "websocket")])
def test_dropped_sockets_are_named_and_of_the_transport_asked_for(
    start: Any, connect: Any, until: Any, transport: str, other: str
) -> None:
    server = start()
    spared = connect("ann", at=server, transports=(other,))
    struck = [connect("ann", at=server, transports=(transport,)) for _ in range(2)]
    # A client forgets its id as soon as it notices.
    spared_sid, sids = spared.client.get_sid(), {peer.client.get_sid() for peer in struck}
    dropped = server.fault("dropSockets", transport=transport)
    assert (dropped["struck"], set(dropped["sids"])) == (2, sids)
    until(lambda: server.stats()["sockets"] == 1)
    spared.settle()
    assert server.fault("kick", transport=transport)["sids"] == []
    assert server.fault("kick")["sids"] == [spared_sid]


def test_dropped_sockets_lose_their_tcp_connection(start: Any, wire: Any, until: Any, hello: Any) -> None:
    server = start()
    wires = [wire(server) for _ in range(3)]
    for ws in wires:
        ws.recv()
        ws.send(hello(server.token("ann")))
        ws.recv()
    assert server.fault("dropSockets", everyNth=3)["struck"] == 1
    until(lambda: server.stats()["sockets"] == 2)
    assert server.fault("dropSockets")["struck"] == 2
    until(lambda: server.stats()["sockets"] == 0)
    for ws in wires:
        # No close frame, only the end of the connection.
        with pytest.raises((ConnectionError, websocket.WebSocketConnectionClosedException)):
            drain(ws)


def drain(ws: Any) -> None:
    while ws.recv():
        pass


def test_a_dropped_long_polling_session_is_unknown_afterwards(start: Any, connect: Any) -> None:
    server = start()
    ann = connect("ann", at=server, transports=("polling",))
    server.fault("dropSockets")
    assert ann.disconnected.wait(10)


def test_denied_authentication_is_invalid(server: Any, connect_with: Any) -> None:
    peer = connect_with(None)
    server.fault("denyAuth", everyNth=1)
    answer = peer.call("authenticate", {"userId": "ann", "token": server.token("ann")})
    assert answer["error"]["code"] == "AUTH_INVALID"


def test_accept_delay_comes_before_the_answer_to_connect(server: Any, connect: Any) -> None:
    server.fault("acceptDelay", ms=300)
    begun = time.monotonic()
    ann = connect("ann")
    assert time.monotonic() - begun >= 0.3
    ann.settle()


def test_refused_upgrades_leave_long_polling_alone(server: Any, connect: Any, wire: Any) -> None:
    server.fault("refuseUpgrade")
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        wire()
    assert refused.value.status_code == 503
    ann = connect("ann", transports=("polling", "websocket"))
    ann.settle()
    assert ann.client.transport() == "polling"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "fire"},
        {"kind": []},
        {"kind": "delay"},
        {"kind": "freeze", "ms": "1"},
        {"kind": "limitThroughput"},
        {"kind": "kick", "ratio": 1.5},
        {"kind": "duplicate", "everyNth": -1},
        {"kind": "kick", "transport": "pigeon"},
        {"kind": "kick", "transport": ["polling"]},
        {"kind": "delay", "ms": 5, "transport": "polling"},
        7,
    ],
)
def test_an_order_must_be_well_formed(server: Any, body: object) -> None:
    reply = server.post("/__fault", body)
    assert (reply.status, reply.code) == (400, "PAYLOAD_INVALID")


def test_stats_have_the_written_fields(server: Any, connect: Any, changes: Any, name: str) -> None:
    sockets = server.stats()["sockets"]
    ann = connect(f"ann-{name}")
    ann.join(name)
    ann.send(name)
    ann.send(name, body=None)
    stats = server.stats()
    assert set(stats) == {
        "sockets",
        "rooms",
        "received",
        "emitted",
        "accepted",
        "rateLimited",
        "faulted",
        "users",
        "calls",
        "chats",
        "pid",
        "cpuSeconds",
        "rssBytes",
        "loopLagMsP99",
    }
    assert stats["sockets"] <= sockets + 1
    assert stats["pid"] == server.process.pid
    assert stats["cpuSeconds"] > 0
    assert stats["rssBytes"] > 10_000_000
    assert (changes("received", "message:send"), changes("accepted", "message:send")) == (2, 1)
    assert (changes("received", "joinRoom"), changes("emitted", "authenticated")) == (1, 1)
    json.dumps(stats)
