"""With which code, and in which form, does a server say no?"""

from __future__ import annotations

import math
from typing import Any

import pytest
from contract_people import Caller, until
from contract_sentences import says
from contract_servers import on

SEND = {"conversationId": "room", "body": "hello", "clientMsgId": "c1"}
CALL = {"calleeId": "bob", "media": "audio"}
BIG = {"x": "y" * 1024}

WRONG: dict[str, tuple[str, Any, str]] = {
    "not an object": ("message:send", "hello", "PAYLOAD_INVALID"),
    "a list": ("message:send", [SEND], "PAYLOAD_INVALID"),
    "nothing": ("message:send", {}, "PAYLOAD_INVALID"),
    "a body that is no text": ("message:send", {**SEND, "body": 1}, "PAYLOAD_INVALID"),
    "a body too long": ("message:send", {**SEND, "body": "x" * 8193}, "PAYLOAD_TOO_LARGE"),
    "an id too long": ("message:send", {**SEND, "clientMsgId": "x" * 65}, "PAYLOAD_INVALID"),
    "no id": ("message:send", {**SEND, "clientMsgId": ""}, "PAYLOAD_INVALID"),
    "another type": ("message:send", {**SEND, "type": "video"}, "PAYLOAD_INVALID"),
    "a conversation of another alphabet": (
        "message:send",
        {**SEND, "conversationId": "ä"},
        "PAYLOAD_INVALID",
    ),
    "a meta that is no object": ("message:send", {**SEND, "meta": [1]}, "PAYLOAD_INVALID"),
    "a meta too long": ("message:send", {**SEND, "meta": BIG}, "PAYLOAD_TOO_LARGE"),
    "a mark below zero": ("message:read", {"conversationId": "room", "upToSeq": -1}, "PAYLOAD_INVALID"),
    "a mark that is true": ("message:read", {"conversationId": "room", "upToSeq": True}, "PAYLOAD_INVALID"),
    "half a mark": ("message:read", {"conversationId": "room", "upToSeq": 1.5}, "PAYLOAD_INVALID"),
    "no room": ("joinRoom", {}, "ROOM_INVALID"),
    "a room of another kind": ("joinRoom", {"room": "chat:1"}, "ROOM_INVALID"),
    "a room without a name": ("joinRoom", "conversation:", "ROOM_INVALID"),
    "a number for sinceSeq": ("joinRoom", {"room": "conversation:1", "sinceSeq": "1"}, "PAYLOAD_INVALID"),
    "another medium": ("call:initiate", {**CALL, "media": "smell"}, "PAYLOAD_INVALID"),
    "nobody to call": ("call:initiate", {"media": "audio"}, "PAYLOAD_INVALID"),
    "a call about no conversation": ("call:initiate", {**CALL, "conversationId": ""}, "PAYLOAD_INVALID"),
    "an sdp that is no object": ("call:initiate", {**CALL, "sdp": "v=0"}, "PAYLOAD_INVALID"),
    "another reason": ("call:decline", {"callId": "c", "reason": "tired"}, "PAYLOAD_INVALID"),
    "a call with a long id": ("call:end", {"callId": "c" * 65}, "PAYLOAD_INVALID"),
    "a topic that is no text": ("liveChat:start", {"topic": 1}, "PAYLOAD_INVALID"),
    "a chat with a long id": ("liveChat:close", {"chatId": "c" * 65}, "PAYLOAD_INVALID"),
    "a long remark in a chat": (
        "liveChat:message",
        {"chatId": "c", "body": "x" * 8193, "clientMsgId": "c1"},
        "PAYLOAD_TOO_LARGE",
    ),
}
STATUS = {"PAYLOAD_INVALID": 400, "ROOM_INVALID": 400, "PAYLOAD_TOO_LARGE": 413}


@says(
    "`ROOM_INVALID` | not `conversation:<id>` or `user:<id>` | 400",
    "`PAYLOAD_INVALID` | a field is missing or of the wrong type | 400",
    "`PAYLOAD_TOO_LARGE` | a field is too long | 413",
    "An acknowledgement says `{ok: true, …}` or `{ok: false, error: {code, message, retryAfterMs?}}`.",
    "error bodies are `{ok: false, error: {code, message}}`.",
)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told(arrive: Any, mode: str, wrong: str) -> None:
    event, payload, code = WRONG[wrong]
    answer = arrive(mode=mode).ask(event, payload)
    assert set(answer.body) == {"ok", "error"} and set(answer.error) == {"code", "message"}
    assert (answer.code, answer.error["message"] != "") == (code, True)
    assert answer.status in (None, STATUS[code])


def test_a_body_of_8192_characters_is_not_too_long_however_many_bytes(
    arrive: Any, mode: str, name: str
) -> None:
    ann = arrive(mode=mode)
    ann.join(name)
    ann.send(name, "\U0001f600" * 8192)
    assert ann.hear("message:new")[0]["body"] == "\U0001f600" * 8192
    assert ann.send(name, "\U0001f600" * 8193).code == "PAYLOAD_TOO_LARGE"


@says("`status` is `online`, `away` or `offline` | `{ok, status, activeChats, capacity}`")
@pytest.mark.parametrize("fields", [{"status": "busy"}, {}, {"status": "online", "capacity": 0}])
def test_what_an_operator_says_is_looked_at_too(arrive: Any, mode: str, fields: dict[str, Any]) -> None:
    answer = arrive(mode=mode, role="operator").ask("liveChat:operatorStatus", fields)
    assert (answer.code, answer.status in (None, 400)) == ("PAYLOAD_INVALID", True)


@says(
    "Where the client did not ask for one, a refusal is emitted as `error` instead.",
    "`error` | the socket | `{code, message, event?, clientMsgId?, limit?, windowMs?, retryAfterMs?, fatal}`",
)
def test_who_asks_for_no_answer_hears_an_error(arrive: Any) -> None:
    ann = arrive()
    ann.tell("message:send", SEND)
    (error,) = ann.hear("error")
    assert error.pop("message")
    assert error == {"code": "FORBIDDEN", "event": "message:send", "clientMsgId": "c1", "fatal": False}
    assert ann.ask("message:send", SEND).code == "FORBIDDEN"
    assert len(ann.events("error")) == 1


def test_an_event_that_does_not_exist_is_refused(arrive: Any) -> None:
    assert arrive().ask("message:sing", {}).code == "PAYLOAD_INVALID"


@says(
    "`FORBIDDEN` | the room, conversation, call or chat is not this user's (404 for a conversation that "
    "is not there) | 403",
)
def test_what_is_not_this_users_is_forbidden(arrive: Any, mode: str, name: str) -> None:
    ann, bob = arrive(mode=mode), arrive()
    bob.join(name)
    not_there, not_hers = ann.send(f"{name}-2"), ann.send(name)
    assert (not_there.code, not_hers.code) == ("FORBIDDEN", "FORBIDDEN")
    assert (not_there.status, not_hers.status) in ((None, None), (404, 403))
    assert ann.ask("joinRoom", room=f"user:{bob.user}").code == "FORBIDDEN"
    assert ann.ask("joinRoom", room=f"user:{ann.user}")["members"] == 1
    for event in ("message:read", "typing:start"):
        if mode == "polling":
            assert ann.ask(event, conversationId=name, upToSeq=1).status == 403


@says(
    "`CALL_NOT_FOUND` | no such call",
    "`CHAT_NOT_FOUND` | no such chat",
)
def test_what_is_not_there_is_not_found(arrive: Any, mode: str) -> None:
    ann = arrive(mode=mode)
    call, chat = ann.ask("call:status", callId="c0"), ann.ask("liveChat:close", chatId="c0")
    assert (call.code, chat.code) == ("CALL_NOT_FOUND", "CHAT_NOT_FOUND")
    assert {call.status, chat.status} <= {None, 404}


# -- the limit of what one may say


@says(
    "100 accepted `message:send` and `liveChat:message` in any 60 s (a sliding window) per socket.",
    "The next one is not processed: its acknowledgement says `RATE_LIMITED`, and one `error` with "
    "`code`, `limit`, `windowMs` and `retryAfterMs` follows.",
    "`RATE_LIMITED` | see below | 429",
)
def test_the_hundred_and_first_message_of_a_socket_is_refused(server: Any, arrive: Any, name: str) -> None:
    ann = arrive()
    ann.join(name)
    chat = ann.ask("liveChat:start", {})["chatId"]
    asked = [
        ann.begin("message:send", {**SEND, "conversationId": name, "clientMsgId": f"{n}"}) for n in range(99)
    ]
    assert all(ann.answer(number)["ok"] for number in asked)
    assert ann.send(name, clientMsgId="0")["duplicate"]  # a repetition is nothing new
    assert ann.ask("liveChat:message", chatId=chat, body="", clientMsgId="chat")["seq"] == 1
    limited_before = server.stats()["rateLimited"]
    refused = [ann.send(name), ann.ask("liveChat:message", chatId=chat, body="", clientMsgId="late")]
    for answer in refused:
        assert answer.code == "RATE_LIMITED"
        assert 0 < answer.error["retryAfterMs"] <= 60_000
    errors = ann.events("error")
    assert [(one["code"], one["limit"], one["windowMs"], one["fatal"]) for one in errors] == [
        ("RATE_LIMITED", 100, 60_000, False)
    ] * 2
    assert [one["event"] for one in errors] == ["message:send", "liveChat:message"]
    assert len(ann.events("message:new")) == 99
    assert server.stats()["rateLimited"] == limited_before + 2
    assert ann.ask("message:read", conversationId=name, upToSeq=1)["ok"]  # is not counted


@says(
    "What was refused does not prolong the wait, and a new socket starts from nothing.",
    "rate counters and typing belong to the socket.",
)
@on("hurried")
def test_after_a_minute_or_on_a_new_socket_one_may_go_on(arrive: Any, name: str) -> None:
    ann = arrive(name)
    ann.join(name)
    asked = [
        ann.begin("message:send", {**SEND, "conversationId": name, "clientMsgId": f"{n}"}) for n in range(100)
    ]
    first = ann.answer(asked[0])["ts"]
    assert all(ann.answer(number)["ok"] for number in asked[1:])
    wait = ann.send(name)
    assert wait.code == "RATE_LIMITED"
    again = arrive(name)
    assert again.join(name)["ok"] and again.send(name)["seq"] == 101

    def passes() -> bool:
        answer = ann.send(name).body
        if answer["ok"]:
            assert answer["ts"] - first >= 60_000
        return bool(answer["ok"])

    until(passes, "the end of the window")


@says("Writes are limited to 100 a minute per token (429 with `Retry-After`), feeds are not.")
def test_the_hundred_and_first_write_of_a_token_is_refused(arrive: Any, name: str) -> None:
    ann = arrive(mode="polling")
    ann.join(name)
    ann.send(name)
    for _ in range(99):
        assert ann.ask("message:read", conversationId=name, upToSeq=1)["ok"]
    for event, fields in (("message:read", {"upToSeq": 1}), ("typing:start", {}), ("message:send", SEND)):
        answer = ann.ask(event, {**fields, "conversationId": name})
        assert (answer.status, answer.code) == (429, "RATE_LIMITED")
        assert int(answer.headers["Retry-After"]) == math.ceil(answer.error["retryAfterMs"] / 1000)
    assert len(ann.events("message:new")) == 1
    assert ann.ask("presence:get", userIds=[name])["ok"]


@says("a new socket starts from nothing.")
def test_a_socket_that_authenticates_again_starts_from_where_it_was(
    server: Any, arrive: Any, name: str
) -> None:
    ann: Caller = arrive(name)
    ann.join(name)
    asked = [
        ann.begin("message:send", {**SEND, "conversationId": name, "clientMsgId": f"{n}"}) for n in range(100)
    ]
    assert all(ann.answer(number)["ok"] for number in asked)
    assert ann.ask("authenticate", userId=name, token=ann.token)["socketId"] == ann.sid
    assert ann.send(name).code == "RATE_LIMITED"
