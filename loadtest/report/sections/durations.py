"""How are the durations of something set in a row, each with the reason if it cannot be given?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadtest.analysis.figures import Figures, figures
from loadtest.analysis.summary import OperationRow
from loadtest.measure.histogram import Histogram
from loadtest.measure.plan import Phase
from loadtest.measure.units import say_ms
from loadtest.report.subject import Subject, by_operation
from loadtest.report.table import Cell, Row, known
from loadtest.report.words import STATISTIC_NAMES, count, transport_name

SHOWN = ("mean", "p50", "p95", "p99", "max")
COLUMNS = [STATISTIC_NAMES[name] for name in SHOWN]


def cells(
    values: Figures, why: Mapping[str, str], prefix: str = "", names: Sequence[str] = SHOWN
) -> list[Cell]:
    """A cell per statistic; its reason stands in ``why`` under ``prefix`` and its name, or its name alone."""
    return [_cell(getattr(values, name), name, why, prefix) for name in names]


def _cell(value: float | None, name: str, why: Mapping[str, str], prefix: str) -> Cell:
    reason = why.get(prefix + name, "")
    # The parts of a connect have an n of their own: what the whole cannot give, a part may.
    if not reason and (value is None or not prefix.startswith("phases_ms.")):
        reason = why.get(name, "")
    return known(say_ms(value), reason)


def of_histogram(histogram: Histogram) -> list[Cell]:
    """How many values, and their figures: nothing of them was owed, so nothing can be missing."""
    values, why = figures(histogram, histogram.n)
    return [Cell(count(histogram.n)), *cells(values, why)]


def delivered(subjects: Sequence[Subject], operations: Mapping[str, str]) -> list[Row]:
    """A row per operation, run and transport in the measured phase; ``operations``: name -> what it is."""
    names = list(operations)
    found = [
        (names.index(row.name), one, row)
        for one, row in by_operation(subjects, [Phase.MEASURE])
        if row.name in operations and row.expected
    ]
    found.sort(key=lambda it: it[0])
    return [_delivered(operations[row.name], one, row) for _, one, row in found]


DELIVERED_HEADS = ["from the planned moment", "transport"]
DELIVERED_COLUMNS = ["expected", "came", *COLUMNS]


def _delivered(says: str, subject: Subject, row: OperationRow) -> Row:
    came = Cell(count(row.n), tone="bad" if row.n < row.expected else "")
    label = transport_name(row.transport) if subject.alone else subject.label
    if not subject.alone and row.transport != subject.summary.run.transport:
        label += f", {transport_name(row.transport)}"
    return Row(
        [Cell(says), Cell(label, accent="" if subject.alone else subject.accent)],
        [Cell(count(row.expected)), came, *cells(row.latency_ms, row.why)],
    )


def median(subject: Subject, operation: str) -> str:
    """``1.35 ms in the median, 10.9 ms at p95``; empty if nothing came in the measured phase."""
    rows = [row for row in subject.summary.operations if (row.name, row.phase) == (operation, Phase.MEASURE)]
    row = max(rows, key=lambda one: one.n, default=None)
    if row is None or row.latency_ms.p50 is None:
        return ""
    said = f"{say_ms(row.latency_ms.p50)} in the median"
    if row.latency_ms.p95 is not None:
        return f"{said}, {say_ms(row.latency_ms.p95)} at p95"
    return f"{said}, {say_ms(row.latency_ms.max)} at most"
