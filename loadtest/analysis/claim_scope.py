"""For what does a verdict on a claim hold?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from loadtest.analysis.series import measured_seconds
from loadtest.measure.faults import parse
from loadtest.measure.run import Run
from loadtest.measure.units import MS

DELAY = "delay"


class Scope(msgspec.Struct, frozen=True):
    """For what a verdict holds. loopback: no run had a way to go; each list has what differed among the runs."""

    loopback: bool
    round_trips_ms: list[float]
    users: list[int]
    rates_per_min: list[float]
    rooms: list[str]
    payload_bytes: list[int]
    transports: list[str]
    hardware: list[str]
    trials: int
    measured_s: float


def round_trip_ms(run: Run) -> float:
    """What a fault proxy added to every round trip of the measured phase: twice its delay."""
    delays = [one.amount or 0.0 for row in run.faults if row.fault == DELAY for one in parse(row.argument)]
    return 2 * max(delays, default=0.0) / MS


def scope_of(taken: Sequence[tuple[str, Run]]) -> Scope | None:
    """Of runs by their arm; None if there is none."""
    if not taken:
        return None
    told = [run.manifest for _, run in taken]
    trips = sorted({round_trip_ms(run) for _, run in taken})
    nearby = all(one.environment.get("same_host_as_target", False) for one in told)
    per_arm: dict[str, int] = {}
    for arm, _ in taken:
        per_arm[arm] = per_arm.get(arm, 0) + 1
    return Scope(
        loopback=nearby and trips == [0.0],
        round_trips_ms=trips,
        users=sorted({one.users for one in told}),
        rates_per_min=sorted({float(one.parameters.get("rate_per_min", 0.0)) for one in told}),
        rooms=sorted({str(one.parameters.get("room_size", "")) for one in told}),
        payload_bytes=sorted({int(one.parameters.get("payload_bytes", 0)) for one in told}),
        transports=sorted({one.transport for one in told}),
        hardware=sorted({_hardware(one.environment, nearby) for one in told}),
        trials=max(per_arm.values()),
        measured_s=round(sum(measured_seconds(run) for _, run in taken), 1),
    )


def _hardware(environment: Mapping[str, object], nearby: bool) -> str:
    """Of the machine that asked; the target is on the same one, or not."""
    machine = f"{environment.get('cpu', 'unknown CPU')}, {environment.get('cores', '?')} cores"
    return machine + (", shared by server and generator" if nearby else " (the generator's)")
