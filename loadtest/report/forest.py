"""What do several ratios with their intervals look like, one below the other?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from loadtest.report.axes import WIDTH, framed
from loadtest.report.svg import canvas, colour, to_svg

_ROW, _TOP, _BOTTOM, _NAMES = 30, 10, 34, 190
_TICKS = (0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0)
_LEAST, _MOST = 0.8, 1.25
"""The axis shows at least this, or a change of one percent would look like a cliff."""


class Bar(NamedTuple):
    """One ratio. low, high: its interval; 0 and inf where it has no end. accent: CSS variable."""

    name: str
    ratio: float
    low: float
    high: float
    accent: str


def forest_chart(bars: Sequence[Bar], limit: float, name: str) -> str:
    """A dot and an interval for each, a line where nothing changed, a dashed one at the limit."""
    height = _TOP + _BOTTOM + _ROW * len(bars)
    with canvas(WIDTH, height) as figure:
        axes = framed(figure, top=_TOP, bottom=_BOTTOM)
        axes.set_position(
            (_NAMES / WIDTH, _BOTTOM / height, 1 - (_NAMES + 24) / WIDTH, _ROW * len(bars) / height)
        )
        ends = [end for bar in bars for end in (bar.low, bar.high, bar.ratio) if 0 < end < math.inf]
        low, high = min([_LEAST, *ends]) / 1.04, max([_MOST, limit, *ends]) * 1.04
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.axvline(1, color=colour("muted"), linewidth=1.2)
        axes.axvline(limit, color=colour("bad"), linewidth=1, linestyle=(0, (5, 4)))
        for place, bar in enumerate(bars):
            ink = colour(bar.accent)
            begin, end = max(bar.low, low), min(bar.high, high)
            axes.plot([begin, end], [place, place], color=ink, linewidth=2.2, solid_capstyle="round")
            axes.plot([bar.ratio], [place], marker="o", markersize=7, color=ink, linestyle="none")
        axes.yaxis.set_major_locator(FixedLocator(range(len(bars))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: bars[round(value)].name))
        ticks = [tick for tick in _TICKS if low <= tick <= high]
        axes.xaxis.set_major_locator(FixedLocator(_apart(ticks, low, high)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(True, axis="x", color=colour("line"), linewidth=1)
        return to_svg(figure, name)


def _apart(ticks: Sequence[float], low: float, high: float) -> list[float]:
    """Those that leave room for their words; 1 first, it is what the others are read against."""
    room = math.log(high / low) / 9
    kept: list[float] = []
    for tick in sorted(ticks, key=lambda one: abs(math.log(one))):
        if all(abs(math.log(tick / other)) >= room for other in kept):
            kept.append(tick)
    return sorted(kept)
