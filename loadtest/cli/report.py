"""``loadtest report RUN [RUN...]``: what did these runs come to?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from loadtest.analysis.summary import Summary
    from loadtest.measure.run import Run

USAGE = 2
COMPARISON = "compare.html"


def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Where the page goes that shows all runs (default: compare.html in the first)."),
    ] = None,
    strict: Annotated[bool, typer.Option(help="End with 6 if anything is not decided.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")] = False,
) -> None:
    """Write summary.json, junit.xml and report.html into each RUN; set several side by side on one page."""
    # Numpy and what stands on it take longer to import than other commands to run.
    import msgspec

    from loadtest.analysis.exit_code import exit_code
    from loadtest.analysis.summary import summarise
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.cli.telling import tell_github
    from loadtest.measure import run as runs
    from loadtest.measure.run import RunError
    from loadtest.report.outline import outline, outline_versus
    from loadtest.report.suite import suite_of

    try:
        read = [runs.read(path) for path in paths]
        summaries = [summarise(run) for run in read]
        pages = write_all(read, summaries, out)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None
    if as_json:
        one_or_all = summaries[0] if len(summaries) == 1 else summaries
        typer.echo(msgspec.json.format(msgspec.json.encode(one_or_all), indent=2).decode())
    else:
        if len(summaries) == 2:
            typer.echo("\n".join(outline_versus(*summaries)))
        else:
            for summary in summaries:
                typer.echo("\n".join(outline(summary)))
        failures = [run.manifest.locust_failures for run in read]
        tell_github("Load test", [suite_of(*pair) for pair in zip(summaries, failures, strict=True)])
        typer.echo(f"page: {pages[0]}")
    rebuild_indexes(run.path for run in read)
    raise typer.Exit(exit_code(summaries, sum(run.manifest.locust_failures for run in read), strict))


def write_all(read: list[Run], summaries: list[Summary], out: Path | None) -> list[Path]:
    """All files of these runs; returns the pages, the one to open first at the head. Raises RunError."""
    from loadtest.cli.floors import read_floors
    from loadtest.cli.telling import write_junit
    from loadtest.measure import run as runs
    from loadtest.report.render import render, write_page, write_summary
    from loadtest.report.suite import suite_of

    pages = []
    floors = [read_floors(run.path) for run in read]
    for run, summary, of_it in zip(read, summaries, floors, strict=True):
        write_summary(run, summary)
        write_junit(run.path / runs.JUNIT, [suite_of(summary, run.manifest.locust_failures)])
        pages.append(write_page(run.path / runs.REPORT, render([run], [summary], [of_it])))
    if len(read) > 1 or out is not None:
        shown = write_page(out or read[0].path / COMPARISON, render(read, summaries, floors))
        pages.insert(0, shown)
    return pages
