"""How far is the clock of another machine from ours, and how sure is that?

One machine asks another for its time, and both stamp the question and the answer. The middle between question
and answer on one clock is the middle on the other, if both took equally long; if not, the error is at most half of
what they took together (Cristian 1989, as NTP does it). The quickest exchange of a burst waited the least in
queues. A line through the bursts of a run says how the two clocks drift apart.

    theirs         heard_ns   answered_ns
                  /                     \\
    ours    asked_ns                   read_ns
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from loadtest.measure.units import SECOND

PPM = 1_000_000
FASTEST = 500e-6
"""The rate at which a system corrects its clock at most; what is left of a change beyond that was a jump."""


class Exchange(NamedTuple):
    """One question and its answer, in ns: ours at both ends, theirs in the middle.

    wall_ns: how far their time of day is ahead of ours, known to within the delay.
    """

    asked_ns: int
    heard_ns: int
    answered_ns: int
    read_ns: int
    wall_ns: int = 0

    @property
    def at_ns(self) -> int:
        """The middle, on our clock."""
        return (self.asked_ns + self.read_ns) // 2

    @property
    def offset_ns(self) -> int:
        """Theirs less ours."""
        return (self.heard_ns - self.asked_ns + self.answered_ns - self.read_ns) // 2

    @property
    def delay_ns(self) -> int:
        """What both ways took together."""
        return self.read_ns - self.asked_ns - (self.answered_ns - self.heard_ns)

    @property
    def bound_ns(self) -> int:
        """How far ``offset_ns`` can be from the truth; the one more is for the halves that were cut off."""
        return self.delay_ns // 2 + 1

    @property
    def one_clock(self) -> bool:
        """Whether both may have read one and the same clock."""
        return abs(self.offset_ns) <= self.bound_ns


def quickest(burst: Iterable[Exchange]) -> Exchange:
    """The exchange of a burst that says the most."""
    return min(burst, key=lambda one: one.delay_ns)


class Line(NamedTuple):
    """The offset of a clock that drifts evenly: ``offset_ns`` at ``at_ns``, and so much more for each ns."""

    at_ns: int
    offset_ns: float
    slope: float

    def offset(self, moment_ns: int) -> float:
        """Theirs less ours, at a moment of our clock."""
        return self.offset_ns + self.slope * (moment_ns - self.at_ns)


def fit(bursts: Sequence[Exchange]) -> Line:
    """The line of least squares through bursts; each counts by how narrow it is. At least one burst."""
    weights = [1 / one.bound_ns**2 for one in bursts]
    whole = sum(weights)
    # Counted from the first: sums of squares of ns since boot would leave no digits for what matters.
    at_ns, offset_ns = bursts[0].at_ns, bursts[0].offset_ns
    x = [one.at_ns - at_ns for one in bursts]
    y = [one.offset_ns - offset_ns for one in bursts]
    mean_x = sum(w * one for w, one in zip(weights, x, strict=True)) / whole
    mean_y = sum(w * one for w, one in zip(weights, y, strict=True)) / whole
    spread = sum(w * (one - mean_x) ** 2 for w, one in zip(weights, x, strict=True))
    if spread == 0:
        return Line(at_ns, offset_ns + mean_y, 0.0)
    along = sum(w * (one - mean_x) * (two - mean_y) for w, one, two in zip(weights, x, y, strict=True))
    slope = along / spread
    return Line(at_ns, offset_ns + mean_y - slope * mean_x, slope)


def bound_ns(line: Line, bursts: Sequence[Exchange]) -> float:
    """How far the line can be from the truth between the first burst and the last.

    The truth lies within the bound of each burst. If it is a line too, the two are the farthest apart at the
    first or at the last; if it is not, a burst that lies off the line says so.
    """
    return max(abs(one.offset_ns - line.offset(one.at_ns)) + one.bound_ns for one in bursts)


def jump_ns(bursts: Sequence[Exchange]) -> int:
    """The largest step between two neighbouring bursts that neither delay nor drift explains; 0: none."""
    found = 0
    for before, after in pairwise(bursts):
        drifted = FASTEST * abs(after.at_ns - before.at_ns)
        explained = before.bound_ns + after.bound_ns + drifted
        step = after.offset_ns - before.offset_ns
        if abs(step) > max(explained, abs(found)):
            found = step
    return found


class ClockOffset(msgspec.Struct, frozen=True):
    """What is known of the clock of a worker on another machine, in ns, by the master's.

    offset_ns: theirs less the master's, at the start of the run. bound_ns: how far that can be wrong, anywhere in
    the run. axis_ns: how far the worker's moments may lie from the master's: drift and bound together; null if it
    never came to a start. drift_ppm: by how much theirs is faster, give or take drift_bound_ppm; null where a
    single burst was answered. jump_ns: the largest step in between. wall_ns: how far its time of day is ahead.
    """

    offset_ns: int
    bound_ns: int
    axis_ns: int | None
    drift_ppm: float | None
    drift_bound_ppm: float | None
    jump_ns: int
    wall_ns: int
    bursts: int


def estimate(
    bursts: Sequence[Exchange], started_ns: int, ended_ns: int, used_ns: int | None = None
) -> ClockOffset:
    """What the bursts of a run come to; at least one.

    started_ns, ended_ns: the run on our clock. used_ns: the offset by which the worker was told when things are.
    """
    ordered = sorted(bursts, key=lambda one: one.at_ns)
    line = fit(ordered)
    bound = bound_ns(line, ordered)
    span_ns = ordered[-1].at_ns - ordered[0].at_ns
    axis = None
    if used_ns is not None:
        edges = (line.offset(started_ns), line.offset(ended_ns))
        axis = round(max(abs(edge - used_ns) for edge in edges) + bound)
    drifts = span_ns >= SECOND
    return ClockOffset(
        round(line.offset(started_ns)),
        round(bound),
        axis,
        round(line.slope * PPM, 1) if drifts else None,
        round(2 * bound / span_ns * PPM, 1) if drifts else None,
        jump_ns(ordered),
        ordered[-1].wall_ns,
        len(ordered),
    )
