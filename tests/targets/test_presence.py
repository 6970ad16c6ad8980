"""Do the conversations of somebody hear when they come and go, and can anybody ask who is here?"""

from typing import Any

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def device(server: Any, connect_with: Any) -> Any:
    """Connects a device of a user, by its name."""
    return lambda user, name: connect_with({"token": server.token(user), "deviceId": name})


def shown(peer: Any, *users: str) -> dict[str, tuple[str, int]]:
    answer = peer.call("presence:get", {"userIds": list(users)})
    assert answer["ok"], answer
    return {one["userId"]: (one["status"], one["devices"]) for one in answer["presence"]}


def test_devices_are_those_of_authenticated_sockets(server: Any, device: Any, name: str) -> None:
    ann, bob = f"ann-{name}", f"bob-{name}"
    phone, desk = device(ann, "phone"), device(ann, "desk")
    device(ann, "desk")
    assert shown(phone, ann, bob) == {ann: ("online", 2), bob: ("offline", 0)}
    assert desk.call("authenticate", {"token": server.token(ann), "deviceId": "phone"})["ok"]
    assert shown(phone, ann) == {ann: ("online", 2)}


def test_the_same_over_http_and_who_polls_is_online(server: Any, device: Any, name: str) -> None:
    ann, bob = f"ann-{name}", f"bob-{name}"
    token = server.token(bob)
    device(ann, "phone")
    reply = server.get(f"/api/presence?userIds={bob},{ann}", token)
    assert (reply.status, reply.body) == (
        200,
        {
            "ok": True,
            "presence": [
                {"userId": bob, "status": "offline", "devices": 0},
                {"userId": ann, "status": "online", "devices": 1},
            ],
        },
    )
    server.get("/api/calls/feed", token)
    [status] = server.get(f"/api/presence?userIds={bob}", token).body["presence"]
    assert status == {"userId": bob, "status": "online", "devices": 1}
    for query in ("", "?userIds=", "?userIds=" + ",".join("x" * 101)):
        reply = server.get(f"/api/presence{query}", token)
        assert (reply.status, reply.code) == (400, "PAYLOAD_INVALID")
    assert server.get("/api/presence?userIds=a").status == 401


def test_coming_and_going_reach_each_socket_and_feed_once(start: Any, connect: Any, name: str) -> None:
    server = start(PRESENCE_GRACE="0.3")
    ann, desk, bob, eve = (connect(user, at=server) for user in ("ann", "ann", "bob", "eve"))
    cat = server.token("cat")
    cursor = server.get("/api/messages/feed", cat).body["cursor"]
    for conversation in (name, name + "2"):
        for peer in (ann, desk, bob):
            peer.join(conversation)
        server.post("/api/rooms/join", {"room": f"conversation:{conversation}"}, cat)
    eve.join(name + "-other")
    ann.close()
    desk.settle()
    desk.close()
    [gone] = bob.wait("presence:update")
    assert gone == {"userId": "ann", "status": "offline", "devices": 0, "ts": gone["ts"]}
    back = connect("ann", at=server)
    here = bob.wait("presence:update", 2)[1]
    assert here == {"userId": "ann", "status": "online", "devices": 1, "ts": here["ts"]}
    for peer in (back, bob, eve):
        peer.settle()
    assert len(bob.named("presence:update")) == 2
    assert back.named("presence:update") == eve.named("presence:update") == []
    items = server.get(f"/api/messages/feed?cursor={cursor}", cat).body["items"]
    assert [item["data"] for item in items if item["event"] == "presence:update"] == [gone, here]
    assert server.stats()["emitted"]["presence:update"] == 4


def test_a_first_poll_is_news_and_a_reload_is_not(server: Any, connect: Any, name: str) -> None:
    bob = connect(f"bob-{name}")
    bob.join(name)
    ann = server.token(f"ann-{name}")
    server.post("/api/rooms/join", {"room": f"conversation:{name}"}, ann)
    server.get("/api/messages/feed", ann)
    [here] = bob.wait("presence:update")
    assert (here["userId"], here["status"], here["devices"]) == (f"ann-{name}", "online", 1)
    server.get("/api/calls/feed", ann)
    connect(f"ann-{name}").close()
    connect(f"ann-{name}").settle()
    bob.settle()
    assert bob.named("presence:update") == [here]


def test_presence_can_be_silenced(start: Any, connect: Any, until: Any, name: str) -> None:
    server = start(PRESENCE_BROADCAST="off", PRESENCE_GRACE="0.05")
    ann, bob = connect("ann", at=server), connect("bob", at=server)
    ann.join(name)
    bob.join(name)
    ann.close()
    until(lambda: server.stats()["users"] == 1)
    assert shown(bob, "ann") == {"ann": ("offline", 0)}
    connect("ann", at=server)
    assert shown(bob, "ann") == {"ann": ("online", 1)}
    assert bob.named("presence:update") == []


def test_a_storm_costs_as_much_as_rooms_are_large(start: Any, connect: Any, until: Any, name: str) -> None:
    server = start(PRESENCE_GRACE="0.05")

    def told() -> int:
        return int(server.stats()["emitted"].get("presence:update", 0))

    def everybody_comes() -> int:
        """Twenty people in five rooms; returns how many deliveries their coming took."""
        before, peers = told(), []
        for number in range(20):
            peers.append(connect(f"u{number}", at=server))
            peers[-1].join(f"{name}{number % 5}")
        took = told() - before
        for peer in peers:
            peer.close()
        until(lambda: server.stats()["users"] == 0)
        return took

    assert everybody_comes() == 0
    # The n-th to come back finds n - 1 others in the room: 0 + 1 + 2 + 3, in each of five.
    assert everybody_comes() == 30
