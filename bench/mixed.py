"""Does one generator process carry a thousand users who do everything at once?

The scenario as it is, at its default rates; judged as any run is, by what its summary says.
"""

from __future__ import annotations

import msgspec
from rich.table import Table

from bench.session import SCENARIOS, Part, Requirement, Session
from loadtest.analysis.summary import OperationRow, Summary, summarise
from loadtest.analysis.validity import INVALID
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase

LIMIT_MS = 100
SPAWN_RATE = 100
_PROMPT = (Operation.CALL_RING, Operation.MESSAGE_DELIVER)


def measure(session: Session) -> Part:
    """One run of the scenario, of which at least ``mixed_s`` seconds are measured."""
    sizes = session.sizes
    users = sizes.mixed_users
    session.say(f"mixed: {users} users, {sizes.mixed_s:g} s")
    run = session.scenario(SCENARIOS / "mixed.py", users, SPAWN_RATE, sizes.mixed_s, {})
    found = summarise(run)
    requirements = [validity("mixed", found), _nothing_lost(found)]
    requirements += [_prompt(found, operation) for operation in _PROMPT]
    return Part("mixed", _table(found), requirements, msgspec.to_builtins(found))


def validity(part: str, found: Summary) -> Requirement:
    """Whether the generator was fit to measure it; storms are judged apart from that."""
    state, reasons = found.validity.state, found.validity.reasons
    measured = f"{state}: {reasons[0]}" if reasons else state
    return Requirement(f"{part}: the run itself", "not invalid", measured, state != INVALID)


def _nothing_lost(found: Summary) -> Requirement:
    lost = {f"{row.name} ({row.phase})": row.lost for row in found.operations if row.lost}
    expected = sum(row.expected for row in found.operations)
    measured = ", ".join(f"{n} {name}" for name, n in lost.items()) or f"0 of {expected}"
    return Requirement("mixed: lost, all operations", "0", measured, bool(expected) and not lost)


def _prompt(found: Summary, operation: Operation) -> Requirement:
    row = next((row for row in _measured(found) if row.name == operation.value), None)
    p95 = None if row is None else row.latency_ms.p95
    name, limit = f"mixed: {operation.value} p95", f"< {LIMIT_MS} ms"
    if p95 is not None:
        return Requirement(name, limit, f"{p95:.1f} ms", p95 < LIMIT_MS)
    why = "none in measure" if row is None else row.why["p95"]
    # Too few of them say nothing; a percentile among the lost says enough.
    reached = row is not None and row.lost + row.late > 0
    return Requirement(name, limit, why, False if reached else None)


def _measured(found: Summary) -> list[OperationRow]:
    return [row for row in found.operations if row.phase == Phase.MEASURE.value]


def _table(found: Summary) -> Table:
    run = found.run
    title = f"mixed: {run.users} users in one process, measured for {run.measured_s:.0f} s, ms"
    table = Table(title=title, title_justify="left")
    table.add_column("operation")
    for name in ("expected", "late", "lost", "open", "p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for row in _measured(found):
        counts = map(str, (row.expected, row.late, row.lost, row.open))
        figures = row.latency_ms
        table.add_row(row.name, *counts, *map(_ms, (figures.p50, figures.p95, figures.p99)))
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
