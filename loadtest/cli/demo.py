"""``loadtest demo``: what does this do, in three minutes, on a machine with nothing on it?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

USAGE, NOTHING_MEASURED = 2, 5
ARMS = ("websocket", "interval-polling")
SCENARIO = "mixed"
FAULT = "abort@10~0.3"
"""In the middle of it, three in ten lose their connection."""


def demo(
    users: Annotated[int, typer.Option(min=2, help="How many people take part.")] = 100,
    seconds: Annotated[int, typer.Option("--time", min=30, help="Seconds for each transport.")] = 75,
    rate: Annotated[str, typer.Option(help="Messages each of them sends.")] = "6/m",
    seed: Annotated[int, typer.Option(help="The same seed asks the same at the same moments.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the runs and the page go.")] = Path("reports"),
) -> None:
    """Chat, call and ask for help, over WebSocket and then over polling, with a drop in the middle; one page."""
    from loadtest.cli.embedded import ServerFailed, embedded_server
    from loadtest.cli.locust_run import RunFailed
    from loadtest.measure.run import RunError, check_writable

    flags = ["-u", str(users), "-r", str(max(1, users // 2)), "--rt-rate", rate, "--rt-seed", str(seed)]
    flags += ["--rt-fault", FAULT]
    try:
        check_writable(out)
        with embedded_server() as url:
            runs = _both(["-H", url, *flags], out, seconds)
    except (ServerFailed, RunFailed, RunError) as failed:
        typer.echo(f"error: {failed}", err=True)
        raise typer.Exit(USAGE) from None
    if not runs:
        typer.echo("interrupted before anything was measured", err=True)
        raise typer.Exit(NOTHING_MEASURED)
    page = out / "demo.html"
    command = [sys.executable, "-m", "loadtest", "report", *map(str, runs), "--out", str(page)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def _both(flags: list[str], out: Path, seconds: int) -> list[Path]:
    """Run the scenario on each transport, behind one progress bar; Ctrl-C leaves what there is by then."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.locust_run import Interrupted, run_scenario

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
                runs.append(run_scenario(SCENARIO, arm, out, seconds, tick))
            except Interrupted as cut:
                return [*runs, cut.path] if cut.path else runs
        progress.update(bar, completed=seconds * len(ARMS), description="writing the page")
    return runs
