"""What does push save of the bytes of polling, drawn over the rate of messages?

What is left of the bytes of polling stands on a logarithmic axis that is labelled with the saving: 90 and 99
percent are as far apart as they are in bytes, and below zero polling is the cheaper. Curves are the closed form,
dots what was measured, with their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from loadtest.report.axes import WIDTH, framed
from loadtest.report.svg import canvas, colour, to_svg

_HEIGHT, _TOP, _BOTTOM = 340, 22, 44
_SAVINGS = (0.999, 0.997, 0.99, 0.97, 0.9, 0.7, 0.5, 0.0, -1.0, -3.0)
_IDLE_GAP = 4.0
"""Idle has no place on an axis of rates that doubles: it stands so many times left of the lowest one."""


class Dot(NamedTuple):
    """A point that was measured. rate: None when idle. low, high: of its saving; None: no interval."""

    rate: float | None
    saving: float
    low: float | None
    high: float | None


class Curve(NamedTuple):
    """One way of polling. saving: the closed form, of a rate; None: there is none, the dots are joined."""

    accent: str
    style: str
    dots: Sequence[Dot]
    saving: Callable[[float], float] | None


def surface_chart(curves: Sequence[Curve], claim: float, name: str) -> str:
    """Saving over delivered messages per second and user; lines at the claim and where both cost the same."""
    rates = sorted({dot.rate for curve in curves for dot in curve.dots if dot.rate})
    idle = (rates[0] if rates else 0.1) / _IDLE_GAP
    last = (rates[-1] if rates else 1.0) * 1.6
    with canvas(WIDTH, _HEIGHT) as figure:
        axes = framed(figure, top=_TOP, bottom=_BOTTOM)
        axes.set_xscale("log")
        axes.set_xlim(idle / 1.6, last)
        axes.set_yscale("log")
        _saving_axis(axes, curves, claim)
        axes.axhline(1 - claim, color=colour("bad"), linewidth=1.2, linestyle=(0, (5, 4)), zorder=1)
        axes.axhline(1, color=colour("muted"), linewidth=1.2, zorder=1)
        for place, curve in enumerate(curves):
            _draw(axes, curve, place - (len(curves) - 1) / 2, idle, last)
        _rate_axis(axes, rates, idle)
        return to_svg(figure, name)


def _draw(axes: Axes, curve: Curve, place: float, idle: float, last: float) -> None:
    ink = colour(curve.accent)
    dash = "-" if curve.style == "line" else (0, (1, 1.8))
    # Beside one another, or the intervals of one rate would hide those below.
    shift = 1.035**place
    xs = [(idle if dot.rate is None else dot.rate) * shift for dot in curve.dots]
    if curve.saving is not None:
        drawn = np.geomspace(idle * _IDLE_GAP / 1.5, last, 120)
        axes.plot(drawn, [1 - curve.saving(rate) for rate in drawn], color=ink, linewidth=1.8, linestyle=dash)
    else:
        talking = [(x, 1 - dot.saving) for x, dot in zip(xs, curve.dots, strict=True) if dot.rate]
        axes.plot(*zip(*talking, strict=True), color=ink, linewidth=1.2, linestyle=dash) if talking else None
    for x, dot in zip(xs, curve.dots, strict=True):
        if dot.low is not None and dot.high is not None and dot.high < 1:
            axes.plot([x, x], [1 - dot.high, 1 - dot.low], color=ink, linewidth=4, alpha=0.3)
    face = ink if curve.style == "line" else colour("surface")
    axes.plot(
        xs, [1 - dot.saving for dot in curve.dots], linestyle="none", marker="o", markersize=6,
        markerfacecolor=face, markeredgecolor=ink, markeredgewidth=1.5, zorder=3,
    )  # fmt: skip


def _saving_axis(axes: Axes, curves: Sequence[Curve], claim: float) -> None:
    left = [1 - dot.saving for curve in curves for dot in curve.dots]
    left += [
        1 - end for curve in curves for dot in curve.dots for end in (dot.low, dot.high) if end is not None
    ]
    known = [value for value in left if value > 0] or [1.0]
    low, high = min([1 - claim, *known]) / 1.3, max([1.0, *known]) * 1.35
    axes.set_ylim(high, low)  # more saved stands higher
    ticks = [1 - saving for saving in _SAVINGS if low <= 1 - saving <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: say_tick(1 - value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(True, axis="y", color=colour("line"), linewidth=1)


def say_tick(saving: float) -> str:
    """``99.7 %``, ``0 %``, ``−100 %``."""
    return f"{'−' if saving < -1e-9 else ''}{abs(round(100 * saving, 1)):g} %"


def _rate_axis(axes: Axes, rates: Sequence[float], idle: float) -> None:
    ticks = [idle, *rates]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "idle" if math.isclose(value, idle) else f"{value:g}/s")
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.annotate(
        "messages delivered to each user per second", (1, 0), xycoords="axes fraction", xytext=(0, -36),
        textcoords="offset points", ha="right", color=colour("muted"),
    )  # fmt: skip
