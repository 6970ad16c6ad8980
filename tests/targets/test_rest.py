"""Does the HTTP door keep the messaging contract, over the same store as the sockets?"""

from typing import Any

import jwt
import pytest

from loadtest.contract.development import DEVELOPMENT_SECRET

pytestmark = pytest.mark.e2e


@pytest.fixture
def ann(server: Any, name: str) -> str:
    token: str = server.token(f"ann-{name}")
    return token


def message(conversation: str, client_id: str = "c1", **more: Any) -> dict[str, Any]:
    """A message; its idempotency key is unique as long as the conversation is."""
    return {
        "conversationId": conversation,
        "body": "hello",
        "clientMsgId": f"{conversation}-{client_id}",
        **more,
    }


def join(server: Any, token: str, conversation: str) -> dict[str, Any]:
    reply = server.post("/api/rooms/join", {"room": f"conversation:{conversation}"}, token)
    assert reply.status == 200
    answer: dict[str, Any] = reply.body
    return answer


def test_the_root_says_ok_and_nothing_else(server: Any) -> None:
    reply = server.get("/")
    assert (reply.status, reply.raw) == (200, b'{"status":"ok"}')
    assert reply.headers["Content-Type"] == "application/json"


def test_the_configuration_is_open_and_has_the_written_fields(server: Any) -> None:
    assert server.get("/api/config").body == {
        "websocket": True,
        "socketPath": "/socket.io",
        "poll": {"messagesMs": 1500, "callsMs": 3000, "liveChatMs": 2000},
        "rateLimit": {"limit": 100, "windowMs": 60000},
        "reconnect": {"attempts": 5, "delaysMs": [1000, 2000, 4000, 8000, 16000]},
    }


def test_a_token_for_the_asking_says_when_it_ends(server: Any) -> None:
    reply = server.post("/api/auth/token", {"userId": "ann", "role": "operator", "ttlSec": 60})
    assert reply.status == 201
    assert set(reply.body) == {"token", "userId", "expiresAt"}
    claims = jwt.decode(reply.body["token"], DEVELOPMENT_SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["role"], claims["exp"] * 1000) == (
        "ann",
        "operator",
        reply.body["expiresAt"],
    )


@pytest.mark.parametrize(
    "body", [{}, {"userId": ""}, {"userId": "a", "role": "king"}, {"userId": "a", "ttlSec": "1"}, []]
)
def test_a_token_request_must_be_well_formed(server: Any, body: object) -> None:
    reply = server.post("/api/auth/token", body)
    assert (reply.status, reply.code) == (400, "PAYLOAD_INVALID")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/messages/feed"),
        ("GET", "/api/conversations/c/messages"),
        ("POST", "/api/messages"),
        ("POST", "/api/messages/read"),
        ("POST", "/api/typing"),
        ("POST", "/api/rooms/join"),
        ("POST", "/api/rooms/leave"),
    ],
)
def test_everything_else_wants_a_valid_token(server: Any, method: str, path: str) -> None:
    body = {} if method == "POST" else None
    reply = server.request(method, path, body)
    assert (reply.status, reply.code) == (401, "NOT_AUTHENTICATED")
    reply = server.request(method, path, body, token="nonsense")
    assert (reply.status, reply.code) == (401, "AUTH_INVALID")
    reply = server.request(method, path, body, token=server.token("ann", ttlSec=-1))
    assert (reply.status, reply.code) == (401, "AUTH_EXPIRED")


def test_a_path_or_method_that_is_not_there_is_said_in_the_same_form(server: Any) -> None:
    reply = server.get("/no/such/path")
    assert (reply.status, reply.code) == (404, "NOT_FOUND")
    reply = server.post("/", {})
    assert (reply.status, reply.code) == (405, "METHOD_NOT_ALLOWED")


def test_any_origin_may_ask(server: Any) -> None:
    preflight = server.request(
        "OPTIONS",
        "/api/messages",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    for path in ("/", "/api/messages/feed", "/no/such/path"):
        reply = server.get(path, Origin="https://app.example")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"


def test_joining_and_leaving_answer_like_the_acks(server: Any, ann: str, name: str) -> None:
    assert join(server, ann, name) == {
        "ok": True,
        "room": f"conversation:{name}",
        "members": 1,
        "lastSeq": 0,
        "missed": [],
        "truncated": False,
    }
    left = server.post("/api/rooms/leave", {"room": f"conversation:{name}"}, ann)
    assert (left.status, left.body) == (200, {"ok": True, "room": f"conversation:{name}"})
    refused = server.post("/api/messages", message(name), ann)
    assert (refused.status, refused.code) == (403, "FORBIDDEN")
    for path in ("/api/rooms/join", "/api/rooms/leave"):
        reply = server.post(path, {"room": "lobby"}, ann)
        assert (reply.status, reply.code) == (400, "ROOM_INVALID")
    reply = server.post("/api/rooms/join", {"room": "user:somebody"}, ann)
    assert (reply.status, reply.code) == (403, "FORBIDDEN")


def test_leaving_over_http_spares_a_user_whose_socket_hears_the_room(
    server: Any, connect: Any, name: str
) -> None:
    socket, token = connect("ann"), server.token("ann")
    socket.join(name)
    assert server.post("/api/rooms/leave", {"room": f"conversation:{name}"}, token).status == 200
    assert socket.send(name)["ok"]


def test_a_message_is_created_once(server: Any, ann: str, name: str) -> None:
    join(server, ann, name)
    created = server.post("/api/messages", message(name), ann)
    assert created.status == 201
    assert set(created.body) == {"ok", "id", "seq", "ts"}
    again = server.post("/api/messages", message(name, body="other"), ann)
    assert (again.status, again.body) == (200, {**created.body, "duplicate": True})


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"body": None}, 400, "PAYLOAD_INVALID"),
        ({"conversationId": "a b"}, 400, "PAYLOAD_INVALID"),
        ({"body": "x" * 8193}, 413, "PAYLOAD_TOO_LARGE"),
        ({"conversationId": "never-joined-by-anybody"}, 404, "FORBIDDEN"),
    ],
)
def test_what_cannot_be_sent_has_its_status(
    server: Any, ann: str, name: str, change: dict[str, Any], status: int, code: str
) -> None:
    join(server, ann, name)
    reply = server.post("/api/messages", message(name) | change, ann)
    assert (reply.status, reply.code) == (status, code)


def test_a_body_that_is_not_json_or_too_long_is_refused(server: Any, ann: str) -> None:
    reply = server.request("POST", "/api/messages", raw=b"{", token=ann)
    assert (reply.status, reply.code) == (400, "PAYLOAD_INVALID")
    reply = server.request("POST", "/api/messages", raw=b" " * 1_000_001, token=ann)
    assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")


def test_the_101st_write_of_a_token_is_refused_with_the_time_to_wait(
    server: Any, ann: str, name: str
) -> None:
    join(server, ann, name)
    server.get("/api/messages/feed", ann)
    for number in range(98):
        assert server.post("/api/messages", message(name, str(number)), ann).status == 201
    assert server.post("/api/messages/read", {"conversationId": name, "upToSeq": 1}, ann).status == 200
    assert server.post("/api/typing", {"conversationId": name, "state": "start"}, ann).status == 204
    refused = server.post("/api/messages", message(name, "one too many"), ann)
    assert (refused.status, refused.code) == (429, "RATE_LIMITED")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert 0 < refused.body["error"]["retryAfterMs"] <= 60_000
    assert server.get("/api/messages/feed", ann).status == 200
    assert server.post("/api/rooms/join", {"room": f"conversation:{name}"}, ann).status == 200
    other = server.token(f"ann-{name}", ttlSec=1234)
    assert server.post("/api/messages", message(name, "another token"), other).status == 201


def test_history_is_paged_from_the_oldest(server: Any, ann: str, name: str) -> None:
    join(server, ann, name)
    for number in range(5):
        server.post("/api/messages", message(name, str(number), body=str(number)), ann)
    path = f"/api/conversations/{name}/messages"
    first = server.get(f"{path}?limit=2", ann).body
    assert [m["body"] for m in first["items"]] == ["0", "1"]
    assert (first["lastSeq"], first["hasMore"]) == (5, True)
    rest = server.get(f"{path}?afterSeq=2", ann).body
    assert [m["seq"] for m in rest["items"]] == [3, 4, 5]
    assert rest["hasMore"] is False
    assert server.get(f"{path}?afterSeq=99", ann).body == {"items": [], "lastSeq": 5, "hasMore": False}


def test_history_is_for_members(server: Any, ann: str, name: str) -> None:
    join(server, ann, name)
    reply = server.get(f"/api/conversations/{name}/messages", server.token("eve"))
    assert (reply.status, reply.code) == (403, "FORBIDDEN")
    for unknown in ("never-joined-by-anybody", "a%20b"):
        assert server.get(f"/api/conversations/{unknown}/messages", ann).status == 404
    for query in ("limit=0", "limit=501", "limit=x", "afterSeq=-1", "limit=" + "9" * 5000):
        reply = server.get(f"/api/conversations/{name}/messages?{query}", ann)
        assert (reply.status, reply.code) == (400, "PAYLOAD_INVALID")


def test_what_http_writes_reaches_sockets_and_the_reverse(server: Any, connect: Any, name: str) -> None:
    bob, ann = connect("bob"), server.token("ann")
    bob.join(name)
    join(server, ann, name)
    cursor = server.get("/api/messages/feed", ann).body["cursor"]
    created = server.post("/api/messages", message(name, meta={"n": 1}), ann).body
    [seen] = bob.wait("message:new")
    assert (seen["id"], seen["seq"], seen["senderId"], seen["meta"]) == (created["id"], 1, "ann", {"n": 1})
    server.post("/api/messages/read", {"conversationId": name, "upToSeq": 1, "meta": {"n": 2}}, ann)
    [read] = bob.wait("message:read")
    assert (read["userId"], read["upToSeq"], read["meta"]) == ("ann", 1, {"n": 2})
    server.post("/api/typing", {"conversationId": name, "state": "start", "meta": {"n": 3}}, ann)
    assert bob.wait("typing:start")[0]["meta"] == {"n": 3}
    server.post("/api/typing", {"conversationId": name, "state": "stop"}, ann)
    bob.wait("typing:stop")
    bob.send(name)
    bob.call("message:read", {"conversationId": name, "upToSeq": 2})
    bob.emit("typing:start", {"conversationId": name})
    bob.settle()
    items = server.get(f"/api/messages/feed?cursor={cursor}", ann).body["items"]
    assert [item["event"] for item in items] == ["message:new", "message:new", "message:read", "typing:start"]
    assert [item["data"] for item in items[:2]] == bob.wait("message:new", 2)


def test_typing_over_http_wants_a_state(server: Any, ann: str, name: str) -> None:
    join(server, ann, name)
    for body in ({"conversationId": name}, {"conversationId": name, "state": "maybe"}, 7):
        reply = server.post("/api/typing", body, ann)
        assert (reply.status, reply.code) == (400, "PAYLOAD_INVALID")
