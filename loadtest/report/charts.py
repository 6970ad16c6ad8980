"""What do latency, connections and the generator's health look like over percentiles and time?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from loadtest.analysis.spectrum import Spectrum
from loadtest.analysis.timeline import FaultMark, HeatMap, Span, Track
from loadtest.report.axes import (
    WIDTH,
    faults,
    framed,
    log_ms_axis,
    ms_ticks,
    phases,
    plain_axis,
    seconds_axis,
)
from loadtest.report.svg import canvas, colour, to_svg
from loadtest.report.words import tick_ms, tick_percentile

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
        axes = framed(figure, top=12, bottom=30)
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
        log_ms_axis(axes, max(low, 0.01), high)
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


def heat_chart(
    heat: HeatMap,
    spans: Sequence[Span],
    drops_s: Sequence[float],
    accent: str,
    name: str,
    marks: Sequence[FaultMark] = (),
) -> str:
    """Deliveries per planned second and latency, darker for more; drops along the top, faults as ``marks``."""
    with canvas(WIDTH, 230) as figure:
        axes = framed(figure, top=24, bottom=30)
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
        ticks = ms_ticks(heat.low_ms, heat.high_ms)
        axes.yaxis.set_major_locator(FixedLocator([math.log10(tick) for tick in ticks]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_ms(10**value)))
        phases(axes, spans)
        faults(axes, marks)
        _drops(axes, drops_s, whole_s, high)
        axes.set_xlim(0, max(whole_s, 1))
        seconds_axis(axes)
        return to_svg(figure, name)


def time_chart(
    lines: Sequence[Line],
    spans: Sequence[Span],
    name: str,
    height: float = 180,
    limits: Sequence[float] = (),
    marks: Sequence[FaultMark] = (),
) -> str:
    """Values over the seconds of a run; dashed lines where ``limits`` lie, faults as ``marks``."""
    with canvas(WIDTH, height) as figure:
        axes = framed(figure, top=24, bottom=30)
        highest = max((float(one.track.values.max()) for one in lines if one.track.values.size), default=1.0)
        for one in lines:
            track = _visible(one.track, max((span.end_s for span in spans), default=1.0))
            axes.plot(
                track.seconds, track.values, color=colour(one.accent), linewidth=one.width,
                linestyle="-" if one.style == "solid" else (0, (1, 1.8)),
                drawstyle="steps-post" if one.steps else "default",
            )  # fmt: skip
        for limit in limits:
            axes.axhline(limit, color=colour("bad"), linewidth=1, linestyle=(0, (5, 4)))
        plain_axis(axes, max(highest, *limits, 1e-9))
        last = max((span.end_s for span in spans), default=1.0)
        axes.set_xlim(0, max(last, 1.0))
        phases(axes, spans)
        faults(axes, marks)
        seconds_axis(axes)
        return to_svg(figure, name)


def _drops(axes: Axes, drops_s: Sequence[float], whole_s: float, at: float) -> None:
    """A triangle where connections were lost; a hundred lost at once are one, not a hundred."""
    step_s = max(whole_s, 1) / (WIDTH / 4)
    places = sorted({round(second / step_s) * step_s for second in drops_s})
    axes.plot(
        places, [at] * len(places), linestyle="none", marker="v", markersize=6, color=colour("bad"),
        clip_on=False,
    )  # fmt: skip


def _visible(track: Track, whole_s: float) -> Track:
    """Of more points than can be told apart, the lowest and the last of each place."""
    if track.seconds.size <= WIDTH:
        return track
    places = (track.seconds / whole_s * (WIDTH / 2)).astype(int)
    kept: set[int] = set()
    for part in np.split(np.arange(places.size), np.flatnonzero(np.diff(places)) + 1):
        kept |= {int(part[np.argmin(track.values[part])]), int(part[-1])}
    order = sorted(kept)
    return Track(track.seconds[order], track.values[order])
