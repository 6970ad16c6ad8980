"""What was asked of these runs, and did they keep it?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, Verdict
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.verdict_words import interval, limit, observed
from loadtest.report.words import plural

WORDS = {
    "slo": {PASS: "kept", FAIL: "broken", INCONCLUSIVE: "not decided"},
    "claim": {PASS: "confirmed", FAIL: "refuted", INCONCLUSIVE: "inconclusive"},
    "regression": {PASS: "no regression", FAIL: "regression", INCONCLUSIVE: "not decided"},
}
TONES = {PASS: "good", FAIL: "bad", INCONCLUSIVE: "warn"}
COLUMNS = ["verdict", "observed", "limit", "95 % interval"]


class Verdicts(NamedTuple):
    """The section; ``state``: that of the worst."""

    state: str
    sentences: list[str]
    table: Table


def verdicts(subjects: Sequence[Subject]) -> Verdicts | None:
    """None where nothing was asked."""
    asked = [(one, verdict) for one in subjects for verdict in one.summary.verdicts]
    if not asked:
        return None
    return Verdicts(
        worst(verdict for _, verdict in asked),
        [f"{one.intro}{tally(one.summary.verdicts)}." for one in subjects if one.summary.verdicts],
        table(
            "Service level objectives",
            ["asked", *whose(subjects)],
            COLUMNS,
            [Row([Cell(verdict.name), *one.who], cells(verdict)) for one, verdict in asked],
        ),
    )


def worst(found: Iterable[Verdict]) -> str:
    """fail before inconclusive before pass."""
    states = {one.state for one in found}
    return next((state for state in (FAIL, INCONCLUSIVE) if state in states), PASS)


def word(verdict: Verdict) -> str:
    """``kept``, ``refuted``, ``regression``: what a state means for this kind of question."""
    return WORDS.get(verdict.kind, WORDS["slo"])[verdict.state]


def cells(verdict: Verdict) -> list[Cell]:
    """Verdict, observed, limit, interval; the reason is a footnote of the verdict."""
    return [
        Cell(word(verdict), verdict.why, TONES[verdict.state]),
        known(observed(verdict)),
        Cell(limit(verdict)),
        known(interval(verdict)),
    ]


def tally(found: Sequence[Verdict]) -> str:
    """``3 of 5 SLOs kept, 1 broken, 1 not decided``."""
    counts = {state: sum(one.state == state for one in found) for state in (PASS, FAIL, INCONCLUSIVE)}
    said = [f"{counts[PASS]} of {plural(len(found), 'SLO')} kept"]
    said += [f"{counts[state]} {WORDS['slo'][state]}" for state in (FAIL, INCONCLUSIVE) if counts[state]]
    return ", ".join(said)
