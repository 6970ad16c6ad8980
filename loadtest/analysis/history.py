"""What do the nights of a job say together: which are missing, and where did a figure change?

A night is one run of ``loadtest nightly``: medians over its trials, with their intervals. Nights are only
compared with nights on the same machine: another fingerprint begins another series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import Literal, NamedTuple, get_args

import msgspec

State = Literal["pass", "fail", "inconclusive", "invalid", "incomplete"]
STATES: tuple[State, ...] = get_args(State)
WITHOUT_VALUES = ("invalid", "incomplete")
"""Nights that nothing can be concluded from: their figures, if any, are the generator's or half a night's."""

NIGHTS_BEFORE_USE = 20
"""With fewer nights, the few points on either side of a step agree too easily."""

NIGHTS_AFTER = 2
"""So many nights must lie after that of the change: a single slow night looks like the begin of something."""

METRICS_WATCHED = 6
"""Each metric more is one more chance of a false alarm, every night."""

NIGHTS_FOR_CADENCE = 4
"""From three distances on, one lost night among them does not move the median."""

MISSING_FROM = 1.5
"""Cadences between two nights from which one is missing: a late start is no lost night."""


class Figure(NamedTuple):
    """The median of a metric over ``n`` trials; low and high: its 95 % interval, None where it has no end."""

    value: float
    low: float | None
    high: float | None
    n: int


class Night(NamedTuple):
    """What is kept of a night.

    at: when it began, UTC, ISO 8601. fingerprint: of the machine. commit: of the target, if known. trials: those
    that counted. why: the reason of its state, in words. path: its directory. figures: by metric, what matters
    most first; the end of a metric's name is its unit (``p95_ms``, ``loss_share``, ``bytes_per_delivery``).
    """

    at: str
    job: str
    target: str
    fingerprint: str
    commit: str | None
    trials: int
    state: State
    why: str
    path: str
    figures: dict[str, Figure]


class Series(NamedTuple):
    """One metric of one job on one machine: the nights that have a value of it, oldest first."""

    job: str
    fingerprint: str
    metric: str
    nights: list[Night]

    @property
    def values(self) -> list[float]:
        """Of each night, in the unit that the metric's name ends with."""
        return [night.figures[self.metric].value for night in self.nights]


class Gap(NamedTuple):
    """``nights`` nights without values: lost between ``begin`` and ``end``, or one that ran (begin == end)."""

    begin: str
    end: str
    nights: int
    why: str


class Break(NamedTuple):
    """From the night at ``at`` on, the job ran on another machine."""

    at: str
    before: str
    after: str


class ChangePoint(msgspec.Struct, frozen=True):
    """From the night at ``at`` on, ``index`` in its series, the mean went from ``before`` to ``after``.

    percent: of ``before``; None where that is 0. p: how probable such a step is where nothing changed.
    """

    at: str
    index: int
    before: float
    after: float
    percent: float | None
    p: float


def moment(at: str) -> datetime:
    """Of an ISO 8601 text in UTC. Raises ValueError, also for a moment of no or another time zone."""
    found = datetime.fromisoformat(at)
    if found.utcoffset() != timedelta(0):
        raise ValueError(f"{at!r} is no moment in UTC")
    return found


def in_order(nights: Iterable[Night]) -> list[Night]:
    """Oldest first; nights of one moment in the order given."""
    return sorted(nights, key=lambda night: moment(night.at))


def jobs(nights: Iterable[Night]) -> dict[str, list[Night]]:
    """The nights of each job, oldest first; jobs by name."""
    found: dict[str, list[Night]] = {}
    for night in in_order(nights):
        found.setdefault(night.job, []).append(night)
    return dict(sorted(found.items()))


def has_values(night: Night) -> bool:
    """May its figures stand beside those of other nights?"""
    return night.state not in WITHOUT_VALUES


def metrics(nights: Sequence[Night]) -> list[str]:
    """Of one job's nights: those of the newest in its order, then what only older ones have."""
    newest_first = [night for night in reversed(in_order(nights)) if has_values(night)]
    return list(dict.fromkeys(metric for night in newest_first for metric in night.figures))


def series(nights: Iterable[Night]) -> list[Series]:
    """Every series, by job; in it machines by their first night, metrics in the order of ``metrics``."""
    found = []
    for job, of_job in jobs(nights).items():
        valued = [night for night in of_job if has_values(night)]
        for fingerprint in dict.fromkeys(night.fingerprint for night in valued):
            here = [night for night in valued if night.fingerprint == fingerprint]
            for metric in metrics(of_job):
                having = [night for night in here if metric in night.figures]
                if having:
                    found.append(Series(job, fingerprint, metric, having))
    return found


def watched(nights: Iterable[Night]) -> list[Series]:
    """The series that change points are looked for in: long enough, and of the first metrics of their job."""
    of_each = jobs(nights)
    looked_at = {job: metrics(of_job)[:METRICS_WATCHED] for job, of_job in of_each.items()}
    return [
        one
        for of_job in of_each.values()
        for one in series(of_job)
        if len(one.nights) >= NIGHTS_BEFORE_USE and one.metric in looked_at[one.job]
    ]


def change_points(series: Series, found: Mapping[int, float]) -> list[ChangePoint]:
    """Of the indexes where a series changes, with their p: the means on either side, as far as the next change."""
    edges = [0, *sorted(found), len(series.nights)]
    means = [fmean(series.values[a:b]) for a, b in pairwise(edges)]
    points = []
    for index, (before, after) in zip(edges[1:-1], pairwise(means), strict=True):
        percent = (after / before - 1) * 100 if before else None
        points.append(ChangePoint(series.nights[index].at, index, before, after, percent, found[index]))
    return points


def accept(points: Iterable[ChangePoint], series: Series) -> list[ChangePoint]:
    """Those that may be shown: of a series long enough, and with enough nights after them to be no single one."""
    if len(series.nights) < NIGHTS_BEFORE_USE:
        return []
    return [point for point in points if len(series.nights) - 1 - point.index >= NIGHTS_AFTER]


def on_another_machine(point: ChangePoint, series: Series, nights: Iterable[Night]) -> bool:
    """Did other machines run nights of this job just before the change? Then the cause may be the machine."""
    if not point.index:
        return False
    last, first = (moment(series.nights[index].at) for index in (point.index - 1, point.index))
    return any(
        night.fingerprint != series.fingerprint and last <= moment(night.at) <= first
        for night in nights
        if night.job == series.job
    )


def breaks(nights: Sequence[Night]) -> list[Break]:
    """Where one job's nights went from one machine to another."""
    ordered = in_order(nights)
    return [
        Break(after.at, before.fingerprint, after.fingerprint)
        for before, after in pairwise(ordered)
        if before.fingerprint != after.fingerprint
    ]


def cadence(nights: Sequence[Night]) -> timedelta | None:
    """The usual distance of one job's nights, their median; None if there are too few, or all at once."""
    if len(nights) < NIGHTS_FOR_CADENCE:
        return None
    moments = [moment(night.at) for night in in_order(nights)]
    usual_s = median((b - a).total_seconds() for a, b in pairwise(moments))
    return timedelta(seconds=usual_s) or None


def gaps(nights: Sequence[Night]) -> list[Gap]:
    """Where one job's series have no values: nights that did not come, and nights that nothing follows from."""
    ordered, usual = in_order(nights), cadence(nights)
    found = []
    for index, night in enumerate(ordered):
        if index and usual:
            before = ordered[index - 1].at
            distance = (moment(night.at) - moment(before)) / usual
            if distance > MISSING_FROM:
                found.append(Gap(before, night.at, max(1, round(distance) - 1), "no night was kept"))
        if not has_values(night):
            why = f"{night.state}: {night.why}" if night.why else night.state
            found.append(Gap(night.at, night.at, 1, why))
    return found


def inconclusive_in_a_row(nights: Sequence[Night]) -> int:
    """How many nights of one job, back from the newest, could not be decided.

    A night that nothing follows from (invalid, incomplete) neither adds one nor ends the row.
    """
    row = 0
    for night in reversed(in_order(nights)):
        if night.state == "inconclusive":
            row += 1
        elif has_values(night):
            break
    return row
