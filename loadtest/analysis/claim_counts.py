"""What was counted in the runs of a claim: how many came back, what reached whom, what was refused?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from loadtest.analysis.availability import DEADLINE_S, availability
from loadtest.analysis.backoff import TOLERANCE_NS, bands
from loadtest.analysis.certainty import fan_out, independent
from loadtest.analysis.claim_estimates import (
    Arms,
    Asked,
    Each,
    Estimate,
    counted,
    nothing,
    share,
)
from loadtest.analysis.claim_latency import own_device
from loadtest.analysis.drops import Loss, losses, numbered, parameter
from loadtest.analysis.figures import count_above
from loadtest.analysis.quantile_intervals import share_interval
from loadtest.analysis.series import measured, measured_seconds, total
from loadtest.analysis.verdict import COUNT, MS_UNIT, SHARE
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import GAVE_UP, RECOVERED, SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

_AWAY = (Operation.MESSAGE_RESYNC,)


def runs_of(asked: Asked, arms: Arms) -> list[Run]:
    """All runs that a part is about."""
    return [run for arm in asked.arms for run in arms[arm]]


def _pooled(
    asked: Asked, arms: Arms, count: Callable[[Run], tuple[int, int]], of: str, column: str
) -> Estimate:
    """A share of all runs together; ``count``: (hits, n) of one."""
    found = [(run, *count(run)) for run in runs_of(asked, arms)]
    each = [Each(run.path.name, column, hits / n if n else None, SHARE) for run, hits, n in found]
    return share(asked, sum(hits for _, hits, _ in found), sum(n for *_, n in found), of, each)


# -- who came back ----------------------------------------------------------------------------------------


def recovered(asked: Asked, arms: Arms) -> Estimate:
    """Lost connections that came back into their rooms, of those that came back or gave up."""

    def count(run: Run) -> tuple[int, int]:
        ends = [loss.drop.outcome for loss in losses(run).counted]
        back = ends.count(RECOVERED)
        return back, back + ends.count(GAVE_UP)

    return _pooled(asked, arms, count, "lost connections", "came back")


def rejoined(asked: Asked, arms: Arms) -> Estimate:
    """Rooms in which a probe came back after the return, of those that were to be joined again."""

    def count(run: Run) -> tuple[int, int]:
        back = [loss.drop for loss in losses(run).counted if loss.drop.outcome == RECOVERED]
        return sum(drop.proven for drop in back), sum(drop.rooms for drop in back)

    return _pooled(asked, arms, count, "rooms", "rooms rejoined")


def in_band(asked: Asked, arms: Arms) -> Estimate:
    """Waits before an attempt that lie in the band of the documented policy; before one of them, or before any.

    An attempt that the generator itself began late says nothing of the policy, and is left out.
    """
    which = "attempts" if asked.attempt is None else f"attempts of number {asked.attempt}"
    late = 0

    def count(run: Run) -> tuple[int, int]:
        nonlocal late
        in_order, behind = _waits(run, asked.attempt)
        late += behind
        return sum(in_order), len(in_order)

    found = _pooled(asked, arms, count, which, which.replace("attempts", "waits", 1) + " in band")
    if not late:
        return found
    left_out = f"{late:,} that the generator itself began late are left out"
    return found._replace(detail=f"{found.detail}; {left_out}" if found.detail else left_out)


def _waits(run: Run, attempt: int | None) -> tuple[list[bool], int]:
    """(whether each wait lies in its band, how many began late by the generator's own fault)."""
    policy, late = bands(run), 0
    hits: list[bool] = []
    for loss in losses(run).counted:
        for number, one in numbered(loss.drop.tries):
            band_s = policy.of(number) if policy is not None and attempt in (None, number) else None
            if band_s is None:
                continue
            if one.late_ns > TOLERANCE_NS:
                late += 1
                continue
            low_ns, high_ns = (edge_s * SECOND for edge_s in band_s)
            hits.append(low_ns - TOLERANCE_NS <= one.waited_ns <= high_ns + TOLERANCE_NS)
    return hits, late


def attempts_most(asked: Asked, arms: Arms) -> Estimate:
    """The most attempts that any client made before it was back or gave up."""
    found = [(run, _most(losses(run).counted)) for run in runs_of(asked, arms)]
    each = [Each(run.path.name, "most attempts", most, COUNT) for run, most in found]
    known = [most for _, most in found if most is not None]
    drops = sum(len(losses(run).counted) for run, _ in found)
    return (
        counted(max(known), each=each, detail=f"{drops:,} drops")
        if known
        else nothing(COUNT, "nobody was cut off", each)
    )


def _most(counted_losses: Sequence[Loss]) -> float | None:
    numbers = [number for loss in counted_losses for number, _ in numbered(loss.drop.tries)]
    return max(numbers, default=None)


def broken(asked: Asked, arms: Arms) -> Estimate:
    """Messages said while somebody was away that it did not get once and in order, of all it was owed then."""

    def count(run: Run) -> tuple[int, int]:
        away = measured(run, *_AWAY)
        live = measured(run, Operation.MESSAGE_DELIVER)
        wrong = (
            away.counts["lost"] + away.counts["late"] + away.counts["duplicate"] + away.counts["reordered"]
        )
        wrong += live.counts["duplicate"] + live.counts["reordered"]
        return min(wrong, away.expected), away.expected

    return _pooled(asked, arms, count, "messages to people who were away", "lost, twice, out of order")


def unprovoked(asked: Asked, arms: Arms) -> Estimate:
    """Connections lost that nobody cut on purpose."""
    found = [(run, sum(not loss.drop.fault for loss in losses(run).counted)) for run in runs_of(asked, arms)]
    each = [Each(run.path.name, "unprovoked drops", n, COUNT) for run, n in found]
    hours = sum(run.manifest.users * measured_seconds(run) for run, _ in found) / 3600
    return counted(sum(n for _, n in found), each=each, detail=f"in {hours:,.1f} connected hours")


def connected(asked: Asked, arms: Arms) -> Estimate:
    """Connections that came about at the first attempt of a user, of those tried."""

    def count(run: Run) -> tuple[int, int]:
        ok = run.manifest.counters.get("connections.established", 0)
        return ok, ok + run.manifest.counters.get("connections.failed", 0)

    return _pooled(asked, arms, count, "connects", "connects that worked")


# -- what reached whom ------------------------------------------------------------------------------------


def delivered(asked: Asked, arms: Arms) -> Estimate:
    """What came before its deadline, of what was expected of an operation."""
    return _came(asked, arms, lambda row: row.late + row.lost, (str(asked.of),), f"{asked.of} delivered")


def in_time(asked: Asked, arms: Arms) -> Estimate:
    """Messages, to members present or away, that came within the deadline of availability (2 s)."""
    operations = (Operation.MESSAGE_DELIVER, Operation.MESSAGE_RESYNC)
    found = runs_of(asked, arms)
    deadline_s = max(
        (parameter(run, "availability_deadline_s", DEADLINE_S) for run in found), default=DEADLINE_S
    )

    def wrong(row: SeriesRow) -> int:
        return row.late + row.lost + count_above(total([row]).latency, deadline_s * SECOND)

    return _came(asked, arms, wrong, operations, f"within {deadline_s:g} s")


def _came(
    asked: Asked, arms: Arms, wrong: Callable[[SeriesRow], int], operations: tuple[str, ...], column: str
) -> Estimate:
    """A share by the second: what was due in the same stall shares its fate, and so do copies of one message."""
    each, units, bad, owed = [], 0, [], []
    for run in runs_of(asked, arms):
        rows = [row for row in run.series if row.operation in operations and row.phase == Phase.MEASURE]
        seconds = max([round(measured_seconds(run)), *(row.second + 1 for row in rows)])
        of_run = np.zeros((2, seconds), np.int64)
        for row in rows:
            of_run[0, row.second] += wrong(row)
            of_run[1, row.second] += row.latency.n + row.late + row.lost
        expected = int(of_run[1].sum())
        units += independent(operations[0], expected, fan_out(run.series))
        bad.append(of_run[0])
        owed.append(of_run[1])
        came = 1 - int(of_run[0].sum()) / expected if expected else None
        each.append(Each(run.path.name, column, came, SHARE))
    if not units:
        return nothing(SHARE, "nothing was expected", each)
    all_bad, all_owed = np.concatenate(bad), np.concatenate(owed)
    missing, expected = int(all_bad.sum()), int(all_owed.sum())
    hits = units if not missing else min(units - 1, math.floor((1 - missing / expected) * units))
    exact = share(asked, hits, units, "messages", each)
    blocks = share_interval(all_bad, all_owed, units)
    return exact._replace(
        value=1 - missing / expected,
        low=min(exact.low, 1 - blocks.high),
        high=max(exact.high, 1 - blocks.low),
        detail=f"{expected - missing:,} of {expected:,} copies, of {units:,} messages",
    )


def own_share(asked: Asked, arms: Arms) -> Estimate:
    """Copies that another device of the sender got, of those that it should have got."""

    def count(run: Run) -> tuple[int, int]:
        said = measured(run, Operation.MESSAGE_ACK).expected
        others = round(parameter(run, "devices", 1)) - 1
        return min(own_device(run).fell.n, said * others), said * others

    return _pooled(asked, arms, count, "messages to an own other device", "reached the other device")


def longest_gap(asked: Asked, arms: Arms) -> Estimate:
    """The longest time, in ms, that anybody was cut off."""
    found = [(run, availability(run)) for run in runs_of(asked, arms)]
    each = [
        Each(
            run.path.name,
            "longest gap",
            None if one is None or one.longest_s is None else one.longest_s * 1000,
            MS_UNIT,
        )
        for run, one in found
    ]
    known = [one.value for one in each if one.value is not None]
    drops = sum(len(losses(run).counted) for run, _ in found)
    if not known or not drops:
        return nothing(MS_UNIT, "nobody was cut off", each)
    return counted(max(known), MS_UNIT, each, f"the longest of {drops:,} outages")
