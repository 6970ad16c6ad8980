"""Do calls ring, get answered once and end for everybody, over sockets and over HTTP?"""

from typing import Any

import pytest

pytestmark = pytest.mark.e2e
META = {"n": 1, "deep": {"list": [1, 2.5, None]}}


@pytest.fixture
def device(server: Any, connect_with: Any) -> Any:
    """Connects a device of a user, by its name."""
    return lambda user, name: connect_with({"token": server.token(user), "deviceId": name})


@pytest.fixture
def pair(connect: Any, name: str) -> tuple[Any, Any]:
    return connect(f"ann-{name}"), connect(f"bob-{name}")


def ring(caller: Any, callee: str, **more: Any) -> str:
    answer = caller.call("call:initiate", {"calleeId": callee, "media": "audio", **more})
    assert answer["ok"], answer
    return str(answer["callId"])


def code(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False, answer
    return str(answer["error"]["code"])


def statuses(peer: Any) -> list[str]:
    return [status["status"] for status in peer.named("call:status")]


def test_a_call_from_ring_to_end(pair: tuple[Any, Any], name: str) -> None:
    ann, bob = pair
    sdp = {"type": "offer", "sdp": "v=0"}
    call = {"calleeId": f"bob-{name}", "media": "video", "conversationId": "c1", "sdp": sdp, "meta": META}
    ack = ann.call("call:initiate", call)
    assert ack == {
        "ok": True,
        "callId": ack["callId"],
        "status": "ringing",
        "expiresAt": ack["expiresAt"],
        "devices": 1,
    }
    [incoming] = bob.wait("call:incoming")
    assert incoming == {
        "callId": ack["callId"],
        "callerId": f"ann-{name}",
        "calleeId": f"bob-{name}",
        "media": "video",
        "conversationId": "c1",
        "sdp": sdp,
        "ts": ack["expiresAt"] - 30_000,
        "expiresAt": ack["expiresAt"],
        "meta": META,
    }
    asked = ann.call("call:status", {"callId": ack["callId"]})
    assert asked == {
        "ok": True,
        "call": {
            "callId": ack["callId"],
            "callerId": f"ann-{name}",
            "calleeId": f"bob-{name}",
            "media": "video",
            "status": "ringing",
            "startedAt": incoming["ts"],
        },
    }
    request = {"callId": ack["callId"], "deviceId": "phone", "sdp": {"type": "answer"}, "meta": {"n": 2}}
    assert bob.call("call:answer", request) == {"ok": True, "callId": ack["callId"], "status": "active"}
    [answered] = ann.wait("call:answered")
    by = {"userId": f"bob-{name}", "deviceId": "phone", "socketId": bob.client.get_sid()}
    assert answered == {
        "callId": ack["callId"],
        "answeredBy": by,
        "sdp": {"type": "answer"},
        "ts": answered["ts"],
        "meta": {"n": 2},
    }
    assert bob.wait("call:answered") == [answered]
    end = ann.call("call:end", {"callId": ack["callId"], "meta": {"n": 3}})
    assert end == {"ok": True, "callId": ack["callId"], "status": "ended", "durationMs": end["durationMs"]}
    [ended] = bob.wait("call:ended")
    assert ended == {
        "callId": ack["callId"],
        "endedBy": {"userId": f"ann-{name}", "deviceId": ended["endedBy"]["deviceId"]},
        "reason": "hangup",
        "durationMs": end["durationMs"],
        "ts": ended["ts"],
        "meta": {"n": 3},
    }
    assert 0 <= end["durationMs"] == pytest.approx(ended["ts"] - answered["ts"], abs=1)
    told = bob.call("call:status", {"callId": ack["callId"]})["call"]
    assert (told["status"], told["answeredBy"], told["endedAt"]) == ("ended", by, ended["ts"])
    for peer in pair:
        peer.settle()
        assert [(s["status"], s["meta"]) for s in peer.named("call:status")] == [
            ("ringing", META),
            ("active", {"n": 2}),
            ("ended", {"n": 3}),
        ]
    assert ann.named("call:incoming") == []


def test_every_device_rings_and_the_first_answer_wins(connect: Any, device: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    devices = [device(f"bob-{name}", each) for each in ("phone", "desk", "tv")]
    ack = ann.call("call:initiate", {"calleeId": f"bob-{name}", "media": "audio"})
    assert ack["devices"] == 3
    for bob in devices:
        bob.wait("call:incoming")
        bob.emit("call:answer", {"callId": ack["callId"]})
    for bob in devices:
        bob.settle()
    answered = [bob.wait("call:answered") for bob in [*devices, ann]]
    assert all(heard == answered[0] and len(heard) == 1 for heard in answered)
    winner = answered[0][0]["answeredBy"]
    late = [error for bob in devices for error in bob.named("error")]
    assert [(error["code"], error["answeredBy"]) for error in late] == [("CALL_ALREADY_ANSWERED", winner)] * 2
    with_ack = devices[0].call("call:answer", {"callId": ack["callId"]})
    assert (code(with_ack), with_ack["error"]["answeredBy"]) == ("CALL_ALREADY_ANSWERED", winner)


def test_one_device_declines_for_all(connect: Any, device: Any, name: str) -> None:
    ann = connect(f"ann-{name}")
    phone, desk = device(f"bob-{name}", "phone"), device(f"bob-{name}", "desk")
    call_id = ring(ann, f"bob-{name}")
    declined = phone.call("call:decline", {"callId": call_id, "reason": "busy", "meta": META})
    assert declined == {"ok": True, "callId": call_id, "status": "declined"}
    for peer in (ann, phone, desk):
        [told] = peer.wait("call:declined")
        assert told == {
            "callId": call_id,
            "declinedBy": {"userId": f"bob-{name}", "deviceId": "phone"},
            "reason": "busy",
            "ts": told["ts"],
            "meta": META,
        }
        assert peer.wait("call:status", 2)[1]["meta"] == META
        assert statuses(peer) == ["ringing", "declined"]
    assert code(desk.call("call:answer", {"callId": call_id})) == "CALL_NOT_RINGING"
    assert code(ann.call("call:end", {"callId": call_id})) == "CALL_NOT_RINGING"


def test_whoever_is_in_a_call_is_busy(pair: tuple[Any, Any], connect: Any, name: str) -> None:
    ann, bob = pair
    cat = connect(f"cat-{name}")
    call_id = ring(ann, f"bob-{name}")
    for caller, callee in ((cat, "ann"), (cat, "bob"), (ann, "cat"), (bob, "ann")):
        refused = caller.call("call:initiate", {"calleeId": f"{callee}-{name}", "media": "audio"})
        assert code(refused) == "USER_BUSY"
    assert bob.call("call:end", {"callId": call_id})["durationMs"] == 0
    ring(cat, f"bob-{name}")
    cat.settle()
    assert len(cat.named("call:status")) == 1


def test_nobody_there_is_offline(server: Any, pair: tuple[Any, Any], name: str) -> None:
    ann, _ = pair
    call = {"calleeId": f"cat-{name}", "media": "audio"}
    assert code(ann.call("call:initiate", call)) == "USER_OFFLINE"
    server.get("/api/messages/feed", server.token(f"cat-{name}"))
    assert ann.call("call:initiate", call)["devices"] == 1


def test_a_repeated_client_id_rings_once(server: Any, pair: tuple[Any, Any], name: str) -> None:
    ann, bob = pair
    accepted = server.stats()["accepted"].get("call:initiate", 0)
    call = {"calleeId": f"bob-{name}", "media": "audio", "clientCallId": "k"}
    first = ann.call("call:initiate", call)
    again = ann.call("call:initiate", call)
    assert again == {**first, "duplicate": True}
    bob.settle()
    assert len(bob.named("call:incoming")) == 1
    assert server.stats()["accepted"]["call:initiate"] == accepted + 1
    ann.call("call:end", {"callId": first["callId"]})
    assert ann.call("call:initiate", call)["callId"] != first["callId"]


def test_both_may_hang_up(server: Any, pair: tuple[Any, Any], name: str) -> None:
    ann, bob = pair
    call_id = ring(ann, f"bob-{name}")
    bob.call("call:answer", {"callId": call_id})
    first = ann.call("call:end", {"callId": call_id})
    assert bob.call("call:end", {"callId": call_id}) == {**first, "duplicate": True}
    bob.settle()
    assert len(bob.named("call:ended")) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"calleeId": None}, "PAYLOAD_INVALID"),
        ({"calleeId": "x" * 129}, "PAYLOAD_INVALID"),
        ({"media": "smoke"}, "PAYLOAD_INVALID"),
        ({"media": None}, "PAYLOAD_INVALID"),
        ({"conversationId": "a b"}, "PAYLOAD_INVALID"),
        ({"sdp": "v=0"}, "PAYLOAD_INVALID"),
        ({"sdp": {"x": "y" * 16_384}}, "PAYLOAD_TOO_LARGE"),
        ({"clientCallId": ""}, "PAYLOAD_INVALID"),
        ({"clientCallId": "x" * 65}, "PAYLOAD_INVALID"),
        ({"meta": {"x": "y" * 1024}}, "PAYLOAD_TOO_LARGE"),
    ],
)
def test_what_cannot_be_called(
    pair: tuple[Any, Any], name: str, change: dict[str, Any], expected: str
) -> None:
    ann, bob = pair
    call = {"calleeId": f"bob-{name}", "media": "audio"} | change
    assert code(ann.call("call:initiate", call)) == expected
    bob.settle()
    assert bob.named("call:incoming") == []
    assert ring(ann, f"bob-{name}", sdp={"x": "y" * 16_376})


def test_what_is_not_ones_own(pair: tuple[Any, Any], connect: Any, name: str) -> None:
    ann, bob = pair
    eve = connect(f"eve-{name}")
    refused = ann.call("call:initiate", {"calleeId": f"ann-{name}", "media": "audio"})
    assert code(refused) == "PAYLOAD_INVALID"
    call_id = ring(ann, f"bob-{name}")
    for event in ("call:answer", "call:decline"):
        assert code(ann.call(event, {"callId": call_id})) == "FORBIDDEN"
    for event in ("call:answer", "call:decline", "call:end", "call:status"):
        assert code(eve.call(event, {"callId": call_id})) == "FORBIDDEN"
        assert code(bob.call(event, {"callId": "nothing"})) == "CALL_NOT_FOUND"
        assert code(bob.call(event, {"callId": 7})) == "PAYLOAD_INVALID"
    assert code(bob.call("call:decline", {"callId": call_id, "reason": "mood"})) == "PAYLOAD_INVALID"


def test_nobody_answers_and_the_call_is_missed(start: Any, connect: Any) -> None:
    server = start(RING_TIMEOUT="0.4")
    ann, bob = connect("ann", at=server), connect("bob", at=server)
    call_id = ring(ann, "bob", meta=META)
    for peer in (ann, bob):
        [ended] = peer.wait("call:ended")
        assert ended == {"callId": call_id, "reason": "timeout", "durationMs": 0, "ts": ended["ts"]}
        missed = peer.wait("call:status", 2)[1]
        assert missed == {"callId": call_id, "status": "missed", "ts": ended["ts"]}
    assert ended["ts"] - bob.named("call:incoming")[0]["ts"] >= 400
    assert server.stats()["calls"] == {"ringing": 0, "active": 0, "declined": 0, "missed": 1, "ended": 0}
    assert code(bob.call("call:answer", {"callId": call_id})) == "CALL_NOT_RINGING"
    ring(bob, "ann")


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_party_that_vanishes_ends_the_call(start: Any, connect: Any, who: str) -> None:
    server = start(PARTY_GRACE="0.4")
    peers = {user: connect(user, at=server) for user in ("ann", "bob")}
    call_id = ring(peers["ann"], "bob")
    assert server.stats()["calls"] == {"ringing": 1, "active": 0, "declined": 0, "missed": 0, "ended": 0}
    peers["bob"].call("call:answer", {"callId": call_id, "meta": META})
    assert server.stats()["calls"]["active"] == 1
    second = connect(who, at=server)
    peers.pop(who).close()
    second.settle()
    assert second.call("call:status", {"callId": call_id})["call"]["status"] == "active"
    second.close()
    [other] = peers.values()
    [ended] = other.wait("call:ended")
    assert set(ended) == {"callId", "reason", "durationMs", "ts"}
    assert ended["reason"] == "disconnect"
    assert ended["durationMs"] >= 400
    assert other.wait("call:status", 3)[-1] == {"callId": call_id, "status": "ended", "ts": ended["ts"]}
    assert server.stats()["calls"] == {"ringing": 0, "active": 0, "declined": 0, "missed": 0, "ended": 1}


def test_a_party_that_comes_back_keeps_the_call(pair: tuple[Any, Any], connect: Any, name: str) -> None:
    ann, bob = pair
    call_id = ring(ann, f"bob-{name}")
    bob.call("call:answer", {"callId": call_id})
    ann.close()
    back = connect(f"ann-{name}")
    assert back.call("call:status", {"callId": call_id})["call"]["status"] == "active"
    back.settle()
    assert [event for event, _ in back.events if event.startswith("call:")] == []
    back.call("call:end", {"callId": call_id})
    assert bob.wait("call:ended")[0]["reason"] == "hangup"


def test_calls_outlive_ordered_faults_in_order(
    server: Any, pair: tuple[Any, Any], polling: tuple[str, str], name: str
) -> None:
    ann, bob = pair
    server.fault("delay", ms=100)
    call_id = ring(ann, f"bob-{name}")
    bob.call("call:answer", {"callId": call_id})
    bob.call("call:end", {"callId": call_id})
    bob.wait("call:status", 3)
    heard = [(event, data) for event, data in bob.events if event.startswith("call:")]
    assert [event.removeprefix("call:") for event, _ in heard] == [
        "incoming",
        "status",
        "answered",
        "status",
        "ended",
        "status",
    ]
    assert news(server, polling) == heard


# -- the same over HTTP


@pytest.fixture
def polling(server: Any, name: str) -> tuple[str, str]:
    """The token of a callee who polls, and the cursor they stand at."""
    token = server.token(f"bob-{name}")
    return token, server.get("/api/calls/feed", token).body["cursor"]


def news(server: Any, polling: tuple[str, str]) -> list[tuple[str, dict[str, Any]]]:
    token, cursor = polling
    items = server.get(f"/api/calls/feed?cursor={cursor}", token).body["items"]
    return [(item["event"], item["data"]) for item in items]


def test_a_polling_callee_answers_what_a_socket_calls(
    server: Any, connect: Any, polling: tuple[str, str], name: str
) -> None:
    ann = connect(f"ann-{name}")
    ack = ann.call("call:initiate", {"calleeId": f"bob-{name}", "media": "audio", "meta": META})
    assert ack["devices"] == 1
    path, token = f"/api/calls/{ack['callId']}", polling[0]
    [(event, incoming), (_, status)] = news(server, polling)
    assert (event, incoming["callId"], incoming["meta"]) == ("call:incoming", ack["callId"], META)
    assert [status] == ann.wait("call:status")
    answer = server.post(f"{path}/answer", {"deviceId": "web", "meta": {"n": 2}}, token)
    assert (answer.status, answer.body) == (200, {"ok": True, "callId": ack["callId"], "status": "active"})
    [answered] = ann.wait("call:answered")
    assert answered["answeredBy"] == {"userId": f"bob-{name}", "deviceId": "web"}
    late = server.post(f"{path}/answer", {}, token)
    assert (late.status, late.code) == (409, "CALL_ALREADY_ANSWERED")
    assert late.body["error"]["answeredBy"] == answered["answeredBy"]
    late = server.post(f"{path}/decline", {}, token)
    assert (late.status, late.code) == (409, "CALL_NOT_RINGING")
    shown = server.get(path, token)
    assert (shown.status, shown.body) == (200, ann.call("call:status", {"callId": ack["callId"]}))
    ended = server.request("POST", f"{path}/end", token=token)
    assert (ended.status, ended.body["status"]) == (200, "ended")
    ann.wait("call:status", 3)
    heard = [(name, data) for name, data in ann.events if name != "authenticated"]
    assert news(server, polling) == [("call:incoming", incoming), *heard]


def test_a_polling_caller_reaches_sockets(server: Any, pair: tuple[Any, Any], name: str) -> None:
    _, bob = pair
    token = server.token(f"cat-{name}")
    call = {"calleeId": f"bob-{name}", "media": "audio", "clientCallId": "k", "meta": META}
    created = server.post("/api/calls", call, token)
    assert created.status == 201
    assert set(created.body) == {"ok", "callId", "status", "expiresAt", "devices"}
    again = server.post("/api/calls", call, token)
    assert (again.status, again.body) == (200, {**created.body, "duplicate": True})
    [incoming] = bob.wait("call:incoming")
    assert (incoming["callerId"], incoming["meta"]) == (f"cat-{name}", META)
    declined = bob.call("call:decline", {"callId": created.body["callId"]})
    assert declined["status"] == "declined"
    path = f"/api/calls/{created.body['callId']}"
    refused = server.post(f"{path}/end", {}, token)
    assert (refused.status, refused.code) == (409, "CALL_NOT_RINGING")


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/api/calls", 409, "USER_OFFLINE"),
        ("/api/calls/nothing/answer", 404, "CALL_NOT_FOUND"),
        ("/api/calls/nothing/decline", 404, "CALL_NOT_FOUND"),
        ("/api/calls/nothing/end", 404, "CALL_NOT_FOUND"),
    ],
)
def test_what_http_refuses_has_its_status(
    server: Any, name: str, path: str, status: int, expected: str
) -> None:
    body = {"calleeId": f"nobody-{name}", "media": "audio"}
    reply = server.post(path, body, server.token(name))
    assert (reply.status, reply.code) == (status, expected)
    assert server.post(path, body).status == 401


def test_looking_is_not_a_write(start: Any, connect: Any) -> None:
    server = start("--rate-limit", "2")
    connect("bob", at=server)
    token = server.token("ann")
    created = server.post("/api/calls", {"calleeId": "bob", "media": "audio"}, token)
    path = f"/api/calls/{created.body['callId']}"
    for _ in range(5):
        assert server.get(path, token).status == 200
        assert server.get("/api/presence?userIds=bob", token).status == 200
    assert server.post(f"{path}/end", {}, token).status == 200
    assert server.post(f"{path}/end", {}, token).status == 429


def test_a_cursor_of_one_feed_says_nothing_to_another(server: Any, name: str) -> None:
    token = server.token(f"ann-{name}")
    feeds = {letter: f"/api/{path}/feed" for letter, path in (("m", "messages"), ("c", "calls"))}
    first = {letter: server.get(path, token) for letter, path in feeds.items()}
    for letter, reply in first.items():
        assert reply.headers["ETag"] == f'W/"ann-{name}-{letter}-0"'
    crossed = server.get(f"{feeds['c']}?cursor={first['m'].body['cursor']}", token)
    assert (crossed.status, crossed.code) == (410, "CURSOR_EXPIRED")
    path = f"{feeds['c']}?cursor={first['c'].body['cursor']}"
    assert server.get(path, token, If_None_Match=first["m"].headers["ETag"]).status == 200
    assert server.get(path, token, If_None_Match=first["c"].headers["ETag"]).status == 304
