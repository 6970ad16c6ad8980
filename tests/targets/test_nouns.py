"""Do the other nouns (rooms, typists, tokens, payloads, settings) do what their docstrings say?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.targets.reference.call_payloads import parse_decline, parse_initiate, parse_request
from loadtest.targets.reference.clock import SECOND, Clock
from loadtest.targets.reference.conversations import Conversations
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.fields import is_conversation_id
from loadtest.targets.reference.payloads import parse_join, parse_read, parse_send, parse_typing
from loadtest.targets.reference.presence_watch import parse_presence
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rooms import Rooms
from loadtest.targets.reference.settings import Settings, SettingsError
from loadtest.targets.reference.tokens import Tokens
from loadtest.targets.reference.typists import TYPING_TTL_NS, Typists

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@dataclass(frozen=True)
class Socket:
    sid: str
    user_id: str


def outcome(parse: Callable[[object], object], payload: object) -> str:
    """What a parser makes of a payload: ok, or the code of its refusal."""
    try:
        parse(payload)
    except Refusal as no:
        return no.code
    return "ok"


# -- rooms and conversations

STEP = st.tuples(st.sampled_from(["enter", "leave", "drop"]), st.integers(0, 3), st.sampled_from("xyz"))


@given(st.lists(STEP, max_size=60))
def test_rooms_agree_with_a_set_of_pairs(steps: list[tuple[str, int, str]]) -> None:
    rooms, pairs = Rooms[Socket](), set[tuple[str, str]]()
    for action, number, room in steps:
        socket = Socket(f"s{number}", f"u{number % 2}")
        if action == "enter":
            rooms.enter(room, socket)
            pairs.add((room, socket.sid))
        elif action == "leave":
            rooms.leave(room, socket.sid)
            pairs.discard((room, socket.sid))
        else:
            assert rooms.drop(socket.sid) == {r for r, sid in pairs if sid == socket.sid}
            pairs = {(r, sid) for r, sid in pairs if sid != socket.sid}
        assert {(r, sid) for r in "xyz" for sid in rooms.listeners(r)} == pairs
        assert len(rooms) == len({r for r, _ in pairs})
        assert rooms.hears(room, "u0") == any(r == room and sid in ("s0", "s2") for r, sid in pairs)


def test_a_conversation_is_for_its_members() -> None:
    conversations = Conversations()
    with pytest.raises(Refusal) as unknown:
        conversations.of_member("c", "ann")
    assert (unknown.value.code, unknown.value.status) == ("FORBIDDEN", 404)
    conversations.open("c").members.add("ann")
    assert conversations.open("c") is conversations.of_member("c", "ann") is conversations.find("c")
    with pytest.raises(Refusal) as stranger:
        conversations.of_member("c", "eve")
    assert (stranger.value.code, stranger.value.status) == ("FORBIDDEN", 403)


# -- typists

TYPING_STEP = st.tuples(
    st.sampled_from(["start", "stop", "gone", "wait"]),
    st.sampled_from("ab"),
    st.sampled_from("xy"),
    st.integers(0, 3),
)


@given(st.lists(TYPING_STEP, max_size=60))
def test_typists_agree_with_a_table_of_deadlines(steps: list[tuple[str, str, str, int]]) -> None:
    typists, table, now = Typists[str](), dict[tuple[str, str], int](), 0
    for action, source, conversation, seconds in steps:
        if action == "start":
            typists.start(source, conversation, now, source + conversation)
            table[source, conversation] = now + TYPING_TTL_NS
        elif action == "stop":
            typists.stop(source, conversation)
            table.pop((source, conversation), None)
        elif action == "gone":
            assert sorted(typists.gone(source)) == sorted(s + c for s, c in table if s == source)
            table = {key: at for key, at in table.items() if key[0] != source}
        else:
            now += seconds * SECOND
        ended = {key for key, at in table.items() if at <= now}
        assert sorted(typists.silent(now)) == sorted(s + c for s, c in ended)
        table = {key: at for key, at in table.items() if key not in ended}


# -- tokens


def test_a_token_holds_until_the_nanosecond_it_expires() -> None:
    tokens = Tokens("s" * 32)
    token = tokens.issue("ann", "operator", 100 * SECOND)
    claims = tokens.verify(token, 100 * SECOND - 1)
    assert (claims.user_id, claims.role, claims.expires_at_ms) == ("ann", "operator", 100_000)
    with pytest.raises(Refusal, match="AUTH_EXPIRED"):
        tokens.verify(token, 100 * SECOND)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "ann"},
        {"exp": 100},
        {"sub": 7, "exp": 100},
        {"sub": "", "exp": 100},
        {"sub": "x" * 129, "exp": 100},
        {"sub": "ann", "exp": 100, "role": ["user"]},
        {"sub": "ann", "exp": "soon"},
        {"sub": "ann", "exp": float("inf")},
        {"sub": "ann", "exp": True},
    ],
)
def test_a_token_without_the_claims_is_invalid(claims: dict[str, Any]) -> None:
    # PyJWT's own encoder would refuse to sign some of these.
    signed = jwt.api_jws.encode(json.dumps(claims).encode(), "s" * 32, "HS256")
    with pytest.raises(Refusal, match="AUTH_INVALID"):
        Tokens("s" * 32).verify(signed, 0)


# -- payloads


FIELDS = {
    "room": JSON,
    "conversationId": st.just("c") | JSON,
    "body": JSON,
    "clientMsgId": JSON,
    "upToSeq": JSON,
    "meta": JSON,
    "calleeId": st.just("bob") | JSON,
    "media": st.just("audio") | JSON,
    "callId": st.just("c1") | JSON,
    "deviceId": JSON,
    "sdp": JSON,
    "reason": JSON,
    "clientCallId": JSON,
    "userIds": JSON,
}


@settings(max_examples=50)
@given(JSON | st.fixed_dictionaries({}, optional=FIELDS))
def test_no_payload_breaks_a_parser(payload: object) -> None:
    codes = ("ok", "PAYLOAD_INVALID", "PAYLOAD_TOO_LARGE", "ROOM_INVALID")
    messaging = (parse_join, parse_send, parse_read, parse_typing)
    calls = (parse_initiate, parse_request, parse_decline)
    for parse in (*messaging, *calls, parse_presence):
        assert outcome(parse, payload) in codes


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a", True),
        ("A:_.-9", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("ä", False),
        ("a\n", False),
        ("a/b", False),
    ],
)
def test_conversation_ids(text: str, valid: bool) -> None:
    assert is_conversation_id(text) is valid


# -- settings


def test_defaults_are_those_of_production() -> None:
    settings = Settings.from_environment({"PATH": "/bin", "PORT": "", "RATE_LIMIT": " "})
    assert settings == Settings()
    assert (settings.port, settings.rate_limit, settings.token_secret) == (3000, 100, DEVELOPMENT_SECRET)
    assert settings.test_hooks
    assert len(DEVELOPMENT_SECRET.encode()) >= 32


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_hooks_exist_on_loopback_only(bind: str, loopback: bool) -> None:
    settings = Settings.from_environment({"BIND": bind, "TOKEN_SECRET": "s" * 32, "TEST_HOOKS": "1"})
    assert settings.on_loopback is settings.test_hooks is loopback


def test_every_fault_is_named() -> None:
    wrong = {
        "PORT": "70000",
        "RATE_LIMIT": "many",
        "RATE_LIMIT_SCOPE": "some",
        "PING_INTERVAL": "0",
        "PING_TIMEOUT": "nan",
        "MAX_HTTP_BUFFER_SIZE": "1",
        "ENABLE_WEBSOCKET": "perhaps",
        "TEST_HOOKS": "2",
        "RING_TIMEOUT": "0",
        "PARTY_GRACE": "-1",
        "PRESENCE_GRACE": "soon",
        "VISITOR_GRACE": "inf",
        "PRESENCE_BROADCAST": "loud",
        "LIVECHAT_ASSIGN": "some",
        "TOKEN_SECRET": "short",
    }
    with pytest.raises(SettingsError) as bad:
        Settings.from_environment(wrong)
    assert len(bad.value.faults) == len(wrong)
    for name, fault in zip(wrong, bad.value.faults, strict=False):
        assert any(name in other for other in bad.value.faults), fault


# -- the small rest


@given(st.binary(max_size=300) | st.sampled_from([b"x" * n for n in (125, 126, 65_535, 65_536)]))
def test_a_frame_is_what_websockets_would_write(text: bytes) -> None:
    assert Outgoing(text).frame == Frame(Opcode.TEXT, text).serialize(mask=False)


@given(st.lists(st.integers(0, 1000), max_size=300))
def test_the_99th_percentile_is_by_nearest_rank(lags: list[int]) -> None:
    counters = Counters()
    for lag in lags:
        counters.lagged(lag)
    value = counters.lag_p99_ns()
    if lags:
        assert sum(lag <= value for lag in lags) * 100 >= 99 * len(lags)
        assert value in lags
        assert sum(lag < value for lag in lags) * 100 < 99 * len(lags)
    else:
        assert value == 0


def test_the_clock_shows_epoch_nanoseconds_and_never_falls() -> None:
    clock = Clock()
    times = [clock.now_ns() for _ in range(1000)]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000 * SECOND
