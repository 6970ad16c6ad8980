"""``loadtest compare A B``: has B become dearer than A?"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from loadtest.analysis.regression import Change
    from loadtest.analysis.summary import Summary
    from loadtest.analysis.verdict import Verdict
    from loadtest.measure.run import Run
    from loadtest.report.suite import Suite

    Side = list[tuple[Run, Summary]]

USAGE, RUN_INVALID = 2, 5
RECORD = "comparison.json"


def compare(
    before: Annotated[
        Path, typer.Argument(metavar="A", help="A run, or a directory of trials.", show_default=False)
    ],
    after: Annotated[
        Path, typer.Argument(metavar="B", help="What is compared with it, likewise.", show_default=False)
    ],
    tolerance: Annotated[float, typer.Option(min=0, help="How much dearer B may be, in percent.")] = 5.0,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the page (default: compare-A-B beside A).")
    ] = None,
    strict: Annotated[bool, typer.Option(help="End with 6 if anything is not decided.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON, nothing else.")
    ] = False,
) -> None:
    """Set two builds against one another, by runs or by sets of trials of each."""
    import msgspec

    from loadtest.analysis.exit_code import codes_of, first_of
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.cli.telling import tell_github
    from loadtest.measure.run import RunError

    try:
        sides, dropped = _read(before, after)
        if not all(sides):
            side = before if not sides[0] else after
            typer.echo(f"error: {side}: no run there may be believed: {dropped[-1]}", err=True)
            raise typer.Exit(RUN_INVALID)
        found = _changes(sides, tolerance / 100)
        overall = _overall(sides, found)
        where = out or before.resolve().parent / f"compare-{before.resolve().name}-{after.resolve().name}"
        verdicts = [one.verdict for one in found] or [overall]
        code = first_of(codes_of(verdicts, strict))
        suite = _write(where, sides, found, overall, dropped, code)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None
    if as_json:
        told = {"state": overall.state, "exit_code": code, "verdicts": verdicts, "dropped": dropped}
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        typer.echo("\n".join(_outline(overall, verdicts, dropped)))
        tell_github("Comparison of builds", [suite])
        typer.echo(f"page: {where / 'report.html'}")
    rebuild_indexes([where / RECORD])
    raise typer.Exit(code)


def _read(before: Path, after: Path) -> tuple[tuple[Side, Side], list[str]]:
    """Both sides without the runs that may not be believed; a line for each of those. Raises RunError."""
    from loadtest.analysis.comparable import differences
    from loadtest.analysis.summary import summarise
    from loadtest.analysis.validity import INVALID
    from loadtest.measure import run as runs
    from loadtest.measure.run import RunError

    read = [
        _last_of_each_seed([runs.read(path) for path in run_directories(side)]) for side in (before, after)
    ]
    unlike = differences(*read)
    if unlike:
        hint = "transports are set side by side by: loadtest report A B"
        more = f" ({hint})" if any(one.startswith("transport:") for one in unlike) else ""
        raise RunError(f"not comparable: {'; '.join(unlike)}{more}")
    dropped: list[str] = []
    sides: list[Side] = []
    for side in read:
        kept: Side = []
        for run in side:
            summary = summarise(run)
            if summary.validity.state == INVALID:
                dropped.append(f"{run.path.name} does not count: {summary.validity.reasons[0]}")
            else:
                kept.append((run, summary))
        sides.append(kept)
    return (sides[0], sides[1]), dropped


def _last_of_each_seed(read: Sequence[Run]) -> list[Run]:
    """A trial that was repeated, because the machine was not quiet, replaces the one before it."""
    by_seed = {run.manifest.seed: run for run in sorted(read, key=lambda one: one.manifest.started)}
    return [by_seed[seed] for seed in sorted(by_seed)]


def run_directories(path: Path) -> list[Path]:
    """The run itself, or the runs in a directory of them, by name. Raises RunError."""
    from loadtest.measure.run import LATEST, MANIFEST, RunError

    if (path / MANIFEST).is_file():
        return [path]
    if not path.is_dir():
        raise RunError(f"{path}: no such run, and no directory of runs")
    found = sorted(one for one in path.iterdir() if one.name != LATEST and (one / MANIFEST).is_file())
    if not found:
        raise RunError(f"{path}: neither a run nor a directory of runs: there is no manifest.json in it")
    return found


def _changes(sides: tuple[Side, Side], tolerance: float) -> list[Change]:
    from loadtest.analysis.regression import changes

    if max(len(side) for side in sides) == 1:
        return []
    before, after = ([summary for _, summary in side] for side in sides)
    return changes(before, after, tolerance)


def _overall(sides: tuple[Side, Side], found: Sequence[Change]) -> Verdict:
    """The verdict of the whole, or why there is none."""
    from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, REGRESSION, Verdict

    name = "B against A"
    if not found:
        one_each = max(len(side) for side in sides) == 1
        why = (
            "one run of each is no verdict on a build; six trials of each are"
            if one_each
            else ("the two have no figure in common")
        )
        return Verdict(name, REGRESSION, INCONCLUSIVE, why=why)
    states = {one.verdict.state for one in found}
    state = FAIL if FAIL in states else INCONCLUSIVE if INCONCLUSIVE in states else PASS
    return Verdict(name, REGRESSION, state)


def _write(
    where: Path,
    sides: tuple[Side, Side],
    found: Sequence[Change],
    overall: Verdict,
    dropped: Sequence[str],
    code: int,
) -> Suite:
    """Page, JUnit, summary and the record that the index reads. Raises RunError."""
    import msgspec

    from loadtest.analysis.gauges import main_operations
    from loadtest.analysis.within import apart
    from loadtest.cli.telling import write_junit
    from loadtest.measure import run as runs
    from loadtest.measure.run import RunError
    from loadtest.report.comparison_page import comparison_page
    from loadtest.report.render import write_file, write_page
    from loadtest.report.sections.within import within
    from loadtest.report.suite import Suite

    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{where}: cannot be made ({error.strerror})") from None
    (first, summary), (second, _) = sides[0][0], sides[1][0]
    single = None
    if not found:
        operation = next(iter(main_operations(summary)), None)
        single = None if operation is None else within(apart(first, second, operation), operation)
    command = shlex.join(["loadtest", *sys.argv[1:]])
    page = comparison_page(*sides, found, overall, single, dropped, command)
    write_page(where / runs.REPORT, page)
    verdicts = [one.verdict for one in found] or [overall]
    run = summary.run
    seconds = sum(one.run.duration_s for side in sides for _, one in side)
    suite = Suite(f"{run.scenario}: B against A", run.scenario, run.started, seconds, verdicts)
    write_junit(where / runs.JUNIT, [suite])
    started = max(one.run.started for side in sides for _, one in side)
    record = {
        "kind": "comparison",
        "name": f"{run.scenario} over {run.transport}",
        "started": started,
        "state": overall.state,
        "exit_code": code,
        "page": runs.REPORT,
        "runs": sum(len(side) for side in sides),
    }
    told = {**record, "verdicts": verdicts, "dropped": list(dropped)}
    for name, content in ((runs.SUMMARY, told), (RECORD, record)):
        write_file(where / name, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return suite


def _outline(overall: Verdict, verdicts: Sequence[Verdict], dropped: Sequence[str]) -> list[str]:
    from loadtest.report.comparison_page import STATES
    from loadtest.report.history_words import name as metric_name
    from loadtest.report.sections.verdicts import word
    from loadtest.report.verdict_words import say

    lines = [STATES[overall.state][1].upper() + (f": {overall.why}" if overall.why else "")]
    lines += [f"  - {line}" for line in dropped]
    shown = [] if verdicts == [overall] else verdicts
    width = max((len(metric_name(one.name)) for one in shown), default=0)
    return lines + [f"  {metric_name(one.name):<{width}}  {say(one)} ({word(one)})" for one in shown]
