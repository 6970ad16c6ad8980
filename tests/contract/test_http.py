"""What does a server answer over HTTP: its open routes, its feeds, and a wrong question?"""

from __future__ import annotations

from typing import Any

import pytest
from contract_people import FEEDS, Poller
from contract_sentences import says
from contract_servers import on, running

PAGE = {"items", "cursor", "hasMore", "serverTime"}


@says('`GET /` (open) | | 200, exactly `{"status": "ok"}`')
def test_the_server_is_well(server: Any) -> None:
    answer = server.http.ask("GET", "/")
    assert (answer.status, answer.body) == (200, {"status": "ok"})
    assert answer.headers["Content-Type"] == "application/json"


@says(
    "`GET /api/config` (open) | | 200 `{websocket, socketPath, poll: {messagesMs, callsMs, liveChatMs}, "
    "rateLimit: {limit, windowMs}, reconnect: {attempts, delaysMs}}`, and `faultControl` where a fault "
    "proxy stands in front",
    "(every 1.5 s), `call:*` by that of calls (3 s), `liveChat:*` by that of live chat (2 s).",
    "The namespace is `/`, the path `/socket.io`.",
)
def test_the_server_says_how_it_is_to_be_used(server: Any, target: str) -> None:
    config = {
        "websocket": True,
        "socketPath": "/socket.io",
        "poll": {"messagesMs": 1500, "callsMs": 3000, "liveChatMs": 2000},
        "rateLimit": {"limit": 100, "windowMs": 60_000},
        "reconnect": {"attempts": 5, "delaysMs": [1000, 2000, 4000, 8000, 16000]},
    }
    assert server.http.ask("GET", "/api/config").body == config
    with running(target, FAULT_CONTROL="http://127.0.0.1:9") as behind:
        assert behind.http.ask("GET", "/api/config").body == {**config, "faultControl": "http://127.0.0.1:9"}


@says(
    "`GET /api/conversations/{id}/messages` | `?afterSeq=&limit=` | 200 `{items, lastSeq, hasMore}`; "
    "403, 404",
)
def test_a_member_reads_what_was_said(arrive: Any, server: Any, name: str) -> None:
    ann, eve = arrive(mode="polling"), arrive(mode="polling")
    ann.join(name)
    for _ in range(3):
        ann.send(name)
    path = f"/api/conversations/{name}/messages"
    whole = server.http.ask("GET", path, token=ann.token)
    assert (whole.status, whole.body) == (
        200,
        {"items": ann.events("message:new"), "lastSeq": 3, "hasMore": False},
    )
    page = server.http.ask("GET", f"{path}?afterSeq=1&limit=1", token=ann.token).body
    assert (page["items"], page["hasMore"]) == (whole.body["items"][1:2], True)
    assert server.http.ask("GET", path, token=eve.token).status == 403
    assert server.http.ask("GET", f"/api/conversations/{name}-2/messages", token=ann.token).status == 404
    for wrong in ("limit=0", "limit=501", "afterSeq=-1", "afterSeq=x"):
        assert server.http.ask("GET", f"{path}?{wrong}", token=ann.token).status == 400


@says(
    "`message:*`, `typing:*` and `presence:update` come by that of messages",
    "where `event` and `data` are what a socket would have received.",
)
def test_each_feed_brings_what_is_its_own(arrive: Any, name: str) -> None:
    ann, socket = arrive(mode="polling"), None
    operator = arrive(role="operator")
    socket = arrive(ann.user)
    bob = arrive()
    for person in (ann, socket, bob):
        person.join(name)
    bob.send(name)
    bob.ask("typing:start", conversationId=name)
    bob.ask("call:initiate", calleeId=ann.user, media="audio")
    operator.ask("liveChat:operatorStatus", status="online")
    ann.ask("liveChat:start", {})
    brought = {feed: ann.poll(feed)["items"] for feed in FEEDS}
    assert {feed: [item["event"] for item in items] for feed, items in brought.items()} == {
        "messages": ["message:new", "typing:start"],
        "calls": ["call:incoming", "call:status"],
        "live-chat": ["liveChat:assigned", "liveChat:status"],
    }
    socket.settle()
    heard = [event for event in socket.heard if event[0] != "authenticated"]
    assert heard == [(item["event"], item["data"]) for feed in FEEDS for item in brought[feed]]


@says(
    "A feed answers 200 `{items: [{event, data, pos}], cursor, hasMore, serverTime}`",
    "Without a cursor, `items` is empty and `cursor` is where the feed stands now.",
    "With one, it holds what came since, oldest first; `hasMore` asks to come back at once.",
    "`GET /api/messages/feed`, `GET /api/calls/feed`, `GET /api/live-chat/feed` | `?cursor=&limit=100`, "
    "`If-None-Match` | see below",
)
def test_a_feed_goes_on_from_its_cursor(arrive: Any, name: str) -> None:
    ann = arrive(mode="polling")
    ann.join(name)
    for body in "abc":
        ann.send(name, body)

    def read(cursor: str) -> Any:
        return ann.http.ask("GET", f"{FEEDS['messages']}?cursor={cursor}&limit=2", token=ann.token).body

    page = read(ann._cursors["messages"])
    assert (set(page), page["hasMore"]) == (PAGE, True)
    assert [(set(item), item["data"]["body"]) for item in page["items"]] == [
        ({"event", "data", "pos"}, "a"),
        ({"event", "data", "pos"}, "b"),
    ]
    rest = read(page["cursor"])
    assert ([item["data"]["body"] for item in rest["items"]], rest["hasMore"]) == (["c"], False)
    assert [item["pos"] for item in page["items"] + rest["items"]] == [1, 2, 3]
    now = ann.http.ask("GET", FEEDS["messages"], token=ann.token).body
    assert (now["items"], now["cursor"]) == ([], rest["cursor"])


@says("When there is nothing new it answers 304 without a body, by the `ETag` of the answer before.")
@pytest.mark.parametrize("feed", FEEDS)
def test_nothing_new_is_304(arrive: Any, feed: str, name: str) -> None:
    ann = arrive(f'a"ü:@ {name}', mode="polling")
    first = ann.http.ask("GET", FEEDS[feed], token=ann.token)
    path = f"{FEEDS[feed]}?cursor={first.body['cursor']}"
    tag = {"If-None-Match": first.headers["ETag"]}
    same = ann.http.ask("GET", path, token=ann.token, headers=tag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert ann.http.ask("GET", path, token=ann.token).body["items"] == []
    ann.join(name)
    ann.send(name)
    again = ann.http.ask("GET", path, token=ann.token, headers=tag)
    assert again.status == (200 if feed == "messages" else 304)


@says(
    "A cursor too old to serve is 410 `CURSOR_EXPIRED` with a fresh `cursor` to go on from; one that was "
    "never given out is 400 `CURSOR_INVALID`.",
    "`CURSOR_INVALID` | a feed cursor that was never given out | 400",
    "`CURSOR_EXPIRED` | one that points to what is no longer kept | 410",
)
@on("unlimited")
def test_a_cursor_is_too_old_or_was_never_given_out(arrive: Any, name: str) -> None:
    ann, bob = arrive(mode="polling"), arrive()
    for person in (ann, bob):
        person.join(name)
    old = ann._cursors["messages"]
    log, _, pos = old.partition(".")
    for never in ("x", "1.2.3", f"{log}.{int(pos) + 1}", ""):
        answer = ann.http.ask("GET", f"{FEEDS['messages']}?cursor={never}", token=ann.token)
        assert (answer.status, answer.code) == (400, "CURSOR_INVALID"), never
    for batch in range(0, 2_001, 500):
        asked = [
            bob.begin("message:send", {"conversationId": name, "body": "", "clientMsgId": f"{batch + n}"})
            for n in range(min(500, 2_001 - batch))
        ]
        assert all(bob.answer(number)["ok"] for number in asked)
    gone = ann.http.ask("GET", f"{FEEDS['messages']}?cursor={old}", token=ann.token)
    assert (gone.status, gone.code) == (410, "CURSOR_EXPIRED")
    fresh = ann.http.ask("GET", f"{FEEDS['messages']}?cursor={gone.body['cursor']}", token=ann.token)
    assert (fresh.status, fresh.body["items"]) == (200, [])
    other = arrive(mode="polling")
    assert other.http.ask("GET", f"{FEEDS['messages']}?cursor={old}", token=other.token).status == 410


@says("Typing older than 5 s is left out.")
@on("hurried")
def test_old_typing_is_left_out(arrive: Any, name: str) -> None:
    ann, bob = arrive(mode="polling"), arrive()
    for person in (ann, bob):
        person.join(name)
    bob.ask("typing:start", conversationId=name)
    bob.send(name)
    began = bob.ask("echo", {}).body["serverTime"]
    while bob.ask("echo", {}).body["serverTime"] - began < 5_000:
        pass
    # typing:stop may have come just now, and be fresh
    items = ann.poll("messages")["items"]
    assert [item["event"] for item in items if item["event"] != "typing:stop"] == ["message:new"]
    assert items[0]["pos"] == 2


@says(
    "`NOT_FOUND` | no such route | 404",
    "`METHOD_NOT_ALLOWED` | the route takes another method | 405",
)
def test_a_route_that_is_not_there_and_a_method_it_does_not_take(arrive: Any) -> None:
    ann = arrive(mode="polling")
    for method, path, status, code in (
        ("GET", "/api/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/messages/", 404, "NOT_FOUND"),
        ("DELETE", "/api/messages", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/live-chat/operator-status", 405, "METHOD_NOT_ALLOWED"),
    ):
        answer = ann.http.ask(method, path, token=ann.token)
        assert (answer.status, answer.code) == (status, code), path


@says("`PAYLOAD_INVALID` | a field is missing or of the wrong type | 400")
@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": NaN}', b'"\xff"', b"[]"])
def test_a_body_that_is_no_object_of_json(arrive: Any, raw: bytes) -> None:
    ann = arrive(mode="polling")
    answer = ann.http.ask("POST", "/api/messages", raw=raw, token=ann.token)
    assert (answer.status, answer.code) == (400, "PAYLOAD_INVALID")


@says("`PAYLOAD_TOO_LARGE` | a field is too long | 413")
@on("unlimited")
def test_a_body_beyond_all_bounds(arrive: Any, name: str) -> None:
    ann = arrive(mode="polling")
    answer = ann.http.ask("POST", "/api/messages", raw=b" " * 20_001, token=ann.token)
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")
    assert ann.join(name)["members"] == 1


@says("Requests carry `Authorization: Bearer <token>`")
def test_requests_carry_their_token(server: Any, arrive: Any) -> None:
    ann = arrive(mode="polling")
    for header, status in (
        (f"Bearer {ann.token}", 200),
        (f"bearer {ann.token}", 200),
        (ann.token, 401),
        ("", 401),
    ):
        answer = server.http.ask("GET", FEEDS["calls"], headers={"Authorization": header})
        assert answer.status == status, header


@says(
    "With WebSockets switched off, Socket.IO is not there at all:",
    "`/socket.io/` answers 404, `GET /api/config` says `websocket: false`, and clients poll.",
)
@on("disabled")
def test_without_websockets_there_is_no_socket_io(server: Any, arrive: Any, name: str) -> None:
    for method, path in (
        ("GET", "/socket.io/?EIO=4&transport=polling"),
        ("POST", "/socket.io/"),
        ("GET", "/socket.io"),
    ):
        answer = server.http.ask(method, path)
        assert (answer.status, answer.body) == (404, {"code": "WEBSOCKET_DISABLED"})
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    ann, bob = arrive(mode="polling"), arrive(mode="polling")
    assert ann.http.ask("GET", "/socket.io/?EIO=4&transport=websocket", headers=upgrade).status == 404
    assert server.http.ask("GET", "/api/config").body["websocket"] is False
    for person in (ann, bob):
        person.join(name)
    ann.send(name)
    assert len(bob.events("message:new")) == 1


def test_a_page_from_elsewhere_may_ask(server: Any, arrive: Any) -> None:
    ann: Poller = arrive(mode="polling")
    origin = {"Origin": "http://app.example"}
    answer = server.http.ask("GET", FEEDS["messages"], token=ann.token, headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    asks = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,if-none-match",
    }
    may = server.http.ask("OPTIONS", FEEDS["messages"], headers={**origin, **asks})
    assert (may.status, may.headers["Access-Control-Max-Age"]) == (200, "600")
    allowed = may.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed and "if-none-match" in allowed
    asks["Access-Control-Request-Method"] = "PATCH"
    assert server.http.ask("OPTIONS", FEEDS["messages"], headers={**origin, **asks}).status == 400
