"""How is one level after the other run, and what is left when the target dies or somebody ends it?"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtest.analysis.capacity_level import Judged, Trial, judge
from loadtest.analysis.capacity_search import (
    FAIL,
    GENERATOR,
    OPEN,
    PASS,
    Done,
    Search,
    Step,
    next_step,
    so_far,
)
from loadtest.analysis.capacity_trial import DIED, Tried, not_run, tried
from loadtest.analysis.series import measured_seconds
from loadtest.analysis.summary import Facts, summarise
from loadtest.cli.capacity_generator import Guard, guard
from loadtest.cli.embedded import ServerFailed, embedded_server
from loadtest.cli.locust_run import Interrupted, RunFailed, run_scenario
from loadtest.measure import run as runs
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run, RunError
from loadtest.measure.slo import Slo, to_toml
from loadtest.measure.units import SECOND

LEVELS = "levels"
"""Below the plan's directory; the runs lie in it."""
_FASTEST = 100.0
"""Users that join per second: beyond it Locust itself warns, and joining becomes a storm of its own."""
_ANSWER_S = 5.0
_REST_AT_MOST_S = 30.0
_POLL_S = 0.2


class Job(NamedTuple):
    """What is searched, and how a level is run. host: None for a server of our own, a new one for each trial."""

    search: Search
    locustfile: Path
    host: str | None
    level_s: float
    slos: tuple[Slo, ...]
    flags: tuple[str, ...]
    out: Path

    def scarce(self) -> list[str]:
        """What the generator may be short of at the upper end, a line each."""
        return _guard(self, self.search.high).short


class Times(NamedTuple):
    """How a run of one level passes, in seconds."""

    joining: float
    warmup: float
    measure: float
    drain: float

    @property
    def whole(self) -> float:
        """Joining may take twice as long as it should before it takes from measure. No half seconds."""
        return math.ceil(2 * self.joining + self.warmup + self.measure + self.drain)


def times(users: int, level_s: float) -> Times:
    """Joining is a small part, but no faster than a server takes people in; the rest are the usual thirds."""
    joining = max(1.0, users / _FASTEST, min(5.0, level_s / 10, users / 10))
    return Times(joining, min(30.0, max(2.0, level_s / 3)), level_s, min(10.0, max(2.0, level_s / 4)))


class Found(NamedTuple):
    """What came of a search. facts: of its first run; cut: why it ended early, interrupted: by somebody's wish."""

    done: Done
    tried: list[Tried]
    facts: Facts | None
    cut: str = ""
    interrupted: bool = False


Hear = Callable[[Step, list[str], float], None]
"""Told which trial is under way, what came of those before it, and how many seconds of it have passed."""


class TargetDied(Exception):
    """The target no longer answers; ``str`` is one line."""


def run_levels(job: Job, hear: Hear) -> Found:
    """Search to the end, or as far as it goes. Raises RunFailed and ServerFailed if not one trial could be run."""
    course = _Course(job, hear)
    try:
        course.run()
    except KeyboardInterrupt:
        return course.found("interrupted", interrupted=True)
    except (RunFailed, ServerFailed, RunError, TargetDied) as failed:
        if not course.tried:
            raise
        return course.found(str(failed))
    return course.found()


class _Course:
    """One search under way."""

    def __init__(self, job: Job, hear: Hear) -> None:
        self.job = job
        self.hear = hear
        self.tried: list[Tried] = []
        self.facts: Facts | None = None
        self._outcomes: list[str] = []
        self._visit: list[Trial] = []
        self._latest: Run | None = None
        self._slo_flags: list[str] = []

    def found(self, cut: str = "", interrupted: bool = False) -> Found:
        done = so_far(self.job.search, self._outcomes)
        return Found(done, self.tried, self.facts, cut, interrupted)

    def run(self) -> None:
        self._slo_flags = _slo_file(self.job)
        last = None
        while isinstance(step := next_step(self.job.search, self._outcomes), Step):
            if last is None or step.visit != last.visit:
                self._visit = []
            self._trial(step)
            last = step

    def _trial(self, step: Step) -> None:
        seed = len(self.tried) + 1
        how = times(step.users, self.job.level_s)
        allowed = _guard(self.job, step.users)
        if allowed.refused:
            self._outcomes.append(GENERATOR)
            self.tried.append(not_run(step, seed, f"this machine cannot make the load: {allowed.refused}"))
            return
        try:
            with _server(self.job.host) as host:
                path = run_scenario(
                    self.job.locustfile,
                    [*_flags(step.users, host, seed, how), *self._slo_flags, *self.job.flags, *allowed.flags],
                    self.job.out / LEVELS,
                    how.whole,
                    lambda elapsed_s: self.hear(step, self._outcomes, elapsed_s),
                )
                gone = silent(host)
        except Interrupted as cut:
            if cut.path is not None and measured_seconds(runs.read(cut.path)) >= 1:
                self._take(step, seed, cut.path)
            raise KeyboardInterrupt from None
        self._take(step, seed, path, gone)
        if gone:
            raise TargetDied(f"{self.job.host or 'our server'} died at {step.users} users: {gone}")
        if self.job.host is not None and self.tried[-1].state != PASS:
            self._rest(step, backlog_s(self._latest))

    def _take(self, step: Step, seed: int, path: Path, gone: str = "") -> None:
        """Judge a trial together with those of its visit, and remember it. ``gone``: nothing was to judge."""
        run = runs.read(path)
        self._latest, trial = run, (run, summarise(run))
        self.facts = self.facts or trial[1].run
        judged = Judged(DIED, gone, []) if gone else judge([*self._visit, trial], self.job.slos)
        if judged.state in (PASS, FAIL, OPEN):
            self._visit.append(trial)
        if not gone:
            self._outcomes.append(judged.state)
        self.tried.append(tried(step, seed, f"{LEVELS}/{path.name}", trial, judged))

    def _rest(self, step: Step, seconds: float) -> None:
        """A target that is not ours cannot be started anew, so it is given the time to work off what it owes."""
        until = time.monotonic() + min(seconds, max(_REST_AT_MOST_S, self.job.level_s))
        while time.monotonic() < until:
            self.hear(step, self._outcomes, times(step.users, self.job.level_s).whole)
            time.sleep(_POLL_S)


def backlog_s(run: Run | None) -> float:
    """About how long a target needs for what it still owed at the end, at the rate at which it delivered."""
    if run is None:
        return 0.0
    owed = came = 0
    for row in run.series:
        if Operation(row.operation).fans_out:
            owed += row.open + row.lost
            came += row.latency.n
    seconds = run.manifest.edges.ended_ns / SECOND
    return 1.0 + owed * seconds / came if came else _REST_AT_MOST_S


def _guard(job: Job, users: int) -> Guard:
    """Of a target elsewhere nothing is taken from the generator."""
    parts = urlsplit(job.host or "http://127.0.0.1")
    shared = (parts.hostname or "") in ("127.0.0.1", "localhost", "::1")
    return guard(users, job.locustfile.stem, job.flags, job.out.parent, shared)


@contextmanager
def _server(host: str | None) -> Iterator[str]:
    if host is not None:
        yield host
        return
    with embedded_server() as url:
        yield url


def _flags(users: int, host: str, seed: int, how: Times) -> list[str]:
    flags = ["-H", host, "-u", str(users), "-r", f"{users / how.joining:.4g}", "--rt-seed", str(seed)]
    return [*flags, "--rt-warmup", f"{how.warmup:g}s", "--rt-drain", f"{how.drain:g}s"]


def _slo_file(job: Job) -> list[str]:
    """The SLOs as flags of locust, so that the page of every trial shows them."""
    path = job.out / "slo.toml"
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        runs.replace(path, to_toml(job.slos).encode())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    return ["--rt-slo", str(path)]


def silent(host: str) -> str:
    """Why nobody answers there; empty if somebody does. What followed would measure a closed port."""
    parts = urlsplit(host if "//" in host else f"//{host}")
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), _ANSWER_S):
            return ""
    except OSError as error:
        return f"it no longer answers ({error.strerror or error})"
