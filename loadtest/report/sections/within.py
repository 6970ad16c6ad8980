"""What do two single runs say of one another, and what can they not say?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.within import Apart
from loadtest.measure.operations import Operation
from loadtest.measure.units import say_ms
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import STATISTIC_NAMES, UNKNOWN, times


class Within(NamedTuple):
    """The section."""

    sentence: str
    table: Table


def within(found: Sequence[Apart], operation: Operation) -> Within:
    """Ratios with what the noise inside the runs explains of them."""
    return Within(
        "One run of each: the intervals show what the noise within the two runs explains. Two starts of one "
        "and the same build may differ by more, so this is no verdict on a build.",
        table(
            f"{operation}, from the planned moment",
            ["statistic"],
            ["before", "after", "ratio", "95 % interval within these runs"],
            [_row(one) for one in found],
        ),
    )


def _row(one: Apart) -> Row:
    ends = UNKNOWN if one.ends is None else f"{times(one.ends[0])} to {times(one.ends[1])}"
    return Row(
        [Cell(STATISTIC_NAMES[one.statistic])],
        [
            known(say_ms(one.before_ms)),
            known(say_ms(one.after_ms)),
            known(times(one.ratio), one.why if one.ratio is None else ""),
            known(ends, "" if one.ratio is None else one.why),
        ],
    )
