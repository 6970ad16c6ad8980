"""Does the book of live chats keep its rules, whatever people do and in whichever order?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from loadtest.targets.reference.attendance import Attendance
from loadtest.targets.reference.chats import (
    REFUSALS,
    TRANSITIONS,
    Assigned,
    Change,
    Chat,
    Closed,
    Input,
    OnDuty,
    Queued,
    State,
)
from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.live_chats import KEPT_NS, LiveChats
from loadtest.targets.reference.ratelimit import SlidingWindow
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.sessions import Actor
from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.support import Support
from loadtest.targets.reference.support_payloads import (
    Declaration,
    parse_about_chat,
    parse_declaration,
    parse_say,
    parse_start,
)

OPERATOR_GRACE_NS, VISITOR_GRACE_NS = 10 * SECOND, 60 * SECOND
IMPOSSIBLE = {
    ("queued", "operator_gone"),
    ("assigned", "assign"),
    ("closed", "assign"),
    ("closed", "operator_gone"),
    ("closed", "visitor_gone"),
}


def meta(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"of": text}))


def book(*, automatic: bool = True) -> LiveChats:
    return LiveChats(
        "lc",
        automatic=automatic,
        operator_grace_ns=OPERATOR_GRACE_NS,
        visitor_grace_ns=VISITOR_GRACE_NS,
    )


class Desk:
    """A book in the hands of a test: everybody has a socket, and time passes when told to."""

    def __init__(self, *, automatic: bool = True) -> None:
        self.book = book(automatic=automatic)
        self.now_ns = SECOND

    def start(self, visitor: str, about: str = "start") -> Chat:
        return self.book.start(visitor, meta(about), by_socket=True, now_ns=self.now_ns)[0]

    def declare(self, user: str, status: Any = "online", capacity: int | None = None) -> None:
        self.book.declare(user, status, capacity, meta(status), by_socket=True, now_ns=self.now_ns)

    def accept(self, chat: Chat, user: str) -> bool:
        return self.book.accept(chat.id, user, meta("accept"), by_socket=True, now_ns=self.now_ns)

    def close(self, chat: Chat, user: str) -> bool:
        return self.book.close(chat.id, user, meta("close"), by_socket=True, now_ns=self.now_ns)

    def back(self, user: str) -> None:
        self.book.seen(user, by_socket=True, now_ns=self.now_ns)

    def drop(self, user: str) -> None:
        self.book.went(user, self.now_ns)

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)
        self.book.tick(self.now_ns)


# -- the table


@pytest.mark.parametrize(("state", "given"), list(product(get_args(State), get_args(Input))))
def test_every_input_in_every_state_has_one_answer(state: State, given: Input) -> None:
    pair = (state, given)
    assert [pair in table for table in (TRANSITIONS, REFUSALS, IMPOSSIBLE)].count(True) == 1
    chat = Chat(1, "c", "ann", None, state, "op")
    if pair in TRANSITIONS:
        assert chat.after(given) == TRANSITIONS[pair]
    elif pair in REFUSALS:
        with pytest.raises(Refusal) as no:
            chat.after(given)
        assert (no.value.code, no.value.status) == (REFUSALS[pair], 409)
    else:
        with pytest.raises(KeyError):
            chat.after(given)


def test_nothing_leads_out_of_a_closed_chat_and_everything_can_end() -> None:
    assert {to for (state, _), to in TRANSITIONS.items() if state == "closed"} == {"closed"}
    assert all(TRANSITIONS[state, "close"] == "closed" for state in get_args(State))


# -- attendance


def test_a_poll_vouches_for_one_grace_and_a_socket_for_as_long_as_it_lasts() -> None:
    attendance = Attendance(10)
    assert attendance.seen("ann", by_socket=False, now_ns=0) is None
    assert attendance.seen("bob", by_socket=True, now_ns=0) is None
    assert attendance.lose(10) == []
    assert attendance.lose(11) == ["ann"]
    assert attendance.lose(99) == []
    assert not attendance.is_here("ann") and attendance.is_here("bob")
    attendance.went("bob", 100)
    assert not attendance.is_here("bob")
    assert attendance.seen("bob", by_socket=False, now_ns=105) == "gone"
    assert attendance.is_here("bob")
    assert attendance.seen("ann", by_socket=True, now_ns=106) == "lost"
    assert attendance.seen("ann", by_socket=False, now_ns=107) == "socket"
    assert attendance.lose(116) == ["bob"]
    attendance.forget("ann")
    attendance.went("ann", 117)
    assert attendance.lose(10**6) == []


# -- who gets a chat


def test_the_least_busy_gets_it_and_among_equals_the_longest_online() -> None:
    desk = Desk()
    for operator in ("olga", "omar", "otto"):
        desk.declare(operator, capacity=2)
    got = [desk.start(f"v{number}").operator for number in range(7)]
    assert got == ["olga", "omar", "otto", "olga", "omar", "otto", None]


def test_whoever_was_away_is_last_among_equals_and_a_repeated_online_changes_nothing() -> None:
    desk = Desk()
    desk.declare("olga")
    desk.declare("omar")
    desk.declare("olga", "away")
    desk.declare("olga")
    desk.declare("omar")
    assert [desk.start(f"v{number}").operator for number in range(2)] == ["omar", "olga"]


def test_nobody_chats_with_themselves_and_others_pass_by() -> None:
    desk = Desk()
    desk.declare("olga", capacity=1)
    own = desk.start("olga")
    assert (own.state, desk.book.position(own)) == ("queued", 1)
    other = desk.start("ann")
    assert other.operator == "olga"
    desk.declare("omar")
    assert own.operator == "omar"
    manual = Desk(automatic=False)
    manual.declare("olga")
    with pytest.raises(Refusal, match="FORBIDDEN"):
        manual.accept(manual.start("olga"), "olga")


def test_capacity_stays_until_it_is_changed_and_less_of_it_takes_nobody_away() -> None:
    desk = Desk()
    desk.declare("olga", capacity=2)
    chats = [desk.start(f"v{number}") for number in range(3)]
    desk.declare("olga", capacity=1)
    assert [chat.state for chat in chats] == ["assigned", "assigned", "queued"]
    desk.close(chats[0], "v0")
    assert chats[2].state == "queued"
    desk.close(chats[1], "v1")
    assert chats[2].state == "assigned"
    desk.declare("olga", "away")
    desk.declare("olga")
    assert desk.start("v4").state == "queued"
    desk.declare("olga", capacity=3)
    assert desk.book.counts() == {"open": 2, "queued": 0, "assigned": 2, "orphaned": 0}


# -- what is told


def told(desk: Desk) -> list[tuple[Any, ...]]:
    return [line(change) for change in desk.book.take()]


def line(change: Change) -> tuple[Any, ...]:
    of = None if change.meta is None else msgspec.json.decode(change.meta)["of"]
    match change:
        case Queued():
            return ("queued", change.chat.visitor, change.position, change.moved, of)
        case Assigned():
            return ("assigned", change.chat.visitor, change.operator, change.reason, of)
        case Closed():
            return ("closed", change.chat.visitor, of)
        case OnDuty():
            return (
                change.status,
                change.operator,
                change.active,
                change.capacity,
                [chat.visitor for chat in change.chats],
                of,
            )


def test_every_change_carries_the_meta_of_the_request_that_caused_it() -> None:
    desk = Desk()
    ann = desk.start("ann")
    assert desk.start("ann", "again") is ann
    bob = desk.start("bob")
    desk.declare("olga", capacity=1)
    assert [desk.close(ann, "olga"), desk.close(ann, "ann")] == [True, False]
    assert told(desk) == [
        ("queued", "ann", 1, False, "start"),
        ("queued", "bob", 2, False, "start"),
        ("online", "olga", 1, 1, [], "online"),
        ("assigned", "ann", "olga", "new", "start"),
        ("closed", "ann", "close"),
        ("assigned", "bob", "olga", "new", "start"),
    ]
    desk.declare("olga", "away")
    desk.declare("omar")
    desk.declare("olga", "offline")
    assert bob.operator == "omar"
    assert told(desk) == [
        ("away", "olga", 1, 1, ["bob"], "away"),
        ("online", "omar", 0, 5, [], "online"),
        ("offline", "olga", 0, 1, ["bob"], "offline"),
        ("assigned", "bob", "omar", "reassigned", None),
    ]
    desk.declare("omar", "offline")
    assert told(desk) == [
        ("offline", "omar", 0, 5, ["bob"], "offline"),
        ("queued", "bob", 1, False, None),
    ]


def test_in_manual_mode_the_first_to_accept_has_it() -> None:
    desk = Desk(automatic=False)
    desk.declare("olga", capacity=1)
    desk.declare("omar", "away")
    ann, bob = desk.start("ann"), desk.start("bob")
    assert (ann.state, desk.book.position(bob)) == ("queued", 2)
    assert [desk.accept(ann, "olga"), desk.accept(ann, "olga")] == [True, False]
    with pytest.raises(Refusal) as late:
        desk.accept(ann, "omar")
    assert (late.value.code, late.value.detail) == ("CHAT_ALREADY_ASSIGNED", {"operatorId": "olga"})
    for nobody in ("olga", "omar", "otto"):
        with pytest.raises(Refusal, match="FORBIDDEN"):
            desk.accept(bob, nobody)
    with pytest.raises(Refusal, match="CHAT_NOT_FOUND"):
        desk.book.accept("lc9", "olga", None, by_socket=True, now_ns=desk.now_ns)
    desk.close(bob, "bob")
    with pytest.raises(Refusal, match="CHAT_CLOSED"):
        desk.accept(bob, "olga")
    desk.declare("olga", "offline")
    assert ann.state == "queued"
    desk.declare("omar")
    desk.accept(ann, "omar")
    assert told(desk)[2:] == [
        ("queued", "ann", 1, False, "start"),
        ("queued", "bob", 2, False, "start"),
        ("assigned", "ann", "olga", "new", "accept"),
        ("closed", "bob", "close"),
        ("offline", "olga", 0, 1, ["ann"], "offline"),
        ("queued", "ann", 1, False, None),
        ("online", "omar", 0, 5, [], "online"),
        ("assigned", "ann", "omar", "reassigned", "accept"),
    ]


def test_whoever_moves_up_hears_of_it_once_a_second_at_most() -> None:
    desk = Desk()
    chats = [desk.start(f"v{number}") for number in range(5)]
    desk.wait(1)
    told(desk)
    desk.close(chats[0], "v0")
    desk.wait(0.05)
    assert told(desk)[1:] == [("queued", f"v{n}", n, True, None) for n in range(1, 5)]
    desk.close(chats[2], "v2")
    desk.close(chats[1], "v1")
    desk.wait(0.9)
    assert [change[0] for change in told(desk)] == ["closed", "closed"]
    desk.wait(0.1)
    assert told(desk) == [("queued", "v3", 1, True, None), ("queued", "v4", 2, True, None)]
    desk.wait(5)
    assert told(desk) == []


# -- who is gone


def test_a_short_absence_is_no_news_but_brings_no_chat_either() -> None:
    desk = Desk()
    desk.declare("olga", capacity=2)
    ann = desk.start("ann")
    told(desk)
    desk.drop("olga")
    desk.wait(10)
    assert desk.book.counts()["orphaned"] == 1
    bob = desk.start("bob")
    assert (ann.operator, bob.state) == ("olga", "queued")
    desk.back("olga")
    assert told(desk) == [
        ("queued", "bob", 1, False, "start"),
        ("assigned", "bob", "olga", "new", "start"),
    ]
    assert desk.book.of_user("olga") == [ann, bob]


def test_after_the_grace_an_operator_counts_as_offline_until_they_return() -> None:
    desk = Desk()
    desk.declare("olga")
    desk.declare("omar", "away")
    ann = desk.start("ann")
    told(desk)
    desk.drop("olga")
    desk.wait(10.001)
    assert told(desk) == [("offline", "olga", 0, 5, ["ann"], None), ("queued", "ann", 1, False, None)]
    assert desk.book.operators_online() == []
    desk.back("olga")
    assert told(desk) == [
        ("online", "olga", 1, 5, [], None),
        ("assigned", "ann", "olga", "reassigned", None),
    ]
    assert ann.operator == "olga"


def test_nothing_goes_to_whoever_is_lost_in_the_same_moment_nor_for_them() -> None:
    desk = Desk()
    desk.declare("olga", capacity=1)
    bob = [desk.start("ann"), desk.start("bob")][1]
    for visitor in ("ann", "bob"):
        desk.drop(visitor)
    desk.book.declare("omar", "online", None, None, by_socket=False, now_ns=desk.now_ns)
    assert bob.operator == "omar"
    desk.now_ns += 55 * SECOND
    desk.book.seen("omar", by_socket=False, now_ns=desk.now_ns)
    desk.drop("olga")
    told(desk)
    desk.wait(11)
    assert sorted(change[:2] for change in told(desk)) == [
        ("closed", "ann"),
        ("closed", "bob"),
        ("offline", "olga"),
        ("offline", "omar"),
    ]
    assert desk.book.counts() == {"open": 0, "queued": 0, "assigned": 0, "orphaned": 0}


def test_a_visitor_who_stays_away_makes_room_for_the_next() -> None:
    desk = Desk()
    desk.declare("olga", capacity=1)
    ann, bob = desk.start("ann"), desk.start("bob")
    told(desk)
    desk.drop("ann")
    desk.wait(60)
    assert ann.state == "assigned"
    desk.wait(0.001)
    assert told(desk) == [("closed", "ann", None), ("assigned", "bob", "olga", "new", "start")]
    assert bob.operator == "olga"
    desk.back("ann")
    assert desk.start("ann") is not ann


def test_the_ended_is_forgotten_in_the_end() -> None:
    desk = Desk()
    desk.declare("olga")
    desk.declare("omar")
    ann, bob = desk.start("ann"), desk.start("bob")
    desk.close(ann, "ann")
    desk.drop("omar")
    desk.wait(11)
    desk.declare("olga", "away")
    later = desk.now_ns + KEPT_NS
    assert desk.book.forget(later - 11 * SECOND) == ([], [])
    assert desk.book.forget(later + 1) == ([ann], ["ann", "omar"])
    with pytest.raises(Refusal, match="CHAT_NOT_FOUND"):
        desk.book.find(ann.id)
    assert desk.book.find(bob.id) is bob
    assert desk.book.operators() == ["olga"]
    desk.close(bob, "bob")
    again = desk.start("bob")
    assert desk.book.forget(desk.now_ns + KEPT_NS + 1) == ([bob], [])
    assert desk.book.find(again.id) is again


# -- payloads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "topic": JSON,
    "meta": JSON,
    "status": st.just("online") | JSON,
    "capacity": st.integers(-1, 102) | JSON,
    "chatId": st.just("lc1") | JSON,
    "body": st.just("hello") | JSON,
    "clientMsgId": st.just("c") | JSON,
}


@given(JSON | st.fixed_dictionaries({}, optional=FIELDS))
def test_no_payload_breaks_a_parser(payload: object) -> None:
    for parse in (parse_start, parse_declaration, parse_about_chat, parse_say):
        parsed = outcome(parse, payload)
        if isinstance(parsed, Refusal):
            assert parsed.code in ("PAYLOAD_INVALID", "PAYLOAD_TOO_LARGE")
        else:
            assert isinstance(payload, dict)
        if isinstance(parsed, Declaration):
            assert parsed.capacity is None or 1 <= parsed.capacity <= 100


def outcome(parse: Callable[[object], object], payload: object) -> object:
    try:
        return parse(payload)
    except Refusal as no:
        return no


# -- the use cases of people without sockets


def poller(user: str, role: str = "user") -> Actor:
    return Actor(user, role, SlidingWindow(0, SECOND))


def run(support: Support, event: str, actor: Actor, **payload: Any) -> dict[str, Any]:
    [action] = [action for action in support.actions() if action.name == f"liveChat:{event}"]
    answer = action.run(actor, payload)
    assert answer is not None
    return answer


def test_five_minutes_after_its_end_nothing_of_a_chat_is_kept() -> None:
    core = Core.build(Settings())
    support, ann, olga = Support(core), poller("ann"), poller("olga", "operator")
    run(support, "operatorStatus", olga, status="online")
    chat_id = run(support, "start", ann)["chatId"]
    said = run(support, "message", ann, chatId=chat_id, body="hello", clientMsgId="c")
    run(support, "close", olga, chatId=chat_id)
    run(support, "operatorStatus", olga, status="offline")
    conversation, now_ns = core.conversations.open(chat_id), core.clock.now_ns()
    support.tick(now_ns + KEPT_NS - 10 * SECOND)
    again = run(support, "message", ann, chatId=chat_id, body="hello", clientMsgId="c")
    assert again == {**said, "duplicate": True}
    assert (conversation.members, conversation.log.last_seq) == ({"ann", "olga"}, 1)
    support.tick(now_ns + KEPT_NS + 30 * SECOND)
    for event in ("message", "close"):
        with pytest.raises(Refusal, match="CHAT_NOT_FOUND"):
            run(support, event, ann, chatId=chat_id, body="hello", clientMsgId="c")
    assert (conversation.members, core.conversations.find(chat_id)) == (set(), None)
    assert list(core.conversations.of_user("ann")) == []
    new_id = run(support, "start", ann)["chatId"]
    new = run(support, "message", ann, chatId=new_id, body="hello", clientMsgId="c")
    assert (new["seq"], new["duplicate"], new["id"] == said["id"]) == (1, False, False)


def test_what_is_due_is_told_even_where_a_request_is_refused() -> None:
    core = Core.build(Settings(party_grace_s=0.01))
    support, ann, olga = Support(core), poller("ann"), poller("olga", "operator")
    core.chat_feeds.read("ann", None, 10, core.clock.now_ns())
    chat_id = run(support, "start", ann)["chatId"]
    run(support, "operatorStatus", olga, status="online")
    cursor = core.chat_feeds.read("ann", None, 10, core.clock.now_ns()).cursor
    lost_ns = core.clock.now_ns() + SECOND // 100
    while core.clock.now_ns() <= lost_ns:
        pass
    with pytest.raises(Refusal, match="FORBIDDEN"):
        run(support, "message", poller("eve"), chatId=chat_id, body="", clientMsgId="c")
    items = core.chat_feeds.read("ann", cursor, 10, core.clock.now_ns()).items
    assert [item.event for item in items] == ["liveChat:presence", "liveChat:status"]


# -- anything, in any order

VISITORS = st.sampled_from(["ann", "bob", "eve", "olga"])
OPERATORS = st.sampled_from(["olga", "omar", "otto"])
EVERYBODY = ["ann", "bob", "eve", "olga", "omar", "otto"]


@dataclass
class Person:
    """Somebody as a patient clerk would note them: `on` since when, `heard` the last sign of life."""

    socket: bool = False
    polls: bool = False
    heard: int = 0
    status: str = "offline"
    capacity: int = 5
    lost: bool = False
    online_since: int = 0


@dataclass
class Case:
    visitor: str
    state: str = "queued"
    operator: str | None = None


@dataclass
class Clerk:
    """The rules once more, without indexes and shortcuts: everything is looked at, every time."""

    automatic: bool
    people: dict[str, Person] = field(default_factory=lambda: {name: Person() for name in EVERYBODY})
    cases: list[Case] = field(default_factory=list)
    moments: int = 0

    def silent(self, name: str, now: int) -> int:
        person = self.people[name]
        return 0 if person.socket else now - person.heard

    def here(self, name: str) -> bool:
        person = self.people[name]
        return (person.socket or person.polls) and not person.lost

    def active(self, name: str) -> int:
        return sum(case.state == "assigned" and case.operator == name for case in self.cases)

    def has_room(self, name: str) -> bool:
        person = self.people[name]
        return person.status == "online" and self.here(name) and self.active(name) < person.capacity

    def shown(self, name: str) -> str:
        return "offline" if self.people[name].lost else self.people[name].status

    def waiting(self) -> list[Case]:
        return [case for case in self.cases if case.state == "queued"]

    def expire(self, now: int) -> None:
        for case in self.cases:
            if case.state != "closed" and self.silent(case.visitor, now) > VISITOR_GRACE_NS:
                case.state = "closed"
        for name, person in self.people.items():
            if person.status != "offline" and not person.lost and self.silent(name, now) > OPERATOR_GRACE_NS:
                person.lost = True
                self.release(name)
        self.settle()

    def release(self, name: str) -> None:
        for case in self.cases:
            if case.state == "assigned" and case.operator == name:
                case.state, case.operator = "queued", None

    def settle(self) -> None:
        for case in self.waiting() if self.automatic else []:
            free = [name for name in self.people if name != case.visitor and self.has_room(name)]
            if free:
                case.operator = min(free, key=lambda n: (self.active(n), self.people[n].online_since))
                case.state = "assigned"

    def comes_online(self, name: str) -> None:
        self.moments += 1
        self.people[name].online_since = self.moments


class AnyOrder(RuleBasedStateMachine):
    """People start, accept, close, drop, return and fall silent; the book and the clerk agree, always."""

    @initialize(automatic=st.booleans())
    def open(self, automatic: bool) -> None:
        self.now = SECOND
        self.book = book(automatic=automatic)
        self.clerk = Clerk(automatic)
        self.chats: list[Chat] = []
        self.view: dict[str, tuple[str, str | None]] = {}
        self.had_operator: set[str] = set()

    def sign(self, user: str) -> bool:
        """`user` does something now; by a socket?"""
        self.clerk.expire(self.now)
        person = self.clerk.people[user]
        person.polls = not person.socket
        person.heard = self.now
        if person.lost:
            person.lost = False
            if person.status == "online":
                self.clerk.comes_online(user)
        return person.socket

    @rule(visitor=VISITORS, about=st.text(max_size=2))
    def start(self, visitor: str, about: str) -> None:
        by_socket = self.sign(visitor)
        open_cases = [
            n for n, c in enumerate(self.clerk.cases) if c.visitor == visitor and c.state != "closed"
        ]
        chat, begins = self.book.start(visitor, meta(about), by_socket=by_socket, now_ns=self.now)
        assert begins == (not open_cases)
        if open_cases:
            assert chat is self.chats[open_cases[0]]
        else:
            self.chats.append(chat)
            self.clerk.cases.append(Case(visitor))
        self.clerk.settle()

    @rule(
        user=OPERATORS,
        status=st.sampled_from(["online", "online", "away", "offline"]),
        capacity=st.none() | st.integers(1, 3),
    )
    def declare(self, user: str, status: Any, capacity: int | None) -> None:
        before = self.clerk.people[user].lost
        by_socket = self.sign(user)
        person = self.clerk.people[user]
        was = "offline" if before else person.status
        person.status = status
        person.capacity = person.capacity if capacity is None else capacity
        if status == "offline":
            self.clerk.release(user)
        elif status == "online" and was != "online":
            self.clerk.comes_online(user)
        self.clerk.settle()
        operator = self.book.declare(
            user, status, capacity, meta("declare"), by_socket=by_socket, now_ns=self.now
        )
        assert (operator.status, operator.capacity) == (status, person.capacity)
        assert len(operator.chats) == self.clerk.active(user)

    @rule(user=OPERATORS, which=st.integers(0, 20))
    def accept(self, user: str, which: int) -> None:
        if not self.chats:
            return
        by_socket = self.sign(user)
        self.clerk.settle()
        number = which % len(self.chats)
        chat, case = self.chats[number], self.clerk.cases[number]
        expected = "ok"
        if case.state == "closed":
            expected = "CHAT_CLOSED"
        elif case.state == "assigned" and case.operator != user:
            expected = "CHAT_ALREADY_ASSIGNED"
        elif case.state == "queued" and (case.visitor == user or not self.clerk.has_room(user)):
            expected = "FORBIDDEN"
        try:
            self.book.accept(chat.id, user, meta("accept"), by_socket=by_socket, now_ns=self.now)
            outcome = "ok"
            case.state, case.operator = "assigned", user
        except Refusal as no:
            outcome = no.code
        assert outcome == expected

    @rule(user=st.sampled_from(EVERYBODY), which=st.integers(0, 20), ends=st.booleans())
    def say_or_close(self, user: str, which: int, ends: bool) -> None:
        if not self.chats:
            return
        by_socket = self.sign(user)
        self.clerk.settle()
        number = which % len(self.chats)
        chat, case = self.chats[number], self.clerk.cases[number]
        expected = "ok" if user in (case.visitor, case.operator) else "FORBIDDEN"
        if expected == "ok" and not ends and case.state == "closed":
            expected = "CHAT_CLOSED"
        try:
            if ends:
                self.book.close(chat.id, user, meta("close"), by_socket=by_socket, now_ns=self.now)
                case.state = "closed"
            else:
                self.book.speaks(chat.id, user, by_socket=by_socket, now_ns=self.now)
            outcome = "ok"
        except Refusal as no:
            outcome = no.code
        self.clerk.settle()
        assert outcome == expected

    @rule(user=st.sampled_from(EVERYBODY), by_socket=st.booleans())
    def come(self, user: str, by_socket: bool) -> None:
        if by_socket:
            self.clerk.expire(self.now)
            self.clerk.people[user].socket = True
        self.book.seen(user, by_socket=self.sign(user), now_ns=self.now)
        self.clerk.settle()

    @rule(user=st.sampled_from(EVERYBODY))
    def go(self, user: str) -> None:
        person = self.clerk.people[user]
        if not person.socket:
            return
        self.clerk.expire(self.now)
        person.socket = person.polls = False
        person.heard = self.now
        self.book.went(user, self.now)

    @rule(seconds=st.sampled_from([0.04, 1, 5, 9, 11, 55, 61]), ticks=st.booleans())
    def wait(self, seconds: float, ticks: bool) -> None:
        self.now += int(seconds * SECOND)
        if ticks:
            self.book.tick(self.now)
            self.clerk.expire(self.now)

    @invariant()
    def the_book_is_the_clerks(self) -> None:
        if not hasattr(self, "book"):
            return
        waiting = self.clerk.waiting()
        for chat, case in zip(self.chats, self.clerk.cases, strict=True):
            assert (chat.state, chat.operator) == (case.state, case.operator), chat
            position = waiting.index(case) + 1 if case in waiting else 0
            assert self.book.position(chat) == (position if case.state == "queued" else 0)
        assert set(self.book.operators_online()) == {
            name for name in EVERYBODY if self.clerk.shown(name) == "online"
        }
        counts = self.book.counts()
        assert counts["open"] == counts["queued"] + counts["assigned"]
        assert (counts["queued"], counts["assigned"]) == (
            len(waiting),
            sum(case.state == "assigned" for case in self.clerk.cases),
        )

    @invariant()
    def the_rules_hold(self) -> None:
        if not hasattr(self, "book"):
            return
        live = [chat for chat in self.chats if chat.state != "closed"]
        assert len({chat.visitor for chat in live}) == len(live)
        for chat in live:
            assert chat in self.book.of_user(chat.visitor)
            if chat.operator is not None:
                assert chat.operator != chat.visitor
                assert chat in self.book.of_user(chat.operator)
                assert self.clerk.shown(chat.operator) != "offline"
            elif self.clerk.automatic:
                assert not any(n != chat.visitor and self.clerk.has_room(n) for n in EVERYBODY)

    @invariant()
    def whoever_listens_knows_it_all(self) -> None:
        if not hasattr(self, "book"):
            return
        for change in self.book.take():
            match change:
                case Assigned():
                    first = change.chat.id not in self.had_operator
                    self.had_operator.add(change.chat.id)
                    assert change.reason == ("new" if first else "reassigned")
                    assert self.view.get(change.chat.id, ("queued", None))[0] in ("queued", "assigned")
                    self.view[change.chat.id] = ("assigned", change.operator)
                case Queued(moved=False):
                    self.view[change.chat.id] = ("queued", None)
                case Closed():
                    self.view[change.chat.id] = ("closed", change.chat.operator)
                case OnDuty():
                    assert change.active <= max(change.capacity, len(change.chats))
        assert self.view == {chat.id: (chat.state, chat.operator) for chat in self.chats}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = effort(max_examples=150, stateful_step_count=40, deadline=None)
