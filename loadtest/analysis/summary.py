"""What does a run come to, in the form that scripts and CI jobs rely on?

``summarise`` gives exactly the keys of summary.json, format 1. What cannot be given honestly is None, with
its reason in the ``why`` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from loadtest.analysis.availability import Availability, availability
from loadtest.analysis.bandwidth import Bandwidth, bandwidth
from loadtest.analysis.certainty import Ends, certainty, fan_out
from loadtest.analysis.figures import Figures, figures
from loadtest.analysis.hosts import HostRow, hosts
from loadtest.analysis.reconnection import Reconnection, reconnection
from loadtest.analysis.series import Name, Series, grouped, measured_seconds, total
from loadtest.analysis.server import ServerFigures, server_figures
from loadtest.analysis.slo import verdicts
from loadtest.analysis.spread import Spread, spread
from loadtest.analysis.stages import StageRow, stage_rows
from loadtest.analysis.steadiness import Steadiness, steadiness
from loadtest.analysis.validity import Validity, judge
from loadtest.analysis.verdict import Verdict as Verdict
from loadtest.measure.rows import SeriesRow
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

    ci95: of each latency figure, in ms; an upper end of None is not bounded by the sample. tiers: by percentile,
    how many values carry it: low, usable or good. why: reasons by statistic of latency_ms; those of service_ms and
    phases_ms only where they differ, with the key written out ("service_ms.p99", "phases_ms.tcp.p99").
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
    why: dict[str, str]
    phases_ms: dict[str, Figures]
    ci95: dict[str, Ends] = {}
    tiers: dict[str, str] = {}


class Summary(msgspec.Struct, frozen=True):
    """summary.json. calls, chats, upgrade: what became of them, by outcome; empty where there were none. spread:
    over which servers; None where there was one, or nobody told. hosts: the machines that users ran on."""

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
    steadiness: Steadiness | None = None
    stages: list[StageRow] = []
    server: ServerFigures | None = None
    spread: Spread | None = None
    hosts: list[HostRow] = []


def summarise(run: Run) -> Summary:
    """All numbers of a run. Pure: the same run gives the same summary."""
    rows = grouped(run.series)
    series = {name: total(some) for name, some in rows.items()}
    mean_fan_out = fan_out(run.series)
    validity, steady = judge(run), steadiness(run)
    return Summary(
        FORMAT,
        _facts(run),
        validity,
        _connections(run),
        [_sure(run, operation_row(name, one), rows[name], mean_fan_out) for name, one in series.items()],
        bandwidth(run.traffic, series),
        reconnection(run),
        verdicts(run, run.manifest.slos, validity, steady),
        availability(run),
        _outcomes(run, "call."),
        _outcomes(run, "chat."),
        _outcomes(run, "upgrade."),
        steadiness=steady,
        stages=stage_rows(run),
        server=server_figures(run),
        spread=spread(run),
        hosts=hosts(run),
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
        n=series.latency.n,
        latency_ms=latency,
        service_ms=service,
        why=why,
        phases_ms=phases_ms,
        ci95={},
        tiers={},
        **series.counts | {"expected": expected},
    )


def _sure(run: Run, row: OperationRow, rows: Sequence[SeriesRow], mean_fan_out: float) -> OperationRow:
    """The row with its intervals."""
    name = Name(row.name, row.transport, row.phase)
    ci95, tiers = certainty(run, name, rows, row.latency_ms, mean_fan_out)
    return msgspec.structs.replace(row, ci95=ci95, tiers=tiers)


def _where_different(known: Mapping[str, str], more: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {f"{prefix}.{name}": text for name, text in more.items() if known.get(name) != text}
