"""How are floors measured? C0 by bytes that come back; C1 and C2 by real runs against the null server.

Other commands use it too: ``measure_floors``, before or after runs of their own with the same load.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.cli.echo import EchoFailed, measure_echo
from loadtest.cli.embedded import embedded_server
from loadtest.cli.locust_run import in_processes, run_scenario, scenario

if TYPE_CHECKING:
    from loadtest.analysis.event_cost import Used
    from loadtest.analysis.floors import Floors, Load
    from loadtest.measure.run import Run

SCENARIO = "messaging"
NULL = ("--target", "null")
SECONDS = 10.0
LONGEST_S = 120.0
"""A load so small that a p99 takes longer than this gets none."""
WARMUP_S, DRAIN_S, START_S = 1.0, 1.0, 1.5
ENOUGH = 400
"""Deliveries that a p99 is to be taken of; the least is 299."""
BUSY = 1000.0
"""Events per second from which on the cost of one can be told from what a process takes without any."""
_ECHO_S = 4.0
_MACHINE = ("fingerprint", "host", "os", "kernel", "cpu", "cores", "memory_gib", "python")

Hear = Callable[[str, float], None]
"""Told what is under way, and how many seconds of the whole have passed."""


class CannotMeasure(Exception):
    """A load that has no floor; ``str`` is one line."""


class Step(NamedTuple):
    """One run. name: of its floor; empty for one that only the cost is taken of."""

    name: str
    says: str
    load: Load
    seconds: float

    @property
    def spawn_rate(self) -> float:
        """Users per second: all within five seconds, but no storm."""
        return min(max(10.0, self.load.users / 5), 300.0)

    @property
    def run_time_s(self) -> float:
        """From the first spawn to the end, in whole seconds: Locust knows no others."""
        return math.ceil(START_S + self.load.users / self.spawn_rate + WARMUP_S + self.seconds + DRAIN_S)


def steps(load: Load, seconds: float = SECONDS, with_cost: bool = False) -> list[Step]:
    """The runs that a calibration takes, in their order. Raises CannotMeasure."""
    from loadtest.analysis.floors import C1, C2

    if load.transport == "interval-polling":
        raise CannotMeasure(
            "interval-polling: a message waits there for the next poll by design, hundreds of times longer than "
            "the harness takes, so it has no floor worth measuring; see what it needs with --no-run"
        )
    light = msgspec.structs.replace(load, users=10, rate_per_s=1.0, room_size="10", devices=1, processes=1)
    found = [
        Step(C1, "the null server, hardly anybody there", light, seconds),
        Step(C2, "the null server, this load", load, _long_enough(load, seconds)),
    ]
    if with_cost and load.need().events_per_s < BUSY:
        busy = msgspec.structs.replace(
            load, users=100, rate_per_s=1.0, room_size="10", devices=1, processes=1
        )
        found.append(Step("", "the cost of an event", busy, min(seconds, 6.0)))
    return found


def _long_enough(load: Load, seconds: float) -> float:
    per_second = load.users * load.rate_per_s * load.fan_out * load.devices
    return max(seconds, min(LONGEST_S, ENOUGH / per_second)) if per_second else seconds


def whole_s(planned: list[Step]) -> float:
    """Seconds that C0 and these runs take."""
    return _ECHO_S + sum(step.run_time_s for step in planned)


def measure_floors(
    load: Load, out: Path, of: Path | None = None, hear: Hear | None = None, seconds: float = SECONDS
) -> Floors:
    """C0, C1 and C2 at this load. The runs go below ``out``; ``of``: the directory that the floors belong to.

    Raises CannotMeasure, RunFailed, ServerFailed, RunError and, with Ctrl-C, Interrupted.
    """
    found = list(measuring(steps(load, seconds), load, out, of or out, hear or (lambda what, passed_s: None)))
    return found[-1]


def measuring(planned: list[Step], load: Load, out: Path, of: Path, hear: Hear) -> Iterator[Floors]:
    """What is known after each step, so that nothing measured is lost by what comes after it."""
    from loadtest.analysis.event_cost import cost_of, used
    from loadtest.analysis.floors import Floors, echo_floor, run_floor
    from loadtest.measure import run as runs

    started = datetime.now(UTC).isoformat(timespec="seconds")
    hear("C0: kernel and loop", 0.0)
    try:
        echo = measure_echo(load.payload_bytes, tick=lambda passed_s: hear("C0: kernel and loop", passed_s))
    except EchoFailed as failed:
        raise CannotMeasure(str(failed)) from None
    known = Floors(started, {}, load, [echo_floor(echo)])
    yield known
    spent: list[Used] = []
    for number, step in enumerate(planned):
        before_s = whole_s(planned[:number])

        def tick(passed_s: float, step: Step = step, before_s: float = before_s) -> None:
            what = f"{step.name}: {step.says}" if step.name else step.says
            hear(what, before_s + min(passed_s, step.run_time_s))

        run = runs.read(run_step(step, out / (step.name or "cost").lower(), tick))
        one = used(run)
        spent += [] if one is None else [one]
        floors = list(known.floors)
        if step.name:
            floors.append(run_floor(step.name, run, os.path.relpath(run.path, of.resolve())))
        source = f"measured here, {started[:10]}"
        known = Floors(started, machine_of(run), load, floors, cost_of(spent, load.transport, source))
        yield known


def machine_of(run: Run) -> dict[str, str | int | float | None]:
    """What the run was made on."""
    environment = run.manifest.environment
    return {name: environment[name] for name in _MACHINE if name in environment}


def run_step(
    step: Step, out: Path, tick: Callable[[float], None], null: Mapping[str, str] | None = None
) -> Path:
    """The run of a step, against a null server of its own; null: switches of that server, for known answers."""
    with embedded_server(*NULL, environment=null) as url:
        return run_scenario(scenario(SCENARIO), flags(step, url), out, step.run_time_s, tick)


def flags(step: Step, url: str) -> list[str]:
    """Those of locust."""
    load = step.load
    found = ["-H", url, "-u", str(load.users), "-r", f"{step.spawn_rate:g}"]
    found += ["--rt-rate", f"{load.rate_per_s!r}/s", "--rt-room-size", load.room_size]
    found += ["--rt-transport", load.transport, "--rt-client", load.client, "--rt-devices", str(load.devices)]
    found += ["--rt-payload-bytes", str(load.payload_bytes)]
    found += ["--rt-warmup", f"{WARMUP_S:g}s", "--rt-drain", f"{DRAIN_S:g}s"]
    return found + in_processes(load.processes)
