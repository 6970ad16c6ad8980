"""Does a device that fell back get to a better transport again, without missing or doubling anything?"""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import AsyncResult, Event
from stage import PaperLink, Payload, Server, Stage, failed, greenlets, paper, refused

from loadtest.measure.units import MS
from loadtest.users import climbing
from loadtest.users.causes import Cause
from loadtest.users.entering import bring_in
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]
BLOCKED = failed(Cause.HANDSHAKE_REFUSED, "HTTP 400")
REFUSED = failed(Cause.CONNECT_REFUSED, "nobody there")


class Climber(RealtimeUser):
    abstract = True
    ladder = ("websocket", "long-polling")


class Stayer(RealtimeUser):
    abstract = True
    ladder = ("long-polling",)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climbing, "EVERY_NS", 2 * MS)
    monkeypatch.setattr(climbing, "BOTH_S", 0.002)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def run(stage: Callable[..., Stage], server: Server) -> Stage:
    return stage(server)


def _fallen(run: Stage, server: Server, *doors: object) -> Climber:
    """A climber on its second transport; doors: what its next attempts find."""
    server.doors = [BLOCKED, None, *doors]  # type: ignore[list-item]
    (one,) = run.come(Climber)
    assert one.member.transport == "long-polling"
    run.begin()
    return one


def _arrive(run: Stage, one: Climber, until: Until) -> None:
    until(lambda: run.counters.get("climbs") and not one.member.merging)


def test_it_climbs_and_gives_up_the_old_way_only_then(run: Stage, server: Server, until: Until) -> None:
    one = _fallen(run, server, BLOCKED)
    old = paper(one.device)
    _arrive(run, one, until)
    new = paper(one.device)
    assert (one.member.transport, one.member.connection) == ("websocket", new.name)
    assert [link.transport for link, _ in server.knocks] == [
        "websocket",
        "long-polling",
        "websocket",
        "websocket",
    ]
    assert (old.state, new.state) == ("closed", "open")
    assert server.listeners[one.room.name] == [old, new], "in its room on both ways first"
    assert list(run.live.links) == [new]
    counters = run.counters
    assert (counters["fallbacks"], counters["climbs"], counters["climbs.failed"]) == (1, 1, 1)
    assert "connections.lost" not in counters
    gevent.sleep(0.01)
    assert len(server.knocks) == 4, "at the top there is nothing to climb to"


def test_nothing_is_missed_or_doubled_meanwhile(
    run: Stage, server: Server, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(climbing, "BOTH_S", 60.0)
    (talker,) = run.come(Stayer)
    server.doors = [BLOCKED]
    (one,) = run.come(Climber)
    one.join_room(talker.room.name)
    run.begin()
    talker.send_message("on the old way")
    until(lambda: one.member.transport == "websocket")
    talker.send_message("on both")
    one.send_message("from there")
    until(lambda: run.counters.get("merged") == 2)
    run.settle()
    row = run.row("message.deliver")
    assert (row.expected, row.latency.n, row.lost) == (3, 3, 0)
    assert (row.duplicate, row.leaked, row.reordered) == (0, 0, 0)
    assert run.row("message.echo").duplicate == 0


def test_who_is_not_in_its_room_yet_does_not_climb_out_of_it(
    run: Stage, server: Server, until: Until
) -> None:
    late: AsyncResult = AsyncResult()
    server.doors = [BLOCKED]
    server.answers["joinRoom"] = lambda link, payload: late
    user = run.seat(Climber)
    coming = gevent.spawn(bring_in, user.device, user._conversation, lambda: None)
    until(lambda: server.told("joinRoom"))
    gevent.sleep(0.006)
    assert len(server.knocks) == 2
    server.answers["joinRoom"] = server.join
    late.set({"ok": True, "lastSeq": 0, "missed": []})
    assert coming.get(timeout=5)
    user.arrived()
    _arrive(run, user, until)
    assert server.listeners[user.room.name] == [paper(user.device)]


def test_what_was_not_answered_on_the_old_way_is_said_again_on_the_new(
    run: Stage, server: Server, until: Until
) -> None:
    (other,) = run.come(Stayer)
    one = _fallen(run, server)
    one.join_room(other.room.name)
    server.answers["message:send"] = lambda link, payload: None
    one.send_message("unanswered")
    server.answers["message:send"] = server.message
    until(lambda: not one.device.unacked)
    marks = {payload["clientMsgId"] for payload in server.told("message:send")}
    assert len(server.told("message:send")) == 2
    assert len(marks) == 1
    assert run.counters["sent"] == 1


def test_one_that_is_not_let_into_its_room_stays_where_it_is(
    run: Stage, server: Server, until: Until
) -> None:
    one = _fallen(run, server)
    old = paper(one.device)
    server.answers["joinRoom"] = lambda link, payload: refused("FORBIDDEN")
    until(lambda: run.counters.get("climbs.failed", 0) > 1)
    assert one.device.up
    assert paper(one.device) is old
    server.answers["joinRoom"] = server.join
    _arrive(run, one, until)
    assert len(server.open) == 1


def test_one_that_loses_its_way_while_it_climbs_comes_back_by_the_way_back(
    run: Stage, server: Server, until: Until
) -> None:
    one = _fallen(run, server)
    old, lost = paper(one.device), list[PaperLink]()

    def join(link: PaperLink, payload: Payload) -> Payload:
        if not lost:
            lost.append(old)
            old.lose()
        return server.join(link, payload)

    server.answers["joinRoom"] = join
    until(lambda: one.device.up and one.device.link is not old)
    gevent.sleep(0.01)
    assert len(server.open) == 1
    assert "climbs" not in run.counters
    assert not one.member.merging


def test_a_new_way_that_ends_with_its_last_answer_is_not_taken(
    run: Stage, server: Server, until: Until
) -> None:
    one = _fallen(run, server)
    old, joins = paper(one.device), list[PaperLink]()

    def join(link: PaperLink, payload: Payload) -> Payload:
        joins.append(link)
        if len(joins) == 1:  # the answer, and right behind it the end
            gevent.get_hub().loop.run_callback(lambda: gevent.get_hub().loop.run_callback(link.lose))
        return server.join(link, payload)

    server.answers["joinRoom"] = join
    until(lambda: joins)
    until(lambda: one.member.transport == "websocket" or len(joins) > 1)
    until(lambda: one.device.up and paper(one.device).state == "open")
    _arrive(run, one, until)
    assert joins[0].state == "lost"
    assert server.open == [paper(one.device)]
    assert old.state == "closed"


def test_it_climbs_again_after_a_way_back_to_the_lesser_transport(
    run: Stage, server: Server, until: Until
) -> None:
    run.policy_ms(20)
    one = _fallen(run, server, *[BLOCKED] * 2)
    until(lambda: run.counters.get("climbs.failed") == 2)
    server.doors = [BLOCKED, None, BLOCKED]
    paper(one.device).lose()  # several moments to climb pass while it is away
    _arrive(run, one, until)
    assert one.member.transport == "websocket"
    assert run.counters["connections.established"] == 3, "the first, the way back, the climb"


def test_a_moment_to_climb_that_passes_while_it_rejoins_is_not_the_last(
    run: Stage, server: Server, until: Until
) -> None:
    one = _fallen(run, server)
    late: AsyncResult = AsyncResult()
    server.doors = [BLOCKED]
    server.answers["joinRoom"] = lambda link, payload: late
    paper(one.device).lose()
    until(lambda: len(server.told("joinRoom")) == 2)
    gevent.sleep(0.006)
    assert one.device.returning
    server.answers["joinRoom"] = server.join
    late.set({"ok": True, "lastSeq": 0, "missed": []})
    _arrive(run, one, until)
    assert one.member.transport == "websocket"


def test_only_one_climbs_for_a_device(run: Stage, server: Server, until: Until) -> None:
    one = _fallen(run, server)
    _arrive(run, one, until)
    for number in (2, 3, 4):
        server.doors = [BLOCKED]
        paper(one.device).lose()
        until(lambda n=number: run.counters["climbs"] == n and not one.member.merging)
    until(lambda: len(server.open) == 1)
    gevent.sleep(0.01)
    assert len(server.open) == 1
    assert run.counters["climbs"] == run.counters["fallbacks"] == 4


def test_what_the_old_way_carried_counts_until_it_is_given_up(
    run: Stage, server: Server, until: Until
) -> None:
    one = _fallen(run, server)
    gevent.sleep(0.001)
    _arrive(run, one, until)
    by_then_ns = run.live.plan.measured_ns(run.now_ns())
    gevent.sleep(0.005)
    run.live.hold()
    active = {row.transport: row for row in run.traffic if row.regime == "active"}
    assert {name: row.users for name, row in active.items()} == {"long-polling": 1, "websocket": 1}
    assert 0 < active["long-polling"].user_ns <= by_then_ns


def test_in_the_drain_nobody_climbs(run: Stage, server: Server, until: Until) -> None:
    one = _fallen(run, server)
    run.live.hold()
    until(lambda: greenlets() == [])
    assert one.member.transport == "long-polling"
    assert len(server.knocks) == 2


@pytest.mark.parametrize("point", ["waiting", "connecting", "joining", "on both", "afterwards"])
def test_who_parts_while_it_climbs_leaves_nothing(
    run: Stage, server: Server, until: Until, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    if point == "waiting":
        monkeypatch.setattr(climbing, "EVERY_NS", 10**12)
    elif point in ("on both", "afterwards"):
        monkeypatch.setattr(climbing, "BOTH_S", 60.0 if point == "on both" else 0.001)
    one = _fallen(run, server, *([Event()] if point == "connecting" else []))
    if point == "joining":
        server.answers["joinRoom"] = lambda link, payload: None
        until(lambda: len(server.told("joinRoom")) == 2)
    elif point == "connecting":
        until(lambda: len(server.knocks) == 3)
    elif point == "on both":
        until(lambda: one.member.transport == "websocket")
        assert len(server.open) == 2
    elif point == "afterwards":
        _arrive(run, one, until)
    one._part()
    gevent.sleep(0)
    gevent.sleep(0)
    assert server.open == []
    assert greenlets() == []
    assert list(run.live.links) == []
