"""How are the runs of a session made, one after the other, and which are left to be made?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.cli.claims_session import RUNS, Done, Session
from loadtest.cli.embedded import ServerFailed, embedded_server
from loadtest.cli.experiments import GRID, Recipe
from loadtest.cli.locust_run import Interrupted, RunFailed, run_scenario, scenario
from loadtest.cli.trial import Tick
from loadtest.measure import run as runs

if TYPE_CHECKING:
    from loadtest.cli.bandwidth_points import Plan as BytesPlan

OVERHEAD_S = 5.0
"""Of a run beyond its time: a server and a locust that start, a page that is drawn."""
REPEATS = 0.15
"""A run that its generator spoilt is made once more, while such runs take no more than this part of the time."""
IN_A_ROW = 3
"""So many runs that leave nothing, and nothing more is tried: the target is gone."""

Hear = Callable[[str, float], None]
"""Told what is under way, and how many seconds have passed."""


class Job(NamedTuple):
    """A trial to be made."""

    recipe: Recipe
    seed: int

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.recipe.run_time_s + OVERHEAD_S


def jobs(session: Session, experiments: Sequence[str]) -> list[Job]:
    """Every trial of these experiments that can be run, interleaved: what drifts drifts for all arms alike."""
    found: list[Job] = []
    for experiment in dict.fromkeys(experiments):
        recipes = [one for one in session.plan.wanted([experiment]) if runnable(session, one)]
        for seed in range(1, max((one.trials for one in recipes), default=0) + 1):
            # Thue and Morse: even a drift that bends is shared out alike over the rounds.
            turned = (seed - 1).bit_count() % 2
            found += [
                Job(one, seed) for one in (reversed(recipes) if turned else recipes) if seed <= one.trials
            ]
    return list(dict.fromkeys(found))


def scarce(session: Session, todo: Sequence[Job]) -> list[str]:
    """What this machine has too little of for the largest of these runs, a line each. Raises CannotRun."""
    from loadtest.cli.sizing import check
    from loadtest.measure.units import parse_rate

    found: list[str] = []
    for recipe in {job.recipe.name: job.recipe for job in todo}.values():
        told = dict(zip(recipe.flags, recipe.flags[1:], strict=False))
        found += check(
            recipe.users,
            parse_rate(told.get("--rt-rate", "6/m")),
            told.get("--rt-room-size", "10"),
            told.get("--rt-transport", "websocket"),
            int(told.get("--rt-devices", "1")),
            reports=session.path.parent,
            shared=session.record.host is None,
        )
    return list(dict.fromkeys(found))


def grid_seconds(session: Session, experiments: Sequence[str]) -> float:
    """How long the grid of bytes takes, of what is not there yet; 0 if nobody asks for it. Raises GridError."""
    from loadtest.cli.bandwidth_grid import seconds

    return seconds(_grid(session, ()), session.runs) if GRID in experiments else 0.0


def run_grid(session: Session, flags: Sequence[str], hear: Callable[[str, float], None]) -> bool:
    """What is missing of the runs of loadtest bandwidth, among those of the session; False if interrupted.

    A grid that cannot be run is told; what else was measured is judged all the same. Raises RunError.
    """
    from loadtest.cli.bandwidth_grid import GridError, NothingMeasured, run_grid

    whole = True
    try:
        if grid_seconds(session, [GRID]):
            outcome = run_grid(_grid(session, flags), session.runs, hear)
            whole = not outcome.interrupted
            if outcome.cut and whole:
                session.record.failed.append(f"{GRID}: {outcome.cut}")
    except NothingMeasured:
        whole = False
    except GridError as error:
        session.record.failed.append(f"{GRID}: {error}")
    _keep_grid(session)
    return whole


def _keep_grid(session: Session) -> None:
    """Take down what the grid has by now, as runs of the session."""
    from loadtest.cli.bandwidth_grid import GRID as KEPT
    from loadtest.cli.bandwidth_grid import Kept
    from loadtest.cli.bandwidth_points import spots

    try:
        kept = msgspec.json.decode((session.runs / KEPT).read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError):
        return  # nothing was begun, or it was told already that it is damaged
    there = {one.path for one in session.record.done}
    for spot in spots(_grid(session, ())):
        path = f"{RUNS}/{kept.runs.get(spot.name, '')}"
        if spot.name in kept.runs and path not in there:
            session.record.done.append(Done(spot.name.rpartition("-")[0], spot.seed, path))
    session.save()


def _grid(session: Session, flags: Sequence[str]) -> BytesPlan:
    from loadtest.cli.bandwidth_points import Plan

    return Plan(session.plan.quick, session.plan.grid, session.record.host, tuple(flags))


def runnable(session: Session, recipe: Recipe) -> bool:
    """What needs a server with flags of its own cannot be run against somebody else's."""
    return session.record.host is None or not recipe.serve


def missing(session: Session, job: Job) -> bool:
    """Whether the run is still to be made, for the first time or once more."""
    done = session.finished(job.recipe.name, job.seed)
    return not done or (len(done) == 1 and _spoilt(session, done[0]))


def run(session: Session, todo: Sequence[Job], flags: Sequence[str], hear: Hear) -> bool:
    """Make all runs that are not there yet; False if it was interrupted. Each is kept as soon as it is finished.

    Raises RunError if the record cannot be written.
    """
    passed_s, failed = 0.0, 0
    budget_s = REPEATS * sum(job.seconds for job in todo)
    for number, job in enumerate(todo, 1):
        what = f"{number} of {len(todo)}: {job.recipe.name}"
        try:
            budget_s -= _trial(session, job, flags, budget_s, _ticking(hear, what, passed_s, job))
            failed = 0
        except (Interrupted, KeyboardInterrupt):
            return False
        except (RunFailed, ServerFailed) as error:
            session.record.failed.append(f"{job.recipe.name}, seed {job.seed}: {error}")
            failed += 1
            if failed == IN_A_ROW:
                break
        passed_s += job.seconds
        hear(what, passed_s)
    session.save()
    return True


def _trial(session: Session, job: Job, flags: Sequence[str], budget_s: float, tick: Tick) -> float:
    """Make a run, and once more if its generator spoilt it; how many seconds that took beyond the first."""
    if session.finished(job.recipe.name, job.seed):  # spoilt, and the session was cut short before the second
        session.keep(_make(session, job, 1, flags, tick))
        return 0.0
    session.keep(_make(session, job, 0, flags, tick))
    if budget_s <= 0 or not _spoilt(session, session.record.done[-1]):
        return 0.0
    session.keep(_make(session, job, 1, flags, tick))
    return job.seconds


def _ticking(hear: Hear, what: str, passed_s: float, job: Job) -> Tick:
    return lambda elapsed_s: hear(what, passed_s + min(elapsed_s, job.seconds))


def _make(session: Session, job: Job, repeat: int, flags: Sequence[str], tick: Tick) -> Done:
    recipe = job.recipe
    asked = ["-u", str(recipe.users), "-r", str(recipe.spawn_rate), "--rt-seed", str(job.seed)]
    with _server(session, recipe) as host:
        path = run_scenario(
            scenario(recipe.scenario),
            [*recipe.flags, "-H", host, *asked, *flags],
            session.runs,
            recipe.run_time_s,
            tick,
        )
    return Done(recipe.name, job.seed, f"{RUNS}/{path.name}", repeat)


@contextmanager
def _server(session: Session, recipe: Recipe) -> Iterator[str]:
    if session.record.host is not None:
        yield session.record.host
        return
    with embedded_server(*recipe.serve) as url:
        yield url


def _spoilt(session: Session, done: Done) -> bool:
    """Whether the generator was its limit, by what the run says of itself."""
    from loadtest.analysis.validity import INVALID, judge

    try:
        return judge(runs.read(session.path / done.path)).state == INVALID
    except runs.RunError:
        return True
