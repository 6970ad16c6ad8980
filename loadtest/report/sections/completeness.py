"""What became of every expected delivery?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.figures import say_share
from loadtest.analysis.summary import OperationRow
from loadtest.measure.plan import Phase
from loadtest.measure.rows import Exemplar
from loadtest.measure.units import MS, SECOND, say_ms
from loadtest.report.subject import Subject, by_operation, whose
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import UNKNOWN, count, plural

HARMFUL = ("late", "lost", "duplicate", "reordered", "leaked", "failed")
COLUMNS = ["expected", "delivered", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed"]

OUTCOMES = {
    "slow": "The slowest deliveries",
    "lost": "Lost deliveries",
    "late": "Deliveries after their deadline",
    "leaked": "Deliveries to somebody they were not meant for",
    "duplicate": "Deliveries that came twice",
    "reordered": "Deliveries out of order",
}


class Completeness(NamedTuple):
    """The section."""

    sentences: list[str]
    table: Table
    exemplars: list[Table]


def completeness(subjects: Sequence[Subject]) -> Completeness:
    """Counts per operation, and single deliveries worth a look."""
    rows = [_row(one, row) for one, row in by_operation(subjects, [Phase.MEASURE, Phase.CONNECT])]
    return Completeness(
        [sentence for one in subjects for sentence in _sentences(one)],
        table(
            "What became of everything that was expected",
            ["operation", *whose(subjects), "phase"],
            COLUMNS,
            rows,
        ),
        [found for one in subjects for found in _exemplars(one)],
    )


def _sentences(subject: Subject) -> list[str]:
    """One if all is well, else one for each operation that is not."""
    rows = [row for row in subject.summary.operations if row.phase == Phase.MEASURE]
    expected = sum(row.expected for row in rows)
    if not expected:
        return [f"{subject.intro}Nothing was expected in the measured phase."]
    harmed = [row for row in rows if any(getattr(row, name) for name in HARMFUL)]
    if not harmed:
        return [
            f"{subject.intro}All {count(expected)} expected came in time, once, in order, and to nobody else."
        ]
    return [f"{subject.intro}{_harm(row)}" for row in harmed]


def _harm(row: OperationRow) -> str:
    said = ", ".join(f"{count(n)} {name}" for name in HARMFUL if (n := getattr(row, name)))
    missing = row.expected - row.n
    share = f": {say_share(missing / row.expected)} did not come in time" if missing else ""
    return f"{row.name}: {said}, of {count(row.expected)} expected{share}."


def _row(subject: Subject, row: OperationRow) -> Row:
    values = {"expected": row.expected, "delivered": row.n} | {
        column: getattr(row, column) for column in COLUMNS[2:]
    }
    cells = []
    for column, value in values.items():
        harmful = column in HARMFUL
        tone = "bad" if harmful and value else "quiet" if not value else ""
        cells.append(Cell(count(value), tone=tone))
    return Row([Cell(row.name), *subject.who, Cell(row.phase, tone="quiet")], cells)


def _exemplars(subject: Subject) -> list[Table]:
    of: dict[str, list[Exemplar]] = {}
    for one in subject.run.exemplars:
        of.setdefault(one.outcome, []).append(one)
    return [_exemplar_table(subject, outcome, of[outcome]) for outcome in sorted(of, key=_place)]


def _place(outcome: str) -> tuple[int, str]:
    order = list(OUTCOMES)
    return (order.index(outcome) if outcome in order else len(order), outcome)


def _exemplar_table(subject: Subject, outcome: str, found: list[Exemplar]) -> Table:
    name = OUTCOMES.get(outcome, outcome)
    caption = f"{name}{subject.of} ({plural(len(found), 'kept', 'kept')})"
    rows = [
        Row(
            [Cell(f"{one.sender} → {one.receiver}"), Cell(one.room), Cell(one.operation)],
            [
                Cell(count(one.seq)),
                Cell(f"{one.planned_ns / SECOND:.3f} s"),
                _after(one.sent_ns, one.planned_ns),
                _after(one.arrived_ns, one.sent_ns),
                _after(one.read_ns, one.arrived_ns),
                _after(one.read_ns, one.planned_ns),
                Cell(one.fault or UNKNOWN, tone="" if one.fault else "quiet"),
            ],
        )
        for one in found
    ]
    columns = ["seq", "planned at", "+ sent", "+ arrived", "+ read", "latency", "fault"]
    return table(caption, ["from → to", "room", "operation"], columns, rows)


def _after(moment_ns: int | None, before_ns: int | None) -> Cell:
    """How long after the moment before it; a dash where there is no such moment."""
    if moment_ns is None or before_ns is None:
        return Cell(UNKNOWN, tone="quiet")
    return Cell(say_ms((moment_ns - before_ns) / MS))
