"""How are the axes of a chart drawn: ticks in words, the phases of a run, and the faults that struck it?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from loadtest.analysis.timeline import FaultMark, Span
from loadtest.report.svg import colour
from loadtest.report.words import tick_ms

WIDTH = 720
LEFT, RIGHT = 58, 16
"""Room for the longest tick label."""


def framed(figure: Figure, top: float, bottom: float) -> Axes:
    """Axes with a line at the bottom and nothing else; ``top`` and ``bottom`` are left free."""
    width, height = figure.get_size_inches() * 72
    box = (LEFT / width, bottom / height, 1 - (LEFT + RIGHT) / width, 1 - (top + bottom) / height)
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colour("line"))
    axes.tick_params(length=0, pad=6, colors=colour("muted"), which="both")
    axes.tick_params(axis="x", pad=11)
    axes.set_axisbelow(True)
    return axes


def phases(axes: Axes, spans: Sequence[Span]) -> None:
    """A line where a phase begins, and its name above, if there is room for it."""
    whole = max((span.end_s for span in spans), default=1.0)
    for span in spans:
        if span.begin_s > 0:
            axes.axvline(span.begin_s, color=colour("muted"), linewidth=1, alpha=0.6)
        room = (span.end_s - span.begin_s) / whole * (WIDTH - LEFT - RIGHT)
        if room >= 9 * len(span.phase):
            middle = (span.begin_s + span.end_s) / 2
            axes.annotate(
                span.phase, (middle, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 7),
                textcoords="offset points", ha="center", color=colour("muted"),
            )  # fmt: skip


def faults(axes: Axes, marks: Sequence[FaultMark]) -> None:
    """A band for each fault that lasted, a line for each that struck at once."""
    for mark in marks:
        if mark.until_s is None:
            axes.axvline(mark.at_s, color=colour("warn"), linewidth=1.4, linestyle=(0, (4, 2.5)))
        else:
            axes.axvspan(mark.at_s, mark.until_s, facecolor=colour("warn"), alpha=0.16, linewidth=0, zorder=0)


def seconds_axis(axes: Axes) -> None:
    """Seconds from left to right."""
    long = axes.get_xlim()[1] > 4
    steps = [1, 2, 3, 6, 10] if long else [1, 2, 5, 10]
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=long, steps=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))


def plain_axis(axes: Axes, highest: float) -> None:
    """Counts and shares from zero upwards."""
    axes.set_ylim(0, max(highest, 1e-9) * 1.12)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(True, axis="y", color=colour("line"), linewidth=1)


def log_ms_axis(axes: Axes, low: float, high: float) -> None:
    """Milliseconds upwards, logarithmic."""
    if not high:
        low, high = 1.0, 10.0
    axes.set_yscale("log")
    axes.set_ylim(low / 1.15, high * 1.25)
    axes.yaxis.set_major_locator(FixedLocator(ms_ticks(low / 1.15, high * 1.25)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_ms(value)))
    axes.yaxis.set_minor_locator(NullLocator())


def ms_ticks(low: float, high: float) -> list[float]:
    """Decades; with 2 and 5 between them where there are fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = [10.0**k for k in powers if low <= 10.0**k <= high * 1.0001]
    if len(decades) >= 3:
        return decades
    fine = [step * 10.0**k for k in powers for step in (1, 2, 5)]
    return [tick for tick in fine if low <= tick <= high * 1.0001]
