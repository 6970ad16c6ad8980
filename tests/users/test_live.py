"""When does the plan begin, and what becomes of a bug on the hub?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from flags import flags_of
from gevent.event import Event
from locust.event import Events

from loadtest.contract import load
from loadtest.measure.rooms import Member
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.live import Header, LiveRun

SETTINGS = flags_of(payload_bytes="33", room_size="2")


@pytest.fixture
def live() -> Iterator[LiveRun]:
    environment = SimpleNamespace(events=cast(Any, Events)())
    started_ns = perf_counter_ns()
    header = Header("run", "scenario", "2026-01-01T00:00:00+00:00", started_ns, None)
    place = Place(2, ("127.0.0.1", 1), "127.0.0.1:1", "http://127.0.0.1:1")
    made = LiveRun(environment, header, SETTINGS, load(None), place, "0", started_ns)
    yield made
    made.stop_timers()


@pytest.fixture
def begun(live: LiveRun) -> list[int]:
    """How often everybody was said to be in."""
    said: list[int] = []
    live.on_all_joined = lambda: said.append(1)
    return said


def test_the_plan_waits_for_everybody_who_is_on_the_way(live: LiveRun, begun: list[int]) -> None:
    with live.on_the_way():
        with live.on_the_way():
            pass
        live.spawned()
        gevent.sleep(0)
        assert not begun
    assert begun


def test_the_plan_waits_for_locust_to_start_them_all(live: LiveRun, begun: list[int]) -> None:
    with live.on_the_way():
        pass
    gevent.sleep(0)
    assert not begun
    live.spawned()
    gevent.sleep(0)
    assert begun


def test_who_was_started_last_is_waited_for_though_it_has_not_run_yet(
    live: LiveRun, begun: list[int]
) -> None:
    come = Event()

    def enter() -> None:
        with live.on_the_way():
            come.wait()

    users = [gevent.spawn(enter) for _ in range(3)]
    live.spawned()
    gevent.sleep(0.01)
    assert not begun
    come.set()
    gevent.joinall(users)
    assert len(begun) == 1


def test_who_has_to_try_again_later_is_not_waited_for(live: LiveRun, begun: list[int]) -> None:
    with live.on_the_way() as arrived:
        live.spawned()
        gevent.sleep(0)
        assert not begun
        arrived()
        assert len(begun) == 1
    assert len(begun) == 1


def test_nobody_comes_is_no_reason_to_wait(live: LiveRun, begun: list[int]) -> None:
    live.spawned()
    gevent.sleep(0)
    assert begun, "a worker may be given no user at all"


def test_users_that_are_stopped_on_their_way_in_begin_nothing(live: LiveRun, begun: list[int]) -> None:
    with live.on_the_way():
        live.spawned()
        gevent.sleep(0)
        live.close()
    assert not begun


def test_what_the_generator_itself_lacks_is_told_apart(live: LiveRun) -> None:
    for cause in (Cause.CONNECT_REFUSED, Cause.NO_DESCRIPTORS, Cause.NO_PORTS, Cause.NO_PORTS):
        live.gave_up(ConnectFailed(cause, ""))
    counters = live.recorder.counters
    assert counters["connections.failed"] == 4
    assert (counters["fds.exhausted"], counters["ports.exhausted"]) == (1, 2)


def test_sessions_that_reach_other_servers_are_named_once(
    live: LiveRun, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        live.gave_up(ConnectFailed(Cause.SESSION_UNKNOWN, "HTTP 400"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("long-polling needs sticky sessions") and "HTTP 400" in record.message
    assert live.recorder.counters["connections.failed"] == 3


def test_it_is_counted_on_which_server_a_device_was(live: LiveRun) -> None:
    ann, bob = Member("ann", "websocket"), Member("bob", "websocket")
    for member, server in ((ann, "a"), (bob, "b"), (ann, "b"), (bob, ""), (bob, "b")):
        live.settled(member, server)
    assert live.recorder.counters == {
        "servers.connections.a": 1,
        "servers.connections.b": 3,
        "servers.moved": 1,
    }


def _bug(detail: str) -> BaseException:
    try:
        raise ZeroDivisionError(detail)
    except ZeroDivisionError as error:
        return error


def test_a_bug_is_counted_and_shown_once_with_its_place(
    live: LiveRun, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BaseException] = []
    live.environment.events.user_error.add_listener(lambda exception, **_: told.append(exception))
    first = _bug("first")
    with caplog.at_level(logging.ERROR):
        for error in (first, _bug("second"), _bug("third"), ValueError("never raised")):
            live.fault(error)
    assert live.recorder.counters["harness.faults"] == 4
    words = [name for name in live.recorder.counters if name.startswith("fault: ")]
    assert len(words) == 2
    assert "ZeroDivisionError at" in words[0]
    assert "test_live.py:" in words[0]
    assert "first" in words[0]
    assert "ValueError at unknown place" in words[1]
    assert len(caplog.records) == len(told) == 2
    assert told[0] is first


def test_a_message_has_the_length_it_was_asked_to_have(live: LiveRun) -> None:
    rng = Random(1)
    bodies = {live.body(rng) for _ in range(50)}
    assert {len(body) for body in bodies} == {33}
    assert len(bodies) > 45, "text that repeats itself would flatter compression"


def test_the_clock_s_bugs_are_the_run_s(live: LiveRun) -> None:
    def bug() -> None:
        raise ZeroDivisionError("in a timer")

    live.clock.call_at(perf_counter_ns(), bug)
    gevent.sleep(0.005)
    assert live.recorder.counters["harness.faults"] == 1
