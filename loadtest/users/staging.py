"""How does Locust come to follow the stages of a run?

Where somebody starts runs in the web UI, by a shape: an object that Locust asks about once a second how many users
there should be, and that ends the run. A run that starts by itself has none, but somebody who asks for other
numbers as the web UI would: Locust's main program waits for the end of a shape before it listens for SIGTERM, and
once anything else stops the shape, it leaves before the run is written.
"""

from __future__ import annotations

import contextlib
import logging
from time import perf_counter_ns
from typing import Any, NamedTuple

import gevent
from locust import LoadTestShape
from locust.log import greenlet_exception_logger
from locust.runners import LocalRunner, MasterRunner

from loadtest.measure.plan import Plan
from loadtest.measure.stages import Stage, Wanted, begins_ns, parse, resolve, stage_at, whole_ns
from loadtest.measure.units import SECOND

logger = logging.getLogger(__name__)


class Course(NamedTuple):
    """What a run was asked for when it began; a form may say something else before it ends."""

    stages: tuple[Stage, ...]
    run_time_ns: int
    spawn_rate: float


class StagedLoad(LoadTestShape):
    """The stages that ``--rt-stages`` names. ``asked_ns``: when each one began that has, on the run's clock.

    Locust runs every shape that a locustfile names, so this one is abstract; none need name it.
    """

    abstract = True
    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked_ns: dict[int, int] = {}
        self.course: Course | None = None
        self._conducting: gevent.Greenlet | None = None

    # -- in the web UI ----------------------------------------------------------------------------------

    def reset_time(self) -> None:
        """The load begins here, and with it the first stage; a master says so twice."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self.asked_ns, self.course = {0: perf_counter_ns()}, None

    def tick(self) -> tuple[int, float] | None:
        """How many users there should be now, and how many may come or go a second; None: the run is over."""
        assert self.runner is not None  # set by `follow_stages`
        try:
            self.course = course = self.course or course_of(self.runner.environment.parsed_options)
        except ValueError as error:  # of a form: nobody has looked at it yet
            logger.error("--rt-stages: %s", error)
            return None
        now_ns = perf_counter_ns()
        number = stage_at(course.stages, now_ns - self.asked_ns[0], course.run_time_ns)
        if number is None:
            return None
        self.asked_ns.setdefault(number, now_ns)
        return course.stages[number].users, course.spawn_rate

    # -- in a run that starts by itself -----------------------------------------------------------------

    def started(self, **_: Any) -> None:
        """Locust starts the first stage; the others are ours."""
        self.asked_ns = {0: perf_counter_ns()}
        self._conducting = gevent.spawn(self._conduct)
        # Or a run that stayed at its first stage would pass for one that was asked for no more.
        self._conducting.link_exception(greenlet_exception_logger(logger))  # type: ignore[no-untyped-call]

    def _conduct(self) -> None:
        course, runner = self.course, self.runner
        assert course is not None and runner is not None
        for number, begin_ns in enumerate(begins_ns(course.stages)):
            if number:
                wait_ns = self.asked_ns[0] + begin_ns - perf_counter_ns()
                gevent.sleep(max(0, wait_ns) / SECOND)
                self.asked_ns[number] = perf_counter_ns()
                runner.start(course.stages[number].users, course.spawn_rate)

    def stopping(self, **_: Any) -> None:
        """The run ends: nobody else is to come, even if a master is still starting them."""
        if self._conducting is not None:
            self._conducting.kill()
            self._conducting = None

    # -- afterwards -------------------------------------------------------------------------------------

    def told(self, plan: Plan) -> list[dict[str, Any]]:
        """For the manifest: what was asked for, and when, in seconds of the run; None: it never came to that."""
        stages = self.course.stages if self.course is not None else ()
        return [
            {
                "duration_s": stage.duration_ns / SECOND,
                "users": stage.users,
                "begins_s": self._begins_s(number, plan),
            }
            for number, stage in enumerate(stages)
        ]

    def _begins_s(self, number: int, plan: Plan) -> float | None:
        asked_ns = self.asked_ns.get(number)
        # The first was asked for a moment before the run had a plan.
        return None if asked_ns is None else max(0, asked_ns - plan.started_ns) / SECOND


def course_of(options: Any) -> Course:
    """What Locust's options ask for. Raises ValueError."""
    settle_users(options)
    stages = resolve(parse(str(options.rt_stages)), options.num_users)
    run_time_ns = round(float(options.run_time or 0) * SECOND) or whole_ns(stages)
    return Course(stages, run_time_ns, float(options.spawn_rate or 1))


def settle_users(options: Any) -> None:
    """Left out, -u is the largest stage, and not one; a form always has some number, so there it grows.

    Raises ValueError.
    """
    wanted = parse(str(options.rt_stages))
    given = options.num_users
    if (given is None and not any(one.relative for one in wanted)) or (given and not options.headless):
        options.num_users = max(given or 0, _most_named(wanted))


def _most_named(wanted: tuple[Wanted, ...]) -> int:
    return max((int(one.amount) for one in wanted if not one.relative), default=0)


def follow_stages(environment: Any, runner: Any) -> str | None:
    """Let a run have stages, whatever its scenario; to be called from ``init``, before the preflight.

    A line that says why not, or None.
    """
    options = environment.parsed_options
    if not isinstance(runner, LocalRunner | MasterRunner) or not getattr(options, "rt_stages", ""):
        return None
    refusal = _refusal(environment)
    if refusal is not None:
        return refusal
    shape = environment.rt_stages = environment.shape_class or StagedLoad()
    shape.runner = runner
    by_itself = options.headless or options.autostart
    environment.shape_class = None if by_itself else shape
    if by_itself:
        environment.events.test_start.add_listener(shape.started)
        # Before the house's own, which waits for what is under way, while a stage might begin.
        environment.events.test_stopping.add_listener(shape.stopping)
    # What is wrong with the words, the preflight says, with whatever else is wrong.
    with contextlib.suppress(ValueError):
        settle_users(options)
    return None


def take_first_stage(environment: Any) -> None:
    """A run that starts by itself starts with its first stage, and ends with its last; after the preflight."""
    shape, options = getattr(environment, "rt_stages", None), environment.parsed_options
    if shape is not None and environment.shape_class is None:
        shape.course = course_of(options)
        options.num_users = shape.course.stages[0].users
        options.run_time = shape.course.run_time_ns / SECOND


def most_users(environment: Any) -> int | None:
    """How many users a run comes to: of one that starts by itself, -u says by then what its first stage has."""
    shape = getattr(environment, "rt_stages", None)
    if shape is not None and environment.shape_class is None and shape.course is not None:
        return max(stage.users for stage in shape.course.stages)
    users: int | None = environment.parsed_options.num_users
    return users


def _refusal(environment: Any) -> str | None:
    shape = environment.shape_class
    if shape is not None and not isinstance(shape, StagedLoad):
        name = type(shape).__name__
        return f"--rt-stages: the scenario has a shape of its own, {name}; keep one of the two"
    for kind in environment.user_classes:
        if getattr(kind, "needs", ()):
            return (
                f"--rt-stages: not with {kind.__name__}: a call or a live chat needs both its parties, "
                "and a stage may send one of them away"
            )
    return None


def told(environment: Any, plan: Plan) -> list[dict[str, Any]] | None:
    """The stages of the run that has just ended; None if it had none."""
    shape = getattr(environment, "rt_stages", None)
    return None if shape is None else shape.told(plan)
