"""How much of a latency is the harness itself, and may a result be believed beside that?

Three floors, measured in one session with a run. C0: a message through the kernel and an event loop, and back.
C1: a delivery by a server that does nothing but pass it on, with hardly anybody there. C2: the same with as many
users, messages and members as the run had: what a server without any work of its own would have come to.

A floor is set beside a result and never subtracted: percentiles do not subtract, and a run whose floor is high is
one whose true value nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from loadtest.analysis.event_cost import Cost
from loadtest.analysis.figures import figures
from loadtest.analysis.series import Series, measured
from loadtest.analysis.sizing import Need, sizing
from loadtest.analysis.validity import judge
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.room_sizes import mean_fan_out, parse_room_sizes
from loadtest.measure.run import Run
from loadtest.measure.units import say_ms

FORMAT = 1
C0, C1, C2 = "C0", "C1", "C2"
OF_RESULT, OF_LIMIT = 0.20, 0.10
"""A floor of at most so much of what was measured, or of what was asked for, is low enough."""
VALID, LIMITED, UNKNOWN = "valid", "harness-limited", "unknown"


class Load(msgspec.Struct, frozen=True):
    """What a floor is measured at. rate_per_s: messages that each user sends; room_size: as ``--rt-room-size``."""

    users: int
    rate_per_s: float
    room_size: str = "10"
    transport: str = "websocket"
    devices: int = 1
    client: str = "native"
    payload_bytes: int = 150
    processes: int = 1

    @property
    def fan_out(self) -> float:
        """Others who get a copy of a message, in the mean."""
        return mean_fan_out(parse_room_sizes(self.room_size))

    def need(self, cost: Cost | None = None) -> Need:
        """What it takes of the machine."""
        return sizing(self.users, self.rate_per_s, self.fan_out, self.transport, self.devices, cost)


class Floor(msgspec.Struct, frozen=True):
    """One floor; ms, None has its reason in ``why``. run: the run that it is of, from the directory of the file.

    validity: of that run, with the first reason against it; empty where there is no run. latency: all of it.
    """

    name: str
    n: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    latency: Counts
    why: dict[str, str] = {}
    run: str = ""
    validity: str = ""
    reason: str = ""

    @property
    def series(self) -> Series:
        """For a spectrum, as that of a run."""
        found = Series()
        found.latency.merge(self.latency)
        found.counts["lost"] = self.n - self.latency.n
        return found


class Floors(msgspec.Struct, frozen=True):
    """floors.json. started: UTC, ISO 8601. machine: the environment of the runs. load: of C2.

    cost: of one event, if it is known; host, cores and python of ``machine`` say of which machine it is.
    """

    started: str
    machine: dict[str, str | int | float | None]
    load: Load
    floors: list[Floor]
    cost: Cost | None = None
    format: int = FORMAT

    def of(self, name: str) -> Floor | None:
        """The floor of this name, if it was measured."""
        return next((one for one in self.floors if one.name == name), None)


def echo_floor(latency: Histogram) -> Floor:
    """C0 of its times (ns)."""
    return _floor(C0, latency, latency.n)


def run_floor(name: str, run: Run, path: str) -> Floor:
    """C1 or C2 of a run against the null server: its deliveries, from the planned moment, as of any other run."""
    delivered = measured(run, Operation.MESSAGE_DELIVER)
    believed = judge(run)
    found = _floor(name, delivered.latency, delivered.expected)
    return msgspec.structs.replace(
        found, run=path, validity=believed.state, reason=next(iter(believed.reasons), "")
    )


def _floor(name: str, latency: Histogram, expected: int) -> Floor:
    values, why = figures(latency, expected)
    told = {f"{one}_ms": why[one] for one in ("p50", "p95", "p99") if one in why}
    return Floor(name, expected, values.p50, values.p95, values.p99, latency.counts(), told)


def tightest_ms(run: Run, operation: Operation) -> float | None:
    """The lowest limit that the run's SLOs set to a time of this operation; None: they set none."""
    parsed = [slo.parsed() for slo in run.manifest.slos]
    limits = [
        threshold.limit
        for selector, threshold in parsed
        if selector.operation == operation
        and selector.phase == Phase.MEASURE
        and threshold.compare in ("<", "<=")
        and (threshold.quantile is not None or threshold.aggregate in ("avg", "max"))
    ]
    return min(limits, default=None)


class Beside(NamedTuple):
    """What a floor says of a result. state: valid, harness-limited or unknown; says: a sentence, no stop."""

    state: str
    says: str


def beside(floors: Sequence[Floor], p99_ms: float | None, limit_ms: float | None = None) -> Beside:
    """May a p99 of ``p99_ms`` be taken for the server's? limit_ms: what was asked of it.

    Valid if C2 has at most OF_RESULT of it, or OF_LIMIT of the limit: then whether the limit was kept is known,
    however near the result is to the floor.
    """
    c2 = next((one for one in floors if one.name == C2), None)
    if c2 is None:
        return Beside(UNKNOWN, "C2 was not measured, so how much of the result is the harness is not known")
    if c2.p99_ms is None:
        reason = c2.why.get("p99_ms", "not measured")
        return Beside(
            UNKNOWN, f"C2 has no p99 ({reason}), so how much of the result is the harness is not known"
        )
    floor = f"a server that does nothing comes to a p99 of {say_ms(c2.p99_ms)} at this load"
    if p99_ms and c2.p99_ms <= OF_RESULT * p99_ms:
        share = f"{100 * c2.p99_ms / p99_ms:.0f} % of the {say_ms(p99_ms)} that were measured"
        return Beside(VALID, f"{floor}, {share}: the result is the server's")
    if limit_ms and c2.p99_ms <= OF_LIMIT * limit_ms:
        share = f"{100 * c2.p99_ms / limit_ms:.0f} % of the limit of {say_ms(limit_ms)}"
        return Beside(VALID, f"{floor}, {share}: the harness does not decide whether it is kept")
    if not p99_ms:
        return Beside(UNKNOWN, f"{floor}, but the result has no p99 to set it beside")
    share = f"{100 * c2.p99_ms / p99_ms:.0f} % of it"
    return Beside(LIMITED, f"{LIMITED}: the true value is below {say_ms(p99_ms)}; {floor}, {share}")
