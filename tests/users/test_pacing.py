"""Is the schedule kept: the moments of the seed, never early, never moved, and none of them forgotten?"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event

from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Health
from loadtest.measure.schedule import Schedule
from loadtest.measure.units import MS, SECOND
from loadtest.users.clock import Clock
from loadtest.users.pacing import on_schedule


def send(user: Any) -> None:
    """A task."""


def read(user: Any) -> None:
    """Another."""


class Paced:
    """What ``wait_time`` needs of a user, without a connection."""

    tasks = (send, send, read, send)

    def __init__(self, live: Any, seed: int = 1) -> None:
        self.live = live
        self.moments = Random(seed)
        self.schedule: Schedule | None = None
        self.planned_ns: int | None = None
        self.overdue = False
        self.chosen = 0

    def choose_task(self) -> None:
        self.chosen += 1


@pytest.fixture
def live() -> Iterator[Any]:
    clock = Clock(lambda error: None)
    yield SimpleNamespace(
        begun=Event(),
        never=Event(),
        held=False,
        plan=Plan(perf_counter_ns()),
        settings=SimpleNamespace(rate=200.0),
        clock=clock,
        health=Health(),
    )
    clock.close()


def _begin(live: Any) -> int:
    begun_ns = perf_counter_ns() + 5 * MS
    live.plan.begin(begun_ns)
    live.begun.set()
    return begun_ns


def test_the_moments_are_the_seed_s_and_nobody_wakes_before_them(live: Any) -> None:
    begun_ns = _begin(live)
    user = Paced(live)
    wait = on_schedule()
    turns = []
    for _ in range(30):
        assert wait(user) == 0
        turns.append((user.planned_ns, perf_counter_ns()))
    theirs = Schedule(200.0, begun_ns, Random(1))
    assert [planned for planned, _ in turns] == [theirs.turn(begun_ns).planned_ns for _ in range(30)]
    assert all(planned is not None and woke >= planned for planned, woke in turns)
    assert user.chosen == 30
    assert live.health.planned == live.health.sent == 30
    assert live.health.send_lag.counts().n == 30
    assert live.health.send_lag.counts().negative == 0


def test_a_task_that_took_long_moves_no_moment(live: Any) -> None:
    begun_ns = _begin(live)
    user, wait = Paced(live), on_schedule(100.0)
    planned = []
    for number in range(20):
        wait(user)
        planned.append(user.planned_ns)
        if number == 3:
            gevent.sleep(0.05)
    theirs = Schedule(100.0, begun_ns, Random(1))
    assert planned == [theirs.turn(begun_ns).planned_ns for _ in range(20)]
    assert not user.overdue


def test_nothing_is_asked_before_the_plan_begins(live: Any) -> None:
    user = Paced(live)
    waiting = gevent.spawn(on_schedule(1000.0), user)
    gevent.sleep(0.01)
    assert not waiting.dead
    assert user.schedule is None
    _begin(live)
    waiting.get(timeout=5)
    assert user.planned_ns is not None


def test_who_comes_late_owes_nothing_of_before(live: Any) -> None:
    live.plan.begin(perf_counter_ns() - 10 * SECOND)
    live.begun.set()
    user = Paced(live)
    came_ns = perf_counter_ns()
    on_schedule(100.0)(user)
    assert user.planned_ns is not None
    assert user.planned_ns >= came_ns
    assert live.health.planned == 1


@pytest.mark.parametrize(("of", "tasks_per_second"), [(None, 300.0), ("send", 400.0), ("read", 1200.0)])
def test_a_rate_of_one_task_leaves_room_for_the_others(
    live: Any, of: str | None, tasks_per_second: float
) -> None:
    begun_ns = _begin(live)
    user = Paced(live)
    on_schedule("300/s", of=of)(user)
    assert user.planned_ns == Schedule(tasks_per_second, begun_ns, Random(1)).turn(begun_ns).planned_ns


def test_a_rate_of_a_task_that_does_not_exist_is_said(live: Any) -> None:
    _begin(live)
    with pytest.raises(ValueError, match=r"on_schedule\(of='shout'\): Paced has no task of that name"):
        on_schedule(of="shout")(Paced(live))


def test_a_rate_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="'often' is no rate"):
        on_schedule("often")


@pytest.mark.parametrize("how", ["held before", "held in its sleep", "planned for the drain"])
def test_nobody_acts_once_the_run_is_held(live: Any, how: str) -> None:
    if how == "planned for the drain":
        live.plan = Plan(perf_counter_ns(), run_time_ns=SECOND, warmup_ns=0, drain_ns=SECOND)
    _begin(live)
    live.held = how == "held before"
    user = Paced(live)
    waiting = gevent.spawn(on_schedule(50.0), user)
    gevent.sleep(0)
    live.held = True
    gevent.sleep(0.15)
    assert not waiting.dead
    assert user.planned_ns is None
    assert live.health.planned == 0
    waiting.kill()


def test_a_backlog_too_long_is_said_turn_by_turn(live: Any) -> None:
    _begin(live)
    user, wait = Paced(live), on_schedule(1000.0)
    wait(user)
    assert user.schedule is not None
    user.schedule._next_ns -= 40 * SECOND  # as if a task had blocked for that long
    wait(user)
    assert user.overdue
    assert live.health.planned == 2
    assert live.health.sent == 1, "an operation that is not made was not sent"
    assert live.health.send_lag.counts().n == 1
