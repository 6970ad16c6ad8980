"""What does one trial of a capacity search leave that a plan stands on?"""

from __future__ import annotations

import msgspec

from loadtest.analysis.capacity_level import Judged, Trial, delivered_share
from loadtest.analysis.capacity_search import GENERATOR, Step
from loadtest.analysis.figures import Figures
from loadtest.analysis.series import measured, measured_seconds
from loadtest.analysis.summary import OperationRow, Summary
from loadtest.analysis.verdict import Verdict
from loadtest.measure.operations import MAIN
from loadtest.measure.plan import Phase
from loadtest.measure.units import SECOND

DIED = "died"
"""State of a trial in which the target was lost: nothing follows from it."""


class Tried(msgspec.Struct, frozen=True):
    """One trial of one level. path: its run, from the plan's directory; empty if it left none.

    state: what the trials of its visit say together with it, and ``why``; verdicts: of the SLOs, likewise.
    own: of the SLOs, by this trial alone. operation, latency_ms, ci95: what people mostly do, in measure.
    cpu_percent: the server's, of one core, in the mean; busiest_percent: of the busiest of its processes, where
    there were several. connects_per_s: how fast the users came in.
    """

    users: int
    role: str
    visit: int
    seed: int
    path: str
    state: str
    why: str
    validity: str
    measured_s: float
    deliveries_per_s: float
    delivered: float | None
    operation: str
    latency_ms: Figures
    ci95: dict[str, tuple[float | None, float | None]]
    verdicts: list[Verdict]
    own: list[Verdict]
    cpu_percent: float | None = None
    loop_lag_ms: float | None = None
    rss_bytes: int | None = None
    rss_percent_per_hour: float | None = None
    rss_ci95: tuple[float, float] | None = None
    leaks: bool = False
    connects_per_s: float | None = None
    generator_cpu_percent: float | None = None
    busiest_percent: float | None = None


def tried(step: Step, seed: int, path: str, trial: Trial, judged: Judged) -> Tried:
    """The facts of one trial that a plan stands on."""
    run, summary = trial
    row = _main(summary)
    seconds = measured_seconds(run)
    server = summary.server
    joined_ns = run.manifest.edges.warmup_ns
    return Tried(
        users=step.users,
        role=step.role,
        visit=step.visit,
        seed=seed,
        path=path,
        state=judged.state,
        why=judged.why,
        validity=summary.validity.state,
        measured_s=round(seconds, 3),
        deliveries_per_s=round(measured(run, *MAIN).latency.n / seconds, 3) if seconds else 0.0,
        delivered=delivered_share([run]),
        operation=row.name if row else "",
        latency_ms=row.latency_ms if row else Figures(),
        ci95=row.ci95 if row else {},
        verdicts=judged.verdicts,
        own=summary.verdicts,
        cpu_percent=server.cpu_percent_mean if server else None,
        loop_lag_ms=server.loop_lag_ms_p99_median if server else None,
        rss_bytes=server.rss_bytes_max if server else None,
        rss_percent_per_hour=server.rss_percent_per_hour if server else None,
        rss_ci95=server.ci95.get("rss_percent_per_hour") if server else None,
        # A slope that the server's figures themselves call too short is the filling of caches.
        leaks=bool(server and server.rss_percent_per_hour and not server.why.get("rss_percent_per_hour")),
        connects_per_s=round(step.users * SECOND / joined_ns, 3) if joined_ns else None,
        generator_cpu_percent=summary.validity.cpu_percent_p95,
        busiest_percent=server.cpu_percent_busiest if server else None,
    )


def not_run(step: Step, seed: int, why: str) -> Tried:
    """A trial that the generator could not have made."""
    return Tried(
        users=step.users,
        role=step.role,
        visit=step.visit,
        seed=seed,
        path="",
        state=GENERATOR,
        why=why,
        validity="",
        measured_s=0.0,
        deliveries_per_s=0.0,
        delivered=None,
        operation="",
        latency_ms=Figures(),
        ci95={},
        verdicts=[],
        own=[],
    )


def _main(summary: Summary) -> OperationRow | None:
    """What people mostly do, in measure; where there are several transports, the one with most of it."""
    for operation in MAIN:
        rows = [one for one in summary.operations if one.name == operation and one.phase == Phase.MEASURE]
        if rows:
            return max(rows, key=lambda one: one.expected)
    return None
