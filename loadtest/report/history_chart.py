"""What does one metric of a job look like, night after night?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadtest.analysis.history import ChangePoint, Gap, Night, Series, cadence, has_values, moment
from loadtest.report import history_words as words
from loadtest.report.axes import LEFT, RIGHT, WIDTH, framed
from loadtest.report.svg import canvas, colour, to_svg

HEIGHT = 190
_YEAR = 360
"""Days from which on a date says its year."""
_LEVEL_ROOM = 0.6
"""A series that never falls below this share of its highest value is drawn from there, not from zero."""


class Drawn(NamedTuple):
    """A series, the accent of its machine, and where it changes."""

    series: Series
    accent: str
    points: Sequence[ChangePoint]


class Calendar(NamedTuple):
    """What all charts of a job share: its nights, oldest first, and their gaps."""

    nights: Sequence[Night]
    gaps: Sequence[Gap]

    def day(self, at: str) -> float:
        """Days from the first night on, so that the ticks of whole days stand below nights."""
        return (moment(at) - moment(self.nights[0].at)) / timedelta(days=1)

    @property
    def last(self) -> float:
        """The day of the newest night."""
        return self.day(self.nights[-1].at)


def history_chart(shown: Sequence[Drawn], calendar: Calendar, name: str) -> str:
    """Values with their intervals, a line through nights in a row on one machine, and what happened to them."""
    with canvas(WIDTH, HEIGHT) as figure:
        axes = framed(figure, top=24, bottom=30)
        _days_axis(axes, calendar)
        _value_axis(axes, shown)
        _happenings(axes, calendar)
        for one in shown:
            _values(axes, one, calendar)
            _levels(axes, one, calendar)
        return to_svg(figure, name)


def _values(axes: Axes, one: Drawn, calendar: Calendar) -> None:
    metric, nights = one.series.metric, one.series.nights
    figures = [night.figures[metric] for night in nights]
    room = (WIDTH - LEFT - RIGHT) / len(calendar.nights)
    axes.vlines(
        [calendar.day(night.at) for night in nights],
        [figure.value if figure.low is None else figure.low for figure in figures],
        [figure.value if figure.high is None else figure.high for figure in figures],
        color=colour(one.accent), linewidth=min(2.4, 0.6 * room), alpha=0.28, zorder=2,
    )  # fmt: skip
    for row in rows(one.series, calendar):
        axes.plot(
            [calendar.day(night.at) for night in row], [night.figures[metric].value for night in row],
            color=colour(one.accent), linewidth=min(1.3, max(0.7, 0.3 * room)), marker="o",
            markersize=min(3.4, max(1.6, 0.8 * room)), markeredgewidth=0, zorder=3,
        )  # fmt: skip


def rows(series: Series, calendar: Calendar) -> list[list[Night]]:
    """Nights in a row: nothing is drawn through a gap, or through nights without a value or on another machine."""
    having = {id(night) for night in series.nights}
    after_a_gap = {gap.end for gap in calendar.gaps if gap.begin != gap.end}
    found: list[list[Night]] = [[]]
    for night in calendar.nights:
        if found[-1] and (id(night) not in having or night.at in after_a_gap):
            found.append([])
        if id(night) in having:
            found[-1].append(night)
    return [row for row in found if row]


def _levels(axes: Axes, one: Drawn, calendar: Calendar) -> None:
    """The mean before and after each change, and the change itself in words above."""
    if not one.points:
        return
    nights = one.series.nights
    edges = [0, *(point.index for point in one.points), len(nights)]
    means = [one.points[0].before, *(point.after for point in one.points)]
    for (begin, end), mean in zip(pairwise(edges), means, strict=True):
        span = (calendar.day(nights[begin].at), calendar.day(nights[end - 1].at))
        axes.plot(span, (mean, mean), color=colour("ink"), linewidth=1.2, linestyle=(0, (5, 2)), zorder=4)
    for point in one.points:
        tone, day = colour("bad" if point.after > point.before else "ink"), calendar.day(point.at)
        axes.axvline(day, color=tone, linewidth=1.4, linestyle=(0, (4, 2.5)), zorder=1)
        axes.annotate(
            words.change(point.percent), (day, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 7),
            textcoords="offset points", ha="center", color=tone,
        )  # fmt: skip


def _happenings(axes: Axes, calendar: Calendar) -> None:
    """Bands where nights are missing, crosses for nights without values, lines where the machine changed."""
    half = (cadence(calendar.nights) or timedelta()) / timedelta(days=2)
    for gap in calendar.gaps:
        begin, end = calendar.day(gap.begin) + half, calendar.day(gap.end) - half
        if end > begin:
            axes.axvspan(begin, end, facecolor=colour("warn"), alpha=0.16, linewidth=0, zorder=0)
    useless = [calendar.day(night.at) for night in calendar.nights if not has_values(night)]
    axes.plot(
        useless, [0.04] * len(useless), transform=axes.get_xaxis_transform(), linestyle="none", marker="x",
        markersize=5, markeredgewidth=1.4, color=colour("warn"),
    )  # fmt: skip
    for before, after in pairwise(calendar.nights):
        if before.fingerprint != after.fingerprint:
            between = (calendar.day(before.at) + calendar.day(after.at)) / 2
            axes.axvline(between, color=colour("muted"), linewidth=1.2)


def _days_axis(axes: Axes, calendar: Calendar) -> None:
    last = calendar.last
    room = max(last * 0.015, 0.5)
    axes.set_xlim(-room, last + room)
    ticks = 9 if last < _YEAR else 6
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 5, 7, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda day, _: _date(calendar, day)))


def _date(calendar: Calendar, day: float) -> str:
    at = (moment(calendar.nights[0].at) + timedelta(days=day)).isoformat()
    return words.short_day(at) if calendar.last < _YEAR else f"{words.short_day(at)} {at[:4]}"


def _value_axis(axes: Axes, shown: Sequence[Drawn]) -> None:
    figures = [night.figures[one.series.metric] for one in shown for night in one.series.nights]
    ends = [end for figure in figures for end in figure[:3] if end is not None]
    low, high = min(ends), max(ends)
    of_axis = words.scale(shown[0].series.metric, high)
    floor = low - (high - low) * 0.12 if low > high * _LEVEL_ROOM else min(low, 0.0)
    # Of a figure that never was anything but zero, the axis shows one of its unit.
    top = high + (high - floor) * 0.1 if high > floor else floor + of_axis.factor
    axes.set_ylim(floor, top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.tick(value, of_axis)))
    axes.grid(True, axis="y", color=colour("line"), linewidth=1)
