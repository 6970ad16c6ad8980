"""What does the page of a night say?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.night import INCOMPLETE, Judged, Told
from loadtest.analysis.validity import INVALID
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, SLO, Verdict
from loadtest.measure.units import say_seconds
from loadtest.report.history_words import name as metric_name
from loadtest.report.history_words import say as say_metric
from loadtest.report.sections.changes import AFTER, BEFORE, Changes, Side, changes, spectra
from loadtest.report.sections.figure import Picture
from loadtest.report.sections.verdicts import COLUMNS, cells, tally, word
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.template import fill
from loadtest.report.verdict_words import say
from loadtest.report.words import UNKNOWN, count, date, plural

TONES = {PASS: "valid", FAIL: "invalid", INCONCLUSIVE: "suspect", INVALID: "invalid", INCOMPLETE: "invalid"}
BADGES = {
    PASS: "pass", FAIL: "fail", INCONCLUSIVE: "not decided", INVALID: "invalid", INCOMPLETE: "incomplete",
}  # fmt: skip
SERIOUS = (INCOMPLETE, INVALID, FAIL, INCONCLUSIVE, PASS)
"""The worst first."""


class JobPart(NamedTuple):
    """One job on the page."""

    name: str
    slug: str
    state: str
    badge: str
    says: str
    facts: list[str]
    asked: Table | None
    changes: Changes | None
    pictures: list[Picture]
    figures: Table
    trials: Table


class Page(NamedTuple):
    """The parts of the page in their order."""

    facts: list[str]
    notes: list[str]
    jobs: list[JobPart]
    command: str


def night_page(night: Sequence[Judged], started: str, target: str, notes: Sequence[str], command: str) -> str:
    """One self-contained page of all jobs. notes: what else is to be said of the night, a sentence each."""
    trials = sum(len(one.outcome.trials) for one in night)
    page = Page(
        [target, plural(len(night), "job"), plural(trials, "trial"), date(started)],
        list(notes),
        [_job(one) for one in night],
        command,
    )
    return fill("night.html.j2", page=page)


def _job(judged: Judged) -> JobPart:
    outcome = judged.outcome
    sides = Side("baseline", BEFORE, judged.baseline), Side("candidate", AFTER, judged.candidate)
    told = changes(judged.changes, *sides, outcome.job)
    asked = [one for one in outcome.verdicts if one.kind == SLO]
    return JobPart(
        outcome.job,
        outcome.job,
        TONES[outcome.state],
        BADGES[outcome.state],
        says(judged),
        _facts(judged),
        table("Service level objectives", ["asked"], COLUMNS, [_asked(one) for one in asked])
        if asked
        else None,
        told,
        [] if told else spectra(*sides, outcome.job),
        _figures(judged),
        _trials(outcome.trials),
    )


def says(judged: Judged) -> str:
    """What a job came to, in a sentence or two."""
    outcome = judged.outcome
    if outcome.state in (INCOMPLETE, INVALID) or not outcome.verdicts:
        return outcome.why or "Nothing was asked of it; its figures are kept."
    asked = [one for one in outcome.verdicts if one.kind == SLO]
    found = [one for one in outcome.verdicts if one.kind != SLO]
    said = [tally(asked)] if asked else []
    if found:
        said.append(_against(found))
    return "; ".join(said)


def _against(found: Sequence[Verdict]) -> str:
    counts = {state: sum(one.state == state for one in found) for state in (FAIL, INCONCLUSIVE)}
    if counts[FAIL]:
        return f"{plural(counts[FAIL], 'regression')} against the baseline"
    if counts[INCONCLUSIVE]:
        return f"no regression found, {count(counts[INCONCLUSIVE])} of {plural(len(found), 'figure')} not decided"
    return f"no regression in {plural(len(found), 'figure')}"


def _facts(judged: Judged) -> list[str]:
    outcome = judged.outcome
    known_facts = outcome.facts
    repeated = sum(one.repeat > 0 for one in outcome.trials)
    found = [plural(outcome.used, "trial counts", "trials count")]
    found += [f"{count(repeated)} repeated"] if repeated else []
    if known_facts:
        found += [
            f"{known_facts['scenario']} over {known_facts['transport']}",
            plural(known_facts["users"], "user"),
        ]
    if judged.candidate:
        measured = sum(summary.run.measured_s for _, summary in judged.candidate)
        found.append(f"{say_seconds(measured)} measured")
    return found


def _asked(verdict: Verdict) -> Row:
    return Row([Cell(verdict.name)], cells(verdict))


def _figures(judged: Judged) -> Table:
    rows = []
    for metric, one in judged.outcome.figures.items():
        ends = (
            f"{say_metric(metric, one.low)} to {say_metric(metric, one.high)}"
            if one.low is not None and one.high is not None
            else UNKNOWN
        )
        few = "" if ends != UNKNOWN else "given from six trials on"
        rows.append(
            Row(
                [Cell(metric_name(metric))],
                [Cell(say_metric(metric, one.value)), known(ends, few), Cell(count(one.n))],
            )
        )
    return table("What goes into the history", ["figure"], ["median", "95 % interval", "trials"], rows)


def _trials(told: Sequence[Told]) -> Table:
    columns = ["seed", "try", "validity", "failures", "counts"]
    return table("Every trial", ["build", "run"], columns, [_trial(one) for one in told])


def _trial(one: Told) -> Row:
    tone = {"valid": "good", "suspect": "warn", "invalid": "bad"}[one.validity]
    return Row(
        [Cell(one.arm), Cell(one.path)],
        [
            Cell(str(one.seed)),
            Cell(str(one.repeat + 1)),
            Cell(one.validity, tone=tone),
            Cell(count(one.failures), tone="bad" if one.failures else "quiet"),
            Cell("yes" if one.counts else "no", one.noise, "" if one.counts and not one.noise else "warn"),
        ],
    )


def outline(night: Sequence[Judged]) -> list[str]:
    """A line for each job, and one for whatever of it did not pass."""
    lines = []
    for one in night:
        outcome = one.outcome
        lines.append(f"{BADGES[outcome.state].upper()}: {outcome.job}, {', '.join(_facts(one))}")
        if outcome.state in (INCOMPLETE, INVALID) or not outcome.verdicts:
            lines.append(f"  - {says(one)}")
        lines += [f"  - {word(it)}: {it.name}: {say(it)}" for it in outcome.verdicts if it.state != PASS]
    return lines
