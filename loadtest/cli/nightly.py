"""``loadtest nightly``: is it still as good as yesterday, and as good as the last release?"""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from loadtest.cli.ending import end_in_order

if TYPE_CHECKING:
    from loadtest.analysis.night import Judged
    from loadtest.cli.night import Ran
    from loadtest.cli.night_plan import Job
    from loadtest.cli.trial import Arm

USAGE = 2
IN_A_ROW = 3
"""So many nights without a decision are one: nobody looks at a warning that is always there."""


class Night(NamedTuple):
    """One night as it is kept: where it lies, when it began, what it was run against."""

    path: Path
    started: str
    target: str
    command: str


def nightly(
    host: Annotated[
        str | None, typer.Option(help="The server under test; left out: one of our own, anew for each trial.")
    ] = None,
    baseline_host: Annotated[
        str | None,
        typer.Option(help="The last release, on the same machine: trials of both are interleaved."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(envvar="LOADTEST_NIGHTLY_PLAN", help="Jobs (TOML); left out: a built-in one."),
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|EXPR", help="In place of the SLOs of jobs with several trials; repeatable."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=2, help="In place of the number of trials, there too.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How much dearer a build may be, in percent.")
    ] = 5.0,
    out: Annotated[Path, typer.Option(help="Where the night goes.")] = Path("reports"),
    history: Annotated[
        Path | None, typer.Option(help="History file; left out: history.sqlite in --out.")
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Put load on a host that is not this machine.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="End with 6 if anything is not decided.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the night as JSON, nothing else.")] = False,
) -> None:
    """Run the trials of a plan, judge SLOs and regressions, keep the night in the history, write a page."""
    from loadtest.cli.check import read_slos
    from loadtest.cli.night import arms
    from loadtest.cli.night_plan import PlanError, read_plan
    from loadtest.measure.run import RunError, check_writable
    from loadtest.measure.slo import SloError

    try:
        if baseline_host is not None and host is None:
            raise PlanError(["--baseline-host needs --host: name the build that is compared with it"])
        jobs = read_plan(plan, read_slos(slo or []), trials)
        check_writable(out)
    except (PlanError, SloError, RunError) as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(USAGE) from None
    end_in_order()
    now = datetime.now(UTC)
    night = Night(
        out / f"{now:%Y%m%dT%H%M%SZ}-nightly-{secrets.token_hex(3)}",
        now.isoformat(timespec="seconds"),
        host or "a reference server of its own",
        shlex.join(["loadtest", *sys.argv[1:]]),
    )
    compared = arms(host, baseline_host, ["--rt-allow-remote"] if allow_remote else [])
    ran = _run(jobs, compared, night, quiet=as_json)
    code = _finish(
        ran, night, history or out / "history.sqlite", len(compared) > 1, tolerance / 100, strict, as_json
    )
    raise typer.Exit(code)


def _run(jobs: Sequence[Job], compared: Sequence[Arm], night: Night, quiet: bool) -> list[Ran]:
    """All jobs behind one progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.night import run_night, seconds

    whole_s = seconds(jobs, compared)
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("beginning", total=whole_s)

        def hear(what: str, passed_s: float) -> None:
            progress.update(bar, completed=min(passed_s, whole_s), description=what)

        return list(run_night(jobs, compared, night.path, hear))


def _finish(
    ran: Sequence[Ran],
    night: Night,
    history: Path,
    with_baseline: bool,
    tolerance: float,
    strict: bool,
    as_json: bool,
) -> int:
    """Judge what was run, keep it, tell of it; the exit code."""
    import msgspec

    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.cli.night_files import append_history, code_of, write_night
    from loadtest.cli.telling import tell_github
    from loadtest.measure.run import RunError
    from loadtest.report.night_page import outline

    try:
        judged = _judge(ran, night, with_baseline, tolerance)
        lines, undecided = append_history(history, night, judged)
        codes = code_of(ran, judged, strict or undecided >= IN_A_ROW)
        if undecided >= IN_A_ROW:
            lines.append(f"{undecided} nights in a row could not be decided, so this one counts as a failure")
        summary, suites = write_night(night, judged, codes, lines)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        return USAGE
    for line in [one.cut for one in ran if one.cut and not one.interrupted]:
        typer.echo(f"error: {line}", err=True)
    rebuild_indexes([trial.path for one in ran for trial in one.trials], of=night.path.parent)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode())
    else:
        typer.echo("\n".join([*outline(judged), *lines]))
        tell_github("Nightly load test", suites)
        typer.echo(f"page: {night.path / 'report.html'}")
    return int(summary["exit_code"])


def _judge(ran: Sequence[Ran], night: Night, with_baseline: bool, tolerance: float) -> list[Judged]:
    from loadtest.analysis.night import Asked, judge
    from loadtest.cli.night import read_back

    found = []
    for one in ran:
        job = one.job
        asked = Asked(
            job.name, job.slos, with_baseline and job.trials > 1, tolerance, job.memory_percent_per_hour
        )
        found.append(judge(asked, read_back(one, night.path), one.cut))
    return found
