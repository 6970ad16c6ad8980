"""What became dearer from one build to the other, and what could not have been seen?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from loadtest.analysis.gauges import LOSS, main_operations
from loadtest.analysis.regression import Change
from loadtest.analysis.series import Series, pooled
from loadtest.analysis.spectrum import spectrum
from loadtest.analysis.summary import Summary
from loadtest.analysis.verdict import FAIL, PASS
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run
from loadtest.measure.units import say_ms
from loadtest.report import charts
from loadtest.report.forest import Bar, forest_chart
from loadtest.report.history_words import name as metric_name
from loadtest.report.history_words import say as say_metric
from loadtest.report.sections.figure import KeyEntry, Picture
from loadtest.report.sections.verdicts import TONES, word
from loadtest.report.subject import MAIN
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.verdict_words import interval, limit, observed
from loadtest.report.words import UNKNOWN, count, plural

BEFORE, AFTER = "other-3", "websocket"
"""The colours of the two sides on every page that compares builds."""


class Side(NamedTuple):
    """One of the two: how it is called, its colour, and its runs that count."""

    label: str
    accent: str
    runs: Sequence[tuple[Run, Summary]]


class Changes(NamedTuple):
    """The section."""

    state: str
    sentence: str
    table: Table
    pictures: list[Picture]


def changes(found: Sequence[Change], before: Side, after: Side, name: str) -> Changes | None:
    """``name`` keeps the ids of its pictures apart; None where nothing could be compared."""
    if not found:
        return None
    return Changes(
        _worst(found),
        _sentence(found, before, after),
        table(
            f"From {before.label} to {after.label}, the median of the trials",
            ["figure"],
            [before.label, after.label, "change", "95 % interval", "limit", "could have seen", "verdict"],
            [_row(one) for one in found],
        ),
        [*_forest(found, name), *spectra(before, after, name)],
    )


def _worst(found: Sequence[Change]) -> str:
    states = [one.verdict.state for one in found]
    return FAIL if FAIL in states else next((one for one in states if one != PASS), PASS)


def _sentence(found: Sequence[Change], before: Side, after: Side) -> str:
    failed = [metric_name(one.name) for one in found if one.verdict.state == FAIL]
    open_ones = sum(one.verdict.state not in (FAIL, PASS) for one in found)
    against = f"{count(len(after.runs))} of {after.label}"
    trials = f"{plural(len(before.runs), 'trial')} of {before.label} against {against}"
    if failed:
        said = f"dearer by more than chance and tolerance explain: {', '.join(failed)}"
    elif open_ones:
        said = "no regression was found, but not every one could have been"
    else:
        said = "nothing became dearer by more than the tolerance"
    rest = f" {plural(open_ones, 'figure is', 'figures are')} not decided." if open_ones else ""
    return f"{trials}: {said}.{rest}"


def _row(change: Change) -> Row:
    verdict = change.verdict
    seen = UNKNOWN if change.detectable is None else f"{1 + change.detectable:.2f}×"
    return Row(
        [Cell(metric_name(change.name))],
        [
            Cell(say_metric(change.name, median(change.before))),
            Cell(say_metric(change.name, median(change.after))),
            Cell(("+" if change.name == LOSS and (verdict.observed or 0) > 0 else "") + observed(verdict)),
            known(interval(verdict)),
            Cell(limit(verdict)),
            known(seen),
            Cell(word(verdict), verdict.why, TONES[verdict.state]),
        ],
    )


def _forest(found: Sequence[Change], name: str) -> list[Picture]:
    ratios = [one for one in found if one.name != LOSS]
    if not ratios:
        return []
    bars = [
        Bar(metric_name(one.name), one.effect.estimate, one.effect.low, one.effect.high, _accent(one))
        for one in ratios
    ]
    allowed = ratios[0].verdict.limit or 1.0
    said = "; ".join(f"{bar.name} {bar.ratio:.2f}×" for bar in bars)
    return [
        Picture(
            "Ratio of each figure",
            forest_chart(bars, allowed, f"forest-{name}"),
            f"Ratios after to before: {said}.",
            "Right of the line is dearer. The dot is the Hodges-Lehmann estimate of the ratio, the bar its exact "
            "95 % interval over the trials; what reaches to the edge has no end with so few of them.",
            [KeyEntry("nothing changed", "muted", "line"), KeyEntry("tolerance", "bad", "limit")],
        )
    ]


def _accent(change: Change) -> str:
    return "bad" if change.verdict.state == FAIL else "ink"


def spectra(before: Side, after: Side, name: str) -> list[Picture]:
    """The latency curves of the sides that have runs, all trials of each together."""
    sides = [one for one in (before, after) if one.runs]
    operations = main_operations(sides[0].runs[0][1]) if sides else []
    return [_spectrum(one, sides, name) for one in operations]


def _spectrum(operation: Operation, sides: Sequence[Side], name: str) -> Picture:
    together = [(side, pooled((run for run, _ in side.runs), operation)) for side in sides]
    curves = [charts.Curve(side.accent, spectrum(of)) for side, of in together]
    said = [
        f"{side.label}: median {_quantile(of, 0.5)}, p95 {_quantile(of, 0.95)}, n = {count(of.expected)}."
        for side, of in together
    ]
    slug = operation.replace(".", "-")
    return Picture(
        f"{MAIN[operation]} at every percentile",
        charts.spectrum_chart(curves, f"spectrum-{slug}-{name}"),
        " ".join(said),
        f"{operation}, from the planned moment to receipt, all trials of a side together. {' '.join(said)}",
        [
            *(KeyEntry(side.label, side.accent) for side, _ in together),
            KeyEntry("beyond what n supports", "ink", "dotted"),
        ],
    )


def _quantile(of: Series, q: float) -> str:
    ns = of.latency.quantile(q, of=of.expected) if of.latency.n else None
    return say_ms(None if ns is None else ns / 1e6)
