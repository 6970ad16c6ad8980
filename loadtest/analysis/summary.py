"""What does a run come to, in the form that scripts and CI jobs rely on?

``summarise`` gives exactly the keys of summary.json, format 1. What cannot be given honestly is None, with
its reason in the ``why`` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from loadtest.analysis.availability import Availability, availability
from loadtest.analysis.bandwidth import Bandwidth, bandwidth
from loadtest.analysis.figures import Figures, figures
from loadtest.analysis.reconnection import Reconnection, reconnection
from loadtest.analysis.series import Name, Series, collect, measured_seconds
from loadtest.analysis.validity import Validity, judge
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

FORMAT = 1


class Facts(msgspec.Struct, frozen=True):
    """What was run."""

    id: str
    scenario: str
    transport: str
    client: str
    users: int
    seed: int
    started: str
    duration_s: float
    measured_s: float
    commit: str | None
    complete: bool
    parameters: dict[str, Any]
    target: dict[str, Any]
    environment: dict[str, Any]


class Connections(msgspec.Struct, frozen=True):
    """How many there were at once, by our count and by the server's, and how many were opened."""

    peak: int
    established: int
    failed: int
    server_peak: int | None


class OperationRow(msgspec.Struct, frozen=True):
    """One operation over one transport in one phase; ``expected`` = n + late + lost.

    why: reasons by statistic of latency_ms; those of service_ms and phases_ms only where they differ, with
    the key written out ("service_ms.p99", "phases_ms.tcp.p99").
    """

    name: str
    transport: str
    phase: str
    expected: int
    n: int
    late: int
    lost: int
    open: int
    duplicate: int
    reordered: int
    leaked: int
    failed: int
    latency_ms: Figures
    service_ms: Figures
    ci95: dict[str, tuple[float, float]]
    why: dict[str, str]
    phases_ms: dict[str, Figures]


class Verdict(msgspec.Struct, frozen=True):
    """One question with an answer: kind slo, claim or regression; state pass, fail or inconclusive.

    name: the question, ``message.deliver{transport:websocket}: p(95)<100``. observed, limit and ci95 are in ``unit``:
    ms, share (0 to 1), count or ratio. An upper end of None is not bounded by the sample. why: one sentence without
    its full stop, empty where the numbers say it all; of what is inconclusive, what would decide it.
    """

    name: str
    kind: str
    state: str
    observed: float | None = None
    limit: float | None = None
    ci95: tuple[float, float | None] | None = None
    unit: str = ""
    why: str = ""


class Summary(msgspec.Struct, frozen=True):
    """summary.json. calls, chats, upgrade: what became of them, by outcome; empty where there were none."""

    format: int
    run: Facts
    validity: Validity
    connections: Connections
    operations: list[OperationRow]
    bandwidth: list[Bandwidth]
    reconnection: Reconnection
    verdicts: list[Verdict]
    availability: Availability | None = None
    calls: dict[str, int] = {}
    chats: dict[str, int] = {}
    upgrade: dict[str, int] = {}


def summarise(run: Run) -> Summary:
    """All numbers of a run. Pure: the same run gives the same summary."""
    series = collect(run.series)
    return Summary(
        FORMAT,
        _facts(run),
        judge(run),
        _connections(run),
        [operation_row(name, one) for name, one in series.items()],
        bandwidth(run.traffic, series),
        reconnection(run),
        [],
        availability(run),
        _outcomes(run, "call."),
        _outcomes(run, "chat."),
        _outcomes(run, "upgrade."),
    )


def encode(summary: Summary) -> bytes:
    """summary.json as bytes, indented, with a last newline."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def _facts(run: Run) -> Facts:
    manifest = run.manifest
    return Facts(
        manifest.id,
        manifest.scenario,
        manifest.transport,
        manifest.client,
        manifest.users,
        manifest.seed,
        manifest.started,
        manifest.edges.ended_ns / SECOND,
        measured_seconds(run),
        manifest.commit,
        manifest.complete,
        manifest.parameters,
        manifest.target,
        manifest.environment,
    )


def _outcomes(run: Run, prefix: str) -> dict[str, int]:
    """The counters whose names begin with ``prefix``, without it."""
    counters = sorted(run.manifest.counters.items())
    return {name.removeprefix(prefix): n for name, n in counters if name.startswith(prefix)}


def _connections(run: Run) -> Connections:
    counters = run.manifest.counters
    return Connections(
        max(connections_per_second(run).values(), default=0),
        counters.get("connections.established", 0),
        counters.get("connections.failed", 0),
        max((row.sockets for row in run.server if row.sockets >= 0), default=None),
    )


def connections_per_second(run: Run) -> dict[int, int]:
    """Our connections by second of the run, over all workers, in order of time."""
    # A second in which a phase changes has two rows of each worker: they must not add up.
    of_worker: dict[tuple[int, str], int] = {}
    for row in run.health:
        key = (row.second, row.worker)
        of_worker[key] = max(of_worker.get(key, 0), row.connections)
    per_second: dict[int, int] = {}
    for (second, _), count in sorted(of_worker.items()):
        per_second[second] = per_second.get(second, 0) + count
    return per_second


def operation_row(name: Name, series: Series) -> OperationRow:
    """The row of one series."""
    expected = series.expected
    latency, why = figures(series.latency, expected)
    service, why_service = figures(series.service, expected)
    why |= _where_different(why, why_service, "service_ms")
    phases_ms: dict[str, Figures] = {}
    for part, histogram in sorted(series.phases.items()):
        phases_ms[part], why_part = figures(histogram, histogram.n)
        why |= _where_different(why, why_part, f"phases_ms.{part}")
    return OperationRow(
        name=name.operation,
        transport=name.transport,
        phase=name.phase,
        **series.counts | {"expected": expected},
        n=series.latency.n,
        latency_ms=latency,
        service_ms=service,
        ci95={},
        why=why,
        phases_ms=phases_ms,
    )


def _where_different(known: Mapping[str, str], more: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {f"{prefix}.{name}": text for name, text in more.items() if known.get(name) != text}
