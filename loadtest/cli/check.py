"""``loadtest check RUN --slo F``: would these runs have kept other SLOs, too?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from loadtest.analysis.summary import Summary
    from loadtest.measure.run import Run
    from loadtest.measure.slo import Slo

USAGE = 2
SLO_HELP = "SLO file (TOML) or expression, such as 'message.deliver: p(95)<100'; repeatable."


def check(
    paths: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
    ],
    slo: Annotated[list[str] | None, typer.Option(metavar="FILE|EXPR", help=SLO_HELP)] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML there.")] = None,
    strict: Annotated[bool, typer.Option(help="End with 6 if anything is not decided.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the verdicts as JSON, nothing else.")
    ] = False,
) -> None:
    """Judge old runs by SLOs; without --slo by their own. Changes nothing in them."""
    import msgspec

    from loadtest.analysis.exit_code import exit_code
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.cli.telling import tell_github, write_junit
    from loadtest.measure import run as runs
    from loadtest.measure.run import RunError
    from loadtest.measure.slo import SloError
    from loadtest.report.outline import outline_verdicts
    from loadtest.report.suite import suite_of

    try:
        asked = read_slos(slo or [])
        read = [runs.read(path) for path in paths]
        judged = [_judge(run, asked) for run in read]
        suites = [suite_of(one, run.manifest.locust_failures) for one, run in zip(judged, read, strict=True)]
        if junit is not None:
            write_junit(junit, suites)
    except (RunError, SloError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None
    if as_json:
        verdicts = [{"run": one.run.id, "verdicts": one.verdicts} for one in judged]
        typer.echo(msgspec.json.format(msgspec.json.encode(verdicts), indent=2).decode())
    else:
        for one in judged:
            typer.echo("\n".join(outline_verdicts(one)))
        tell_github("Service level objectives", suites)
    rebuild_indexes(run.path for run in read)
    raise typer.Exit(exit_code(judged, sum(run.manifest.locust_failures for run in read), strict))


def read_slos(words: list[str]) -> list[Slo]:
    """What these words mean. Raises SloError."""
    from loadtest.measure.slo import understand

    return understand(words, lambda name: Path(name).read_text("utf-8"))


def _judge(run: Run, asked: list[Slo]) -> Summary:
    """The summary with the verdicts on ``asked``. Raises RunError where there is nothing to judge by."""
    import msgspec

    from loadtest.analysis.slo import verdicts
    from loadtest.analysis.summary import summarise
    from loadtest.measure.run import RunError

    if not asked and not run.manifest.slos:
        raise RunError(f"{run.path}: the run had no SLOs of its own; name some with --slo FILE or EXPR")
    summary = summarise(run)
    if not asked:
        return summary
    return msgspec.structs.replace(
        summary, verdicts=verdicts(run, asked, summary.validity, summary.steadiness)
    )
