"""How much of what was measured is the harness itself? Asked at the highest level that one server carries."""

from __future__ import annotations

from pathlib import Path

from loadtest.analysis.capacity import Capacity
from loadtest.analysis.capacity_search import PASS
from loadtest.analysis.floors import tightest_ms
from loadtest.analysis.series import pooled
from loadtest.cli import beneath
from loadtest.measure import run as runs
from loadtest.measure.operations import Operation
from loadtest.measure.run import RunError
from loadtest.report.sections.floors import Pooled
from loadtest.report.subject import MAIN
from loadtest.report.words import count


def section(plan: Capacity, where: Path, quiet: bool) -> beneath.Section:
    """Measure the floors at the highest level that passed; nothing for a plan without one, or one cut short."""
    tried = [one for one in plan.tried if one.users == plan.passed and one.state == PASS and one.path]
    if plan.cut or not tried:
        return beneath.Section(None)
    try:
        several = [runs.read(where / one.path) for one in tried]
    except RunError as error:
        return beneath.Section(None, f"the floors of the harness were not measured: {error}")
    operation = Operation(tried[-1].operation)
    name = f"{MAIN.get(operation, operation)}, {count(plan.passed or 0)} users"
    return beneath.section(
        several[-1],
        {name: Pooled(pooled(several, operation), tightest_ms(several[-1], operation))},
        where,
        quiet,
        min(beneath.SECONDS, plan.setting.level_s),
    )
