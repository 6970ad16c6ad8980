"""What does the page of ``loadtest calibrate`` say?"""

from __future__ import annotations

from typing import NamedTuple

from loadtest.analysis.floors import C2, Floors
from loadtest.analysis.sizing import Fit, lines
from loadtest.analysis.validity import INVALID
from loadtest.measure.units import say_ms
from loadtest.report.sections.floors import NAMES, SHOWN, Beneath, alone, load_words
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.template import fill
from loadtest.report.words import count, date


class Page(NamedTuple):
    """The parts of the page in their order. state: valid, suspect or invalid, that of C2's generator."""

    facts: list[str]
    state: str
    badge: str
    says: str
    remarks: list[str]
    floors: Beneath
    needs: Table
    command: str


def calibration_page(floors: Floors, fit: Fit, command: str) -> str:
    """One self-contained page. The same floors give the same bytes."""
    state, badge, says, remarks = _verdict(floors, fit)
    machine = floors.machine
    where = [str(machine[name]) for name in ("cpu", "host") if machine.get(name)]
    page = Page(
        [load_words(floors), *where, date(floors.started)],
        state,
        badge,
        says,
        remarks,
        alone(floors),
        needs(fit),
        command,
    )
    return fill("calibration.html.j2", page=page)


def _verdict(floors: Floors, fit: Fit) -> tuple[str, str, str, list[str]]:
    """(state, badge, what follows, remarks)."""
    c2 = floors.of(C2)
    remarks = [*fit.impossible, *fit.short]
    if c2 is None:
        return "invalid", "Incomplete", "C2 was not measured, so nothing follows for this load.", remarks
    if c2.reason:
        remarks.insert(0, f"the generator at this load: {c2.reason}")
    if c2.p99_ms is None:
        says = f"C2 has no p99: {c2.why.get('p99_ms', 'not measured')}."
        return "suspect", "Undecided", says, remarks
    says = (
        f"At this load a server that does nothing comes to a p99 of {say_ms(c2.p99_ms)}. A result of "
        f"{say_ms(5 * c2.p99_ms)} or more is the server's, and so is the answer to whether a limit of "
        f"{say_ms(10 * c2.p99_ms)} or more was kept."
    )
    if c2.validity == INVALID:
        says = f"On this machine, as it was just now, the generator does not keep up with this load. {says}"
    return c2.validity, c2.validity, says, remarks


def needs(fit: Fit) -> Table:
    """What the load takes of the machine."""
    rows = [Row([Cell(what), Cell(said)], []) for what, said in lines(fit)]
    return table("What this load needs of the machine that makes it", ["resource", "needed"], [], rows)


def outline(floors: Floors | None, fit: Fit) -> list[str]:
    """Floors, cost and needs for a terminal."""
    width = max(len(name) for name in NAMES.values())
    found = []
    for one in [] if floors is None else floors.floors:
        figures = [f"{name} {say_ms(getattr(one, f'{name}_ms'))}" for name in SHOWN]
        believed = f", {one.validity}" if one.validity else ""
        found.append(f"{NAMES[one.name]:<{width}}  {', '.join(figures)} (n = {count(one.n)}{believed})")
        found += [f"  - {one.reason}"] if one.reason else []
    found += [f"{what + ':':<18} {said}" for what, said in lines(fit)]
    return [*found, *(f"  - {line}" for line in [*fit.impossible, *fit.short])]
