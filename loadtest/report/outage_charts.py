"""What do outages look like: the crowd coming back, the waits between attempts, one way back after another?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MultipleLocator, NullLocator

from loadtest.analysis.backoff import Bands, Dots, evenly
from loadtest.analysis.staircase import Rejoining
from loadtest.analysis.waterfall import Outage
from loadtest.report.axes import WIDTH, framed, seconds_axis
from loadtest.report.svg import canvas, colour, to_svg
from loadtest.report.words import tick_ms

FloatArray = npt.NDArray[np.float64]
POINTS = 200
"""Of a curve: more are not to be told apart at this width."""
DOTS = 900
"""So many dots in a chart; more would make it heavy, not clearer."""
ROW = 13.0


class Crowd(NamedTuple):
    """The way back of those whom one fault cut off.

    shares: of ``seconds`` since the fault, ascending, the share of them back by then. marks: (seconds, share) of
    what is marked on the curve.
    """

    accent: str
    seconds: FloatArray
    shares: FloatArray
    marks: list[tuple[float, float]]


def storm_chart(crowds: Sequence[Crowd], name: str) -> str:
    """The share that is back in its rooms over the time since the fault."""
    with canvas(WIDTH, 230) as figure:
        axes = framed(figure, top=14, bottom=30)
        last = max((float(one.seconds[-1]) for one in crowds if one.seconds.size), default=1.0)
        for index, one in enumerate(crowds):
            seconds, shares = _thinned(one.seconds, one.shares)
            axes.plot(
                [0, *seconds, last * 1.06], [0, *shares, shares[-1] if len(shares) else 0],
                color=colour(one.accent), linewidth=2, drawstyle="steps-post", alpha=1 - 0.6 * index / len(crowds),
            )  # fmt: skip
            axes.plot(
                [at for at, _ in one.marks], [share for _, share in one.marks], linestyle="none",
                marker="o", markersize=5.5, color=colour(one.accent),
            )  # fmt: skip
        axes.set_ylim(0, 1.06)
        axes.set_xlim(0, max(last * 1.06, 1e-3))
        axes.yaxis.set_major_locator(MultipleLocator(0.25))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
        axes.grid(True, axis="y", color=colour("line"), linewidth=1)
        seconds_axis(axes)
        return to_svg(figure, name)


def _thinned(seconds: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most POINTS steps of a staircase, the last one among them."""
    kept = evenly(seconds.size, POINTS)
    return seconds[kept], shares[kept]


def backoff_chart(dots: Dots, bands: Bands | None, accent: str, name: str) -> str:
    """What was waited before each attempt, over the band that the policy allows."""
    with canvas(WIDTH, 220) as figure:
        axes = framed(figure, top=14, bottom=30)
        attempts = sorted({int(one) for one in dots.attempt})
        allowed = {one: band for one in attempts if bands is not None and (band := bands.of(one)) is not None}
        shown = [*dots.waited_s.tolist(), *(edge for band in allowed.values() for edge in band)]
        # Wide enough for a wait of a second to have neighbours on the axis; a wait of nothing has no logarithm.
        low, high = max(min(shown, default=1.0), 0.05) / 2, max(shown, default=1.0) * 2
        _bands(axes, allowed, low)
        drawn = np.array(evenly(dots.attempt.size, DOTS), int)
        for late, tint in ((False, accent), (True, "warn")):
            chosen = drawn[dots.late[drawn] == late]
            across = dots.attempt[chosen] + _scatter(chosen.size)
            _dots(axes, across, np.maximum(dots.waited_s[chosen], low), tint)
        _wait_axis(axes, low, high)
        _attempt_axis(axes, attempts)
        return to_svg(figure, name)


def _wait_axis(axes: Axes, low_s: float, high_s: float) -> None:
    """1, 2, 5 and so on: waits double, so decades alone would say little."""
    powers = range(math.floor(math.log10(low_s)), math.ceil(math.log10(high_s)) + 1)
    ticks = [tick for k in powers for step in (1, 2, 5) if low_s <= (tick := step * 10.0**k) <= high_s]
    axes.set_yscale("log")
    axes.set_ylim(low_s, high_s)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_ms(value * 1000)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(True, axis="y", color=colour("line"), linewidth=1)


def _attempt_axis(axes: Axes, attempts: Sequence[int]) -> None:
    """A place per attempt, a number below at most twelve of them."""
    axes.set_xlim(min(attempts, default=1) - 0.6, max(attempts, default=1) + 0.6)
    labelled = attempts[:: math.ceil(len(attempts) / 12) or 1]
    axes.xaxis.set_major_locator(FixedLocator([float(one) for one in labelled]))
    word = "attempt " if len(attempts) < 6 else ""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{word}{value:.0f}"))


def _bands(axes: Axes, allowed: dict[int, tuple[float, float]], floor: float) -> None:
    """A shaded box per attempt, and a line where the band is a single value."""
    for attempt, (low, high) in allowed.items():
        left, right = attempt - 0.4, attempt + 0.4
        axes.fill_between(
            [left, right], max(low, floor), max(high, floor), color=colour("muted"), alpha=0.2, linewidth=0
        )
        if high <= low * 1.02:
            axes.plot([left, right], [high, high], color=colour("muted"), linewidth=1.4)


def _scatter(n: int) -> FloatArray:
    """Sideways places, so that dots do not hide one another; the same every time."""
    return (np.arange(n, dtype=np.float64) * 0.618034 % 1 - 0.5) * 0.62


def _dots(axes: Axes, x: FloatArray, y: FloatArray, tint: str) -> None:
    """Dots as one path: strokes of no length with round ends, a fifth of the bytes that markers take."""
    gaps = np.full(x.size, np.nan)
    axes.plot(
        np.column_stack((x, x, gaps)).ravel(), np.column_stack((y, y * 1.0005, gaps)).ravel(), linewidth=4,
        color=colour(tint), solid_capstyle="round", alpha=0.55, snap=False,
    )  # fmt: skip


def rejoining_chart(rejoining: Rejoining, accent: str, name: str) -> str:
    """The time until rejoined over the length of the outage, beside what the policy's waits lead to."""
    with canvas(WIDTH, 250) as figure:
        axes = framed(figure, top=14, bottom=30)
        stairs = rejoining.stairs
        far = max((float(one) for one in rejoining.outage_s), default=1.0) * 1.15 + 0.5
        high = max((float(one) for one in rejoining.ttj_s), default=1.0)
        if stairs is not None and stairs.outage_s.size:
            shown = stairs.outage_s <= far
            x, lower, upper = stairs.outage_s[shown], stairs.lower_s[shown], stairs.upper_s[shown]
            high = max(high, float(upper.max(initial=0.0)))
            if np.any(upper > lower):
                axes.fill_between(x, lower, upper, color=colour("muted"), alpha=0.2, linewidth=0)
            for edge in (lower, upper):
                axes.plot(x, edge, color=colour("muted"), linewidth=1.4)
        chosen = evenly(rejoining.outage_s.size, DOTS)
        _dots(axes, rejoining.outage_s[chosen], rejoining.ttj_s[chosen], accent)
        axes.set_xlim(-0.02 * far, far)
        axes.set_ylim(0, high * 1.12)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
        axes.grid(True, axis="y", color=colour("line"), linewidth=1)
        seconds_axis(axes)
        return to_svg(figure, name)


def waterfall_chart(shown: Sequence[Outage], accent: str, name: str) -> str:
    """A bar per outage, from the fault to the probe that was heard, on one scale of time."""
    with canvas(WIDTH, 40 + ROW * len(shown)) as figure:
        axes = framed(figure, top=8, bottom=30)
        parts = {
            one: _Strokes() for one in ("silent", "waiting", "failed", "connecting", "rejoining", "away")
        }
        heard: list[tuple[float, float]] = []
        for row, one in enumerate(shown):
            _outage(parts, heard, one, -float(row))
        last = reach_s(shown)
        for part, (tint, width, style) in STROKES.items():
            shortest = last * LEAST if width == THICK else 0.0
            parts[part].draw(axes, accent if tint == "accent" else tint, width, style, shortest)
        axes.plot(
            [x for x, _ in heard], [y for _, y in heard], linestyle="none", marker="o", markersize=4.5,
            color=colour("ink"),
        )  # fmt: skip
        axes.set_ylim(-len(shown) + 0.4, 0.6)
        axes.yaxis.set_major_locator(NullLocator())
        axes.set_xlim(-last * 0.01, max(last * 1.03, 1e-3))
        axes.grid(True, axis="x", color=colour("line"), linewidth=1)
        seconds_axis(axes)
        return to_svg(figure, name)


THICK = 7.0
STROKES = {
    "silent": ("muted", 1.4, "dotted"),
    "waiting": ("muted", 1.4, "solid"),
    "away": ("bad", 1.4, "solid"),
    "failed": ("bad", THICK, "solid"),
    "connecting": ("accent", THICK, "solid"),
    "rejoining": ("accent", 3.5, "solid"),
}
"""Colour, width and style of a part of an outage, in the order in which they are drawn."""
LEAST = 0.004
"""No stroke is shorter than this share of the longest outage: an attempt of 2 ms would not be seen."""


class _Strokes:
    """Strokes of one kind, drawn as one path."""

    def __init__(self) -> None:
        self._x: list[float] = []
        self._y: list[float] = []

    def add(self, begin: float, end: float, y: float) -> None:
        """One from ``begin`` to ``end``."""
        self._x += [begin, end, math.nan]
        self._y += [y, y, y]

    def draw(self, axes: Axes, tint: str, width: float, style: str, shortest: float) -> None:
        """All of them, none shorter than ``shortest``."""
        ends = zip(self._x[::3], self._x[1::3], strict=True)
        x = [place for begin, end in ends for place in (begin, max(end, begin + shortest), math.nan)]
        if x:
            axes.plot(
                x, self._y, color=colour(tint), linewidth=width, solid_capstyle="butt", snap=False,
                linestyle="-" if style == "solid" else (0, (1, 2)), dash_capstyle="butt",
            )  # fmt: skip


def begin_s(one: Outage) -> float:
    """When it began: with the fault, or else with the loss."""
    return one.at_s if one.fault_s is None else one.fault_s


def reach_s(shown: Sequence[Outage]) -> float:
    """How far the axis goes: past every return and attempt; who is away to the end would press all others flat."""
    lengths = [one.end_s - begin_s(one) for one in shown]
    ends = [one.end_s - begin_s(one) for one in shown if one.restored]
    ends += [one.tries[-1].began_s + one.tries[-1].took_s - begin_s(one) for one in shown if one.tries]
    return min(max(lengths, default=1.0), 1.4 * max(ends)) if ends else max(lengths, default=1.0)


def _outage(parts: dict[str, _Strokes], heard: list[tuple[float, float]], one: Outage, y: float) -> None:
    """Add one outage, from its beginning."""
    zero = begin_s(one)
    if one.at_s > zero:
        parts["silent"].add(0, one.at_s - zero, y)
    at = one.at_s - zero
    for attempt in one.tries:
        begin = attempt.began_s - zero
        parts["waiting"].add(at, begin, y)
        at = begin + attempt.took_s
        parts["failed" if attempt.cause else "connecting"].add(begin, at, y)
    for moment in (one.rejoined_s, one.heard_s):
        if moment is not None:
            parts["rejoining"].add(at, moment - zero, y)
            at = moment - zero
    if one.heard_s is not None:
        heard.append((at, y))
    if not one.restored:
        parts["away"].add(at, one.end_s - zero, y)
