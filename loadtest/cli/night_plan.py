"""What shall a night run?

A plan is a TOML file of jobs (nightly.toml in this package is the one that is used where none is named).
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.cli.locust_run import scenario
from loadtest.measure.slo import Slo, SloError, parse_table
from loadtest.measure.units import SECOND, parse_duration

BUILT_IN = Path(__file__).with_name("nightly.toml")
_KEYS = (
    "name", "scenario", "users", "spawn_rate", "run_time", "trials", "flags", "memory_percent_per_hour", "slo",
)  # fmt: skip
_OURS = (
    "-u", "--users", "-r", "--spawn-rate", "-t", "--run-time", "-H", "--host", "-f", "--locustfile", "--rt-out",
    "--rt-seed", "--rt-slo",
)  # fmt: skip
"""Flags that a job has another word for, or that the night sets itself."""


class PlanError(Exception):
    """A plan that makes no sense; ``faults`` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Job(NamedTuple):
    """One scenario and its trials. memory_percent_per_hour: how much the server may grow; None: not judged."""

    name: str
    locustfile: Path
    users: int
    spawn_rate: float
    run_time_s: float
    trials: int
    flags: tuple[str, ...] = ()
    slos: tuple[Slo, ...] = ()
    memory_percent_per_hour: float | None = None


def read_plan(path: Path | None, slos: Sequence[Slo] = (), trials: int | None = None) -> list[Job]:
    """The jobs of a plan; of the built-in one if ``path`` is None.

    slos: in place of those of the jobs that have several trials. trials: in place of their number, there too.
    Raises PlanError with every fault at once.
    """
    where = path or BUILT_IN
    try:
        content = tomllib.loads(where.read_text("utf-8"))
    except OSError as error:
        raise PlanError([f"{where}: cannot be read ({error.strerror})"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError([f"{where}: not TOML: {error}"]) from None
    tables = content.pop("job", None)
    faults = [f"{where}: unknown table [{key}]; jobs stand in [[job]]" for key in content]
    if not isinstance(tables, list) or not tables:
        raise PlanError([*faults, f"{where}: no jobs; write [[job]] with a name and a scenario"])
    jobs: list[Job] = []
    for number, table in enumerate(tables, 1):
        label = f"{where}: job {table.get('name', number)}"
        try:
            jobs.append(_job(label, table))
        except PlanError as error:
            faults += error.faults
    names = [job.name for job in jobs]
    twice = sorted({one for one in names if names.count(one) > 1})
    faults += [f"{where}: two jobs are called {name}" for name in twice]
    if faults:
        raise PlanError(faults)
    return [_changed(job, slos, trials) for job in jobs]


def _changed(job: Job, slos: Sequence[Slo], trials: int | None) -> Job:
    if job.trials == 1:
        return job
    return job._replace(slos=tuple(slos) or job.slos, trials=trials or job.trials)


def _job(label: str, table: dict[str, Any]) -> Job:
    faults = [
        f"{label}: unknown key {key}; there are {', '.join(_KEYS)}" for key in table if key not in _KEYS
    ]

    def number(key: str, default: float, least: float, whole: bool = True) -> Any:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value < least:
            faults.append(f"{label}: {key} must be a {'whole ' if whole else ''}number of at least {least:g}")
            return default
        return value

    locustfile = _locustfile(label, table.get("scenario"), faults)
    job = Job(
        name=_name(label, table.get("name"), faults),
        locustfile=locustfile,
        users=number("users", 100, 1),
        spawn_rate=number("spawn_rate", 50, 0.1, whole=False),
        run_time_s=_seconds(label, table.get("run_time", "60s"), faults),
        trials=number("trials", 6, 1),
        flags=_flags(label, table.get("flags", []), faults),
        slos=_slos(label, table, faults),
        memory_percent_per_hour=number("memory_percent_per_hour", 0, 0, whole=False)
        if "memory_percent_per_hour" in table
        else None,
    )
    if faults:
        raise PlanError(faults)
    return job


def _name(label: str, name: Any, faults: list[str]) -> str:
    if isinstance(name, str) and name and name.replace("-", "").replace("_", "").isalnum():
        return name
    faults.append(f"{label}: name must be a word of letters, digits, - and _")
    return ""


def _locustfile(label: str, name: Any, faults: list[str]) -> Path:
    if not isinstance(name, str) or not name:
        faults.append(f"{label}: scenario must name one of this package, or a locustfile")
        return Path()
    path = Path(name) if name.endswith(".py") else scenario(name)
    if not path.is_file():
        faults.append(f"{label}: scenario {name}: there is no {path}")
    return path


def _seconds(label: str, text: Any, faults: list[str]) -> float:
    try:
        seconds = parse_duration(str(text)) / SECOND
    except ValueError as error:
        faults.append(f"{label}: run_time: {error}")
        return 60.0
    if seconds < 5:
        faults.append(f"{label}: run_time: {text!r} leaves nothing to measure; 5s is the least")
    return seconds


def _flags(label: str, flags: Any, faults: list[str]) -> tuple[str, ...]:
    if not isinstance(flags, list) or not all(isinstance(one, str) for one in flags):
        faults.append(f'{label}: flags must be a list of words, such as ["--rt-rate", "6/m"]')
        return ()
    set_elsewhere = [one for one in flags if one.partition("=")[0] in _OURS]
    faults += [f"{label}: flags: {one} is set by the night or by a key of the job" for one in set_elsewhere]
    return tuple(flags)


def _slos(label: str, table: dict[str, Any], faults: list[str]) -> tuple[Slo, ...]:
    if "slo" not in table:
        return ()
    try:
        return tuple(parse_table(table["slo"], f"{label}: [job.slo]"))
    except SloError as error:
        faults += error.faults
        return ()
