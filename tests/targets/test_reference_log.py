"""Do copies of the state stay equal, in memory and without a Redis?"""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.targets.reference.clock import MS, SECOND, Clock
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.faults import Fault
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.settings import Settings, SettingsError
from loadtest.targets.reference.shared.census import together
from loadtest.targets.reference.shared.commands import (
    Ask,
    Command,
    Count,
    Do,
    Enter,
    Entry,
    Gone,
    Leave,
    LookUp,
    Order,
    Read,
    Tick,
    decode,
    encode,
    pack,
    unpack,
)
from loadtest.targets.reference.shared.digest import digest
from loadtest.targets.reference.shared.footing import Footing
from loadtest.targets.reference.shared.logclock import LogClock
from loadtest.targets.reference.shared.member import Member
from loadtest.targets.reference.shared.outcome import Outcome

SETTINGS = Settings(redis_url="redis://127.0.0.1:1", rate_limit=5, party_grace_s=1, presence_grace_s=1)
FOOTING = Footing("b", 1_000 * SECOND, {})
USERS = st.sampled_from(["ann", "bob", "olga"])
SIDS = st.sampled_from(["s1", "s2", "s3", "s4"])
ROOMS = st.sampled_from(["x", "y"])


class Ear:
    """The other end of a socket."""

    def __init__(self) -> None:
        self.heard: list[list[Any]] = []

    def push(self, outgoing: Outgoing) -> bool:
        self.heard.append(json.loads(outgoing.text[2:]))
        return True


class Copy:
    """One instance, which is told what stands in the log."""

    def __init__(self) -> None:
        self.member = Member(SETTINGS, FOOTING)
        self.machine = self.member.machine
        self.origin = self.member.stream.origin
        self.ear = Ear()

    def take(self, origin: str, at_ns: int, command: Command) -> Outcome:
        clock: Any = self.member.core.clock
        # what went over the wire, and not the very objects that the other copy has
        entry = decode(encode(Entry(origin, at_ns, [(1, command)])))
        clock.enter(entry.at_ns)
        try:
            return self.machine.apply(entry.commands[0][1], origin)
        finally:
            clock.leave()

    @property
    def digest(self) -> str:
        return self.machine.digest()


def does(name: str, **payload: Any) -> st.SearchStrategy[Command]:
    """Anybody does it, by a socket or over HTTP."""
    packed = st.fixed_dictionaries({key: value if isinstance(value, st.SearchStrategy) else st.just(value)
                                    for key, value in payload.items()}).map(pack)  # fmt: skip
    by_socket = st.builds(Do, SIDS, st.just(name), packed)
    by_http = st.builds(Ask, USERS, st.just("operator"), USERS, st.just(name), packed, st.booleans())
    return by_socket | by_http


FAULTS = st.sampled_from(
    [
        Fault("loseDeliveries", 0.3),
        Fault("duplicate", 0.3),
        Fault("reorder", 0.5),
        Fault("delay", ms=50),
        Fault("denyAuth"),
        Fault("none"),
    ]
)
CHAT = st.integers(1, 3).map(lambda number: f"lcb-{number}")
CALL = st.integers(1, 3).map(lambda number: f"cb-{number}")
CLIENT_ID = st.sampled_from("123456")
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Enter, SIDS, USERS, st.just("operator"), st.sampled_from(["phone", "desk"])),
    st.builds(Leave, SIDS),
    does("joinRoom", room=ROOMS.map("conversation:{}".format), sinceSeq=st.integers(0, 3)),
    does("leaveRoom", room=ROOMS.map("conversation:{}".format)),
    does("message:send", conversationId=ROOMS, body="", clientMsgId=CLIENT_ID),
    does("message:read", conversationId=ROOMS, upToSeq=st.integers(0, 5)),
    does("typing:start", conversationId=ROOMS),
    does("call:initiate", calleeId=USERS, media="audio"),
    does("call:answer", callId=CALL),
    does("call:end", callId=CALL),
    does("liveChat:operatorStatus", status=st.sampled_from(["online", "away", "offline"])),
    does("liveChat:start"),
    does("liveChat:message", chatId=CHAT, body="", clientMsgId=CLIENT_ID),
    does("liveChat:close", chatId=CHAT),
    st.builds(Read, USERS, st.sampled_from("mcl"), st.none(), st.just(10)),
    st.builds(LookUp, USERS, ROOMS, st.integers(0, 3), st.just(10)),
    st.builds(Order, FAULTS),
    st.just(Tick()),
    st.builds(Gone, st.sampled_from(["one", "other"])),
)
STEPS = st.lists(st.tuples(st.sampled_from(["one", "other"]), st.integers(0, 3_000), COMMANDS), max_size=60)


@given(STEPS)
def test_the_same_log_makes_equal_copies(steps: list[tuple[str, int, Command]]) -> None:
    """One copy has all sockets, the other none, and each counts what it was asked itself."""
    one, other = Copy(), Copy()
    origins = {"one": one.origin, "other": other.origin}
    now_ns = FOOTING.since_ns
    for name, wait_ms, command in steps:
        now_ns += wait_ms * MS
        told = Gone(origins[command.origin]) if isinstance(command, Gone) else command
        if isinstance(told, Enter):
            one.machine.receivers[told.sid] = one.ear
        outcomes = [copy.take(origins[name], now_ns, told) for copy in (one, other)]
        answers = [answer_of(outcome) for outcome in outcomes]
        assert answers[0] == answers[1]
        assert one.digest == other.digest
    for kind in ("received", "accepted"):
        mine, theirs = (getattr(copy.member.core.counters, kind) for copy in (one, other))
        asked = sum(isinstance(command, Do | Ask) for _, _, command in steps)
        assert sum(mine.values()) + sum(theirs.values()) <= asked
    emitted = [copy.member.core.counters.emitted for copy in (one, other)]
    assert sum(emitted[0].values()) >= len(one.ear.heard)
    assert sum(emitted[1].values()) == 0 or any(isinstance(command, Read) for _, _, command in steps)


def answer_of(outcome: Outcome) -> Any:
    try:
        return outcome()
    except Refusal as no:
        return no.error()


def test_a_digest_sees_every_difference() -> None:
    seen: set[str] = set()
    copy = Copy()
    at = itertools.count(FOOTING.since_ns, SECOND)
    for command in (
        Enter("s1", "ann", "user", "phone"),
        Enter("s1", "ann", "user", "desk"),
        Do("s1", "joinRoom", pack({"room": "conversation:x"})),
        Do("s1", "message:send", pack({"conversationId": "x", "body": "", "clientMsgId": "1"})),
        Do("s1", "message:read", pack({"conversationId": "x", "upToSeq": 1})),
        Read("bob", "m", None, 10),
        Order(Fault("reorder", 0.5)),
        Order(Fault("none")),
        Leave("s1"),
    ):
        copy.take("one", next(at), command)
        seen.add(copy.digest)
    # when the fault has ended, all is as it was before
    assert len(seen) == 8


def test_a_digest_knows_no_order_in_sets_and_ends_in_circles() -> None:
    circle: list[object] = [1]
    circle.append(circle)
    assert digest(circle) == digest(circle) != digest([1, [1]])
    assert digest({"a", "b", "c"}) == digest({"c", "b", "a"}) != digest({"a", "b"})
    assert digest({"a": 1, "b": 2}) != digest({"b": 2, "a": 1})


def test_a_socket_of_another_instance_is_a_name_only() -> None:
    one, other = Copy(), Copy()
    one.machine.receivers["s1"] = one.ear
    for copy in (one, other):
        for command in (
            Enter("s1", "ann", "user", "phone"),
            Do("s1", "joinRoom", pack({"room": "conversation:x"})),
            Do("s1", "message:send", pack({"conversationId": "x", "body": "", "clientMsgId": "1"})),
        ):
            copy.take(one.origin, FOOTING.since_ns, command)
    assert [event for event, _ in one.ear.heard] == ["message:new"]
    assert one.member.core.counters.emitted == {"message:new": 1}
    assert other.member.core.counters.emitted["message:new"] == 0
    assert one.member.core.counters.accepted == {"joinRoom": 1, "message:send": 1}
    assert other.member.core.counters.accepted == {}


def test_a_dead_instance_takes_its_sockets_along_and_hears_of_it() -> None:
    copy, told = Copy(), []
    copy.machine.on_dead = lambda: told.append("dead")
    for sid, origin in (("s1", "other/1"), ("s2", "other/1"), ("s3", copy.origin)):
        copy.take(origin, FOOTING.since_ns, Enter(sid, "ann", "user", sid))
    assert set(copy.machine.origins()) == {"other/1", copy.origin}
    copy.take(copy.origin, FOOTING.since_ns, Gone("other/1"))
    assert (list(copy.machine.sessions), told) == (["s3"], [])
    copy.take("third/1", FOOTING.since_ns, Gone(copy.origin))
    assert (list(copy.machine.sessions), told) == ([], ["dead"])
    late = copy.take(copy.origin, FOOTING.since_ns, Do("s3", "joinRoom", pack({"room": "conversation:x"})))
    with pytest.raises(Refusal, match="NOT_AUTHENTICATED"):
        late()


def test_a_fault_of_ours_is_refused_and_the_next_command_carried_out(caplog: Any) -> None:
    copy = Copy()
    with pytest.raises(Refusal, match="INTERNAL"):
        copy.take("one", FOOTING.since_ns, Read("ann", "no such letter", None, 1))()
    assert "failed" in caplog.text
    assert copy.take("one", FOOTING.since_ns, Count(digest=False))() == 2


def test_the_writes_of_a_token_are_counted_together_wherever_they_are_asked_for() -> None:
    copy = Copy()

    def ask(name: str, origin: str, at_ns: int = FOOTING.since_ns, **payload: Any) -> Any:
        return copy.take(origin, at_ns, Ask("ann", "user", "k", name, pack(payload), False))()

    ask("joinRoom", "one", room="conversation:x")
    message = {"conversationId": "x", "body": ""}
    for n in range(SETTINGS.rate_limit):
        origin = "one" if n % 2 else "other"
        assert ask("message:send", origin, **message, clientMsgId=str(n))["seq"] == n + 1
    with pytest.raises(Refusal, match="RATE_LIMITED"):
        ask("message:send", "one", **message, clientMsgId="x")
    later_ns = FOOTING.since_ns + 60 * SECOND
    assert ask("message:send", "one", later_ns, **message, clientMsgId="x")["seq"] == SETTINGS.rate_limit + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


@given(JSON)
def test_a_payload_comes_back_as_it_was(payload: Any) -> None:
    assert unpack(pack(payload)) == payload


def test_numbers_and_attachments_come_back_as_they_were() -> None:
    for payload in ({"n": 2**200}, {"n": 1.0}, {"file": b"\x00\xff"}):
        again = unpack(pack(payload))
        assert again == payload and [type(one) for one in again.values()] == [
            type(one) for one in payload.values()
        ]


def test_time_never_falls_in_the_log_and_goes_on_outside() -> None:
    clock = LogClock(1, FOOTING.since_ns)
    clock.enter(5)
    assert clock.now_ns() == 5
    clock.leave()
    assert clock.now_ns() > 5
    clock.enter(3)
    assert clock.now_ns() == 5


def test_two_clocks_agree_however_fast_they_run() -> None:
    since_ns = Clock().now_ns() - 10 * SECOND
    one, other = Clock(100, since_ns), Clock(100, since_ns)
    assert abs(one.now_ns() - other.now_ns()) < 100 * SECOND
    assert one.now_ns() >= since_ns + 1000 * SECOND


def test_counts_are_added_up_and_the_slowest_loop_speaks_for_all() -> None:
    row = {"instance": "a", "pid": 1, "received": {"x": 1}, "emitted": {}, "accepted": {"x": 1, "y": 2},
           "sockets": 1, "rateLimited": 2, "cpuSeconds": 0.5, "rssBytes": 10, "loopLagMsP99": 1.0}  # fmt: skip
    other = {**row, "instance": "b", "received": {"x": 2, "z": 1}, "loopLagMsP99": 3.0}
    assert together([row, other]) == {
        "instance": "a",
        "received": {"x": 3, "z": 1},
        "emitted": {},
        "accepted": {"x": 2, "y": 4},
        "sockets": 2,
        "rateLimited": 4,
        "cpuSeconds": 1.0,
        "rssBytes": 20,
        "loopLagMsP99": 3.0,
    }


def test_an_instance_is_named_by_its_environment() -> None:
    settings = Settings.from_environment({"REDIS_URL": "redis://h/0", "CLUSTER": "c", "INSTANCE": "a.1"})
    assert (settings.shared, settings.cluster, settings.instance) == (True, "c", "a.1")
    alone = Settings.from_environment({})
    assert not alone.shared and alone == Settings()
    with pytest.raises(SettingsError) as wrong:
        Settings.from_environment({"REDIS_URL": "h:6379", "CLUSTER": "a b", "INSTANCE": "é"})
    assert [fault.split("=")[0] for fault in wrong.value.faults] == ["REDIS_URL", "CLUSTER", "INSTANCE"]
