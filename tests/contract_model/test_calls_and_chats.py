"""Does the packaged contract say of calls, live chat and presence what the servers of this project understand?"""

from typing import Any

import pytest

from loadtest.contract import Action, Contract
from loadtest.contract.answers import Answer

MARKER = "run:u1:7"
META = {"m": MARKER}
VARIABLES: dict[str, object] = {
    "user": "u1",
    "device": "d1",
    "token": "jwt",
    "callee": "u2",
    "call": "c/9",
    "topic": "help",
    "chat": "lc 3",
    "body": "hello",
    "status": "online",
    "capacity": 8,
    "users": ["u1", "u/2", "a,b"],
    "marker": MARKER,
}
REFUSED = {"ok": False, "error": {"code": "FORBIDDEN", "message": "no"}}


def action(contract: Contract, name: str) -> Action:
    table, _, key = name.partition(".")
    found = getattr(getattr(contract, table), key)
    assert isinstance(found, Action)
    return found


INITIATE = {"calleeId": "u2", "media": "audio", "clientCallId": MARKER, "meta": META}
SAY = {"body": "hello", "clientMsgId": MARKER, "meta": META}
ONLINE = {"status": "online", "capacity": 8, "meta": META}

ACTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("calls.initiate", "call:initiate", INITIATE),
    ("calls.answer", "call:answer", {"callId": "c/9", "deviceId": "d1", "meta": META}),
    ("calls.decline", "call:decline", {"callId": "c/9", "reason": "rejected", "meta": META}),
    ("calls.end", "call:end", {"callId": "c/9", "meta": META}),
    ("calls.status", "call:status", {"callId": "c/9"}),
    ("chats.start", "liveChat:start", {"topic": "help", "meta": META}),
    ("chats.message", "liveChat:message", {"chatId": "lc 3", **SAY}),
    ("chats.accept", "liveChat:accept", {"chatId": "lc 3", "meta": META}),
    ("chats.close", "liveChat:close", {"chatId": "lc 3", "meta": META}),
    ("chats.online", "liveChat:operatorStatus", ONLINE),
    ("presence.get", "presence:get", {"userIds": ["u1", "u/2", "a,b"]}),
]


@pytest.mark.parametrize(("name", "event", "payload"), ACTIONS)
def test_what_is_emitted(default: Contract, name: str, event: str, payload: object) -> None:
    found = action(default, name)
    assert (found.emit, found.args(VARIABLES)) == (event, [payload])


CHAT = "/api/live-chat/lc%203"
REQUESTS: list[tuple[str, str, str, object, set[int]]] = [
    ("calls.initiate", "POST", "/api/calls", INITIATE, {200, 201}),
    ("calls.answer", "POST", "/api/calls/c%2F9/answer", {"deviceId": "d1", "meta": META}, {200}),
    ("calls.decline", "POST", "/api/calls/c%2F9/decline", {"reason": "rejected", "meta": META}, {200}),
    ("calls.end", "POST", "/api/calls/c%2F9/end", {"meta": META}, {200}),
    ("calls.status", "GET", "/api/calls/c%2F9", None, {200}),
    ("chats.start", "POST", "/api/live-chat", {"topic": "help", "meta": META}, {200, 201}),
    ("chats.message", "POST", f"{CHAT}/messages", SAY, {200, 201}),
    ("chats.accept", "POST", f"{CHAT}/accept", {"meta": META}, {200}),
    ("chats.close", "POST", f"{CHAT}/close", {"meta": META}, {200}),
    ("chats.online", "PUT", "/api/live-chat/operator-status", ONLINE, {200}),
    ("presence.get", "GET", "/api/presence?userIds=u1,u%2F2,a%2Cb", None, {200}),
]


@pytest.mark.parametrize(("name", "method", "target", "body", "ok"), REQUESTS)
def test_what_is_requested(
    default: Contract, name: str, method: str, target: str, body: object, ok: set[int]
) -> None:
    call = action(default, name).http
    assert call is not None
    assert (call.method, call.target(VARIABLES), call.body(VARIABLES)) == (method, target, body)
    assert {status for status in range(100, 600) if call.ok(status)} == ok
    assert call.error(REFUSED) == "FORBIDDEN"
    assert call.error({"ok": True}) is None


def test_every_action_is_in_both_tables(default: Contract) -> None:
    named = [
        f"{table}.{field}"
        for table in ("calls", "chats", "presence")
        for field in getattr(default, table).__struct_fields__
        if isinstance(getattr(getattr(default, table), field), Action)
    ]
    assert len(named) == 11
    assert sorted(named) == sorted(name for name, *_ in ACTIONS) == sorted(name for name, *_ in REQUESTS)


def test_what_is_not_given_is_left_out(default: Contract) -> None:
    online = action(default, "chats.online").args({**VARIABLES, "capacity": None})
    assert online == [{"status": "online", "meta": META}]
    start = action(default, "chats.start").args({**VARIABLES, "topic": None})
    assert start == [{"meta": META}]


@pytest.mark.parametrize("name", [name for name, *_ in ACTIONS])
def test_acks(default: Contract, name: str) -> None:
    ack = action(default, name).ack
    assert ack is not None
    assert ack.ok([{"ok": True}])
    assert not ack.ok([REFUSED])
    assert ack.error([REFUSED]) == "FORBIDDEN"
    for odd in ([], [None], ["ok"], None, [{"error": {"code": "X"}}]):
        assert not ack.ok(odd)
        assert ack.captured(odd) == {}


PRESENT = [{"userId": "u1", "status": "online", "devices": 2}]
ANSWERS: list[tuple[str, dict[str, Any], dict[str, object]]] = [
    ("calls.initiate", {"callId": "c1", "status": "ringing", "devices": 2}, {"call": "c1"}),
    ("calls.status", {"call": {"callId": "c1", "status": "active"}}, {"status": "active"}),
    (
        "chats.start",
        {"chatId": "lc1", "status": "assigned", "operatorId": "o1", "position": 0},
        {"chat": "lc1", "status": "assigned", "operator": "o1"},
    ),
    (
        "chats.start",
        {"chatId": "lc1", "status": "queued", "position": 3},
        {"chat": "lc1", "status": "queued"},
    ),
    ("presence.get", {"presence": PRESENT}, {"presence": PRESENT}),
]


@pytest.mark.parametrize(("name", "said", "captured"), ANSWERS)
def test_what_is_captured(
    default: Contract, name: str, said: dict[str, Any], captured: dict[str, object]
) -> None:
    found = action(default, name)
    body = {"ok": True, **said}
    answers: list[tuple[Answer | None, object]] = [(found.ack, [body]), (found.http, body)]
    for answer, root in answers:
        assert answer is not None
        assert answer.captured(root) == captured


def test_what_was_said_in_a_chat_has_a_number(default: Contract) -> None:
    message = action(default, "chats.message")
    assert message.ack is not None and message.http is not None
    assert (message.ack.seq([{"ok": True, "seq": 4}]), message.http.seq({"ok": True, "seq": 4})) == (4, 4)


CALL = {"callId": "c1", "ts": 1, "meta": META}
CHATTED = {"chatId": "lc1", "ts": 1, "meta": META}
ASSIGNED = {**CHATTED, "visitorId": "u1", "operatorId": "o1", "reason": "reassigned"}
SAID = {**CHATTED, "id": "l1", "seq": 2, "senderId": "o1", "senderRole": "operator", "clientMsgId": MARKER}
ON_DUTY = {"operatorId": "o1", "status": "away", "activeChats": 1, "capacity": 5, "ts": 1, "meta": META}
ANSWERED = {**CALL, "answeredBy": {"userId": "u2", "deviceId": "d2", "socketId": "s2"}}
DECLINED = {**CALL, "declinedBy": {"userId": "u2", "deviceId": "d2"}, "reason": "rejected"}
RINGS = {**CALL, "callerId": "u1", "calleeId": "u2", "media": "audio", "expiresAt": 2}

DELIVERIES: list[tuple[str, dict[str, Any], str, str, dict[str, object]]] = [
    ("call:incoming", RINGS, "call.ring", "user", {"subject": "c1", "sender": "u1"}),
    ("call:answered", ANSWERED, "call.answer", "both", {"subject": "c1", "sender": "u2"}),
    ("call:declined", DECLINED, "call.decline", "both", {"subject": "c1", "sender": "u2"}),
    (
        "call:status",
        {**CALL, "status": "missed"},
        "call.status",
        "both",
        {"subject": "c1", "status": "missed"},
    ),
    (
        "liveChat:assigned",
        ASSIGNED,
        "chat.assign",
        "both",
        {"subject": "lc1", "sender": "u1", "operator": "o1", "reason": "reassigned"},
    ),
    (
        "liveChat:message",
        SAID,
        "chat.deliver",
        "both",
        {"subject": "lc1", "room": "lc1", "seq": 2, "sender": "o1"},
    ),
    (
        "liveChat:status",
        {**CHATTED, "status": "closed"},
        "chat.status",
        "both",
        {"subject": "lc1", "status": "closed"},
    ),
    ("liveChat:presence", ON_DUTY, "presence.deliver", "room", {"sender": "o1", "status": "away"}),
    (
        "presence:update",
        {"userId": "u2", "status": "offline", "devices": 0, "ts": 1},
        "presence.deliver",
        "others",
        {"sender": "u2", "status": "offline"},
    ),
]
READ = ("room", "seq", "sender", "subject", "status", "operator", "reason")


@pytest.mark.parametrize(("event", "payload", "operation", "recipients", "says"), DELIVERIES)
def test_what_is_delivered(
    default: Contract,
    event: str,
    payload: dict[str, Any],
    operation: str,
    recipients: str,
    says: dict[str, object],
) -> None:
    (delivery,) = default.deliveries_on(event)
    assert (delivery.operation, delivery.recipients, delivery.volatile) == (operation, recipients, False)
    for args in ([payload], [payload, "an extra argument"]):
        assert delivery.marker(args) == (MARKER if "meta" in payload else None)
        read = {name: getattr(delivery, name)(args) for name in READ}
        assert {name: value for name, value in read.items() if value is not None} == says
    by_itself = [{name: value for name, value in payload.items() if name != "meta"}]
    assert delivery.marker(by_itself) is None
    assert delivery.status(by_itself) == says.get("status")
    for odd in ([], [None], ["text"], None):
        assert [getattr(delivery, name)(odd) for name in (*READ, "marker")] == [None] * 8


def test_every_delivery_has_an_example(default: Contract) -> None:
    kinds = ("call.", "chat.", "presence.")
    here = [one.on for one in default.deliveries if one.operation.startswith(kinds)]
    assert sorted(here) == sorted(row[0] for row in DELIVERIES)
