"""Does a call come when it is due: never before, in order, and whatever became of the others?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from time import perf_counter_ns

import gevent
import pytest

from loadtest.measure.units import MS
from loadtest.users import clock as clock_module
from loadtest.users.clock import Clock

Until = Callable[[Callable[[], object]], None]


@pytest.fixture(params=["timerfd", "libev"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Both ways to wait: as on Linux, and as on a platform without timerfd."""
    if request.param == "libev":
        monkeypatch.setattr(clock_module, "_timerfd", lambda libc: None)
    failures: list[BaseException] = []
    made = Clock(failures.append)
    made.failures = failures  # type: ignore[attr-defined]
    yield made
    made.close()


def test_calls_come_in_order_and_never_early(clock: Clock, until: Until) -> None:
    came: list[tuple[int, int, int]] = []
    start = perf_counter_ns()
    offsets = [7, 1, 30, 1, 0, 12, -5, 3]

    def note(due: int, number: int) -> None:
        came.append((due, number, perf_counter_ns()))

    for number, offset in enumerate(offsets):
        due = start + offset * MS
        clock.call_at(due, partial(note, due, number))
    until(lambda: len(came) == len(offsets))
    assert [(due, number) for due, number, _ in came] == sorted((due, number) for due, number, _ in came)
    assert all(at >= due for due, _, at in came)


def test_an_earlier_call_overtakes_the_one_armed(clock: Clock, until: Until) -> None:
    came: list[str] = []
    clock.call_at(perf_counter_ns() + 3_600_000 * MS, lambda: came.append("in an hour"))
    clock.call_at(perf_counter_ns() + 2 * MS, lambda: came.append("now"))
    until(lambda: came)
    assert came == ["now"]


def test_a_cancelled_call_is_not_made_and_holds_up_nobody(clock: Clock, until: Until) -> None:
    came: list[str] = []
    soon = perf_counter_ns() + 2 * MS
    timer = clock.call_at(soon, lambda: came.append("cancelled"))
    clock.call_at(soon + MS, lambda: came.append("kept"))
    timer.cancel()
    timer.cancel()
    until(lambda: came)
    assert came == ["kept"]


def test_a_call_may_ask_for_the_next(clock: Clock, until: Until) -> None:
    came: list[int] = []

    def tick() -> None:
        came.append(perf_counter_ns())
        if len(came) < 5:
            clock.call_at(came[-1] + MS, tick)

    clock.call_at(perf_counter_ns(), tick)
    until(lambda: len(came) == 5)
    assert all(later - earlier >= MS for earlier, later in pairwise(came))


def test_an_exception_in_a_call_stops_none_of_the_others(clock: Clock, until: Until) -> None:
    came: list[str] = []
    error = ZeroDivisionError("a bug")

    def bug() -> None:
        raise error

    soon = perf_counter_ns() + MS
    clock.call_at(soon, bug)
    clock.call_at(soon, lambda: came.append("same moment"))
    clock.call_at(soon + 5 * MS, lambda: came.append("later"))
    until(lambda: len(came) == 2)
    assert came == ["same moment", "later"]
    assert clock.failures == [error]  # type: ignore[attr-defined]


def test_many_sleepers_each_wake_at_their_own_moment(clock: Clock, until: Until) -> None:
    start = perf_counter_ns() + 500 * MS  # all of them sleep before the first has to wake
    woke: list[tuple[int, int]] = []

    def sleep(offset: int) -> None:
        clock.sleep_until(start + offset * MS)
        woke.append((offset, perf_counter_ns()))

    sleepers = [gevent.spawn(sleep, 5 * (n % 7)) for n in range(100)]
    until(lambda: len(woke) == 100)
    assert [offset for offset, _ in woke] == sorted(offset for offset, _ in woke)
    assert all(at >= start + offset * MS for offset, at in woke)
    gevent.joinall(sleepers, raise_error=True)


def test_a_killed_sleeper_is_not_woken_and_leaves_the_rest_alone(clock: Clock, until: Until) -> None:
    woke: list[str] = []

    def sleep(name: str, offset: int) -> None:
        clock.sleep_until(perf_counter_ns() + offset * MS)
        woke.append(name)
        gevent.sleep(0)  # a second switch into a dead sleeper would land here
        woke.append(name)

    killed, kept = gevent.spawn(sleep, "killed", 3), gevent.spawn(sleep, "kept", 6)
    gevent.sleep(0)
    killed.kill()
    until(lambda: kept.dead)
    assert woke == ["kept", "kept"]
    assert clock.failures == []  # type: ignore[attr-defined]


def test_a_sleeper_with_a_timeout_of_its_own_wakes_by_it(clock: Clock) -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.002):
        clock.sleep_until(perf_counter_ns() + 3_600_000 * MS)


def test_a_sleep_that_was_given_up_wakes_its_greenlet_from_no_other(clock: Clock) -> None:
    start = perf_counter_ns()
    with gevent.Timeout(0.002, False):
        clock.sleep_until(start + 10 * MS)
    clock.sleep_until(start + 30 * MS)
    assert perf_counter_ns() >= start + 30 * MS


def test_sleeping_until_the_past_lets_others_run_and_comes_back(clock: Clock) -> None:
    ran: list[str] = []
    gevent.spawn(ran.append, "other")
    clock.sleep_until(perf_counter_ns() - MS)
    assert ran == ["other"]


def test_closing_gives_the_descriptor_back_and_wakes_nobody(until: Until) -> None:
    before = os.listdir("/proc/self/fd")
    clock = Clock(lambda error: None)
    came: list[str] = []
    clock.call_at(perf_counter_ns() + MS, lambda: came.append("closed"))
    clock.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    later = Clock(lambda error: None)
    later.call_at(perf_counter_ns() + 3 * MS, lambda: came.append("later"))
    until(lambda: came)
    later.close()
    assert came == ["later"]


def test_a_call_asked_of_a_closed_clock_is_never_made(until: Until) -> None:
    """Whoever is still on its way in when a run ends must neither crash nor be woken in the next."""
    clock = Clock(lambda error: None)
    clock.close()
    clock.close()
    came: list[str] = []
    clock.call_at(perf_counter_ns(), lambda: came.append("closed"))
    later = Clock(lambda error: None)
    later.call_at(perf_counter_ns() + 3 * MS, lambda: came.append("later"))
    until(lambda: came)
    later.close()
    assert came == ["later"]
