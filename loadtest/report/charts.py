"""What do latency, connections and the generator's health look like over percentiles and time?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from loadtest.analysis.spectrum import Spectrum
from loadtest.analysis.timeline import HeatMap, Span, Track
from loadtest.report.svg import canvas, colour, to_svg
from loadtest.report.words import tick_ms, tick_percentile

WIDTH = 720
LEFT, RIGHT = 58, 16
"""Room for the longest tick label."""
FIRST = 1 / 0.99
"""Where the axis of 1 / (1 - q) begins: at p1, as the very fastest is a single value."""

HUES = {
    "websocket": (46, 125, 200),
    "interval-polling": (214, 116, 36),
    "long-polling": (134, 96, 196),
    "upgrade": (32, 146, 110),
    "other-1": (190, 70, 120),
    "other-2": (120, 130, 40),
    "other-3": (110, 110, 120),
}
"""A heat map is an image and cannot follow CSS variables: one middle tone each, with alpha for the count."""


class Curve(NamedTuple):
    """A spectrum with the accent it is drawn in."""

    accent: str
    spectrum: Spectrum


class Line(NamedTuple):
    """A track with its accent; ``style``: solid or dotted, ``steps``: a count that holds until the next."""

    accent: str
    track: Track
    style: str = "solid"
    steps: bool = False
    width: float = 1.6


def spectrum_chart(curves: Sequence[Curve], name: str) -> str:
    """Latency over percentile: solid as far as the sample carries it, dotted beyond."""
    with canvas(WIDTH, 320) as figure:
        axes = _axes(figure, top=12, bottom=30)
        low, high, last = math.inf, 0.0, 20.0
        for accent, whole in curves:
            if not whole.inverse.size:
                continue
            drawn = whole.inverse >= min(FIRST, whole.inverse[-1])
            one = whole._replace(inverse=whole.inverse[drawn], latency_ms=whole.latency_ms[drawn])
            low, high = min(low, float(one.latency_ms[0])), max(high, float(one.latency_ms[-1]))
            last = max(last, float(one.inverse[-1]))
            _spectrum_line(axes, accent, one)
        axes.set_xscale("log")
        axes.set_xlim(FIRST, last * 1.1)
        _log_ms_axis(axes, max(low, 0.01), high)
        ticks = [FIRST, 2.0, *(10.0**k for k in range(1, 8) if 10.0**k <= last)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_percentile(value)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(True, axis="both", color=colour("line"), linewidth=1)
        return to_svg(figure, name)


def _spectrum_line(axes: Axes, accent: str, one: Spectrum) -> None:
    carried = int(np.searchsorted(one.inverse, one.supported, side="right"))
    solid, beyond = slice(None, max(carried, 1)), slice(max(carried - 1, 0), None)
    style: dict[str, Any] = {"color": colour(accent), "solid_capstyle": "round"}
    axes.plot(one.inverse[solid], one.latency_ms[solid], linewidth=2.2, **style)
    axes.plot(one.inverse[beyond], one.latency_ms[beyond], linewidth=1.6, linestyle=(0, (1, 2.2)), **style)
    if one.missing:
        # Beyond this the deliveries never came: the curve goes to infinity, not to its last point.
        axes.plot([one.inverse[-1]], [one.latency_ms[-1]], marker=">", markersize=7, color=colour("bad"))


def heat_chart(heat: HeatMap, spans: Sequence[Span], drops_s: Sequence[float], accent: str, name: str) -> str:
    """Deliveries per planned second and latency, darker for more; drops as marks along the top."""
    with canvas(WIDTH, 230) as figure:
        axes = _axes(figure, top=24, bottom=30)
        columns = heat.counts.shape[1]
        whole_s = columns * heat.column_s
        red, green, blue = (part / 255 for part in HUES[accent])
        shades = ListedColormap([(red, green, blue, alpha) for alpha in np.linspace(0, 1, 16)])
        # The root keeps the few slow ones visible beside the many fast ones.
        strength = np.sqrt(heat.counts / max(heat.counts.max(), 1))
        strength[heat.counts > 0] = np.maximum(strength[heat.counts > 0], 0.22)
        low, high = math.log10(heat.low_ms), math.log10(heat.high_ms)
        axes.imshow(
            strength, cmap=shades, vmin=0, vmax=1, origin="lower", aspect="auto",
            interpolation="none", extent=(0, whole_s, low, high),
        )  # fmt: skip
        ticks = _ms_ticks(heat.low_ms, heat.high_ms)
        axes.yaxis.set_major_locator(FixedLocator([math.log10(tick) for tick in ticks]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_ms(10**value)))
        _phases(axes, spans)
        for at in drops_s[:200]:
            axes.plot([at], [high], marker="v", markersize=6, color=colour("bad"), clip_on=False)
        axes.set_xlim(0, max(whole_s, 1))
        _seconds_axis(axes)
        return to_svg(figure, name)


def time_chart(
    lines: Sequence[Line], spans: Sequence[Span], name: str, height: float = 180, limits: Sequence[float] = ()
) -> str:
    """Values over the seconds of a run; dashed lines where ``limits`` lie."""
    with canvas(WIDTH, height) as figure:
        axes = _axes(figure, top=24, bottom=30)
        highest = max((float(one.track.values.max()) for one in lines if one.track.values.size), default=1.0)
        for one in lines:
            axes.plot(
                one.track.seconds, one.track.values, color=colour(one.accent), linewidth=one.width,
                linestyle="-" if one.style == "solid" else (0, (1, 1.8)),
                drawstyle="steps-post" if one.steps else "default",
            )  # fmt: skip
        for limit in limits:
            axes.axhline(limit, color=colour("bad"), linewidth=1, linestyle=(0, (5, 4)))
        axes.set_ylim(0, max(highest, *limits, 1e-9) * 1.12)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(True, axis="y", color=colour("line"), linewidth=1)
        last = max((span.end_s for span in spans), default=1.0)
        axes.set_xlim(0, max(last, 1.0))
        _phases(axes, spans)
        _seconds_axis(axes)
        return to_svg(figure, name)


def _axes(figure: Figure, top: float, bottom: float) -> Axes:
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


def _phases(axes: Axes, spans: Sequence[Span]) -> None:
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


def _seconds_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))


def _log_ms_axis(axes: Axes, low: float, high: float) -> None:
    if not high:
        low, high = 1.0, 10.0
    axes.set_yscale("log")
    axes.set_ylim(low / 1.15, high * 1.25)
    axes.yaxis.set_major_locator(FixedLocator(_ms_ticks(low / 1.15, high * 1.25)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_ms(value)))
    axes.yaxis.set_minor_locator(NullLocator())


def _ms_ticks(low: float, high: float) -> list[float]:
    """Decades; with 2 and 5 between them where there are fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = [10.0**k for k in powers if low <= 10.0**k <= high * 1.0001]
    if len(decades) >= 3:
        return decades
    fine = [step * 10.0**k for k in powers for step in (1, 2, 5)]
    return [tick for tick in fine if low <= tick <= high * 1.0001]
