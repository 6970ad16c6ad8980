"""Which claims are true, in ten seconds; and what is behind each, for whoever wants to know?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.claim_bandwidth import BYTES
from loadtest.analysis.claims import Found, Outcome, Told, Value
from loadtest.analysis.figures import say_share
from loadtest.analysis.verdict import MS_UNIT, PER_HOUR, SHARE
from loadtest.measure.run import REPORT
from loadtest.measure.units import say_bytes, say_ms, say_seconds
from loadtest.report import claim_words as words
from loadtest.report.line import link
from loadtest.report.sections.floors import Beneath
from loadtest.report.sections.verdicts import TONES, WORDS
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.template import fill
from loadtest.report.verdict_words import interval, observed
from loadtest.report.words import UNKNOWN, count, date, plural

VALIDITY = {"valid": "good", "suspect": "warn", "invalid": "bad"}


class Asked(NamedTuple):
    """What the page is about. note: what to say above all; remarks: a line for each run that left nothing."""

    started: str
    quick: bool
    target: str
    note: str
    remarks: list[str]
    command: str


class Trial(NamedTuple):
    """A row of the table of trials."""

    arm: str
    seed: str
    link: str
    name: str
    length: str
    validity: Cell
    cells: list[Cell]


class Part(NamedTuple):
    """A claim."""

    slug: str
    sentence: str
    measured: str
    word: str
    tone: str
    reason: str
    restatement: str
    design: str
    numbers: Table
    left_out: list[str]
    expects: list[tuple[str, str]]
    columns: list[str]
    trials: list[Trial]
    scope: str
    changes: list[str]


class Page(NamedTuple):
    """The parts of the page in their order."""

    facts: list[str]
    tally: str
    note: str
    claims: list[Part]
    floors: Beneath | None
    floors_why: str
    remarks: list[str]
    command: str


def claims_page(
    outcomes: Sequence[Outcome], asked: Asked, floors: Beneath | None = None, floors_why: str = ""
) -> str:
    """One self-contained page. The same outcomes give the same bytes. floors_why: why there are none."""
    runs = {one.path for outcome in outcomes for one in outcome.trials}
    mode = "quick: one short trial of each arm" if asked.quick else "in full"
    page = Page(
        [asked.target, mode, plural(len(runs), "run"), date(asked.started)],
        words.tally(outcomes),
        asked.note,
        [_part(one, asked) for one in outcomes],
        floors,
        floors_why,
        asked.remarks,
        asked.command,
    )
    return fill("claims.html.j2", page=page)


def page_of_runs(outcomes: Sequence[Outcome], command: str) -> str:
    """The page of claims that are judged by runs made for something else."""
    note = "Only what these runs can tell; loadtest claims carries out the experiments."
    started = min((one.started for outcome in outcomes for one in outcome.trials), default="")
    return claims_page(outcomes, Asked(started, False, "runs that were there already", note, [], command))


def outline(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each claim."""
    width = max((len(words.word(one)) for one in outcomes), default=0)
    return [
        f"{words.word(one).upper():<{width}}  {one.name}: {words.measured(one)}"
        + (f" – {words.reason(one)}" if one.state != "pass" and words.reason(one) else "")
        for one in outcomes
    ]


def _part(outcome: Outcome, asked: Asked) -> Part:
    columns = list(dict.fromkeys(name for one in outcome.trials for name in one.values))
    counted = [one for one in outcome.parts if not one.left_out]
    return Part(
        outcome.name,
        _unbroken(outcome.sentence),
        _unbroken(words.measured(outcome)),
        words.word(outcome),
        TONES[outcome.state],
        words.reason(outcome),
        outcome.restatement,
        _design(outcome),
        table(
            "What decides it",
            ["measured"],
            ["verdict", "estimate", "95 % interval", "claimed", "behind it"],
            [_number(one) for one in counted],
        ),
        [f"{one.verdict.name}: {one.left_out}" for one in outcome.parts if one.left_out],
        words.hypotheses(outcome),
        columns,
        [_trial(one, columns) for one in outcome.trials],
        words.scope(outcome.scope, asked.quick, asked.target),
        words.changes(outcome),
    )


def _unbroken(text: str) -> str:
    """With spaces that end no line inside what was claimed, and between a number and its unit."""
    text = re.sub(r"\(claimed [^)]*\)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    return re.sub(r"(?<=\d) (?=(ms|s|%)(\W|$))", "\N{NO-BREAK SPACE}", text)


def _design(outcome: Outcome) -> str:
    arms: dict[str, list[Told]] = {}
    for one in outcome.trials:
        arms.setdefault(one.arm, []).append(one)
    said = [
        f"{arm} ({plural(len(some), 'run')} of {say_seconds(some[0].measured_s)})"
        for arm, some in arms.items()
    ]
    return f"Experiment {outcome.experiment}: {', '.join(said) or 'no run'}."


def _number(found: Found) -> Row:
    verdict = found.verdict
    aside = "" if found.decides else " (told, does not decide)"
    return Row(
        [Cell(verdict.name + aside)],
        [
            Cell(
                WORDS["claim"][verdict.state], verdict.why, TONES[verdict.state] if found.decides else "quiet"
            ),
            known(observed(verdict)),
            known(interval(verdict)),
            Cell(words.asked(found)),
            Cell(found.detail or UNKNOWN, tone="quiet"),
        ],
    )


def _trial(one: Told, columns: Sequence[str]) -> Trial:
    validity = Cell(one.validity, one.reason, VALIDITY[one.validity])
    cells = [_value(one.values.get(name)) for name in columns]
    address = link(one.path.split("/"), REPORT)
    return Trial(
        one.arm,
        count(one.seed),
        address,
        one.path.rpartition("/")[2],
        say_seconds(one.measured_s),
        validity,
        cells,
    )


def _value(value: Value | None) -> Cell:
    if value is None or value.value is None:
        return Cell(UNKNOWN, tone="quiet")
    if value.unit == MS_UNIT:
        return Cell(say_ms(value.value))
    if value.unit == SHARE:
        return Cell(say_share(value.value))
    if value.unit == BYTES:
        return Cell(f"{say_bytes(value.value)}/s")
    return Cell(f"{value.value:.1f} %" if value.unit == PER_HOUR else f"{value.value:,g}")
