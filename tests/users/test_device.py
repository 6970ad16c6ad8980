"""Does a device say, hear and keep what it should, and part without a trace?"""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from stage import Payload, Server, Stage, greenlets, paper, refused

from loadtest.measure.faults import occurrences, parse
from loadtest.protocol.backoff import POLICIES
from loadtest.users.causes import Cause
from loadtest.users.link import ActionFailed
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]
Make = Callable[..., Stage]


class Person(RealtimeUser):
    abstract = True


class Listener(RealtimeUser):
    abstract = True

    def on_event(self, name: str, args: list[Payload]) -> None:
        self.events = [*getattr(self, "events", []), name]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def run(stage: Make, server: Server) -> Stage:
    return stage(server)


def _say_to(run: Stage, user: RealtimeUser, name: str, payload: Payload) -> None:
    paper(user.device).hear(name, payload)
    gevent.sleep(0)
    gevent.sleep(0)


# -- saying and hearing --------------------------------------------------------------------------------------


def test_what_one_says_the_others_hear(run: Stage, until: Until) -> None:
    one, two, _ = run.come(Person, 3)
    run.begin()
    one.send_message("hello")
    until(lambda: run.row("message.ack").latency.n == 1)
    assert run.row("message.deliver").latency.n == 2
    assert run.row("message.echo").latency.n == 1
    assert not one.device.unacked
    assert [one.device.seats[one.room.name].last_seq, two.device.seats[one.room.name].last_seq] == [1, 1]


def test_a_refused_message_is_owed_to_nobody(run: Stage, server: Server, until: Until) -> None:
    one, _ = run.come(Person, 2)
    run.begin()
    server.answers["message:send"] = lambda link, payload: refused("RATE_LIMITED")
    one.send_message("too much")
    until(lambda: run.counters.get("refused.rate_limited") == 1)
    run.settle()
    assert run.row("message.deliver").expected == 0
    assert run.row("message.ack").failed == 1
    assert not one.device.unacked, "it would be said again after the next drop"


def test_what_cannot_be_said_failed(run: Stage) -> None:
    run.live.policy = POLICIES["none"]
    one, _ = run.come(Person, 2)
    run.begin()
    paper(one.device).lose()
    run.fired.clear()
    one.send_message("nobody will hear it")
    row = run.row("message.deliver")
    assert (row.failed, row.expected, row.lost) == (1, 1, 1)
    ((kind, name, error),) = run.fired
    assert (kind, name) == ("WSE", "message.deliver")
    assert "not connected" in str(error)


def test_every_event_has_a_place(run: Stage) -> None:
    (one,) = run.come(Listener)
    _say_to(run, one, "error", {"code": "RATE_LIMITED"})
    _say_to(run, one, "error", {"code": "SOMETHING_NEW"})
    _say_to(run, one, "error", {})
    _say_to(run, one, "typing:stop", {})
    _say_to(run, one, "weather", {"rain": True})
    assert run.counters == {
        "connections.established": 1,
        "server_error.rate_limited": 1,
        "server_error.SOMETHING_NEW": 1,
        "server_error.unknown": 1,
        "unknown_events": 1,
    }
    assert one.events == ["error", "error", "error", "typing:stop", "weather"]


def test_of_a_way_that_is_not_ours_any_more_a_loss_is_no_news(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    old = paper(one.device)
    old.lose()
    until(lambda: one.device.up)
    old.hearing.lost(Cause.TRANSPORT_ERROR, "again")
    assert one.device.up
    run.live.close()
    assert len(run.drops) == 1


# -- rooms ---------------------------------------------------------------------------------------------------


def test_who_leaves_is_owed_nothing(run: Stage, until: Until) -> None:
    one, two = run.come(Person, 2)
    run.begin()
    two.device.leave(one.room.name)
    assert two.device.seats == {}
    assert two.member not in one.room.members


def test_who_is_not_connected_cannot_leave_and_stays_a_member(run: Stage) -> None:
    run.live.policy = POLICIES["none"]
    (one,) = run.come(Person)
    paper(one.device).lose()
    with pytest.raises(ActionFailed) as failed:
        one.device.leave(one.room.name)
    assert failed.value.cause is Cause.CLIENT
    assert one.member in one.room.members
    assert one.room.name in one.device.seats


def test_who_is_not_let_out_hears_why(run: Stage, server: Server) -> None:
    (one,) = run.come(Person)
    server.answers["leaveRoom"] = lambda link, payload: refused("FORBIDDEN")
    with pytest.raises(ActionFailed, match="FORBIDDEN"):
        one.device.leave(one.room.name)


# -- several devices -----------------------------------------------------------------------------------------


def test_each_device_of_a_user_is_connected_and_owed_a_copy(
    stage: Make, server: Server, until: Until
) -> None:
    run = stage(server, devices="3")
    one, two = run.come(Person, 2)
    run.begin()
    assert len(server.open) == 6
    assert len({link.user for link in server.links}) == 2
    assert len({link.device.identity["device"] for link in server.links}) == 6
    one.send_message("to five others")
    until(lambda: run.row("message.deliver").latency.n == 5)
    row = run.row("message.deliver")
    assert row.phases["own_device"].n == 2
    assert run.row("message.echo").latency.n == 1
    paper(two.devices[1]).lose()
    assert [device.up for device in two.devices] == [True, False, True]
    assert two.device.up, "whoever can, acts"
    until(lambda: two.devices[1].up)


# -- strikes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("abort@0", "transport_error"), ("close@0", "transport_close"), ("bad-sid@0", "transport_error")],
)
def test_a_strike_cuts_the_connection(run: Stage, until: Until, fault: str, cause: str) -> None:
    (one,) = run.come(Person)
    run.begin()
    (strike,) = occurrences(parse(fault))
    assert one.device.strike(strike)
    assert paper(one.device).state == "cut"
    assert not one.device.strike(strike), "there is nothing to strike any more"
    until(lambda: one.device.up)
    assert run.counters["connections.lost"] == 1
    run.live.close()
    (drop,) = run.drops
    assert (drop.cause, drop.fault) == (cause, strike.name)
    assert strike.name in drop.detail


def test_who_connects_anew_for_each_request_is_not_lost_by_a_cut(
    run: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = run.come(Person)
    run.begin()
    monkeypatch.setattr(paper(one.device), "cut", lambda reset: False)
    assert one.device.strike(occurrences(parse("abort@0"))[0])
    assert one.device.up


def test_who_does_not_read_reads_again_when_the_fault_is_over(run: Stage, until: Until) -> None:
    (one,) = run.come(Person)
    run.begin()
    assert one.device.strike(occurrences(parse("stop-reading@0:5ms"))[0])
    link = paper(one.device)
    assert link.paused
    until(lambda: not link.paused)


# -- polls ---------------------------------------------------------------------------------------------------


def test_polls_count_and_fail(run: Stage) -> None:
    (one,) = run.come(Person)
    run.begin()
    now_ns = run.now_ns()
    one.device.polled(now_ns, now_ns + 1, now_ns + 5, None)
    one.device.polled(now_ns, now_ns + 1, now_ns + 5, "HTTP 500")
    row = run.row("poll.request")
    assert (row.latency.n, row.failed) == (1, 1)
    assert [event[:2] for event in run.fired if event[2]] == [("GET", "poll.request")]


# -- parting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
def test_it_parts_once_and_is_owed_nothing_afterwards(
    run: Stage, server: Server, until: Until, connected: bool
) -> None:
    (one,) = run.come(Person)
    if connected:
        (other,) = run.come(Person)
    else:
        other = run.seat(Person)
    run.begin()
    other._part()
    other._part()
    other.device.close()
    one.send_message("alone")
    assert run.row("message.deliver").expected == 0
    assert server.open == [paper(one.device)]
    assert greenlets() == []
    run.live.close()
    assert run.drops == []
