"""What do latency and the server's CPU look like against the number of users?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadtest.analysis.capacity import Capacity
from loadtest.analysis.capacity_model import AS_LINE, SATURATED, WITH_INTERVAL, Model, band
from loadtest.analysis.capacity_search import FAIL, GENERATOR, OPEN, PASS
from loadtest.analysis.capacity_trial import DIED, Tried
from loadtest.analysis.verdict import MS_UNIT, Verdict
from loadtest.analysis.windows import FloatArray
from loadtest.report.axes import WIDTH, framed, log_ms_axis, plain_axis
from loadtest.report.svg import canvas, colour, to_svg

INKS = {PASS: "websocket", FAIL: "bad", OPEN: "warn", GENERATOR: "muted", DIED: "bad"}
"""The colour of a trial, by what its level says."""
_MARKS = {PASS: "o", FAIL: "D", OPEN: "s", GENERATOR: "x", DIED: "x"}
_TOP, _BOTTOM = 26, 30


class Seen(NamedTuple):
    """A statistic of one trial, in ms; None: among what never came. low, high: its interval, None where open."""

    users: int
    state: str
    value: float | None
    low: float | None
    high: float | None


class Timed(NamedTuple):
    """One statistic over all trials, and its limit; None where nobody asked for one."""

    name: str
    limit: float | None
    seen: list[Seen]


def final_states(plan: Capacity) -> list[str]:
    """For each trial, what its level said in the end; of what was not believed, that."""
    said = {one.visit: one.state for one in plan.tried if one.state not in (GENERATOR, DIED)}
    return [one.state if one.state in (GENERATOR, DIED) else said[one.visit] for one in plan.tried]


def timed(plan: Capacity) -> Timed:
    """The SLO that broke if it is one of time, else the first of time, else p95 of what people mostly do."""
    states = final_states(plan)
    of_each = [{one.name: one for one in it.own if one.unit == MS_UNIT} for it in plan.tried]
    names = [name for own in of_each for name in own]
    name = plan.broke.name if plan.broke and plan.broke.name in names else next(iter(names), "")
    if name:
        limit = next(own[name].limit for own in of_each if name in own)
        seen = [
            _seen(it, state, own[name])
            for it, state, own in zip(plan.tried, states, of_each, strict=True)
            if name in own
        ]
        return Timed(name, limit, seen)
    seen = [
        Seen(it.users, state, it.latency_ms.p95, *it.ci95.get("p95", (None, None)))
        for it, state in zip(plan.tried, states, strict=True)
        if it.operation
    ]
    operation = next((it.operation for it in plan.tried if it.operation), "")
    return Timed(f"{operation}: p(95)", None, seen)


def _seen(it: Tried, state: str, own: Verdict) -> Seen:
    low, high = own.ci95 or (None, None)
    return Seen(it.users, state, own.observed, low, high)


def latency_chart(plan: Capacity, shown: Timed, name: str) -> str:
    """A dot and an interval for each trial, the limit, and the bracket."""
    with canvas(WIDTH, 260) as figure:
        axes = _users_axes(figure, plan)
        ends = [
            end for one in shown.seen for end in (one.low, one.value, one.high) if end is not None and end > 0
        ] + ([shown.limit] if shown.limit and shown.limit > 0 else [])
        low, high = min(ends, default=1.0), max(ends, default=10.0)
        log_ms_axis(axes, low, high)
        _bracket(axes, plan)
        if shown.limit is not None:
            axes.axhline(shown.limit, color=colour("bad"), linewidth=1.2, linestyle=(0, (5, 4)))
        _middle_line(axes, shown.seen)
        for one in shown.seen:
            ink = colour(INKS[one.state])
            if one.value is None:  # among what never came: above everything
                axes.plot([one.users], [high * 1.2], marker="^", markersize=7, color=ink, linestyle="none")
                continue
            ends_of = (
                one.low if one.low is not None else one.value,
                one.high if one.high is not None else high * 1.25,
            )
            if one.low is not None or one.high is not None:
                axes.vlines(one.users, *ends_of, color=ink, linewidth=2.4, alpha=0.35)
            _dot(axes, one.users, one.value, one.state)
        axes.grid(True, axis="y", color=colour("line"), linewidth=1)
        return to_svg(figure, name)


def cpu_chart(plan: Capacity, name: str) -> str:
    """The server's CPU, a dot for each trial, the line of the model and its band, and where a core is full."""
    states = final_states(plan)
    with canvas(WIDTH, 240) as figure:
        axes = _users_axes(figure, plan)
        known = [
            (one, state) for one, state in zip(plan.tried, states, strict=True) if one.cpu_percent is not None
        ]
        plain_axis(axes, max([SATURATED, *(one.cpu_percent or 0.0 for one, _ in known)]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        _bracket(axes, plan)
        axes.axhline(SATURATED, color=colour("bad"), linewidth=1.2, linestyle=(0, (5, 4)))
        if plan.model is not None:
            _line(axes, plan.model, axes.get_xlim()[1])
        for one, state in known:
            _dot(axes, one.users, one.cpu_percent or 0.0, state)
        return to_svg(figure, name)


def _users_axes(figure: Figure, plan: Capacity) -> Axes:
    axes = framed(figure, top=_TOP, bottom=_BOTTOM)
    most = max((one.users for one in plan.tried), default=1)
    axes.set_xlim(0, most * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return axes


def _bracket(axes: Axes, plan: Capacity) -> None:
    """The band between what passed and what failed; a line if there is only one side of it."""
    if plan.passed is not None and plan.failed is not None:
        axes.axvspan(plan.passed, plan.failed, facecolor=colour("upgrade"), alpha=0.22, linewidth=0, zorder=0)
    for users in (plan.passed, plan.failed):
        if users is not None:
            axes.axvline(users, color=colour("upgrade"), linewidth=1.2, alpha=0.8, zorder=0)
    if plan.passed is not None:
        said = f"{plan.passed:,}" + (f" to {plan.failed:,}" if plan.failed else " or more")
        axes.annotate(
            said, (plan.passed, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 8),
            textcoords="offset points", ha="center", color=colour("upgrade"),
        )  # fmt: skip


def _middle_line(axes: Axes, seen: Sequence[Seen]) -> None:
    of_each: dict[int, list[float]] = {}
    for one in seen:
        if one.value is not None and one.state not in (GENERATOR, DIED):
            of_each.setdefault(one.users, []).append(one.value)
    users = sorted(of_each)
    axes.plot(
        users,
        [median(of_each[one]) for one in users],
        color=colour("muted"),
        linewidth=1.2,
        alpha=0.7,
        zorder=1,
    )


def _dot(axes: Axes, users: float, value: float, state: str) -> None:
    axes.plot(
        [users], [value], marker=_MARKS[state], markersize=6, color=colour(INKS[state]), linestyle="none",
        markeredgewidth=1.4 if _MARKS[state] == "x" else 0, zorder=3,
    )  # fmt: skip


def _line(axes: Axes, model: Model, last: float) -> None:
    """Solid as far as it was measured, dotted with its band half as far again, dashed without one to twice."""
    edges = [min(last, model.most_users * times) for times in (1.0, WITH_INTERVAL, AS_LINE)]
    inner = np.linspace(0, edges[0], 40)
    _stretch(axes, model, inner, "-", 0.2)
    if edges[1] > edges[0]:
        _stretch(axes, model, np.linspace(edges[0], edges[1], 30), (0, (1, 1.8)), 0.1)
    if edges[2] > edges[1]:
        _stretch(axes, model, np.linspace(edges[1], edges[2], 2), (0, (6, 4)), 0.0)


def _stretch(axes: Axes, model: Model, users: FloatArray, style: Any, strength: float) -> None:
    values, low, high = np.array([band(model, float(one)) for one in users]).T
    axes.plot(users, values, color=colour("long-polling"), linewidth=1.8, linestyle=style, zorder=2)
    if strength and math.isfinite(float(high.max())):
        axes.fill_between(
            users, low, high, color=colour("long-polling"), alpha=strength, linewidth=0, zorder=1
        )
