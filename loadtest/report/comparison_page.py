"""What does the page of ``loadtest compare`` say?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.regression import Change
from loadtest.analysis.summary import Summary
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, Verdict
from loadtest.measure.run import Run
from loadtest.report.sections import head
from loadtest.report.sections.changes import AFTER, BEFORE, Changes, Side, changes, spectra
from loadtest.report.sections.figure import Picture
from loadtest.report.sections.within import Within
from loadtest.report.subject import Subject
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.template import fill
from loadtest.report.words import count, date, plural, transport_name

STATES = {
    PASS: ("valid", "No regression"),
    FAIL: ("invalid", "Regression"),
    INCONCLUSIVE: ("suspect", "Not decided"),
}


class Page(NamedTuple):
    """The parts of the page in their order."""

    title: str
    facts: list[str]
    state: str
    badge: str
    says: str
    changes: Changes | None
    within: Within | None
    pictures: list[Picture]
    trials: Table
    dropped: list[str]
    command: str


def comparison_page(
    before: Sequence[tuple[Run, Summary]],
    after: Sequence[tuple[Run, Summary]],
    found: Sequence[Change],
    verdict: Verdict,
    within: Within | None,
    dropped: Sequence[str],
    command: str,
) -> str:
    """One self-contained page. verdict: that of the whole; dropped: a line for each run that does not count."""
    sides = Side("before", BEFORE, before), Side("after", AFTER, after)
    badge, word = STATES[verdict.state]
    told = changes(found, *sides, "compare")
    run = after[0][1].run
    page = Page(
        f"{run.scenario} over {transport_name(run.transport)}: before and after",
        [*_facts(*sides), date(min(summary.run.started for _, summary in (*before, *after)))],
        badge,
        word,
        verdict.why or (told.sentence if told else ""),
        told,
        within,
        [] if told else spectra(*sides, "compare"),
        trials([*sides]),
        list(dropped),
        command,
    )
    return fill("comparison.html.j2", page=page)


def _facts(before: Side, after: Side) -> list[str]:
    _, summary = after.runs[0]
    runs = f"{count(len(before.runs))} against {plural(len(after.runs), 'trial')}"
    users, load, *_ = head.facts(summary)
    return [runs, users, load]


def trials(sides: Sequence[Side]) -> Table:
    """Every run that counts, with what it says alone."""
    return table(
        "The trials",
        ["side", "run"],
        ["seed", "commit", "measured", "validity", "p50", "p95", "lost"],
        [_trial(side, run, summary) for side in sides for run, summary in side.runs],
    )


def _trial(side: Side, run: Run, summary: Summary) -> Row:
    subject = Subject(run, summary, side.label, side.accent, "", False)
    median, tail, lost = head.in_short(subject)
    tone = {"valid": "good", "suspect": "warn", "invalid": "bad"}[summary.validity.state]
    return Row(
        [Cell(side.label, accent=side.accent), Cell(run.manifest.id)],
        [
            Cell(str(summary.run.seed)),
            known(summary.run.commit or "–"),
            Cell(f"{summary.run.measured_s:.0f} s"),
            Cell(summary.validity.state, tone=tone),
            known(median),
            known(tail),
            known(lost),
        ],
    )
