"""What does the page of ``loadtest bandwidth`` say?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, HEADER_BYTES, IDLE
from loadtest.analysis.bandwidth_claim import name_of
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, Arm
from loadtest.analysis.bandwidth_model import PLAIN, SOCKET, WIRE, Pair
from loadtest.analysis.bandwidth_surface import CLOSE, Check, Point
from loadtest.analysis.verdict import CLAIM, FAIL, INCONCLUSIVE, PASS
from loadtest.report import bandwidth_tables as tables
from loadtest.report import bandwidth_words as words
from loadtest.report.bandwidth_tables import Told as Told
from loadtest.report.sections.figure import KeyEntry, Picture
from loadtest.report.sections.verdicts import WORDS
from loadtest.report.surface_chart import Curve, Dot, surface_chart
from loadtest.report.table import Table
from loadtest.report.template import fill
from loadtest.report.words import count, date, plural

STATES = {PASS: "valid", FAIL: "invalid"}
_T = TypeVar("_T")


class Answer(NamedTuple):
    """What one way of polling comes to."""

    state: str
    who: str
    says: str


class RunLine(NamedTuple):
    """A run with a link to its page."""

    link: str
    name: str
    what: str


class Page(NamedTuple):
    """The parts of the page in their order."""

    facts: list[str]
    notes: list[str]
    claim: str
    answers: list[Answer]
    picture: Picture | None
    savings: list[Table]
    ends: Table
    costs: list[Table]
    sentence: str
    checks: Table
    sizes: Table
    points: Table
    runs: list[RunLine]
    header_bytes: int
    command: str


def bandwidth_page(told: Told) -> str:
    """One self-contained page."""
    states = {one.name: one.state for one in told.verdicts}
    page = Page(
        [*told.facts, date(told.started)],
        list(told.notes),
        f"{100 * told.claim:g} %",
        _answers(told, states),
        _picture(told),
        [tables.savings(told, level, states) for level in (WIRE, SOCKET)],
        tables.ends(told),
        [tables.costs(told, level) for level in (WIRE, SOCKET)],
        fit(told.surface.checks),
        tables.checks(told.surface.checks),
        tables.sizes(told.models),
        tables.points(told.surface.points),
        _runs(told),
        HEADER_BYTES,
        told.command,
    )
    return fill("bandwidth.html.j2", page=page)


# -- what it comes to --------------------------------------------------------------------------------------


def _answers(told: Told, states: Mapping[str, str]) -> list[Answer]:
    """Of each way of interval polling: where the claim holds, where not, and where it ends; on the wire."""
    found: dict[Arm, list[Point]] = {}
    for point in _of(told, WIRE, False):
        if point.polling.transport == INTERVAL_POLLING and point.regime != CONNECT:
            found.setdefault(point.polling, []).append(point)
    return [_answer(arm, points, told, states) for arm, points in _ordered(found)]


def _ordered(found: Mapping[Arm, _T]) -> list[tuple[Arm, _T]]:
    return sorted(found.items(), key=lambda pair: words.order(pair[0]))


def _answer(arm: Arm, points: Sequence[Point], told: Told, states: Mapping[str, str]) -> Answer:
    at: dict[str, list[str]] = {}
    for point in sorted(points, key=words.column):
        at.setdefault(states[name_of(point)], []).append(words.when(point.regime, point.rate))
    said = [
        f"{WORDS[CLAIM][state]} {_listed(at[state])}" for state in (PASS, INCONCLUSIVE, FAIL) if state in at
    ]
    state = STATES.get(next(iter(at)), "suspect") if len(at) == 1 else "suspect"
    return Answer(state, words.arm_name(arm), "; ".join([*said, *_where(arm, told)]).replace(" %", "\u00a0%"))


def _listed(several: Sequence[str]) -> str:
    named = [one if one == "idle" else f"at {one}" for one in several]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _where(arm: Arm, told: Told) -> list[str]:
    return [
        words.where(one)
        for one in told.surface.crossings
        if one.polling == arm and not one.compression and one.level == WIRE
    ]


def _of(told: Told, level: str, compression: bool) -> list[Point]:
    return [one for one in told.surface.points if one.level == level and one.compression == compression]


def _picture(told: Told) -> Picture | None:
    """The saving on the wire, without compression."""
    curves: dict[Arm, list[Point]] = {}
    for point in _of(told, WIRE, False):
        if point.regime != CONNECT:
            curves.setdefault(point.polling, []).append(point)
    if not curves:
        return None
    ordered = _ordered(curves)
    drawn = [_curve(arm, points, told.models) for arm, points in ordered]
    limit = f"{100 * told.claim:g} %"
    key = [KeyEntry(words.arm_name(arm), *words.accent(arm)) for arm, _ in ordered]
    alt = "; ".join(
        f"{words.arm_name(arm)}: "
        + ", ".join(
            f"{words.when(one.regime, one.rate)} {words.percent(one.saving)}"
            for one in sorted(points, key=words.column)
        )
        for arm, points in ordered
    )
    return Picture(
        "What WebSocket saves of the bytes on the wire",
        surface_chart(drawn, told.claim, "surface"),
        f"Saving over the rate of messages. {alt}.",
        f"Dots were measured, with their 95 % intervals; curves are the closed form. The dashed line is {limit}; "
        "below 0 % polling is the cheaper. What is left of polling’s bytes is drawn on a logarithmic axis.",
        [*key, KeyEntry(limit, "bad", "limit")],
    )


def _curve(arm: Arm, points: Sequence[Point], models: Mapping[tuple[str, int, str], Pair]) -> Curve:
    pair = models.get((arm.headers, arm.feeds, PLAIN)) if arm.transport == INTERVAL_POLLING else None
    form: Callable[[float], float] | None = None
    if pair is not None:
        modelled = pair

        def form(rate: float) -> float:
            return modelled.saving(rate, WIRE)

    dots = [
        Dot(one.rate if one.regime == ACTIVE else None, one.saving, one.low, one.high)
        for one in sorted(points, key=words.column)
    ]
    return Curve(*words.accent(arm), dots, form)


def fit(checks: Sequence[Check]) -> str:
    """How well the closed form holds, in a sentence."""
    if not checks:
        return "Nothing could be set beside the closed form."
    far = [one for one in checks if not one.close]
    worst = max(checks, key=lambda one: abs(one.off))
    whole = f"{plural(len(checks), 'figure')} within {100 * CLOSE:g} % of the closed form"
    if not far:
        return f"All {whole}; the furthest is {words.percent(worst.off)} off."
    names = ", ".join(
        f"{words.arm_name(one.arm)} {words.when(ACTIVE if one.rate else IDLE, one.rate)}, "
        f"{words.level_name(one.level)}: {words.percent(one.off)}"
        for one in far
    )
    return f"{count(len(checks) - len(far))} of {whole}. Further off: {names}."


def _runs(told: Told) -> list[RunLine]:
    seen: dict[str, RunLine] = {}
    for cost in told.costs:
        if cost.regime != CONNECT:
            what = f"{words.arm_name(cost.arm)}, {words.when(cost.regime, cost.rate)}, seed {cost.seed}"
            seen[cost.run] = RunLine(f"{told.runs}/{cost.run}/report.html", cost.run, what)
    return list(seen.values())


def outline(told: Told) -> list[str]:
    """A line for each way of polling, and how well the closed form holds."""
    states = {one.name: one.state for one in told.verdicts}
    lines = [f"−{100 * told.claim:g} % on the wire, of interval polling:"]
    lines += [f"  {one.who}: {one.says}" for one in _answers(told, states)]
    return [*lines, fit(told.surface.checks), *told.notes]
