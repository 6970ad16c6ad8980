"""``loadtest export RUN``: how do the seconds of a run get into other people's tools?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

USAGE = 2
PHASES = ("connect", "warmup", "measure", "drain")
STDOUT = Path("-")


def export(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.", show_default=False)],
    csv: Annotated[
        Path | None, typer.Option(help="A row for each second and operation; - is standard output.")
    ] = None,
    hlog: Annotated[
        Path | None, typer.Option(help="HdrHistogram log for its plotters; - is standard output.")
    ] = None,
    phase: Annotated[
        str | None, typer.Option(help="Only this one: connect, warmup, measure or drain; left out: all.")
    ] = None,
) -> None:
    """Write the seconds of RUN as CSV, or as an HdrHistogram log."""
    from loadtest.measure import run as runs
    from loadtest.measure.run import RunError
    from loadtest.report.hlog import hlog as log_of
    from loadtest.report.seconds_csv import seconds_csv

    try:
        _check(csv, hlog, phase)
        run = runs.read(path)
        rows = [row for row in run.series if phase in (None, row.phase)]
        if csv is not None:
            _write(csv, seconds_csv(rows))
        if hlog is not None:
            _write(hlog, "".join(f"{line}\n" for line in log_of(run, rows)))
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None


def _check(csv: Path | None, hlog: Path | None, phase: str | None) -> None:
    """Raises RunError where the command line makes no sense."""
    from loadtest.measure.run import RunError

    if csv is None and hlog is None:
        raise RunError("nothing to write: name a file with --csv FILE, --hlog FILE, or both")
    if csv == hlog:
        raise RunError(f"--csv {csv} and --hlog {hlog}: two files need two names")
    if phase is not None and phase not in PHASES:
        raise RunError(f"--phase {phase}: not one of {', '.join(PHASES)}")


def _write(path: Path, text: str) -> None:
    """Raises RunError."""
    from loadtest.measure import run as runs

    if path == STDOUT:
        typer.echo(text, nl=False)
        return
    try:
        runs.replace(path, text.encode())
    except OSError as error:
        raise runs.RunError(f"{path}: cannot be written ({error.strerror})") from None
