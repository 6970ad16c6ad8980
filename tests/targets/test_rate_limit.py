"""Does the socket door refuse message 101, and only what it should?"""

from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_message_101_is_refused_once_in_the_ack_and_once_as_an_event(
    connect: Any, server: Any, name: str
) -> None:
    ann = connect("ann")
    ann.join(name)
    limited = server.stats()["rateLimited"]
    for number in range(100):
        assert ann.send(name, clientMsgId=f"{name}-{number}")["ok"]
    refused = ann.send(name, clientMsgId="one too many")
    error = refused["error"]
    assert error["code"] == "RATE_LIMITED"
    assert 0 < error["retryAfterMs"] <= 60_000
    [event] = ann.wait("error")
    assert event == {
        "code": "RATE_LIMITED",
        "message": error["message"],
        "event": "message:send",
        "clientMsgId": "one too many",
        "limit": 100,
        "windowMs": 60_000,
        "retryAfterMs": error["retryAfterMs"],
        "fatal": False,
    }
    assert server.stats()["rateLimited"] == limited + 1
    ann.emit("message:send", {"conversationId": name, "body": "", "clientMsgId": "two"})
    ann.wait("error", 2)
    ann.settle()
    assert len(ann.named("error")) == 2
    assert len(ann.named("message:new")) == 100
    assert ann.call("message:read", {"conversationId": name, "upToSeq": 100})["ok"]


def test_a_new_socket_starts_at_zero(connect: Any, start: Any, name: str) -> None:
    server = start("--rate-limit", "1")
    first = connect("ann", at=server)
    first.join(name)
    assert first.send(name)["ok"]
    assert first.send(name)["error"]["code"] == "RATE_LIMITED"
    assert connect("ann", at=server).send(name)["ok"]


def test_refusals_and_repetitions_do_not_use_up_the_limit(connect: Any, start: Any, name: str) -> None:
    ann = connect("ann", at=start("--rate-limit", "2"))
    ann.join(name)
    assert ann.send(name, clientMsgId="same")["ok"]
    assert ann.send(name, clientMsgId="same")["duplicate"]
    assert ann.send(name, body=None)["error"]["code"] == "PAYLOAD_INVALID"
    assert ann.send(name)["ok"]
    assert ann.send(name)["error"]["code"] == "RATE_LIMITED"


def test_scope_all_counts_every_event_but_the_free_ones(connect: Any, start: Any, name: str) -> None:
    ann = connect("ann", at=start("--rate-limit", "2", RATE_LIMIT_SCOPE="all"))
    for _ in range(3):
        ann.join(name)
        ann.settle()
    assert ann.call("message:read", {"conversationId": name, "upToSeq": 1})["ok"]
    ann.emit("typing:start", {"conversationId": name})
    assert ann.send(name)["error"]["code"] == "RATE_LIMITED"
    assert ann.call("leaveRoom", {"room": f"conversation:{name}"})["ok"]


def test_rate_limit_0_is_no_limit(connect: Any, start: Any, name: str) -> None:
    ann = connect("ann", at=start("--rate-limit", "0"))
    ann.join(name)
    for number in range(150):
        ann.emit("message:send", {"conversationId": name, "body": "", "clientMsgId": str(number)})
    assert len(ann.wait("message:new", 150)) == 150
    assert ann.named("error") == []
