"""``loadtest claims``: what of what is claimed of the application is true?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadtest.cli.ending import end_in_order

if TYPE_CHECKING:
    from loadtest.cli.beneath import Section
    from loadtest.cli.claims_session import Session, Wanted
    from loadtest.contract.claims import Claim

USAGE = 2


def claims(
    quick: Annotated[
        bool, typer.Option("--quick", help="One short trial of each arm, ten minutes in all.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only the claim of this name; repeatable.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with a session that was cut short.")
    ] = None,
    claims_file: Annotated[
        Path | None,
        typer.Option("--claims", metavar="FILE", help="Claims (TOML); left out: the built-in ones."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The server under test; left out: one of our own, anew for each run.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the session goes.")] = Path("reports"),
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Put load on a host that is not this machine.")
    ] = False,
    floors: Annotated[
        bool, typer.Option(help="Also measure what the harness itself adds; half a minute.")
    ] = True,
    strict: Annotated[bool, typer.Option(help="End with 6 if a claim is not decided.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, nothing else.")] = False,
) -> None:
    """Carry out the experiment behind every claim, and confirm it, refute it, or say what would decide it."""
    from loadtest.cli.bandwidth_grid import GridError
    from loadtest.cli.claims_floors import section
    from loadtest.cli.claims_session import SessionError, Wanted
    from loadtest.cli.sizing import CannotRun
    from loadtest.contract import ContractError
    from loadtest.measure.run import RunError, check_writable

    end_in_order()
    try:
        wanted = Wanted(claims_file, tuple(only or ()), quick, host)
        check_writable(out if resume is None else resume.parent)
        session, asked = _session(resume, wanted, out)
        whole = _run(session, asked, ["--rt-allow-remote"] if allow_remote else [], quiet=as_json)
        beneath = section(session, asked, quiet=as_json) if whole and floors else None
        code = _finish(session, asked, whole, beneath, strict, as_json)
    except (ContractError, SessionError, GridError, CannotRun, RunError) as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(USAGE) from None
    raise typer.Exit(code)


def _session(resume: Path | None, wanted: Wanted, out: Path) -> tuple[Session, tuple[Claim, ...]]:
    """(session, claims that are asked). Raises ContractError, SessionError and RunError."""
    from loadtest.cli import claims_session as sessions
    from loadtest.cli.experiments import known
    from loadtest.contract.claims import DEFAULT, load, only

    if resume is not None:
        session = sessions.resume(resume, wanted)
        return session, only(load(session.claims, known()), tuple(session.record.only), "--only")
    asked = only(load(wanted.claims, known()), wanted.only, "--only")
    text = (wanted.claims or DEFAULT).read_bytes()
    return sessions.begin(out, wanted, text, [one.name for one in asked], datetime.now(UTC)), asked


def _run(session: Session, asked: Sequence[Claim], flags: Sequence[str], quiet: bool) -> bool:
    """All runs behind one progress bar; False if it was cut short. Raises GridError, CannotRun, RunError."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.claims_run import grid_seconds, jobs, missing, run, run_grid, scarce
    from loadtest.cli.experiments import GRID

    experiments = [one.experiment for one in asked]
    todo = [job for job in jobs(session, experiments) if missing(session, job)]
    jobs_s, grid_s = sum(job.seconds for job in todo), grid_seconds(session, experiments)
    for line in scarce(session, todo):
        typer.echo(f"warning: {line}", err=True)
    session.record.failed.clear()
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("beginning", total=jobs_s + grid_s or 1.0)

        def hear(what: str, passed_s: float) -> None:
            progress.update(bar, completed=passed_s, description=what)

        whole = run(session, todo, flags, hear)
        if whole and GRID in experiments:
            whole = run_grid(session, flags, lambda what, passed_s: hear(f"bytes, {what}", jobs_s + passed_s))
        return whole


def _finish(
    session: Session,
    asked: Sequence[Claim],
    whole: bool,
    beneath: Section | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Judge what was run, keep it, tell of it; the exit code."""
    import msgspec

    from loadtest.cli.claims_files import codes_of, write
    from loadtest.cli.claims_judge import judge_session
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.cli.telling import tell_github
    from loadtest.report.claims_page import outline

    outcomes = judge_session(session, asked)
    codes = codes_of(outcomes, session, strict)
    summary, suites = write(session, outcomes, codes, whole, beneath)
    rebuild_indexes([session.path / one.path for one in session.record.done], of=session.path.parent)
    for line in session.record.failed:
        typer.echo(f"error: {line}", err=True)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode())
    else:
        typer.echo("\n".join(outline(outcomes)))
        tell_github("Claims", suites)
        typer.echo(f"page: {session.path / 'report.html'}")
    if not whole:
        typer.echo(f"cut short; to go on: loadtest claims --resume {session.path}", err=True)
    return int(summary["exit_code"])
