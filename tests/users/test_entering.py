"""Does a user come in as often as its policy tries, and is one that stumbled on its way in no drop?"""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import AsyncResult
from stage import PaperLink, Payload, Server, Stage, failed, paper, refused

from loadtest.measure.faults import occurrences, parse
from loadtest.protocol.backoff import POLICIES
from loadtest.users.causes import Cause
from loadtest.users.entering import bring_in
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]
REFUSED = failed(Cause.CONNECT_REFUSED, "nobody there")


class Person(RealtimeUser):
    abstract = True


class Climber(RealtimeUser):
    abstract = True
    ladder = ("websocket", "long-polling", "interval-polling")


class Alone(RealtimeUser):
    abstract = True
    talks = False


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def run(stage: Callable[..., Stage], server: Server) -> Stage:
    return stage(server)


def _bring_in(run: Stage, kind: type[RealtimeUser] = Person) -> tuple[RealtimeUser, bool, int]:
    """A user, whether it came in, and how often the run was told to go on without it."""
    user, told = run.seat(kind), list[int]()
    came = bring_in(user.device, user._conversation, lambda: told.append(1))
    return user, came, len(told)


def test_who_comes_in_is_connected_and_in_its_conversation(run: Stage, server: Server) -> None:
    user, came, went_on = _bring_in(run)
    assert came
    assert went_on == 0
    assert user.device.up
    assert [payload["room"] for payload in server.told("joinRoom")] == [f"conversation:{user._conversation}"]
    row = run.row("session.connect")
    assert (row.latency.n, row.failed, sorted(row.phases)) == (1, 0, ["join", "tcp"])
    assert run.row("session.join").latency.n == 1
    assert run.counters == {"connections.established": 1}


@pytest.mark.parametrize("failures", [0, 1, 3, 4])
def test_it_is_tried_as_often_as_the_policy_would(run: Stage, server: Server, failures: int) -> None:
    run.policy_ms(1, 1, 1)
    server.doors = [REFUSED] * failures
    _, came, went_on = _bring_in(run)
    assert came == (failures < 4)
    assert len(server.knocks) == min(failures + 1, 4)
    assert went_on == min(failures, 3), "the run begins without who has to wait"
    assert run.counters.get("connections.failed", 0) == failures
    row = run.row("session.connect")
    assert (row.failed, row.latency.n) == (failures, int(came))
    assert len(server.open) == came


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_who_is_refused_is_not_asked_again_but_by_python(run: Stage, server: Server, policy: str) -> None:
    run.policy_ms(1, 1, retries_refused=POLICIES[policy].retries_refused)
    server.doors = [failed(Cause.CONNECT_ERROR, "AUTH_INVALID")]
    _, came, _ = _bring_in(run)
    assert came == (policy == "python")


def test_a_policy_of_none_tries_once(run: Stage, server: Server) -> None:
    run.live.policy = POLICIES["none"]
    server.doors = [REFUSED]
    assert _bring_in(run)[1:] == (False, 0)
    assert len(server.knocks) == 1


def test_after_the_end_nobody_tries(run: Stage, server: Server) -> None:
    run.live.close()
    assert _bring_in(run)[1] is False
    assert server.knocks == []


def test_where_a_transport_is_blocked_the_next_is_tried_at_once(run: Stage, server: Server) -> None:
    server.doors = [failed(Cause.HANDSHAKE_REFUSED, "HTTP 403")]
    user, came, went_on = _bring_in(run, Climber)
    assert (came, went_on, user.member.transport) == (True, 0, "long-polling")
    assert run.counters["fallbacks"] == 1
    assert "connections.failed" not in run.counters
    assert [link.state for link in server.links] == ["closed", "open"]


@pytest.mark.parametrize("cause", [Cause.CONNECT_REFUSED, Cause.CONNECT_ERROR, Cause.NO_PORTS])
def test_where_nobody_would_let_in_no_other_transport_is_tried(
    run: Stage, server: Server, cause: Cause
) -> None:
    run.live.policy = POLICIES["none"]
    server.doors = [failed(cause)]
    assert _bring_in(run, Climber)[1] is False
    assert [link.transport for link in server.links] == ["websocket"]


def test_a_refused_join_is_a_connection_that_failed(run: Stage, server: Server) -> None:
    run.policy_ms(1)
    server.answers["joinRoom"] = lambda link, payload: refused("FORBIDDEN")
    user, came, _ = _bring_in(run)
    assert not came
    assert server.open == []
    assert not user.member.connected
    assert list(run.live.links) == []
    assert run.row("session.join").failed == run.row("session.connect").failed == 1


@pytest.mark.parametrize("in_one_breath", [False, True])
def test_who_is_lost_before_it_is_in_is_no_drop_and_comes_in_once(
    run: Stage, server: Server, until: Until, in_one_breath: bool
) -> None:
    joins: list[PaperLink] = []

    def join(link: PaperLink, payload: Payload) -> Payload | None:
        joins.append(link)
        if len(joins) > 1:
            return server.join(link, payload)
        if in_one_breath:  # the answer, and right behind it the end
            gevent.get_hub().loop.run_callback(lambda: gevent.get_hub().loop.run_callback(link.lose))
            return server.join(link, payload)
        link.lose()
        return None

    server.answers["joinRoom"] = join
    user, came, went_on = _bring_in(run)
    assert (came, went_on) == (True, 1)
    gevent.sleep(0.01)  # a way back of a loss taken for a drop would have knocked by now
    assert len(server.knocks) == 2
    assert server.open == [paper(user.device)]
    assert user.device.up
    counters = run.counters
    assert counters["connections.failed"] == 1
    assert "connections.lost" not in counters
    run.live.close()
    assert run.drops == []


def test_who_has_no_conversation_is_in_once_it_is_connected(run: Stage, server: Server) -> None:
    user, came, _ = _bring_in(run, Alone)
    assert came
    assert server.heard == []
    paper(user.device).lose()
    assert user.device.returning


def test_a_strike_passes_by_who_is_still_coming_in(run: Stage, server: Server, until: Until) -> None:
    run.begin()
    late: AsyncResult = AsyncResult()
    server.answers["joinRoom"] = lambda link, payload: late
    user = run.seat(Person)
    coming = gevent.spawn(bring_in, user.device, user._conversation, lambda: None)
    until(lambda: server.told("joinRoom"))
    assert not user.device.strike(occurrences(parse("abort@0"))[0])
    late.set({"ok": True, "lastSeq": 0})
    assert coming.get(timeout=5)
    assert user.device.strike(occurrences(parse("abort@0"))[0])
