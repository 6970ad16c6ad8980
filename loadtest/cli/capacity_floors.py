"""How much of what was measured is the harness itself? Asked at the highest level that one server carries."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from loadtest.analysis.capacity import Capacity
from loadtest.analysis.capacity_search import PASS
from loadtest.analysis.floors import tightest_ms
from loadtest.analysis.series import Series, measured
from loadtest.cli import beneath
from loadtest.measure import run as runs
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run, RunError
from loadtest.report.sections.floors import Beneath, under
from loadtest.report.subject import MAIN
from loadtest.report.words import count


class Section(NamedTuple):
    """What the page says of floors, or why it says nothing."""

    beneath: Beneath | None
    why: str = ""


def section(plan: Capacity, where: Path, quiet: bool) -> Section:
    """Measure the floors at the highest level that passed; nothing for a plan without one, or one cut short."""
    tried = [one for one in plan.tried if one.users == plan.passed and one.state == PASS and one.path]
    if plan.cut or not tried:
        return Section(None)
    try:
        several = [runs.read(where / one.path) for one in tried]
    except RunError as error:
        return Section(None, f"the floors of the harness were not measured: {error}")
    operation = Operation(tried[-1].operation)
    found = beneath.measure(several[-1], where, quiet, min(beneath.SECONDS, plan.setting.level_s))
    if found.floors is None:
        return Section(None, found.why)
    name = f"{MAIN.get(operation, operation)}, {count(plan.passed or 0)} users"
    return Section(
        under(found.floors, {name: _together(several, operation)}, tightest_ms(several[-1], operation))
    )


def _together(several: list[Run], operation: Operation) -> Series:
    whole = Series()
    for run in several:
        whole.merge(measured(run, operation))
    return whole
