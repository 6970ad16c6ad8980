"""In which tables do the changes, the gaps and the nights of a history stand?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtest.analysis.history import (
    METRICS_WATCHED,
    ChangePoint,
    Gap,
    Night,
    Series,
    metrics,
    on_another_machine,
    series,
)
from loadtest.report import history_words as words
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN

Points = Mapping[tuple[str, str, str], Sequence[ChangePoint]]
"""By job, fingerprint and metric; of the series that were looked at."""

TONES = {"pass": "good", "fail": "bad", "inconclusive": "warn", "invalid": "warn", "incomplete": "warn"}


class Change(NamedTuple):
    """A change point, and whether other machines ran the nights before it."""

    series: Series
    point: ChangePoint
    elsewhere: bool


def changes(nights: Sequence[Night], points: Points) -> list[Change]:
    """All of them, the newest first."""
    found = [
        Change(one, point, on_another_machine(point, one, nights))
        for one in series(nights)
        for point in points.get((one.job, one.fingerprint, one.metric), ())
    ]
    return sorted(found, key=lambda one: one.point.at, reverse=True)


def say_change(one: Change) -> str:
    """``message.deliver p95 +21 % since 25 September 2026: 41.0 ms before, 49.3 ms since``."""
    metric, point = one.series.metric, one.point
    before, after = (words.say(metric, value) for value in (point.before, point.after))
    machine = "; other machines ran the nights before" if one.elsewhere else ""
    what = f"{words.name(metric)} {words.change(point.percent)} since {words.day(point.at)}"
    return f"{what}: {before} before, {after} since{machine}"


def changes_table(found: Sequence[Change]) -> Table:
    rows = []
    for one in found:
        metric, point = one.series.metric, one.point
        tone = "bad" if point.after > point.before else "good"
        elsewhere = (
            "other machines ran the nights before it: the cause may be the machine" if one.elsewhere else ""
        )
        rows.append(
            Row(
                [Cell(words.day(point.at)), Cell(words.name(metric))],
                [
                    Cell(words.say(metric, point.before)),
                    Cell(words.say(metric, point.after)),
                    Cell(words.change(point.percent), elsewhere, tone),
                    Cell(words.probability(point.p)),
                    _commit(one.series.nights[point.index]),
                    Cell(words.machine(one.series.fingerprint)),
                ],
            )
        )
    columns = ["mean before", "mean since", "change", "p", "commit", "machine"]
    return table("Changes, the newest first", ["first night", "figure"], columns, rows)


def gaps_table(found: Sequence[Gap]) -> Table:
    rows = [
        Row([Cell(words.gap(gap)), Cell(gap.why)], [Cell(str(gap.nights))], first=True)
        for gap in reversed(found)
    ]
    return table("Nights without values, the newest first", ["when", "why"], ["nights"], rows)


def nights_table(nights: Sequence[Night], accents: Mapping[str, str]) -> Table:
    shown = metrics(nights)[:METRICS_WATCHED]
    several = len(accents) > 1
    rows = [
        Row(
            [
                Cell(night.at[:16].replace("T", " ")),
                Cell(night.state, tone=TONES[night.state]),
                Cell(words.machine(night.fingerprint), accent=accents[night.fingerprint] if several else ""),
            ],
            [
                _commit(night),
                Cell(str(night.trials)),
                *(_figure(night, metric) for metric in shown),
                Cell(night.why),
            ],
            first=True,
        )
        for night in reversed(nights)
    ]
    columns = ["commit", "trials", *(words.name(metric) for metric in shown), "why"]
    return table("Nights, the newest first", ["began (UTC)", "state", "machine"], columns, rows)


def _figure(night: Night, metric: str) -> Cell:
    figure = night.figures.get(metric)
    return known(UNKNOWN if figure is None else words.say(metric, figure.value))


def _commit(night: Night) -> Cell:
    return known(night.commit[:8] if night.commit else UNKNOWN)
