"""``loadtest demo``: what does this do, in three minutes, on a machine with nothing on it?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from loadtest.cli.ending import end_in_order

USAGE, NOTHING_MEASURED = 2, 5
ARMS = ("websocket", "interval-polling")
TARGETS = ("reference", "node")
SCENARIO = "mixed"
CLAIMS = "demo-claims.html"
FAULT = "abort@10~0.3"
"""In the middle of it, three in ten lose their connection."""


def demo(
    users: Annotated[int, typer.Option(min=2, help="How many people take part.")] = 100,
    seconds: Annotated[int, typer.Option("--time", min=30, help="Seconds for each transport.")] = 75,
    rate: Annotated[str, typer.Option(help="Messages each of them sends.")] = "6/m",
    seed: Annotated[int, typer.Option(help="The same seed asks the same at the same moments.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the runs and the page go.")] = Path("reports"),
    target: Annotated[str, typer.Option(help="Which server: reference, or node.")] = TARGETS[0],
) -> None:
    """Chat, call and ask for help, over WebSocket and then over polling, with a drop in the middle; one page."""
    from loadtest.cli.embedded import ServerFailed, embedded_server
    from loadtest.cli.locust_run import RunFailed
    from loadtest.measure.run import RunError, check_writable

    if target not in TARGETS:
        typer.echo(f"error: unknown target {target}: there are {' and '.join(TARGETS)}", err=True)
        raise typer.Exit(USAGE)
    end_in_order()
    flags = ["-u", str(users), "-r", str(max(1, users // 2)), "--rt-rate", rate, "--rt-seed", str(seed)]
    flags += ["--rt-fault", FAULT]
    try:
        check_writable(out)
        with embedded_server("--target", target) as url:
            runs = _both(["-H", url, *flags], out, seconds)
    except (ServerFailed, RunFailed, RunError) as failed:
        typer.echo(f"error: {failed}", err=True)
        raise typer.Exit(USAGE) from None
    if not runs:
        typer.echo("interrupted before anything was measured", err=True)
        raise typer.Exit(NOTHING_MEASURED)
    page = out / "demo.html"
    command = [sys.executable, "-m", "loadtest", "report", *map(str, runs), "--out", str(page)]
    code = subprocess.run(command, check=False).returncode
    _tell_claims(runs, out)
    raise typer.Exit(code)


def _tell_claims(runs: list[Path], out: Path) -> None:
    """What these runs say of the application's claims: a line each, and a page. One refuted is no failure here."""
    from loadtest.cli.claims_judge import judge_runs
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.measure.run import RunError
    from loadtest.report.claims_page import outline, page_of_runs
    from loadtest.report.render import write_page

    try:
        outcomes = judge_runs(runs)
        page = write_page(out / CLAIMS, page_of_runs(outcomes, "loadtest demo"))
    except RunError as error:
        typer.echo(f"warning: no claims were judged: {error}", err=True)
        return
    rebuild_indexes([], of=out)
    typer.echo("\nclaims, as far as these two runs can tell:")
    typer.echo("\n".join(outline(outcomes)))
    typer.echo(f"page: {page}")


def _both(flags: list[str], out: Path, seconds: int) -> list[Path]:
    """Run the scenario on each transport, behind one progress bar; Ctrl-C leaves what there is by then."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.locust_run import Interrupted, run_scenario, scenario

    runs: list[Path] = []
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("talking", total=seconds * len(ARMS))
        for index, transport in enumerate(ARMS):
            progress.update(bar, description=f"talking over {transport}")
            done = index * seconds

            def tick(elapsed: float, done: int = done) -> None:
                progress.update(bar, completed=done + min(elapsed, seconds))

            arm = [*flags, "--rt-transport", transport]
            try:
                runs.append(run_scenario(scenario(SCENARIO), arm, out, seconds, tick))
            except Interrupted as cut:
                return [*runs, cut.path] if cut.path else runs
        progress.update(bar, completed=seconds * len(ARMS), description="writing the page")
    return runs
