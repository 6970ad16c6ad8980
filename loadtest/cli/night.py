"""How are the jobs of a night run, one trial after the other, and what is left when it is cut short?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loadtest.cli.embedded import ServerFailed
from loadtest.cli.locust_run import Interrupted, RunFailed
from loadtest.cli.night_plan import Job
from loadtest.cli.trial import BASELINE, CANDIDATE, Arm, Trial, run_trial
from loadtest.measure.run import RunError

if TYPE_CHECKING:
    from loadtest.analysis.night import Taken


class Ran(NamedTuple):
    """A job as far as it came. cut: why not all of its trials were run; interrupted: by Ctrl-C or SIGTERM."""

    job: Job
    trials: list[Trial]
    cut: str = ""
    interrupted: bool = False


Hear = Callable[[str, float], None]
"""Told what is under way, and how many seconds of the night have passed."""


def arms(host: str | None, baseline: str | None, flags: Sequence[str]) -> list[Arm]:
    """What is compared; a baseline comes first."""
    ours = Arm(CANDIDATE, host, tuple(flags))
    return [ours] if baseline is None else [Arm(BASELINE, baseline, tuple(flags)), ours]


def planned(job: Job, compared: Sequence[Arm]) -> list[tuple[int, Arm]]:
    """(seed, arm) of every trial. Interleaved, ABBA BAAB: what drifts over a night drifts for both alike.

    A job of one trial is not compared, so the baseline is left alone.
    """
    if job.trials == 1:
        return [(1, compared[-1])]
    order = []
    for seed in range(1, job.trials + 1):
        # Thue and Morse: even a drift that bends is shared out alike over the rounds.
        turned = (seed - 1).bit_count() % 2
        order += [(seed, arm) for arm in (reversed(compared) if turned else compared)]
    return order


def seconds(jobs: Sequence[Job], compared: Sequence[Arm]) -> float:
    """How long the night takes if nothing is repeated."""
    return sum(job.run_time_s * len(planned(job, compared)) for job in jobs)


def run_night(jobs: Sequence[Job], compared: Sequence[Arm], out: Path, hear: Hear) -> Iterator[Ran]:
    """Run every job. After a target that is gone, or an interruption, no further job is begun."""
    passed_s = 0.0
    for job in jobs:
        ran = _run_job(job, compared, out, _after(passed_s, hear))
        passed_s += job.run_time_s * len(planned(job, compared))
        yield ran
        if ran.cut:
            return


def _after(passed_s: float, hear: Hear) -> Hear:
    return lambda what, now_s: hear(what, passed_s + now_s)


def _run_job(job: Job, compared: Sequence[Arm], out: Path, hear: Hear) -> Ran:
    trials: list[Trial] = []
    order = planned(job, compared)
    for number, (seed, arm) in enumerate(order):
        what = f"{job.name}: {arm.name} {seed} of {job.trials}"
        before_s = number * job.run_time_s

        def tick(elapsed_s: float, what: str = what, before_s: float = before_s) -> None:
            hear(what, before_s + min(elapsed_s, job.run_time_s))

        try:
            trials.extend(run_trial(job, arm, seed, out / f"{job.name}-{arm.name}", tick))
        except Interrupted as stopped:
            if stopped.path is not None:
                trials.append(Trial(arm.name, seed, stopped.path, noise="cut short", counts=not trials))
            return Ran(job, trials, "interrupted", interrupted=True)
        except KeyboardInterrupt:
            return Ran(job, trials, "interrupted", interrupted=True)
        except (RunFailed, ServerFailed, RunError) as failed:
            return Ran(job, trials, f"{arm.name} {seed}: {failed}")
    return Ran(job, trials)


def read_back(ran: Ran, root: Path) -> list[Taken]:
    """The trials with their runs. Raises RunError."""
    from loadtest.analysis.night import Taken, Told
    from loadtest.analysis.validity import judge
    from loadtest.measure import run as runs

    found = []
    for one in ran.trials:
        run = runs.read(one.path)
        path = str(one.path.resolve().relative_to(root.resolve()))
        failures = run.manifest.locust_failures
        told = Told(one.arm, one.seed, path, one.repeat, one.noise, one.counts, judge(run).state, failures)
        found.append(Taken(told, run))
    return found
