"""Does the reference server understand the packaged contract, and is the contract right about what it answers?

Without sockets: events are handed to the table of actions, requests to the HTTP door, and what both lead to is
read from the feeds of polling users, where events look as on a socket.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from loadtest.contract import Action, Contract
from loadtest.targets.reference.application import Application
from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.ratelimit import SlidingWindow
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor
from loadtest.targets.reference.settings import Settings

ANN, BOB, OLGA = "ann", "bob/2", "olga"
Heard = list[tuple[str, str | None, str | None]]


class Town:
    """A server, and people who poll all its feeds. ``way``: whether they act by "event" or "http"."""

    def __init__(self, contract: Contract, way: str, **switches: Any) -> None:
        self.contract = contract
        self.way = way
        self.application = Application(Settings(**switches))
        self.core = self.application.core
        self.said = 0
        self.cursors: dict[tuple[str, str], str] = {}
        for user in (ANN, BOB, OLGA):
            self.heard(user)

    def identity(self, user: str) -> dict[str, object]:
        role = "operator" if user == OLGA else "user"
        token = self.core.tokens.issue(user, role, self.core.clock.now_ns() + 60 * SECOND)
        return {"user": user, "device": f"d-{user}", "token": token}

    def do(self, user: str, action: Action, **variables: object) -> tuple[str, dict[str, object]]:
        """Act; the marker, and what was captured. Fails if it was refused."""
        marker, ok, _, captured = self.attempt(user, action, **variables)
        assert ok
        return marker, captured

    def attempt(
        self, user: str, action: Action, **variables: object
    ) -> tuple[str, bool, str | None, dict[str, object]]:
        self.said += 1
        marker = f"run:{user.replace('/', '-')}:{self.said}"
        known = {**self.identity(user), "marker": marker, **variables}
        if self.way == "http":
            assert action.http is not None
            status, body = self.request(
                action.http.method, action.http.target(known), action.http.body(known), known
            )
            ok, rule, root = action.http.ok(status), action.http, body
            return marker, ok, rule.error(root), rule.captured(root)
        assert action.emit is not None and action.ack is not None
        (payload,) = action.args(known)
        role = "operator" if user == OLGA else "user"
        actor = Actor(user, role, SlidingWindow(0, SECOND))
        try:
            answer = self.application.actions.perform(action.emit, actor, payload, frozenset())
        except Refusal as no:
            answer = {"ok": False, "error": no.error()}
        args = [json.loads(json.dumps(answer))]
        return marker, action.ack.ok(args), action.ack.error(args), action.ack.captured(args)

    def request(self, method: str, target: str, body: object, known: dict[str, object]) -> tuple[int, Any]:
        path, _, query = target.partition("?")
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            raw = b"" if body is None else json.dumps(body).encode()
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"x"), (b"authorization", f"Bearer {known['token']}".encode())],
        }
        asyncio.run(self.application(scope, receive, send))
        raw = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], json.loads(raw) if raw else None

    def heard(self, user: str) -> Heard:
        """What the feeds have brought since the last time: (operation, marker, status), in order."""
        news: Heard = []
        for feed in self.contract.feeds:
            cursor = self.cursors.get((user, feed.name))
            identity = self.identity(user)
            status, body = self.request("GET", feed.target(identity, cursor), None, identity)
            assert feed.outcome(status) == "news"
            self.cursors[user, feed.name] = feed.next_cursor(body) or ""
            for event, args in feed.events(body):
                for delivery in self.contract.deliveries_on(event):
                    assert delivery.operation in feed.operations
                    news.append((delivery.operation, delivery.marker(args), delivery.status(args)))
                assert self.contract.deliveries_on(event) or event in self.contract.ignored, event
        return news


Found = Callable[..., Town]


@pytest.fixture(params=["event", "http"])
def town(request: pytest.FixtureRequest, default: Contract) -> Found:
    return lambda **switches: Town(default, request.param, **switches)


def test_a_call_that_is_answered(town: Found, default: Contract) -> None:
    place, calls = town(), default.calls
    assert calls is not None and calls.status is not None
    rung, captured = place.do(ANN, calls.initiate, callee=BOB)
    call = captured["call"]
    assert place.heard(BOB) == [("call.ring", rung, None), ("call.status", rung, "ringing")]
    assert place.heard(ANN) == [("call.status", rung, "ringing")]
    answered, _ = place.do(BOB, calls.answer, call=call)
    both = [("call.answer", answered, None), ("call.status", answered, "active")]
    assert place.heard(ANN) == place.heard(BOB) == both
    assert place.do(ANN, calls.status, call=call)[1] == {"status": "active"}
    ended, _ = place.do(BOB, calls.end, call=call)
    assert place.heard(ANN) == place.heard(BOB) == [("call.status", ended, "ended")]
    assert place.attempt(BOB, calls.answer, call=call)[1:3] == (False, "CALL_NOT_RINGING")
    assert place.attempt(BOB, calls.answer, call="c/?")[1:3] == (False, "CALL_NOT_FOUND")


def test_a_call_that_is_declined(town: Found, default: Contract) -> None:
    place, calls = town(), default.calls
    assert calls is not None
    assert place.attempt(ANN, calls.initiate, callee="nobody")[1:3] == (False, "USER_OFFLINE")
    _, captured = place.do(ANN, calls.initiate, callee=BOB)
    assert place.attempt(OLGA, calls.initiate, callee=BOB)[1:3] == (False, "USER_BUSY")
    place.heard(ANN)
    declined, _ = place.do(BOB, calls.decline, call=captured["call"])
    assert place.heard(ANN) == [("call.decline", declined, None), ("call.status", declined, "declined")]


def test_a_call_that_nobody_answers(town: Found, default: Contract) -> None:
    place, calls = town(ring_timeout_s=0.01), default.calls
    assert calls is not None
    place.do(ANN, calls.initiate, callee=BOB)
    place.heard(BOB)
    place.application.domains.tick(place.core.clock.now_ns() + SECOND)
    assert place.heard(BOB) == [("call.status", None, "missed")]


def test_a_live_chat(town: Found, default: Contract) -> None:
    place, chats = town(), default.chats
    assert chats is not None
    started, captured = place.do(ANN, chats.start, topic="help")
    assert captured.keys() == {"chat", "status"} and captured["status"] == "queued"
    assert place.heard(ANN) == [("chat.status", started, "queued")]
    online, _ = place.do(OLGA, chats.online, status="online", capacity=None)
    assigned = [("chat.assign", started, None), ("chat.status", started, "assigned")]
    assert place.heard(OLGA) == [("presence.deliver", online, "online"), *assigned]
    assert place.heard(ANN) == assigned
    again = place.do(ANN, chats.start, topic="help")[1]
    assert again == {"chat": captured["chat"], "status": "assigned", "operator": OLGA}
    said, _ = place.do(OLGA, chats.message, chat=captured["chat"], body="hello")
    assert place.heard(ANN) == place.heard(OLGA) == [("chat.deliver", said, None)]
    closed, _ = place.do(ANN, chats.close, chat=captured["chat"])
    assert place.heard(OLGA) == [("chat.status", closed, "closed")]
    late = place.attempt(ANN, chats.message, chat=captured["chat"], body="hello")
    assert late[1:3] == (False, "CHAT_CLOSED")


def test_an_operator_goes(town: Found, default: Contract) -> None:
    place, chats = town(), default.chats
    assert chats is not None
    place.do(OLGA, chats.online, status="online", capacity=3)
    place.do(ANN, chats.start, topic="help")
    place.heard(ANN)
    gone, _ = place.do(OLGA, chats.online, status="offline", capacity=3)
    assert place.heard(ANN) == [("presence.deliver", gone, "offline"), ("chat.status", None, "queued")]
    place.do(OLGA, chats.online, status="online", capacity=3)
    assert place.heard(ANN) == [("chat.assign", None, None), ("chat.status", None, "assigned")]


def test_chats_taken_by_hand(town: Found, default: Contract) -> None:
    place, chats = town(livechat_assign="manual"), default.chats
    assert chats is not None and chats.accept is not None
    place.do(OLGA, chats.online, status="online", capacity=3)
    place.heard(OLGA)
    started, captured = place.do(ANN, chats.start, topic="help")
    assert place.heard(OLGA) == [("chat.status", started, "queued")]
    accepted, _ = place.do(OLGA, chats.accept, chat=captured["chat"])
    assert place.heard(OLGA) == [("chat.assign", accepted, None), ("chat.status", accepted, "assigned")]
    assert place.attempt(BOB, chats.accept, chat=captured["chat"])[1:3] == (False, "FORBIDDEN")


def test_presence(town: Found, default: Contract) -> None:
    place = town()
    assert default.presence is not None
    found = place.do(ANN, default.presence.get, users=[BOB, "nobody"])[1]["presence"]
    assert found == [
        {"userId": BOB, "status": "online", "devices": 1},
        {"userId": "nobody", "status": "offline", "devices": 0},
    ]
    assert default.join is not None
    for user in (ANN, BOB):
        place.do(user, default.join, room="r1", since_seq=None)
    place.heard(ANN)
    place.application.domains.tick(place.core.clock.now_ns() + 11 * SECOND)
    assert ("presence.deliver", None, "offline") in place.heard(ANN)
