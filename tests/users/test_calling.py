"""Do people who call each other come to the ends that calls have, and is a server that errs found out?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import gevent
import msgspec
import pytest
from stage import PaperLink, Payload, Server, Stage, paper, refused

from loadtest.measure.units import MS, SECOND
from loadtest.users.calling import CallingUser
from loadtest.users.causes import Cause

Until = Callable[[Callable[[], object]], None]
Make = Callable[..., Stage]
ALL = ("call.ring", "call.answer", "call.connected", "call.decline", "call.status")


class Switchboard(Server):
    """Rings, and lets the first device that answers have the call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, Payload] = {}
        self._ids = count(1)
        self.answers |= {
            "call:initiate": self.initiate,
            "call:answer": self.answer,
            "call:decline": lambda link, payload: self.end(link, payload, "declined"),
            "call:end": lambda link, payload: self.end(link, payload, "ended"),
            "call:status": self.status,
        }

    def initiate(self, link: PaperLink, payload: Payload) -> Payload:
        parties = [link.user, payload["calleeId"]]
        for call in self.calls.values():
            if call["status"] in ("ringing", "active") and set(call["parties"]) & set(parties):
                return refused("USER_BUSY")
        call = {"callId": f"c{next(self._ids)}", "status": "ringing", "parties": parties}
        self.calls[call["callId"]] = call
        incoming = {"callId": call["callId"], "callerId": link.user, "meta": payload["meta"]}
        self.to_users(parties[1:], "call:incoming", incoming)
        self.tell(call, payload["meta"])
        return {"ok": True, "callId": call["callId"]}

    def answer(self, link: PaperLink, payload: Payload) -> Payload:
        call = self.calls[payload["callId"]]
        if call["status"] == "active":
            return refused("CALL_ALREADY_ANSWERED")
        if call["status"] != "ringing":
            return refused("CALL_NOT_RINGING")
        return self.take_answer(link, call, payload)

    def take_answer(self, link: PaperLink, call: Payload, payload: Payload) -> Payload:
        call["status"] = "active"
        by = {"userId": link.user, "deviceId": link.device.identity["device"]}
        event = {"callId": call["callId"], "answeredBy": by, "meta": payload["meta"]}
        self.to_users(call["parties"], "call:answered", event)
        self.tell(call, payload["meta"])
        return {"ok": True}

    def end(self, link: PaperLink, payload: Payload, status: str) -> Payload:
        call = self.calls[payload["callId"]]
        if call["status"] in ("declined", "missed", "ended"):
            return refused("CALL_NOT_RINGING")
        call["status"] = status
        if status == "declined":
            event = {"callId": call["callId"], "declinedBy": {"userId": link.user}, "meta": payload["meta"]}
            self.to_users(call["parties"], "call:declined", event)
        self.tell(call, payload["meta"])
        return {"ok": True}

    def status(self, link: PaperLink, payload: Payload) -> Payload:
        call = self.calls.get(payload["callId"])
        return refused("CALL_NOT_FOUND") if call is None else {"ok": True, "call": call}

    def tell(self, call: Payload, meta: Payload | None) -> None:
        event = {"callId": call["callId"], "status": call["status"], **({"meta": meta} if meta else {})}
        self.to_users(call["parties"], "call:status", event)

    def time_out(self) -> None:
        """Nobody has answered for too long."""
        for call in self.calls.values():
            call["status"] = "missed"
            self.tell(call, None)


class Person(CallingUser):
    abstract = True
    answers, declines, waits_on, races = 1.0, 0.0, 1.0, 0.0
    thinks = talks_for = patience = (0.001, 0.001)


class Decliner(Person):
    abstract = True
    answers, declines = 0.0, 1.0


class Deaf(Person):
    abstract = True
    answers, waits_on = 0.0, 0.0


class Patient(Deaf):
    abstract = True
    waits_on = 1.0


class Hasty(Person):
    abstract = True
    races = 1.0


class Talker(Person):
    abstract = True
    talks_for = (60.0, 60.0)


@pytest.fixture
def server() -> Switchboard:
    return Switchboard()


@pytest.fixture
def run(stage: Make, server: Switchboard) -> Stage:
    return _run(stage, server)


def _run(stage: Make, server: Switchboard, **flags: Any) -> Stage:
    made = stage(server, **flags)
    made.begin()
    return made


def _books_are_even(run: Stage) -> None:
    """Everything that was owed came, once, and to nobody else."""
    run.settle()
    for operation in ALL:
        row = run.row(operation)
        assert (row.lost, row.late, row.duplicate, row.leaked, row.failed) == (0, 0, 0, 0, 0), operation
        assert row.expected == row.latency.n, operation


def _calls(run: Stage) -> dict[str, int]:
    """The counters of calls, without their common beginning."""
    return {name[5:]: n for name, n in run.counters.items() if name.startswith("call.")}


def _free(*people: CallingUser) -> bool:
    return all(person.call is None for person in people)


# -- how calls end -------------------------------------------------------------------------------------------


def test_a_call_is_answered_and_ended(run: Stage, server: Switchboard, until: Until) -> None:
    caller, callee = run.come(Person, 2)
    caller.call_somebody()
    until(lambda: run.row("call.connected").latency.n == 1)
    until(lambda: _free(caller, callee))
    gevent.sleep(0.002)
    assert _calls(run) == {"dialled": 1, "answered": 1}
    assert [call["status"] for call in server.calls.values()] == ["ended"]
    assert (run.row("call.ring").latency.n, run.row("call.answer").latency.n) == (1, 1)
    assert run.row("call.status").latency.n == 3, (
        "ringing, active, ended: each to the one who did not cause it"
    )
    _books_are_even(run)


def test_the_journey_to_the_caller_leaves_out_the_time_a_person_took(run: Stage, until: Until) -> None:
    class Slow(Person):
        abstract = True
        thinks = (0.03, 0.03)

    caller, _ = run.come(Slow, 2)
    caller.call_somebody()
    until(lambda: run.row("call.connected").latency.n == 1)
    journey, answering = run.row("call.connected").latency, run.row("call.answer").latency
    assert journey.max_ns < 25 * MS
    assert journey.max_ns >= answering.max_ns, "the way of the ring, and that of the answer"


def test_a_call_is_declined(run: Stage, until: Until) -> None:
    caller, callee = run.come(Decliner, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("declined"))
    until(lambda: _free(caller, callee))
    assert _calls(run) == {"dialled": 1, "declined": 1}
    assert run.row("call.decline").latency.n == 1
    _books_are_even(run)


def test_a_caller_loses_patience(run: Stage, until: Until) -> None:
    caller, callee = run.come(Deaf, 2)
    caller.call_somebody()
    until(lambda: run.row("call.status").latency.n == 2)
    assert _calls(run) == {"dialled": 1, "hung_up": 1}
    assert _free(caller, callee)
    _books_are_even(run)


def test_a_call_that_nobody_hears_is_missed_when_the_server_says_so(
    run: Stage, server: Switchboard, until: Until
) -> None:
    caller, callee = run.come(Patient, 2)
    caller.call_somebody()
    until(lambda: callee.call is not None)
    server.time_out()
    until(lambda: _free(caller, callee))
    assert _calls(run) == {"dialled": 1, "missed": 1}
    _books_are_even(run)


def test_who_is_on_the_phone_calls_nobody(run: Stage, until: Until) -> None:
    caller, callee = run.come(Talker, 2)
    caller.call_somebody()
    until(lambda: callee.call is not None)
    caller.call_somebody()
    callee.call_somebody()
    assert _calls(run)["engaged"] == 2
    assert len(run.server.told("call:initiate")) == 1


@pytest.mark.parametrize(("code", "counted"), [("USER_BUSY", "busy"), ("USER_OFFLINE", "offline")])
def test_a_call_that_is_rightly_refused_is_an_outcome(
    run: Stage, server: Switchboard, until: Until, code: str, counted: str
) -> None:
    caller, callee = run.come(Person, 2)
    server.answers["call:initiate"] = lambda link, payload: refused(code)
    caller.call_somebody()
    until(lambda: _calls(run) == {"dialled": 1, counted: 1})
    assert _free(caller, callee)
    run.settle()
    assert [run.row(operation).expected for operation in ALL] == [0] * 5
    assert [event for event in run.fired if event[2]] == []


def test_any_other_refusal_is_a_failure(run: Stage, server: Switchboard, until: Until) -> None:
    caller, _ = run.come(Person, 2)
    server.answers["call:initiate"] = lambda link, payload: refused("INTERNAL")
    caller.call_somebody()
    until(lambda: run.counters.get("refused.INTERNAL") == 1)
    assert [event[:2] for event in run.fired if event[2]] == [("WSC", "call.status")]
    assert caller.call is None


def test_calls_that_are_over_are_forgotten(stage: Make, server: Switchboard, until: Until) -> None:
    run = _run(stage, server, deadline_ns=3 * MS)
    caller, _callee = run.come(Person, 2)
    caller.call_somebody()
    assert len(run.live.calls) == 1
    until(lambda: _calls(run).get("answered") and not run.live.calls)
    server.answers["call:initiate"] = lambda link, payload: refused("USER_BUSY")
    caller.call_somebody()
    until(lambda: _calls(run).get("busy"))
    until(lambda: not run.live.calls)


def test_what_people_decide_comes_from_the_seed_alone(stage: Make) -> None:
    seen = []
    for seed in ("1", "1", "2"):
        run = _run(stage, Switchboard(), seed=seed)
        people = run.come(Talker, 4)
        for person in people:
            person.call_somebody()
        seen.append([(call.callee.name, call.rng.random()) for call in run.live.calls.values()])
    assert len(seen[0]) == 4
    assert seen[0] == seen[1] != seen[2]


def test_nobody_to_call_is_no_call(run: Stage) -> None:
    (alone,) = run.come(Person)
    alone.call_somebody()
    assert run.server.heard == []
    assert _calls(run) == {}


# -- several devices -----------------------------------------------------------------------------------------


def test_all_devices_ring_and_one_answers(stage: Make, server: Switchboard, until: Until) -> None:
    run = _run(stage, server, devices="3")
    caller, callee = run.come(Person, 2)
    caller.call_somebody()
    until(lambda: run.row("call.answer").latency.n == 5)
    until(lambda: _free(caller, callee))
    gevent.sleep(0.002)
    assert run.row("call.ring").latency.n == 3
    assert run.row("call.connected").latency.n == 1, "the device that called hears it; the others are told"
    _books_are_even(run)


def test_two_devices_race_and_the_slower_is_told(stage: Make, server: Switchboard, until: Until) -> None:
    run = _run(stage, server, devices="2")
    caller, callee = run.come(Hasty, 2)
    caller.call_somebody()
    until(lambda: {"answered", "raced"} <= set(_calls(run)) or "too_late" in _calls(run))
    until(lambda: _free(caller, callee))
    gevent.sleep(0.002)
    calls = _calls(run)
    assert calls["answered"] == 1
    assert calls.get("raced", 0) + calls.get("too_late", 0) == 1
    assert "two_winners" not in calls
    _books_are_even(run)


def test_two_winners_are_found_out(stage: Make, server: Switchboard, until: Until) -> None:
    server.answers["call:answer"] = lambda link, payload: server.take_answer(
        link, server.calls[payload["callId"]], payload
    )
    run = _run(stage, server, devices="2")

    class Both(Hasty):
        abstract = True
        talks_for = (60.0, 60.0)

    caller, _ = run.come(Both, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("answered") == 2)
    assert _calls(run)["two_winners"] == 1


# -- a server that errs --------------------------------------------------------------------------------------


def test_a_ring_that_comes_when_all_is_over_is_found_out_and_binds_nobody(
    run: Stage, server: Switchboard, until: Until
) -> None:
    late: list[Payload] = []
    plain = server.to_users

    def hold_back(names: list[str], event: str, payload: Payload) -> None:
        if event == "call:incoming":
            late.append(payload)
        else:
            plain(names, event, payload)

    server.to_users = hold_back  # type: ignore[method-assign]
    caller, callee = run.come(Deaf, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("hung_up"))
    plain([callee.name], "call:incoming", late[0])
    until(lambda: _calls(run).get("stale_rings") == 1)
    assert callee.call is None, "or it would be engaged for the rest of the run"
    assert run.row("call.ring").latency.n == 1


def test_a_device_that_rings_on_is_a_ghost(stage: Make, server: Switchboard, until: Until) -> None:
    run = _run(stage, server, devices="2", deadline_ns=20 * MS)
    caller, callee = run.come(Person, 2)
    forgotten = paper(callee.devices[1])
    plain = server.to_users

    def forget_one(names: list[str], event: str, payload: Payload) -> None:
        forgotten.state = "open" if event == "call:incoming" else "held"
        plain(names, event, payload)
        forgotten.state = "open"

    server.to_users = forget_one  # type: ignore[method-assign]
    caller.call_somebody()
    until(lambda: _calls(run).get("answered") and _free(caller, callee))
    until(lambda: _calls(run).get("ghost_rings") == 1)


def test_a_ghost_that_is_told_in_time_is_none(stage: Make, server: Switchboard, until: Until) -> None:
    run = _run(stage, server, deadline_ns=10 * MS)
    caller, _ = run.come(Person, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("answered") and not run.live.calls)
    assert "ghost_rings" not in _calls(run)


def test_events_of_calls_that_nobody_knows_are_counted_and_change_nothing(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    for event in ("call:incoming", "call:answered", "call:declined", "call:status"):
        paper(one.device).hear(event, {"callId": "c9", "status": "ringing", "meta": {"m": "other:0.0.1:1"}})
    until(lambda: run.counters.get("foreign") == 4)
    assert one.call is None


# -- when something cannot be done ---------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["overdue", "not connected", "cannot leave"])
def test_a_call_that_cannot_be_made_failed_and_nobody_s_device_rings(
    stage: Make, server: Switchboard, why: str
) -> None:
    run = _run(stage, server, devices="2")
    caller, _ = run.come(Person, 2)
    run.policy_ms(60_000)
    if why == "overdue":
        caller.overdue = True
    elif why == "not connected":
        for device in caller.devices:
            paper(device).lose()
    else:
        for device in caller.devices:
            paper(device).state = "dead"
    run.fired.clear()
    caller.call_somebody()
    row = run.row("call.ring")
    assert (row.failed, row.expected, row.lost) == (1, 2, 2)
    assert run.counters["not_sent"] == 1
    assert caller.call is None
    assert [event[:2] for event in run.fired] == [("WSE", "call.ring")]


def test_after_the_last_message_nobody_acts(run: Stage, until: Until) -> None:
    caller, callee = run.come(Person, 2)
    caller.call_somebody()
    run.live.hold()
    until(lambda: callee.call is not None)
    gevent.sleep(0.005)
    assert _calls(run) == {"dialled": 1}


# -- drops ---------------------------------------------------------------------------------------------------


def _lose_and_return(
    run: Stage, user: CallingUser, until: Until, meanwhile: Callable[[], object] = int
) -> None:
    run.policy_ms(3)
    paper(user.device).lose()
    meanwhile()
    until(lambda: user.device.up)


def test_who_comes_back_asks_what_became_of_the_call(run: Stage, server: Switchboard, until: Until) -> None:
    caller, callee = run.come(Talker, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("answered"))
    _lose_and_return(run, callee, until)
    until(lambda: _calls(run).get("resumed") == 1)
    assert callee.call is caller.call is not None

    def end() -> None:
        server.calls["c1"]["status"] = "ended"

    _lose_and_return(run, callee, until, end)
    until(lambda: _calls(run).get("gone") == 1)
    until(lambda: _free(caller, callee))


@pytest.mark.parametrize("answer", [refused("CALL_NOT_FOUND"), None])
def test_a_call_that_the_server_has_forgotten_is_over_and_one_it_does_not_tell_of_goes_on(
    run: Stage, server: Switchboard, until: Until, answer: Payload | None
) -> None:
    caller, callee = run.come(Talker, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("answered"))

    def status(link: PaperLink, payload: Payload) -> Payload | None:
        if answer is None:
            link.lose(Cause.SERVER_NAMESPACE)
        return answer

    server.answers["call:status"] = status
    paper(caller.device).lose()
    until(lambda: _calls(run).get("gone") or _calls(run).get("status_unknown"))
    assert _free(caller, callee) == (answer is not None)


def test_a_call_that_was_answered_meanwhile_is_talked_on_and_ended(
    run: Stage, server: Switchboard, until: Until
) -> None:
    class Slow(Person):
        abstract = True
        thinks = (60.0, 60.0)

    caller, callee = run.come(Slow, 2)
    caller.call_somebody()
    until(lambda: callee.call is not None)
    call = callee.call
    assert call is not None
    _lose_and_return(run, caller, until, lambda: callee._answer(call, run.now_ns()))
    until(lambda: _calls(run).get("answered"))
    until(lambda: _free(caller, callee))
    assert server.calls["c1"]["status"] == "ended"


def test_who_is_away_when_it_would_hang_up_does_so_when_it_is_back(
    run: Stage, server: Switchboard, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.users.calling._AGAIN_S", 0.001)
    caller, callee = run.come(Person, 2)
    caller.call_somebody()
    until(lambda: _calls(run).get("answered"))
    run.policy_ms(15)
    for person in (caller, callee):
        paper(person.device).lose()
    until(lambda: caller.device.up and callee.device.up)
    until(lambda: _free(caller, callee))
    assert server.calls["c1"]["status"] == "ended"


def test_who_is_away_has_not_hung_up(run: Stage, server: Switchboard, until: Until) -> None:
    caller, _ = run.come(Patient, 2)
    run.policy_ms(60_000)
    caller.call_somebody()
    call = caller.call
    assert call is not None
    until(lambda: call.id)
    paper(caller.device).lose()
    caller._lose_patience(call, run.now_ns())
    assert "hung_up" not in _calls(run)
    assert server.told("call:end") == []


def test_a_call_whose_dialling_was_lost_does_not_bind_the_caller_for_ever(
    run: Stage, server: Switchboard, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, callee = run.come(Person, 2)
    plain = run.live.contract.calls
    assert plain is not None
    monkeypatch.setattr(type(caller), "_calls", msgspec.structs.replace(plain, ring_timeout_ms=5))
    server.answers["call:initiate"] = lambda link, payload: None
    caller.call_somebody()
    _lose_and_return(run, caller, until)
    until(lambda: _free(caller, callee))
    server.answers["call:initiate"] = server.initiate
    caller.call_somebody()
    until(lambda: _calls(run).get("answered"))


def test_a_drop_of_somebody_who_is_in_no_conversation_has_no_rooms(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    assert one.room is None
    _lose_and_return(run, one, until)
    run.live.close()
    (drop,) = run.drops
    assert (drop.outcome, drop.rooms, drop.proven) == ("recovered", 0, 0)
    assert run.live.ledger.deadline_ns == 10 * SECOND
