"""``loadtest history``: what became of the nights?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from loadtest.analysis.history import Night
    from loadtest.cli.otava import Found

USAGE = 2
DEFAULT = Path("reports/history.sqlite")


def history(
    path: Annotated[
        Path, typer.Option("--history", help="The file that `loadtest nightly` appends to.")
    ] = DEFAULT,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes (default: history.html beside the file).")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="NAME", help="Only the nights of this job.")] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the series go as CSV (default: history/ beside the file)."),
    ] = None,
    change_points: Annotated[bool, typer.Option(help="Ask Apache Otava where a series changed.")] = True,
    install_otava: Annotated[
        bool, typer.Option("--install-otava", help="Install Apache Otava (300 MB), and nothing else.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the series as JSON, nothing else.")] = False,
) -> None:
    """Draw what nightly runs left behind, night by night, with gaps and the places where it changed."""
    if install_otava:
        _install()
        return
    import msgspec
    from rich.console import Console

    from loadtest.analysis.history import series
    from loadtest.cli import history_csv, history_file, otava
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.measure.run import RunError
    from loadtest.report.history_outline import outline_history
    from loadtest.report.history_page import render_history
    from loadtest.report.render import write_page

    page, folder = out or path.with_name("history.html"), csv or path.with_name("history")
    try:
        nights = _nights(path, job)
        found = otava.Found({}, "--no-change-points was asked for")
        if change_points:
            with Console(stderr=True).status("asking Apache Otava"):
                found = otava.look(nights, os.environ)
        sheets = history_csv.write(folder, series(nights))
        write_page(page, render_history(nights, found.points, found.off))
    except (history_file.HistoryError, RunError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None
    rebuild_indexes([page])
    if as_json:
        told = _told(nights, found)
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    typer.echo("\n".join(outline_history(nights, found.points, found.off)))
    typer.echo(f"csv:  {folder} ({len(sheets)} for Apache Otava or a spreadsheet)")
    typer.echo(f"page: {page}")


def _nights(path: Path, job: str | None) -> list[Night]:
    """Those asked for, at least one. Raises HistoryError."""
    from loadtest.analysis.history import jobs
    from loadtest.cli.history_file import HistoryError, read

    nights = read(path)
    if not nights:
        raise HistoryError(f"{path}: no night in it yet: `loadtest nightly` appends one")
    of_each = jobs(nights)
    if job is not None and job not in of_each:
        raise HistoryError(f"{path}: no job {job!r} in it: there is {', '.join(of_each)}")
    return nights if job is None else of_each[job]


def _told(nights: list[Night], found: Found) -> dict[str, Any]:
    """What --json prints."""
    from loadtest.analysis.history import gaps, inconclusive_in_a_row, jobs, series

    return {
        "jobs": [
            {
                "job": name,
                "nights": [night._asdict() | {"figures": _figures(night)} for night in of_job],
                "gaps": [gap._asdict() for gap in gaps(of_job)],
                "inconclusive_in_a_row": inconclusive_in_a_row(of_job),
            }
            for name, of_job in jobs(nights).items()
        ],
        "change_points": [
            {"job": one.job, "fingerprint": one.fingerprint, "metric": one.metric, "points": points}
            for one in series(nights)
            if (points := found.points.get((one.job, one.fingerprint, one.metric)))
        ],
        "change_points_off": found.off or None,
    }


def _figures(night: Night) -> dict[str, Any]:
    return {metric: figure._asdict() for metric, figure in night.figures.items()}


def _install() -> None:
    from loadtest.cli import otava

    there = otava.executable(os.environ)
    if there.is_file():
        typer.echo(f"Apache Otava {otava.VERSION} is there already: {there}")
        return
    typer.echo(f"installing Apache Otava {otava.VERSION}, 300 MB …", err=True)
    try:
        typer.echo(f"Apache Otava {otava.VERSION} is installed: {otava.install(os.environ)}")
    except otava.OtavaError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None
