"""How is one trial of a night run, and run again if the machine was not quiet?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest.cli.canary import look, noise
from loadtest.cli.embedded import embedded_server
from loadtest.cli.locust_run import run_scenario
from loadtest.cli.night_plan import Job
from loadtest.measure import run as runs
from loadtest.measure.slo import to_toml

REPEATS = 2
CANDIDATE, BASELINE = "candidate", "baseline"


class Arm(NamedTuple):
    """One build under test. host: its address; None: a server of our own, a new one for each trial."""

    name: str
    host: str | None
    flags: tuple[str, ...] = ()


class Trial(NamedTuple):
    """One run of one arm. repeat: 0 for the first try. noise: what speaks against it; counts: all the same?"""

    arm: str
    seed: int
    path: Path
    repeat: int = 0
    noise: str = ""
    counts: bool = True


Tick = Callable[[float], None]


def run_trial(job: Job, arm: Arm, seed: int, out: Path, tick: Tick) -> Iterator[Trial]:
    """The trial, and after a noisy one its repetitions, each with the same seed; the last one may be noisy too.

    What stands alone, such as a soak of hours, is not repeated: there is nothing it is compared with.
    Raises RunFailed, ServerFailed and RunError; Interrupted passes on, with what the run left.
    """
    slo = _slo_file(job, out)
    for repeat in range(REPEATS + 1):
        before = look()
        with _server(arm) as host:
            flags = _flags(job, arm, host, seed) + slo
            path = run_scenario(job.locustfile, flags, out, job.run_time_s, tick)
        said = noise(before, look()) or _generator_at_its_limit(path)
        yield Trial(arm.name, seed, path, repeat, said, not said or job.trials == 1)
        if not said or job.trials == 1:
            return


@contextmanager
def _server(arm: Arm) -> Iterator[str]:
    if arm.host is not None:
        yield arm.host
        return
    with embedded_server() as url:
        yield url


def _flags(job: Job, arm: Arm, host: str, seed: int) -> list[str]:
    flags = ["-H", host, "-u", str(job.users), "-r", f"{job.spawn_rate:g}", "--rt-seed", str(seed)]
    return [*flags, *job.flags, *arm.flags]


def _slo_file(job: Job, out: Path) -> list[str]:
    """The job's SLOs as flags of locust, so that the page of every trial shows them, and may end it early."""
    if not job.slos:
        return []
    path = out / "slo.toml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        runs.replace(path, to_toml(job.slos).encode())
    except OSError as error:
        raise runs.RunError(f"{path}: cannot be written ({error.strerror})") from None
    return ["--rt-slo", str(path)]


class _Validity(msgspec.Struct, frozen=True):
    state: str = ""
    reasons: list[str] = []


class _Summary(msgspec.Struct, frozen=True):
    validity: _Validity = _Validity()


def _generator_at_its_limit(path: Path) -> str:
    """Why the run itself says that nothing follows from it; its report has judged that already."""
    try:
        found = msgspec.json.decode((path / runs.SUMMARY).read_bytes(), type=_Summary).validity
    except (OSError, msgspec.MsgspecError):
        return "its report could not be made"
    return f"invalid: {found.reasons[0]}" if found.state == "invalid" and found.reasons else ""
