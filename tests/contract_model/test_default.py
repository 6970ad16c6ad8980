"""Does the packaged contract say of messaging what the servers of this project understand, both ways?"""

import pytest

from loadtest.contract import Action, Contract, HttpCall

USER: dict[str, object] = {"user": "u1", "device": "d1", "token": "jwt"}
SEND = {**USER, "room": "r1", "body": "hello", "marker": "run:u1:7"}
MESSAGE = {
    "id": "m1",
    "conversationId": "r1",
    "seq": 12,
    "senderId": "u1",
    "body": "hello",
    "type": "text",
    "clientMsgId": "run:u1:7",
    "ts": 1_700_000_000_000,
    "meta": {"m": "run:u1:7"},
}
REFUSED = {"ok": False, "error": {"code": "RATE_LIMITED", "message": "slow down", "retryAfterMs": 1000}}


def action(contract: Contract, name: str) -> Action:
    assert contract.typing is not None
    found = {
        "join": contract.join,
        "leave": contract.leave,
        "send": contract.send,
        "read": contract.read,
        "typing.start": contract.typing.start,
        "typing.stop": contract.typing.stop,
    }[name]
    assert found is not None
    return found


def http(contract: Contract, name: str) -> HttpCall:
    call = action(contract, name).http
    assert call is not None
    return call


TYPING = {"conversationId": "r1", "meta": {"m": "run:u1:7"}}
SENT = {"conversationId": "r1", "body": "hello", "clientMsgId": "run:u1:7", "meta": {"m": "run:u1:7"}}
READ = {"conversationId": "r1", "upToSeq": 12, "meta": {"m": "run:u1:7"}}
JOIN = {"room": "conversation:r1", "sinceSeq": 11}
LEAVE = {"room": "conversation:r1"}

ACTIONS = [
    ("join", {"since_seq": 11}, "joinRoom", [JOIN]),
    ("join", {"since_seq": None}, "joinRoom", [{"room": "conversation:r1"}]),
    ("join", {"since_seq": 0}, "joinRoom", [{"room": "conversation:r1", "sinceSeq": 0}]),
    ("leave", {}, "leaveRoom", [LEAVE]),
    ("send", {}, "message:send", [SENT]),
    ("read", {"seq": 12}, "message:read", [READ]),
    ("typing.start", {}, "typing:start", [TYPING]),
    ("typing.stop", {}, "typing:stop", [TYPING]),
]


@pytest.mark.parametrize(("name", "variables", "event", "args"), ACTIONS)
def test_what_is_emitted(
    default: Contract, name: str, variables: dict[str, object], event: str, args: list[object]
) -> None:
    found = action(default, name)
    assert (found.emit, found.args(SEND | variables)) == (event, args)


REQUESTS = [
    ("join", {"since_seq": 11}, "/api/rooms/join", JOIN, {200}),
    ("join", {"since_seq": None}, "/api/rooms/join", {"room": "conversation:r1"}, {200}),
    ("leave", {}, "/api/rooms/leave", LEAVE, {200}),
    ("send", {}, "/api/messages", SENT, {200, 201}),
    ("read", {"seq": 12}, "/api/messages/read", READ, {200}),
    ("typing.start", {}, "/api/typing", {**TYPING, "state": "start"}, {200, 204}),
    ("typing.stop", {}, "/api/typing", {**TYPING, "state": "stop"}, {200, 204}),
]


@pytest.mark.parametrize(("name", "variables", "target", "body", "ok"), REQUESTS)
def test_what_is_posted(
    default: Contract, name: str, variables: dict[str, object], target: str, body: object, ok: set[int]
) -> None:
    call = http(default, name)
    assert (call.method, call.target(SEND | variables), call.body(SEND | variables)) == ("POST", target, body)
    assert {status for status in range(100, 600) if call.ok(status)} == ok
    assert call.error(REFUSED) == "RATE_LIMITED"
    assert call.error({"ok": True}) is None


@pytest.mark.parametrize("name", ["join", "leave", "send", "read"])
def test_acks(default: Contract, name: str) -> None:
    ack = action(default, name).ack
    assert ack is not None
    assert ack.ok([{"ok": True}])
    assert not ack.ok([REFUSED])
    assert ack.error([REFUSED]) == "RATE_LIMITED"
    for odd in ([], [None], ["ok"], [{"ok": None}], [[True]], None, [{"error": {"code": "X"}}]):
        assert not ack.ok(odd)
        assert ack.seq(odd) is None
        assert ack.missed(odd) == []


def test_typing_has_no_ack(default: Contract) -> None:
    assert action(default, "typing.start").ack is None
    assert action(default, "typing.stop").ack is None


def test_what_the_acks_say_beside_yes(default: Contract) -> None:
    sent = {"ok": True, "id": "m1", "seq": 12, "ts": 1, "duplicate": False}
    joined = {"ok": True, "room": "r", "members": 2, "lastSeq": 12, "missed": [MESSAGE], "truncated": False}
    for answer, root in ((default.send.ack, [sent]), (http(default, "send"), sent)):
        assert answer is not None
        assert answer.seq(root) == 12
    for answer, root in ((action(default, "join").ack, [joined]), (http(default, "join"), joined)):
        assert answer is not None
        assert answer.last_seq(root) == 12
        assert answer.missed(root) == [MESSAGE]
        # what was missed reads as what is delivered
        assert [default.deliveries[0].marker([message]) for message in answer.missed(root)] == ["run:u1:7"]
    read = action(default, "read").ack
    assert read is not None
    assert read.seq([{"ok": True, "upToSeq": 12}]) == 12


def test_authenticate(default: Contract) -> None:
    rule = default.authenticate
    assert rule is not None
    assert rule.emit == "authenticate"
    assert rule.args(USER) == [{"userId": "u1", "token": "jwt", "deviceId": "d1"}]
    assert rule.args(USER | {"device": None}) == [{"userId": "u1", "token": "jwt"}]
    assert rule.ack is not None
    assert rule.ack.ok([{"ok": True, "userId": "u1"}])
    assert rule.ack.error([{"ok": False, "error": {"code": "AUTH_EXPIRED"}}]) == "AUTH_EXPIRED"


RECEIPT = {"conversationId": "r1", "userId": "u2", "upToSeq": 12, "ts": 1, "meta": {"m": "run:u2:1"}}
SIGNAL = {"conversationId": "r1", "userId": "u2", "ts": 1, "meta": {"m": "run:u2:3"}}
DELIVERIES = [
    ("message:new", MESSAGE, "message.deliver", "run:u1:7", 12, "u1", "room", False),
    ("message:read", RECEIPT, "receipt.deliver", "run:u2:1", 12, "u2", "others", False),
    ("typing:start", SIGNAL, "typing.deliver", "run:u2:3", None, "u2", "others", True),
]


@pytest.mark.parametrize(
    ("event", "payload", "operation", "marker", "seq", "sender", "recipients", "volatile"), DELIVERIES
)
def test_what_is_delivered(
    default: Contract,
    event: str,
    payload: object,
    operation: str,
    marker: str,
    seq: int | None,
    sender: str,
    recipients: str,
    volatile: bool,
) -> None:
    (delivery,) = default.deliveries_on(event)
    assert (delivery.operation, delivery.recipients, delivery.volatile) == (operation, recipients, volatile)
    for args in ([payload], [payload, "an extra argument"]):
        assert delivery.marker(args) == marker
        assert (delivery.room(args), delivery.seq(args), delivery.sender(args)) == ("r1", seq, sender)
    for odd in ([], [None], ["text"], [{"meta": {"m": 5}, "seq": "12", "conversationId": 1}], None):
        assert (delivery.marker(odd), delivery.room(odd), delivery.seq(odd)) == (None, None, None)


def test_every_delivery_has_an_example(default: Contract) -> None:
    elsewhere = ("call.", "chat.", "presence.")
    here = [one.on for one in default.deliveries if not one.operation.startswith(elsewhere)]
    assert here == [row[0] for row in DELIVERIES]


def test_what_is_known_and_not_measured(default: Contract) -> None:
    assert default.ignored == ("authenticated", "typing:stop", "call:ended")
    # typing:stop: the server's own carries the marker of the start
    assert [default.deliveries_on(event) for event in default.ignored] == [(), (), ()]


FEEDS = [
    ("messages", "/api/messages/feed", 1500, ("message.", "receipt.", "typing.", "presence.")),
    ("calls", "/api/calls/feed", 3000, ("call.",)),
    ("live_chat", "/api/live-chat/feed", 2000, ("chat.", "presence.")),
]


def test_there_are_three_feeds(default: Contract) -> None:
    assert [feed.name for feed in default.feeds] == [row[0] for row in FEEDS]
    assert default.feed("nobody's") is None


@pytest.mark.parametrize(("name", "path", "interval_ms", "kinds"), FEEDS)
def test_a_feed(default: Contract, name: str, path: str, interval_ms: int, kinds: tuple[str, ...]) -> None:
    feed = default.feed(name)
    assert feed is not None
    assert feed.interval_ms == default.documented.poll_ms[name] == interval_ms
    measured = {delivery.operation for delivery in default.deliveries}
    assert set(feed.operations) == {one for one in measured if one.startswith(kinds)}
    assert feed.etag
    assert feed.target(USER) == f"{path}?limit=100"
    assert feed.target(USER, "a b&c") == f"{path}?limit=100&cursor=a%20b%26c"
    assert [feed.outcome(status) for status in (200, 304, 410, 401, 429, 500)] == [
        "news", "unchanged", "expired", "failed", "failed", "failed"
    ]  # fmt: skip
    items = [{"event": "message:new", "data": MESSAGE, "pos": 5}, {"odd": 1}, None, {"event": 5}]
    body = {"items": items, "cursor": "c5", "hasMore": True, "serverTime": 1}
    assert feed.events(body) == [("message:new", [MESSAGE])]
    assert (feed.next_cursor(body), feed.has_more(body)) == ("c5", True)
    assert feed.fresh_cursor({"cursor": 9}) == "9"
    odd_bodies: list[object] = [None, [], {"items": {}}, "text"]
    for odd in odd_bodies:
        assert (feed.events(odd), feed.next_cursor(odd), feed.has_more(odd)) == ([], None, False)


def test_errors(default: Contract) -> None:
    rule = default.error_on("error")
    assert rule is not None
    args = [{"code": "RATE_LIMITED", "limit": 100, "clientMsgId": "run:u1:7", "fatal": False}]
    assert (rule.code(args), rule.marker(args)) == ("RATE_LIMITED", "run:u1:7")
    assert [default.counted_as(code) for code in ("RATE_LIMITED", "FORBIDDEN", None)] == [
        "rate_limited", "FORBIDDEN", "unknown"
    ]  # fmt: skip
    assert default.error_on("message:new") is None


def test_headers_are_realistic(default: Contract) -> None:
    assert default.headers is not None
    variables = {**USER, "host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"}
    library = default.headers.lines("library", variables)
    browser = default.headers.lines("browser", variables)
    for lines in (library, browser):
        assert lines[0] == ("Host", "127.0.0.1:3000")
        assert ("Authorization", "Bearer jwt") in lines
        assert len({name.lower() for name, _ in lines}) == len(lines)
    assert ("Referer", "http://app.example/") in browser
    asking = default.headers.asking("GET", "authorization", variables)
    assert asking[0] == ("Host", "127.0.0.1:3000")
    assert {name: value for name, value in browser if name in ("Origin", "User-Agent")}.items() <= dict(
        asking
    ).items()
    assert ("Access-Control-Request-Method", "GET") in asking
    assert ("Access-Control-Request-Headers", "authorization") in asking
    assert not any(name == "Authorization" for name, _ in asking)
    sizes = [sum(len(f"{name}: {value}\r\n") for name, value in lines) for lines in (library, browser)]
    assert 150 < sizes[0] < 250  # bytes, with a token of three
    assert 500 < sizes[1] < 800


def test_the_ways_in_and_the_facts(default: Contract) -> None:
    connect, documented = default.connect, default.documented
    assert (default.name, connect.path, connect.namespace({})) == ("default", "/socket.io", "/")
    assert connect.auth(USER) is None
    assert connect.health is not None
    assert connect.health.path == "/"
    assert connect.health.ok(200, {"status": "ok"})
    assert not connect.health.ok(200, {"status": "ok", "more": 1})
    assert not connect.health.ok(503, {"status": "ok"})
    assert connect.config is not None
    assert connect.config.path == "/api/config"
    assert not connect.config.websocket({"websocket": False})
    assert all(connect.config.websocket(body) for body in ({"websocket": True}, {}, None))
    assert connect.config.fault_control({"faultControl": "http://x"}) == "http://x"
    assert documented.reconnect_delays_ms == (1000, 2000, 4000, 8000, 16000)
    assert documented.rate_limit is not None
    assert (documented.rate_limit.limit, documented.rate_limit.window_ms) == (100, 60_000)
    assert documented.poll_ms == {"messages": 1500, "calls": 3000, "live_chat": 2000}
    assert (default.hooks.stats, default.hooks.fault) == ("/__stats", "/__fault")
    assert default.calls is not None
    assert (default.calls.ring_timeout_ms, default.token.lifetime_s) == (30_000, 86_400)


def test_nothing_can_be_changed(default: Contract) -> None:
    with pytest.raises(AttributeError):
        default.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        default.documented.poll_ms["messages"] = 1  # type: ignore[index]
