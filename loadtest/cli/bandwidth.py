"""``loadtest bandwidth``: what does push save of the bytes of polling, and from which rate on does it not?"""

from __future__ import annotations

import secrets
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from loadtest.cli.ending import end_in_order

if TYPE_CHECKING:
    from loadtest.analysis.bandwidth_surface import Surface
    from loadtest.analysis.verdict import Verdict
    from loadtest.cli.bandwidth_grid import Outcome
    from loadtest.cli.bandwidth_points import Plan

USAGE, RUN_INVALID, PASS = 2, 5, 0
RECORD = "bandwidth.json"
RUNS = "runs"
CLAIM = 90.0


class Comparison(NamedTuple):
    """What was measured and what follows from it; verdicts: of the claim, one for each point."""

    outcome: Outcome
    surface: Surface
    verdicts: list[Verdict]


class Place(NamedTuple):
    """Where it lies, when it began, and what was typed."""

    path: Path
    started: str
    command: str


def bandwidth(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two minutes: 0.1 and 1 message per second, one trial.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(help="The server under test; left out: one of our own, anew for each trial.")
    ] = None,
    claim: Annotated[
        float, typer.Option(min=1, max=99.9, help="The saving to find the end of, in percent.")
    ] = CLAIM,
    trials: Annotated[
        int | None, typer.Option(min=1, max=20, help="Runs of each point, each with its seed (4; quick: 1).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the comparison goes.")] = Path("reports"),
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with one that was cut short.", show_default=False),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Put load on a host that is not this machine.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")] = False,
) -> None:
    """Bytes of WebSocket, long polling and interval polling: connecting, talking at several rates, idle."""
    from loadtest.cli.bandwidth_grid import GridError, NothingMeasured, seconds
    from loadtest.cli.bandwidth_points import Plan
    from loadtest.measure.run import RunError, check_writable
    from loadtest.measure.units import say_seconds

    plan = Plan(quick, trials or (1 if quick else 4), host, ("--rt-allow-remote",) if allow_remote else ())
    try:
        place = _place(out, resume)
        check_writable(place.path.parent)
        end_in_order()
        left_s = seconds(plan, place.path / RUNS)
        typer.echo(
            f"this takes about {say_seconds(left_s)}" if left_s else "all of it is there already", err=True
        )
        found = compare_bytes(plan, place.path / RUNS, claim, quiet=as_json)
        code, summary = _write(place, plan, found, claim)
    except (GridError, RunError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(RUN_INVALID if isinstance(error, NothingMeasured) else USAGE) from None
    _tell(place, plan, found, claim, summary if as_json else None)
    raise typer.Exit(code)


def _place(out: Path, resume: Path | None) -> Place:
    """A new directory, or the one to go on with. Raises GridError."""
    from loadtest.cli.bandwidth_grid import GRID, GridError

    now = datetime.now(UTC)
    started, command = now.isoformat(timespec="seconds"), shlex.join(["loadtest", *sys.argv[1:]])
    if resume is None:
        return Place(out / f"{now:%Y%m%dT%H%M%SZ}-bandwidth-{secrets.token_hex(3)}", started, command)
    if not (resume / RUNS / GRID).is_file():
        raise GridError(f"{resume}: not a comparison of bytes: there is no {RUNS}/{GRID} in it")
    return Place(resume.resolve(), started, command)


def compare_bytes(plan: Plan, out: Path, claim_percent: float = CLAIM, quiet: bool = False) -> Comparison:
    """Run the grid below ``out`` behind one progress bar, and judge it. Raises GridError."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.bandwidth_grid import run_grid, seconds

    whole_s = seconds(plan, out)
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("weighing single exchanges", total=whole_s)

        def hear(what: str, passed_s: float) -> None:
            progress.update(bar, completed=min(passed_s, whole_s), description=what)

        outcome = run_grid(plan, out, hear)
    return judge(outcome, claim_percent)


def judge(outcome: Outcome, claim_percent: float = CLAIM) -> Comparison:
    """What follows from what was measured. Raises GridError where the closed form cannot be filled in."""
    from loadtest.analysis.bandwidth_claim import saving_verdict
    from loadtest.analysis.bandwidth_model import UnweighedError, models
    from loadtest.analysis.bandwidth_surface import surface
    from loadtest.cli.bandwidth_grid import GridError
    from loadtest.cli.bandwidth_points import ROOM

    try:
        drawn = surface(outcome.costs, models(outcome.weighed, ROOM), claim_percent / 100)
    except UnweighedError as error:
        raise GridError(str(error)) from None
    return Comparison(outcome, drawn, saving_verdict(drawn.points, claim_percent))


def _write(place: Place, plan: Plan, found: Comparison, claim: float) -> tuple[int, dict[str, Any]]:
    """The page, summary.json and the record for the index; the exit code. Raises RunError."""
    import msgspec

    from loadtest.measure import run as runs
    from loadtest.report.bandwidth_page import bandwidth_page
    from loadtest.report.render import write_file, write_page

    outcome, surface = found.outcome, found.surface
    state = _state(found)
    code = USAGE if outcome.cut and not outcome.interrupted else PASS if surface.points else RUN_INVALID
    record = {
        "kind": "bandwidth",
        "name": "WebSocket against polling" + (", quick" if plan.quick else ""),
        "started": place.started,
        "state": state,
        "exit_code": code,
        "page": runs.REPORT,
        "runs": len({cost.run for cost in outcome.costs}),
    }
    summary = {
        "format": 1, **record, "claim_percent": claim, "notes": _notes(outcome), "costs": outcome.costs,
        "points": surface.points, "crossings": surface.crossings, "checks": surface.checks,
        "verdicts": found.verdicts,
    }  # fmt: skip
    write_file(place.path / runs.SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    write_page(place.path / runs.REPORT, bandwidth_page(_told(place, plan, found, claim)))
    write_file(place.path / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    return code, summary


def _state(found: Comparison) -> str:
    """Of the measurement, not of the claim, which has an answer at each rate."""
    if found.outcome.cut or not found.surface.points:
        return "incomplete"
    return "pass" if all(check.close for check in found.surface.checks) else "inconclusive"


def _notes(outcome: Outcome) -> list[str]:
    counted = len({cost.run for cost in outcome.costs})
    notes = list(outcome.unusable)
    if outcome.cut:
        notes.append(f"incomplete, {counted} of {outcome.planned} runs: {outcome.cut}")
    return notes


def _told(place: Place, plan: Plan, found: Comparison, claim: float) -> Any:
    from loadtest.analysis.bandwidth_model import models
    from loadtest.cli.bandwidth_points import PAYLOAD_BYTES, ROOM, USERS
    from loadtest.report.bandwidth_page import Told
    from loadtest.report.words import plural

    outcome = found.outcome
    facts = [
        plan.host or "a reference server of its own",
        f"{plural(USERS, 'user')} in conversations of {ROOM}",
        f"{PAYLOAD_BYTES} bytes of text",
        "quick, one trial" if plan.trials == 1 else plural(plan.trials, "trial"),
    ]
    return Told(
        outcome.costs,
        found.surface,
        found.verdicts,
        models(outcome.weighed, ROOM),
        claim / 100,
        facts,
        place.started,
        RUNS,
        _notes(outcome),
        place.command,
    )


def _tell(place: Place, plan: Plan, found: Comparison, claim: float, summary: dict[str, Any] | None) -> None:
    """At the terminal; summary: as JSON instead, and nothing else. The index is made anew."""
    import msgspec

    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.report.bandwidth_page import outline

    if summary is not None:
        typer.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode())
    else:
        typer.echo("\n".join(outline(_told(place, plan, found, claim))))
        typer.echo(f"page: {place.path / 'report.html'}")
    if found.outcome.cut and not found.outcome.interrupted:
        typer.echo(f"error: {found.outcome.cut}", err=True)
    rebuild_indexes([place.path / RECORD], of=place.path.parent)
