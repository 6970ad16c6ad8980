"""Can any order of events leave a call in a state it must not be in?"""

from itertools import pairwise, product
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loadtest.targets.reference.calls import FORGET_AFTER_NS, TRANSITIONS, Call, Calls, Device, Input, State
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.refusal import Refusal

RING_NS, GRACE_NS = 30 * SECOND, 10 * SECOND

# Every state with every input; a dash where nothing may change.
GRID = """
            answer  decline   end_by_caller end_by_callee ring_timeout caller_gone callee_gone
ringing     active  declined  ended         ended         missed       ended       ended
active      -       -         ended         ended         -            ended       ended
declined    -       -         -             -             -            -           -
missed      -       -         -             -             -            -           -
ended       -       -         -             -             -            -           -
"""


def test_the_table_is_the_grid() -> None:
    head, *lines = [line.split() for line in GRID.strip().splitlines()]
    grid = {(state, given): after for state, *row in lines for given, after in zip(head, row, strict=True)}
    assert set(grid) == set(product(get_args(State), get_args(Input)))
    assert {key: after for key, after in grid.items() if after != "-"} == TRANSITIONS


def device(user: str, name: str = "phone") -> Device:
    return Device(user, name, f"socket of {name}")


def code(refused: Any, *arguments: Any) -> str:
    with pytest.raises(Refusal) as no:
        refused(*arguments)
    return no.value.code


def a_call(calls: Calls, now_ns: int = 0) -> Call:
    call = calls.initiate("ann", "bob", "audio", None, now_ns)
    calls.attached("ann", now_ns)
    calls.attached("bob", now_ns)
    return call


def test_the_first_device_wins_and_the_second_learns_which() -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = a_call(calls)
    calls.answer(call, device("bob", "phone"), 5 * SECOND)
    with pytest.raises(Refusal) as late:
        calls.answer(call, device("bob", "desk"), 5 * SECOND)
    assert late.value.code == "CALL_ALREADY_ANSWERED"
    assert late.value.error()["answeredBy"] == {
        "userId": "bob",
        "deviceId": "phone",
        "socketId": "socket of phone",
    }
    assert call.answered_by == device("bob", "phone")
    assert code(calls.decline, call, "bob", 6 * SECOND) == "CALL_NOT_RINGING"
    assert calls.end(call, "ann", 7 * SECOND + 999_999)
    assert call.duration_ms == 2000
    assert not calls.end(call, "bob", 9 * SECOND)
    assert call.duration_ms == 2000
    assert code(calls.answer, call, device("bob"), 9 * SECOND) == "CALL_NOT_RINGING"


def test_only_the_callee_answers_and_only_parties_know() -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = a_call(calls)
    assert code(calls.answer, call, device("ann"), 0) == "FORBIDDEN"
    assert code(calls.decline, call, "ann", 0) == "FORBIDDEN"
    assert code(calls.of, call.id, "eve") == "FORBIDDEN"
    assert code(calls.of, "c-99", "ann") == "CALL_NOT_FOUND"
    assert call.state == "ringing"


def test_a_call_rings_until_the_nanosecond_it_is_missed() -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = a_call(calls, 7)
    assert calls.due(RING_NS + 6) == []
    assert calls.due(RING_NS + 7) == [call]
    assert (call.state, call.duration_ms) == ("missed", 0)
    assert calls.due(RING_NS + 8) == []
    assert code(calls.end, call, "ann", RING_NS + 8) == "CALL_NOT_RINGING"


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_a_party_that_comes_back_within_the_grace_keeps_the_call(user: str) -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = a_call(calls)
    calls.answer(call, device("bob"), 0)
    calls.detached(user, SECOND)
    assert calls.due(SECOND + GRACE_NS) == []
    calls.attached(user, SECOND + GRACE_NS)
    assert calls.due(100 * SECOND) == []
    calls.detached(user, 100 * SECOND)
    calls.heard(user, 105 * SECOND)
    assert calls.due(105 * SECOND + GRACE_NS) == []
    assert calls.due(105 * SECOND + GRACE_NS + 1) == [call]
    assert (call.state, call.duration_ms) == ("ended", 115_000)


def test_a_socket_of_an_earlier_call_says_nothing_in_the_next() -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    calls.end(a_call(calls), "ann", 0)
    calls.detached("bob", SECOND)
    again = calls.initiate("ann", "bob", "audio", None, 2 * SECOND)
    calls.attached("ann", 2 * SECOND)
    assert calls.due(2 * SECOND + GRACE_NS + 1) == [again]
    assert again.state == "ended"


def test_a_repeated_client_id_means_the_open_call_and_no_other() -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = calls.initiate("ann", "bob", "video", "k1", 0)
    assert calls.begun_with("ann", "k1") is call
    assert calls.begun_with("ann", "k2") is None
    assert calls.begun_with("ann", None) is None
    assert calls.begun_with("bob", "k1") is None
    calls.end(call, "ann", 0)
    assert calls.begun_with("ann", "k1") is None


def test_old_calls_are_forgotten() -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = a_call(calls)
    calls.end(call, "ann", SECOND)
    calls.due(SECOND + FORGET_AFTER_NS - 1)
    assert calls.of(call.id, "ann") is call
    calls.due(SECOND + FORGET_AFTER_NS)
    assert code(calls.of, call.id, "ann") == "CALL_NOT_FOUND"


USERS = st.sampled_from(["ann", "bob", "cat", "dan"])


class Switchboard(RuleBasedStateMachine):
    """People who call, answer, hang up, vanish and wait in any order, beside a model without cleverness."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls("c", RING_NS, GRACE_NS)
        self.now = 0
        self.known: list[Call] = []
        self.states: dict[str, list[str]] = {}
        self.winners: dict[str, list[str]] = {}
        self.sockets: set[str] = set()
        self.seen = dict.fromkeys(["ann", "bob", "cat", "dan"], 0)

    def open_calls(self) -> list[Call]:
        return [call for call in self.known if self.states[call.id][-1] in ("ringing", "active")]

    def move(self, call: Call, allowed: bool, after: str, act: Any, *arguments: Any) -> bool:
        """Does `act`, which changes the state to `after` exactly if `allowed`; otherwise it is refused."""
        try:
            done = act(call, *arguments) is not False
        except Refusal:
            done = False
        assert done is allowed
        if done:
            self.states[call.id].append(after)
        return done

    @rule(caller=USERS, callee=USERS)
    def initiate(self, caller: str, callee: str) -> None:
        if caller == callee:
            return
        busy = {user for call in self.open_calls() for user in call.parties}
        if busy & {caller, callee}:
            assert code(self.calls.initiate, caller, callee, "audio", None, self.now) == "USER_BUSY"
            return
        call = self.calls.initiate(caller, callee, "audio", None, self.now)
        self.known.append(call)
        self.states[call.id], self.winners[call.id] = ["ringing"], []
        for user in call.parties:
            self.seen[user] = self.now
            if user in self.sockets:
                self.calls.attached(user, self.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=USERS, name=st.sampled_from(["phone", "desk"]))
    def answer(self, data: Any, user: str, name: str) -> None:
        call = data.draw(st.sampled_from(self.known))
        allowed = user == call.callee and self.states[call.id][-1] == "ringing"
        if self.move(call, allowed, "active", self.calls.answer, device(user, name), self.now):
            self.winners[call.id].append(name)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=USERS)
    def decline(self, data: Any, user: str) -> None:
        call = data.draw(st.sampled_from(self.known))
        allowed = user == call.callee and self.states[call.id][-1] == "ringing"
        self.move(call, allowed, "declined", self.calls.decline, user, self.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), first=st.booleans())
    def hang_up(self, data: Any, first: bool) -> None:
        call = data.draw(st.sampled_from(self.known))
        allowed = self.states[call.id][-1] in ("ringing", "active")
        self.move(call, allowed, "ended", self.calls.end, call.parties[first], self.now)

    @rule(user=USERS)
    def arrive(self, user: str) -> None:
        self.sockets.add(user)
        self.calls.attached(user, self.now)

    @rule(user=USERS)
    def vanish(self, user: str) -> None:
        if user in self.sockets:
            self.sockets.discard(user)
            self.seen[user] = self.now
            self.calls.detached(user, self.now)

    @rule(user=USERS)
    def poll(self, user: str) -> None:
        self.seen[user] = self.now
        self.calls.heard(user, self.now)

    @rule(seconds=st.integers(0, 12), odd=st.integers(0, 1))
    def wait(self, seconds: int, odd: int) -> None:
        self.now += seconds * SECOND + odd
        expected = {}
        for call in self.open_calls():
            gone = [u for u in call.parties if u not in self.sockets and self.now - self.seen[u] > GRACE_NS]
            if self.states[call.id][-1] == "ringing" and call.rings_until_ns <= self.now:
                expected[call.id] = "missed"
            elif gone:
                expected[call.id] = "ended"
        changed = self.calls.due(self.now)
        assert {call.id: call.state for call in changed} == expected
        assert len(changed) == len(expected)
        for call_id, after in expected.items():
            self.states[call_id].append(after)

    @invariant()
    def agrees(self) -> None:
        open_now = self.open_calls()
        parties = [user for call in open_now for user in call.parties]
        assert len(parties) == len(set(parties))
        for call in self.known:
            assert call.state == self.states[call.id][-1]
            assert all(pair in MOVES for pair in pairwise(self.states[call.id]))
            assert len(self.winners[call.id]) <= 1
            assert (call.answered_by is not None) == bool(self.winners[call.id])
            assert call.answered_by is None or [call.answered_by.device_id] == self.winners[call.id]
            assert (call.ended_ns is None) == (call in open_now)
        ends = [self.states[call.id][-1] for call in self.known]
        assert self.calls.tally() == {state: ends.count(state) for state in get_args(State)}

    def teardown(self) -> None:
        """Nobody stays busy: when everybody has left, one grace later every line is free."""
        for user in list(self.sockets):
            self.vanish(user)
        self.wait(12, 1)
        assert self.open_calls() == []
        self.calls.initiate("ann", "bob", "audio", None, self.now)
        self.calls.initiate("cat", "dan", "audio", None, self.now)


MOVES = {(state, after) for (state, _given), after in TRANSITIONS.items()}
TestSwitchboard = Switchboard.TestCase
TestSwitchboard.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("milliseconds", [0, 1, 1234])
def test_the_duration_is_from_answer_to_end(milliseconds: int) -> None:
    calls = Calls("c", RING_NS, GRACE_NS)
    call = a_call(calls)
    calls.answer(call, device("bob"), SECOND)
    assert call.duration_ms == 0
    calls.end(call, "bob", SECOND + milliseconds * MS)
    assert call.duration_ms == milliseconds
