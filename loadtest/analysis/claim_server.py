"""Did the server grow while it was used, and did it hold the limit that it says it has?"""

from __future__ import annotations

from loadtest.analysis.claim_counts import runs_of
from loadtest.analysis.claim_estimates import (
    Arms,
    Asked,
    Each,
    Estimate,
    all_together,
    counted,
    nothing,
    of_trials,
)
from loadtest.analysis.drops import losses
from loadtest.analysis.server import server_figures
from loadtest.analysis.verdict import COUNT, PER_HOUR
from loadtest.measure.operations import Operation
from loadtest.measure.units import SECOND

SAYS = 110
"""So many messages ``scenarios/rate_limit.py`` says on each connection."""


def memory(asked: Asked, arms: Arms) -> Estimate:
    """How fast the server's memory grew, in percent of it per hour."""
    single, each = [], []
    for run in runs_of(asked, arms):
        told = server_figures(run)
        slope = None if told is None else told.rss_percent_per_hour
        each.append(Each(run.path.name, "memory, %/h", slope, PER_HOUR))
        if told is None or slope is None:
            why = "the server did not tell its memory" if told is None else told.why["rss_percent_per_hour"]
            return nothing(PER_HOUR, why, each, "a longer run would decide it")
        low, high = told.ci95["rss_percent_per_hour"]
        single.append(Estimate(slope, low, high, 0.05, PER_HOUR))
    values = [one.value for one in single if one.value is not None]
    return of_trials(asked, values, PER_HOUR, each) or all_together(asked, single, each)


def processed(asked: Asked, arms: Arms) -> Estimate:
    """Messages that the server took on a socket, with the probe that proved its return; 110 were sent."""
    return _limited(asked, arms, refused=False, after=False)


def refused(asked: Asked, arms: Arms) -> Estimate:
    """Messages that it refused."""
    return _limited(asked, arms, refused=True, after=False)


def processed_after(asked: Asked, arms: Arms) -> Estimate:
    """The same on the socket after the drop."""
    return _limited(asked, arms, refused=False, after=True)


def refused_after(asked: Asked, arms: Arms) -> Estimate:
    """The same on the socket after the drop."""
    return _limited(asked, arms, refused=True, after=True)


def _limited(asked: Asked, arms: Arms, refused: bool, after: bool) -> Estimate:
    """Per talker, of whom there is one in each room of two."""
    column = ("refused" if refused else "processed") + (" after the drop" if after else "")
    each: list[Each] = []
    short = "there is no trial"
    for run in runs_of(asked, arms):
        drops = losses(run).counted
        if after and not drops:
            return nothing(COUNT, "no connection was cut", each)
        talkers = max(1, run.manifest.users // 2)
        edge = min((loss.drop.at_ns for loss in drops), default=run.manifest.edges.ended_ns) // SECOND
        rows = [
            row
            for row in run.series
            if row.operation == Operation.MESSAGE_ACK and (row.second >= edge) is after
        ]
        n = sum(row.failed if refused else row.latency.n for row in rows)
        said = sum(row.failed + row.latency.n for row in rows)
        if said < SAYS * talkers:
            # Of whom said less, less is refused: that is no fault of the server's.
            short = f"{said:,} messages were said where {SAYS * talkers:,} were meant to be"
            each.append(Each(run.path.name, column, None, COUNT))
            continue
        if after and not refused:
            # Half of the probes are of those who talk, and count in their minute.
            n += sum(loss.drop.proven for loss in drops) // 2
        each.append(Each(run.path.name, column, n / talkers, COUNT))
    values = [one.value for one in each if one.value is not None]
    if not values:
        return nothing(COUNT, short, each)
    # The one that is farthest from what was claimed speaks for all.
    worst = max(values, key=lambda value: abs(value - asked.limit))
    return counted(
        worst,
        each=each,
        detail=f"on each socket, in {len(values)} runs" if len(values) > 1 else "on each socket",
    )
