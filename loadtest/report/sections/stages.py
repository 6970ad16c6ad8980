"""What did each stage of the load come to?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.stages import StageRow
from loadtest.measure.units import say_seconds
from loadtest.report.sections.durations import cells
from loadtest.report.subject import MAIN, Subject, whose
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import STATISTIC_NAMES, UNKNOWN, count, percent

SHOWN = ("p50", "p95", "p99")
COLUMNS = [
    "users",
    "connections",
    "measured",
    "expected",
    "late",
    "lost",
    *(STATISTIC_NAMES[name] for name in SHOWN),
    "server's CPU",
]


class Stages(NamedTuple):
    """The section."""

    sentences: list[str]
    table: Table


def stages(subjects: Sequence[Subject]) -> Stages | None:
    """A row per stage and run; None if none of them had stages."""
    shown = [one for one in subjects if one.summary.stages]
    if not shown:
        return None
    rows = [(number, one, row) for one in shown for number, row in enumerate(one.summary.stages, 1)]
    rows.sort(key=lambda it: it[0])
    operations = {row.operation for _, _, row in rows}
    named = " and ".join(name for operation, name in MAIN.items() if operation in operations)
    return Stages(
        [
            f"{named} of each stage, from when the last of its users had come or gone, in whole seconds of "
            "measure."
        ],
        table(
            f"{named} by stage",
            ["stage", *whose(subjects)],
            COLUMNS,
            [_row(number, one, row) for number, one, row in rows],
        ),
    )


def _row(number: int, subject: Subject, row: StageRow) -> Row:
    begins = "never begun" if row.begins_s is None else f"from {row.begins_s:.0f} s on"
    nothing = row.why.get("seconds", "")
    return Row(
        [Cell(f"{number}, {begins}"), *subject.who],
        [
            Cell(count(row.users)),
            known(count(row.connections), nothing),
            Cell(say_seconds(row.seconds)) if row.seconds else known(UNKNOWN, nothing),
            known(count(row.expected) if row.seconds else UNKNOWN, nothing),
            *(_bad(getattr(row, name) if row.seconds else None, nothing) for name in ("late", "lost")),
            *(
                cells(row.latency_ms, row.why, names=SHOWN)
                if row.seconds
                else [known(UNKNOWN, nothing)] * len(SHOWN)
            ),
            known(percent(row.server_cpu_percent, 1), row.why.get("server_cpu_percent", nothing)),
        ],
    )


def _bad(value: int | None, why: str) -> Cell:
    return known(count(value), why, "bad" if value else "")
