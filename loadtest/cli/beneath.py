"""What does a server without any work of its own come to, in the session of a result of several runs?

The floors are measured after the runs, at the load of one of them, and lie in the directory of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loadtest.analysis.floors import Floors
    from loadtest.measure.run import Run
    from loadtest.report.sections.floors import Beneath, Pooled

SECONDS = 6.0
"""Each floor is measured for this long: hundreds of deliveries at any load that is worth a session."""
_SHORTEST_S = 3.0


class Section(NamedTuple):
    """What a page says of floors, or why it says nothing: a sentence's words."""

    beneath: Beneath | None
    why: str = ""


def section(
    run: Run,
    results: Mapping[str, Pooled],
    where: Path,
    quiet: bool,
    seconds: float = SECONDS,
) -> Section:
    """The floors at the load of ``run``, kept in ``where``, beneath ``results``. What goes wrong is no failure.

    Those of a session that was cut short and goes on are measured again: floors are of one session with a result.
    """
    from loadtest.cli.embedded import ServerFailed
    from loadtest.cli.floor_runs import CannotMeasure
    from loadtest.cli.locust_run import Interrupted, RunFailed
    from loadtest.measure.run import RunError
    from loadtest.report.sections.floors import under

    try:
        floors = _measure(run, where, quiet, seconds)
    except (KeyboardInterrupt, Interrupted):
        return Section(None, "the floors of the harness were not measured: interrupted")
    except (CannotMeasure, RunFailed, ServerFailed, RunError) as failed:
        return Section(None, f"the floors of the harness were not measured: {failed}")
    return Section(under(floors, results))


def _measure(run: Run, where: Path, quiet: bool, seconds: float) -> Floors:
    """Behind a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.calibrate import load_of_run
    from loadtest.cli.floor_runs import measure_floors, steps, whole_s
    from loadtest.cli.floors import write_floors

    load, seconds = load_of_run(run), max(_SHORTEST_S, seconds)
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeRemainingColumn(), TextColumn("left"))
    whole = whole_s(steps(load, seconds))
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("floors of the harness", total=whole)

        def hear(what: str, passed_s: float) -> None:
            progress.update(bar, completed=min(passed_s, whole), description=what)

        floors = measure_floors(load, where, hear=hear, seconds=seconds)
    write_floors(where, floors)
    return floors
