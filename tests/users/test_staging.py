"""Does a run with stages ask for the right number of users, end in time, and refuse what makes no sense?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from locust import LoadTestShape
from locust.event import Events
from locust.runners import LocalRunner, WorkerRunner

from loadtest.measure.plan import Plan
from loadtest.measure.stages import Stage
from loadtest.measure.units import MS, SECOND
from loadtest.users.calling import CallingUser
from loadtest.users.options import FLAGS, SettingsError, read
from loadtest.users.staging import (
    Course,
    StagedLoad,
    follow_stages,
    settle_users,
    take_first_stage,
    told,
)
from loadtest.users.user import RealtimeUser

Until = Callable[[Callable[[], object]], None]


class Person(RealtimeUser):
    abstract = True


class Caller(CallingUser):
    abstract = True


class OwnShape(LoadTestShape):
    def tick(self) -> None:
        return None


def options_of(stages: str, **given: object) -> Namespace:
    """What Locust would have parsed; ``given``: by Locust's own names."""
    words = {f"rt_{flag.name.replace('-', '_')}": flag.default for flag in FLAGS} | {"rt_stages": stages}
    locust_s = {
        "num_users": None,
        "spawn_rate": None,
        "run_time": None,
        "headless": True,
        "worker": False,
        "autostart": False,
    }
    return Namespace(**words, **(locust_s | given))


def environment_of(options: Namespace, *kinds: type, shape: Any = None) -> Any:
    return SimpleNamespace(
        parsed_options=options,
        shape_class=shape,
        user_classes=list(kinds or (Person,)),
        events=cast(Any, Events)(),
    )


def runner_of(environment: Any, kind: type = LocalRunner) -> Any:
    """A runner that does not run: of this only its class and its environment matter."""
    runner = cast(Any, kind).__new__(kind)
    runner.environment = environment
    runner.greenlet = []  # for Locust's own clearing up
    return runner


def shape_of(stages: str, **given: object) -> StagedLoad:
    """That of a run started in the web UI."""
    environment = environment_of(options_of(stages, headless=False, **given))
    assert follow_stages(environment, runner_of(environment)) is None
    shape: StagedLoad = environment.shape_class
    shape.reset_time()
    return shape


class Asked:
    """A run that starts by itself; ``calls``: what its runner was told, beyond the start."""

    def __init__(self, stages: str, **given: object) -> None:
        self.options = options_of(stages, **given)
        self.environment = environment_of(self.options)
        self.calls: list[tuple[int, float]] = []
        runner = runner_of(self.environment)
        runner.start = lambda users, rate: self.calls.append((users, rate))
        assert follow_stages(self.environment, runner) is None
        take_first_stage(self.environment)
        self.shape: StagedLoad = self.environment.rt_stages

    def fire(self, event: str) -> None:
        """As Locust does."""
        getattr(self.environment.events, event).fire(environment=self.environment)


def after(shape: StagedLoad, seconds: float) -> tuple[int, float] | None:
    """What it asks for so long after the start."""
    shape.asked_ns[0] = perf_counter_ns() - round(seconds * SECOND)
    return shape.tick()


# -- in a run that starts by itself -----------------------------------------------------------------------


def test_locust_is_left_with_the_first_stage_and_the_time_of_all() -> None:
    """A shape would keep its main program from hearing SIGTERM, and from waiting until the run is written."""
    run = Asked("60s:20,60s:100,30s:50", spawn_rate=25.0)
    assert run.environment.shape_class is None
    assert (run.options.num_users, run.options.run_time) == (20, 150)
    percent = Asked("60s:25%,60s:100%", num_users=80, run_time=200)
    assert (percent.options.num_users, percent.options.run_time) == (20, 200)
    assert percent.shape.course == Course((Stage(60 * SECOND, 20), Stage(60 * SECOND, 80)), 200 * SECOND, 1.0)


def test_the_others_are_asked_for_in_their_time(until: Until) -> None:
    run = Asked("60s:20,60s:100")
    run.shape.course = Course(
        (Stage(10 * MS, 20), Stage(15 * MS, 100), Stage(5 * MS, 50), Stage(SECOND, 3)), SECOND, 25.0
    )
    run.fire("test_start")
    until(lambda: len(run.calls) == 3)
    assert run.calls == [(100, 25.0), (50, 25.0), (3, 25.0)]
    asked_ns = run.shape.asked_ns
    assert [
        asked_ns[number] - asked_ns[0] >= begin_ms * MS for number, begin_ms in enumerate((0, 10, 25, 30))
    ]
    run.fire("test_stopping")


def test_nobody_is_asked_for_once_the_run_ends() -> None:
    run = Asked("60s:20,60s:100")
    run.shape.course = Course((Stage(MS, 20), Stage(MS, 100)), 2 * MS, 1.0)
    run.fire("test_start")
    run.fire("test_stopping")
    run.fire("test_stopping")  # Locust may say so twice
    gevent.sleep(0.005)
    assert run.calls == []


def test_autostart_is_by_itself_too() -> None:
    run = Asked("60s:20,60s:100", headless=False, autostart=True)
    assert run.environment.shape_class is None
    assert run.options.num_users == 20


# -- what is asked for in the web UI -----------------------------------------------------------------------


def test_every_stage_is_asked_for_in_its_time_and_the_run_ends_after_the_last() -> None:
    shape = shape_of("60s:20,60s:100,30s:50", spawn_rate=25.0)
    assert [after(shape, at) for at in (0, 59, 61, 119, 121, 149)] == [
        (20, 25.0), (20, 25.0), (100, 25.0), (100, 25.0), (50, 25.0), (50, 25.0),
    ]  # fmt: skip
    assert after(shape, 151) is None


def test_the_last_one_lasts_as_long_as_the_run() -> None:
    shape = shape_of("60s:20,60s:100", run_time=200)
    assert after(shape, 199) == (100, 1.0)
    assert after(shape, 201) is None


def test_percent_are_of_u() -> None:
    shape = shape_of("60s:25%,60s:100%", num_users=80)
    assert [after(shape, at) for at in (1, 61)] == [(20, 1.0), (80, 1.0)]


def test_a_second_start_begins_anew_with_what_the_form_says_by_then() -> None:
    shape = shape_of("60s:20,60s:100")
    assert after(shape, 61) == (100, 1.0)
    assert shape.runner is not None
    shape.runner.environment.parsed_options.rt_stages = "60s:5"
    assert after(shape, 61) == (100, 1.0), "not in the middle of a run"
    shape.reset_time()
    assert shape.tick() == (5, 1.0)
    assert list(shape.asked_ns) == [0]


def test_a_form_that_makes_no_sense_ends_the_run_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    shape = shape_of("60s:20")
    assert shape.runner is not None
    shape.runner.environment.parsed_options.rt_stages = "60s"
    assert shape.tick() is None
    assert "--rt-stages: '60s' is no stage" in caplog.text


# -- what is written down ---------------------------------------------------------------------------------


def test_what_was_asked_for_and_when_is_told() -> None:
    shape = shape_of("60s:20,60s:100,30s:50")
    started_ns = perf_counter_ns()
    assert after(shape, 0) is not None
    shape.asked_ns[0] = started_ns - 5
    assert after(shape, 61) is not None
    shape.asked_ns[0] = started_ns - 5
    environment = SimpleNamespace(rt_stages=shape)
    one, two, three = told(environment, Plan(started_ns)) or []
    assert one == {"duration_s": 60.0, "users": 20, "begins_s": 0.0}
    assert two["begins_s"] == (shape.asked_ns[1] - started_ns) / SECOND > 0
    assert (three["users"], three["begins_s"]) == (50, None), "it never came to that"
    assert told(SimpleNamespace(), Plan(0)) is None


# -- how many there are at most ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "given", "headless", "settled"),
    [
        ("60s:20,60s:100", None, True, 100),
        ("60s:20,60s:100", 50, True, 50),  # for the preflight to refuse
        ("60s:20,60s:100", 1, False, 100),  # a form's own default
        ("60s:20,60s:100", 300, False, 300),
        ("60s:50%", None, True, None),
        ("60s:50%,60s:30", 40, False, 40),
    ],
)
def test_u_is_the_largest_stage_where_nobody_says_otherwise(
    stages: str, given: int | None, headless: bool, settled: int | None
) -> None:
    options = options_of(stages, num_users=given, headless=headless)
    settle_users(options)
    assert options.num_users == settled


# -- whether it makes sense -------------------------------------------------------------------------------


def test_without_stages_a_run_has_no_shape() -> None:
    environment = environment_of(options_of(""))
    assert follow_stages(environment, runner_of(environment)) is None
    assert environment.shape_class is None


def test_a_worker_is_told_how_many_users_it_has() -> None:
    environment = environment_of(options_of("60s:20"))
    assert follow_stages(environment, runner_of(environment, WorkerRunner)) is None
    assert environment.shape_class is None


def test_a_shape_of_ours_in_the_scenario_is_kept() -> None:
    shape = StagedLoad()
    environment = environment_of(options_of("60s:20", headless=False), shape=shape)
    assert follow_stages(environment, runner_of(environment)) is None
    assert environment.shape_class is environment.rt_stages is shape
    take_first_stage(environment)
    assert environment.parsed_options.run_time is None


@pytest.mark.parametrize(
    ("kinds", "shape", "says"),
    [
        ((Person,), OwnShape(), "the scenario has a shape of its own, OwnShape"),
        ((Person, Caller), None, "not with Caller: a call or a live chat needs both its parties"),
    ],
)
def test_what_makes_no_sense_is_refused_with_one_line(kinds: tuple[type, ...], shape: Any, says: str) -> None:
    environment = environment_of(options_of("60s:20"), *kinds, shape=shape)
    line = follow_stages(environment, runner_of(environment))
    assert line is not None
    assert line.startswith(f"--rt-stages: {says}")
    assert "\n" not in line
    assert environment.shape_class is shape


def test_words_that_make_no_sense_are_left_to_the_preflight() -> None:
    environment = environment_of(options_of("60s:many"))
    assert follow_stages(environment, runner_of(environment)) is None


# -- what the flags make of it ----------------------------------------------------------------------------


def faults_of(stages: str, **given: object) -> list[str]:
    with pytest.raises(SettingsError) as wrong:
        read(options_of(stages, **given), None)
    return wrong.value.faults


def test_the_run_is_as_long_as_its_stages_unless_t_says_otherwise() -> None:
    settings = read(options_of("60s:20,1m:50%", num_users=100, spawn_rate=5.0), None)
    assert settings.stages == (Stage(60 * SECOND, 20), Stage(60 * SECOND, 50))
    assert settings.run_time_ns == 120 * SECOND
    assert read(options_of("60s:20", run_time=90), None).run_time_ns == 90 * SECOND
    plain = read(options_of("", run_time=90), None)
    assert (plain.stages, plain.run_time_ns) == ((), 90 * SECOND)
    assert read(options_of(""), None).run_time_ns is None


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert faults_of("60s:many,") == [
        "--rt-stages: '60s:many': 'many' is no number of users: write 20, or 50% of -u"
    ]
    assert faults_of("60s:50%") == ["--rt-stages: a stage in percent needs -u to be a part of"]
    found = faults_of("60s:20,10s:100", num_users=50, run_time=60)
    assert [one.split(":")[0] for one in found] == ["--rt-stages"] * 3
    assert "-u says 50" in found[0] and "-t ends the run" in found[1] and "stage 2 lasts" in found[2]


def test_a_worker_reads_nothing_of_them() -> None:
    """Its own command line has no -u and no -r, and what the master asks for comes as it comes."""
    settings = read(options_of("60s:50%,10s:900", worker=True), None)
    assert (settings.stages, settings.run_time_ns) == ((), None)


def test_what_else_depends_on_the_number_of_users_counts_the_largest_stage() -> None:
    options = options_of("60s:20,60s:40", spawn_rate=10.0)
    options.rt_operators, options.rt_room_size = "40", "50"
    with pytest.raises(SettingsError) as wrong:
        read(options, None)
    assert [one.split(":")[0] for one in wrong.value.faults] == ["--rt-operators 40", "--rt-room-size"]
