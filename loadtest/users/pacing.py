"""How does a Locust user keep an open schedule?

As a ``wait_time``: Locust asks it after every task, and it waits here for the next planned moment, in
Locust's WAITING state, so that a stop finds the user at once. What it returns is always 0.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from loadtest.measure.schedule import Schedule
from loadtest.measure.units import parse_rate

if TYPE_CHECKING:
    from loadtest.users.user import RealtimeUser


def on_schedule(rate: str | float | None = None, of: str | None = None) -> Callable[[Any], float]:
    """A ``wait_time`` whose moments come from the seed, count from the plan's start and are never moved.

    rate: ``"6/m"`` or operations per second; None takes ``--rt-rate``. of: the name of the task that the rate
    is about; the other tasks come on top, by their weights. Without it the rate is that of all tasks.
    """
    per_second = parse_rate(rate) if isinstance(rate, str) else rate

    def wait_time(user: RealtimeUser) -> float:
        if user.schedule is None:
            user.live.begun.wait()
            wanted = per_second if per_second is not None else user.live.settings.rate
            _start(user, wanted / _share(user, of))
        _await_turn(user)
        return 0

    return wait_time


def _start(user: RealtimeUser, rate: float) -> None:
    begun_ns = user.live.plan.begun_ns
    assert begun_ns is not None
    user.schedule = Schedule(rate, begun_ns, user.moments)
    user.schedule.skip_to(perf_counter_ns())


def _share(user: RealtimeUser, of: str | None) -> float:
    if of is None:
        return 1.0
    names = [getattr(task, "__name__", "") for task in user.tasks]
    if of not in names:
        raise ValueError(f"on_schedule(of={of!r}): {type(user).__name__} has no task of that name")
    return names.count(of) / len(names)


def _await_turn(user: RealtimeUser) -> None:
    live, schedule = user.live, user.schedule
    assert schedule is not None
    now_ns = perf_counter_ns()
    turn = schedule.turn(now_ns)
    drain_from = live.plan.drain_from_ns
    if live.held or (drain_from is not None and turn.planned_ns >= drain_from):
        live.never.wait()
    if turn.wake_ns > now_ns:
        live.clock.sleep_until(turn.wake_ns)
        if live.held:
            live.never.wait()
    user.planned_ns, user.overdue = turn.planned_ns, turn.overdue
    health = live.health
    health.planned += 1
    if not turn.overdue:
        health.sent += 1
        health.send_lag.record(perf_counter_ns() - max(turn.wake_ns, now_ns))
    user.choose_task()
