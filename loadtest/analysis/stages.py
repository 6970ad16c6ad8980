"""What did each stage of the load come to?

A stage is measured in whole seconds, of the measured phase, from when all who came or went for it have done so:
while users are still on their way a second stands for no number of users.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from loadtest.analysis.figures import Figures, figures, nearest_rank
from loadtest.analysis.series import measured, total
from loadtest.measure.operations import MAIN, Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

_SILENT_S = 3
"""For so long a process that reports every second counts as it did last: its seconds are not those of the run."""


class StageRow(msgspec.Struct, frozen=True):
    """One stage. begins_s: when its users were asked for, in seconds of the run; None: it never came to that.

    users: that were asked for. connections: that there were, the median of its seconds. seconds: those it is
    measured in. expected, n, late, lost, latency_ms: of ``operation``, what people mostly do in the run, over all
    its transports. server_cpu_percent: the mean, of one core. why: reasons for what is None.
    """

    begins_s: float | None
    duration_s: float
    users: int
    connections: int | None
    seconds: int
    operation: str
    expected: int
    n: int
    late: int
    lost: int
    latency_ms: Figures
    server_cpu_percent: float | None
    why: dict[str, str]


class Cut(NamedTuple):
    """A stage as the manifest has it, and the seconds of the run it is measured in; ``why`` there are none."""

    asked: dict[str, Any]
    seconds: range
    why: str


def stage_rows(run: Run) -> list[StageRow]:
    """A row for each stage; empty for a run without any. Pure."""
    found = cuts(run)
    operation = _mostly(run) if found else Operation.MESSAGE_DELIVER
    there = connections_by_second(run)
    return [_row(run, one, operation, there) for one in found]


def cuts(run: Run) -> list[Cut]:
    """Each stage with its seconds; empty for a run without stages."""
    asked = run.manifest.parameters.get("stages") or []
    there = connections_by_second(run)
    begins = [None if one["begins_s"] is None else float(one["begins_s"]) for one in asked]
    found = []
    for number, one in enumerate(asked):
        later = [begin for begin in begins[number + 1 :] if begin is not None]
        end = min(later, default=run.manifest.edges.ended_ns / SECOND)
        found.append(_cut(run, one, begins[number], end, there))
    return found


def held(run: Run) -> range | None:
    """The seconds of the stage that is measured for longest; None for a run without stages."""
    return max((one.seconds for one in cuts(run)), key=len, default=None)


def connections_by_second(run: Run) -> dict[int, int]:
    """Our connections in every second of the run, over all processes."""
    of: dict[str, dict[int, int]] = {}
    for row in run.health:
        known = of.setdefault(row.worker, {})
        known[row.second] = max(known.get(row.second, 0), row.connections)
    last = max((row.second for row in run.health), default=-1)
    return {second: sum(_latest(known, second) for known in of.values()) for second in range(last + 1)}


def _latest(known: dict[int, int], second: int) -> int:
    # A row is written about once a second, so now and then a second has none, and the next one two.
    recent = (known[at] for at in range(second, second - _SILENT_S, -1) if at in known)
    return next(recent, 0)


def _cut(run: Run, asked: dict[str, Any], begin_s: float | None, end_s: float, there: dict[int, int]) -> Cut:
    nothing = range(0)
    if begin_s is None:
        return Cut(asked, nothing, "the run ended before it began")
    whole = [second for second in range(math.ceil(begin_s), math.floor(end_s)) if second in there]
    if not whole:
        return Cut(asked, nothing, "nobody counted the generator's connections while it lasted")
    settled = _settled(whole, there, before=there.get(whole[0] - 1, 0))
    phase = measured_range(run)
    seconds = range(max(settled, phase.start), min(whole[-1] + 1, phase.stop))
    none_left = "no second of measure was left once its users had come or gone"
    return Cut(asked, seconds, "" if seconds else none_left)


def _settled(whole: list[int], there: dict[int, int], before: int) -> int:
    """The first second in which nobody came or went any more for this stage.

    Not by the number that was asked for: of users of two devices there are twice as many connections, one that
    polls may have two, and who was refused never comes. The level of the second half is what there was to reach.
    """
    level = nearest_rank([there[second] for second in whole[len(whole) // 2 :]], 0.5)
    fewer = level < before
    return 1 + next(
        second for second in whole if (there[second] <= level if fewer else there[second] >= level)
    )


def measured_range(run: Run) -> range:
    """The whole seconds of the measured phase."""
    edges = run.manifest.edges
    if edges.measure_ns is None:
        return range(0)
    end_ns = edges.ended_ns if edges.drain_ns is None else min(edges.drain_ns, edges.ended_ns)
    return range(math.ceil(edges.measure_ns / SECOND), end_ns // SECOND)


def _mostly(run: Run) -> Operation:
    """What people mostly do in it."""
    return next((one for one in MAIN if measured(run, one).expected), Operation.MESSAGE_DELIVER)


def _row(run: Run, cut: Cut, operation: Operation, there: dict[int, int]) -> StageRow:
    series = total(
        row
        for row in run.series
        if row.operation == operation and row.phase == Phase.MEASURE and row.second in cut.seconds
    )
    latency, why = figures(series.latency, series.expected)
    cpu = server_cpu(run, cut.seconds)
    if cut.why:
        why = {"seconds": cut.why, "connections": cut.why}
    elif cpu is None:
        why["server_cpu_percent"] = "the server told nothing of its CPU"
    return StageRow(
        begins_s=cut.asked["begins_s"],
        duration_s=cut.asked["duration_s"],
        users=cut.asked["users"],
        connections=nearest_rank([there[second] for second in cut.seconds], 0.5) if cut.seconds else None,
        seconds=len(cut.seconds),
        operation=operation.value,
        expected=series.expected,
        n=series.latency.n,
        late=series.counts["late"],
        lost=series.counts["lost"],
        latency_ms=latency,
        server_cpu_percent=cpu,
        why=why,
    )


def server_cpu(run: Run, seconds: Collection[int]) -> float | None:
    """The server's CPU in these seconds, percent of one core; None if it told none."""
    return mean(row.cpu_percent for row in run.server if row.second in seconds and row.cpu_percent >= 0)


def mean(values: Iterable[float]) -> float | None:
    """To the thousandth; None of nothing."""
    known = list(values)
    return round(math.fsum(known) / len(known), 3) if known else None
