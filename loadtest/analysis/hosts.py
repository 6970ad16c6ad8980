"""On how many machines was a run made, and do their clocks agree well enough for one time axis?

No latency crosses machines: who says something and who reads it in a room are users of one process. What crosses
is the time axis itself, seconds of several machines in one row, and the edges of the phases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from loadtest.measure.clocks import ClockOffset
from loadtest.measure.crossing import CROSSING
from loadtest.measure.run import Run, Worker
from loadtest.measure.units import MS, SECOND, ms, say_ms, say_seconds

BOUND_MS = 100.0
"""A clock that is not known as well as this leaves open to which tenth of a second something belongs."""
AXIS_MS = 500.0
"""Half of a second of the time axis: beyond it a row has more of its neighbour than of itself."""
JUMP_MS = 10.0
DRIFT_PPM = 1000.0
"""A tenth of a per cent; a sound clock drifts by 50 at most. Past ten times of that, durations are off by more
than a bucket of a histogram is wide."""
WALL_S = 2.0
_INVALID_MS = 1000.0


class HostRow(msgspec.Struct, frozen=True):
    """One machine that users ran on, by the best known clock of its workers; figures are None where it shares the
    master's clock.

    offset_ms: its clock less the master's at the start, give or take bound_ms. axis_ms: how far its seconds may
    lie from the master's. drift_ppm: how much faster it is, give or take drift_bound_ppm. jump_ms: the largest
    step in between. wall_s: how far its time of day is ahead.
    """

    host: str
    workers: list[str]
    same_clock: bool
    offset_ms: float | None = None
    bound_ms: float | None = None
    axis_ms: float | None = None
    drift_ppm: float | None = None
    drift_bound_ppm: float | None = None
    jump_ms: float | None = None
    wall_s: float | None = None


class Doubt(NamedTuple):
    """One thing that speaks against a run; times: how many times the limit."""

    invalid: bool
    times: float
    text: str


def hosts(run: Run) -> list[HostRow]:
    """By name. Runs of older releases did not say on which machine they were: none."""
    of: dict[tuple[str, str], list[Worker]] = {}
    for worker in run.manifest.workers:
        host = worker.facts.get("host")
        if isinstance(host, str):
            of.setdefault((host, str(worker.facts.get("clock"))), []).append(worker)
    return [_row(host, workers) for (host, _), workers in sorted(of.items())]


def _row(host: str, workers: Iterable[Worker]) -> HostRow:
    names = [one.name for one in workers]
    offsets = [known for one in workers if (known := clock_offset(one)) is not None]
    if not offsets:
        return HostRow(host, names, True)
    best = min(offsets, key=lambda one: one.bound_ns)
    return HostRow(
        host,
        names,
        False,
        ms(best.offset_ns),
        ms(best.bound_ns),
        None if best.axis_ns is None else ms(best.axis_ns),
        best.drift_ppm,
        best.drift_bound_ppm,
        ms(best.jump_ns),
        round(best.wall_ns / SECOND, 3),
    )


def clock_offset(worker: Worker) -> ClockOffset | None:
    """What the run has of the clock of a worker; None: it shares the master's, or nobody asked."""
    told = worker.facts.get("clock_offset")
    return None if told is None else msgspec.convert(told, ClockOffset)


def doubts(run: Run) -> list[Doubt]:
    """What the machines and the coming of the workers say against a run, by worker."""
    found = []
    for worker in run.manifest.workers:
        found += _late(run, worker)
        offset = clock_offset(worker)
        if offset is not None:
            host = worker.facts.get("host") or "another machine"
            found += _of_clock(f"the clock of {host} (worker {worker.name})", offset)
    return found


def _late(run: Run, worker: Worker) -> list[Doubt]:
    joined_ns = worker.facts.get("joined_ns")
    if joined_ns is None:
        return []
    measure_ns = run.manifest.edges.measure_ns
    when = say_seconds(joined_ns / SECOND)
    where = "of measure" if measure_ns is not None and joined_ns > measure_ns else "of the load"
    return [
        Doubt(
            False,
            1,
            f"worker {worker.name} came {when} into the run, in the middle {where}: users were moved to it, and "
            "count from then on; start all workers first (--expect-workers)",
        )
    ]


def _of_clock(whose: str, offset: ClockOffset) -> list[Doubt]:
    bound_ms, jump_ms = offset.bound_ns / MS, abs(offset.jump_ns) / MS
    drift, wall_s = abs(offset.drift_ppm or 0.0), abs(offset.wall_ns) / SECOND
    # Of what is not known for certain, only what is beyond the doubt.
    drift = max(0.0, drift - (offset.drift_bound_ppm or 0.0))
    axis_ms = 0.0 if offset.axis_ns is None else offset.axis_ns / MS
    checks = [
        (bound_ms, BOUND_MS, _INVALID_MS,
         f"is known to within {say_ms(bound_ms)} only (limit {BOUND_MS:g} ms): "
         "use a faster way between master and workers, or fewer users on both"),
        (jump_ms, JUMP_MS, _INVALID_MS,
         f"jumped by {say_ms(jump_ms)} during the run (limit {JUMP_MS:g} ms): "
         "was the machine suspended, or moved to another?"),
        (drift, DRIFT_PPM, 10 * DRIFT_PPM,
         f"runs {drift / 10_000:.2g} % {'faster' if (offset.drift_ppm or 0) > 0 else 'slower'} than the master's "
         "(limit 0.1 %): its durations are wrong by as much"),
        (axis_ms, AXIS_MS, math.inf,
         f"may be {say_ms(axis_ms)} off by the end (limit {AXIS_MS:g} ms): its seconds lie beside the others'; "
         "let both machines keep time by NTP"),
        (wall_s, WALL_S, math.inf,
         f"shows a time of day that is {say_seconds(wall_s)} off the master's (limit {WALL_S:g} s): tokens may be "
         "refused as expired or not yet valid; let both machines keep time by NTP"),
    ]  # fmt: skip
    return [
        Doubt(value > invalid, value / limit, f"{whose} {text}")
        for value, limit, invalid, text in checks
        if value > limit
    ]


def notes(run: Run) -> list[str]:
    """What to know of a time axis that several clocks made; none if there was one."""
    foreign = [one for one in hosts(run) if not one.same_clock]
    if not foreign:
        return []
    axis_ms = max((one.axis_ms or 0.0 for one in foreign), default=0.0)
    who = "1 machine has a clock of its own"
    if len(foreign) > 1:
        who = f"{len(foreign)} machines have clocks of their own"
    found = [
        f"{who}: seconds and the edges of phases agree with the master's to "
        f"within {say_ms(axis_ms)}; latencies in rooms do not cross machines"
    ]
    crossed = sum(n for name, n in run.manifest.counters.items() if name.startswith(CROSSING))
    if crossed:
        found.append(
            f"{crossed:,} deliveries were said in one process and owed to another: between machines their latency "
            f"may be wrong by up to {say_ms(2 * axis_ms)}"
        )
    return found
