"""What does a calibration leave behind, and what does it tell?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from loadtest.analysis.floors import C2, Beside, Floors, beside, tightest_ms
from loadtest.cli.floors import write_floors
from loadtest.measure import run as runs
from loadtest.report.calibration_page import calibration_page, outline
from loadtest.report.render import write_file, write_page
from loadtest.report.template import sentence

if TYPE_CHECKING:
    from loadtest.analysis.sizing import Fit
    from loadtest.measure.run import Run

RECORD = "calibration.json"
_STATES = {"valid": "pass", "suspect": "inconclusive", "invalid": "invalid"}


def write(where: Path, floors: Floors, needed: Fit, run: Run | None) -> tuple[Beside | None, Path]:
    """(what the floors say of the run, the page to look at). Raises RunError.

    Floors beside a run lie in its directory, and its own page shows them; others get a page of their own.
    """
    if run is not None:
        return _write_beside(floors, run)
    write_floors(where, floors)
    page = calibration_page(floors, needed, shlex.join(["loadtest", *sys.argv[1:]]))
    c2 = floors.of(C2)
    record = {
        "kind": "calibration",
        "name": f"floors over {floors.load.transport}",
        "started": floors.started,
        "state": "incomplete" if c2 is None else _STATES[c2.validity],
        "page": runs.REPORT,
        "runs": sum(bool(one.run) for one in floors.floors),
    }
    write_file(where / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    return None, write_page(where / runs.REPORT, page)


def _write_beside(floors: Floors, run: Run) -> tuple[Beside, Path]:
    from loadtest.analysis.compare import main_row
    from loadtest.analysis.summary import summarise
    from loadtest.cli.report import write_all
    from loadtest.report.subject import main_operation

    write_floors(run.path, floors)
    summary = summarise(run)
    operation = main_operation([summary])
    row = main_row(summary, operation)
    p99_ms = None if row is None else row.latency_ms.p99
    said = beside(floors.floors, p99_ms, tightest_ms(run, operation))
    return said, write_all([run], [summary], None)[0]


def tell(
    floors: Floors | None, needed: Fit, as_json: bool, said: Beside | None = None, page: Path | None = None
) -> None:
    """Lines for a person, or all of it for a program."""
    if as_json:
        told = {"floors": floors, "needs": needed, "beside": said._asdict() if said else None}
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    typer.echo("\n".join(outline(floors, needed)))
    if said is not None:
        typer.echo(sentence(said.says))
    if page is not None:
        typer.echo(f"page: {page}")
