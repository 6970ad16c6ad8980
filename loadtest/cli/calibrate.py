"""``loadtest calibrate``: what does the harness add by itself, and can this machine make the load?"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadtest.cli.ending import end_in_order

if TYPE_CHECKING:
    from loadtest.analysis.floors import Floors, Load
    from loadtest.analysis.sizing import Fit
    from loadtest.cli.floor_runs import Step
    from loadtest.measure.run import Run

USAGE, RUN_INVALID = 2, 5


class UsageError(Exception):
    """What was asked makes no sense; ``str`` is one line."""


def calibrate(
    users: Annotated[int | None, typer.Option(min=2, help="How many users (100).")] = None,
    rate: Annotated[str | None, typer.Option(help="Messages each of them sends (6/m).")] = None,
    room_size: Annotated[
        str | None, typer.Option(help="Members of a conversation, as --rt-room-size (10).")
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(help="websocket, upgrade, long-polling or interval-polling (websocket)."),
    ] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Devices of each user (1).")] = None,
    client: Annotated[str | None, typer.Option(help="native or python-socketio (native).")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Generator processes; left out: as many as it takes.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Take all that from a run, and put the floors beside its result."),
    ] = None,
    seconds: Annotated[float, typer.Option("--time", min=3, help="Seconds each run is measured.")] = 10.0,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Only say what it needs, by what was measured last.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the calibration goes.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the floors as JSON, nothing else.")] = False,
) -> None:
    """Measure the floors of the harness at a load, and say what the load needs of this machine."""
    from loadtest.cli.calibration_files import tell
    from loadtest.cli.floor_runs import CannotMeasure, steps
    from loadtest.cli.sizing import fits
    from loadtest.measure import run as runs
    from loadtest.measure.run import RunError, check_writable

    given = {"users": users, "rate": rate, "room-size": room_size, "transport": transport}
    given |= {"devices": devices, "client": client, "processes": processes}
    try:
        run = None if beside is None else runs.read(beside)
        load = load_of(given) if run is None else _load_beside(run, given)
        needed = fits(load, out)
        load = _with_processes(load, needed, processes, run)
        if no_run or needed.impossible:
            tell(None, needed, as_json)
            raise typer.Exit(USAGE if needed.impossible else 0)
        planned = steps(load, seconds, with_cost=run is None)
        check_writable(out)
    except (UsageError, CannotMeasure, RunError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from None
    end_in_order()
    raise typer.Exit(_calibrate(planned, load, run, out, as_json))


def load_of(given: dict[str, Any]) -> Load:
    """The load that was typed; what was not is as in a run. Raises UsageError."""
    from loadtest.analysis.event_cost import DEFAULTS
    from loadtest.analysis.floors import Load
    from loadtest.measure.room_sizes import parse_room_sizes
    from loadtest.measure.units import parse_rate

    said = {name: value for name, value in given.items() if value is not None}
    transport, client = said.get("transport", "websocket"), said.get("client", "native")
    if transport not in DEFAULTS:
        raise UsageError(f"--transport {transport}: none of {', '.join(DEFAULTS)}")
    if client not in ("native", "python-socketio"):
        raise UsageError(f"--client {client}: none of native, python-socketio")
    if client != "native" and transport != "websocket":
        raise UsageError(f"--client {client}: only with --transport websocket")
    try:
        rate = parse_rate(said.get("rate", "6/m"))
    except ValueError as error:
        raise UsageError(f"--rate: {error}") from None
    rooms = said.get("room-size", "10")
    try:
        largest = max(size for size, _ in parse_room_sizes(rooms))
    except ValueError as error:
        raise UsageError(f"--room-size: {error}") from None
    users = said.get("users", 100)
    if "room-size" in said and largest > users:
        raise UsageError(
            f"--room-size: conversations of {largest} need at least that many users (--users {users})"
        )
    return Load(users, rate, rooms, transport, said.get("devices", 1), client)


def _load_beside(run: Run, given: dict[str, Any]) -> Load:
    typed = [f"--{name}" for name, value in given.items() if value is not None]
    if typed:
        raise UsageError(f"{typed[0]}: with --beside the load is that of the run")
    return load_of_run(run)


def load_of_run(run: Run) -> Load:
    """The load that a run had. One without messages, of calls or live chats, is taken for rooms of two."""
    from loadtest.analysis.floors import Load
    from loadtest.analysis.series import measured
    from loadtest.measure.operations import Operation

    manifest = run.manifest
    told = manifest.parameters
    rooms = told.get("room_size", 10)
    if not measured(run, Operation.MESSAGE_DELIVER).expected:
        rooms = 2
    return Load(
        users=manifest.users,
        rate_per_s=float(told.get("rate_per_min", 6.0)) / 60,
        room_size=",".join(f"{size}:{share:g}" for size, share in rooms.items())
        if isinstance(rooms, dict)
        else str(min(int(rooms), max(2, manifest.users))),
        transport=manifest.transport,
        devices=int(told.get("devices", 1)),
        client=manifest.client,
        payload_bytes=int(told.get("payload_bytes", 150)),
        processes=max(1, len(manifest.workers)),
    )


def _with_processes(load: Load, needed: Fit, asked: int | None, run: Run | None) -> Load:
    """As many as asked for, as the run had, or as it takes: but no more than there are cores."""
    import msgspec

    if run is not None:
        return load
    return msgspec.structs.replace(load, processes=asked or min(needed.processes, needed.machine.cores))


def _calibrate(planned: list[Step], load: Load, run: Run | None, out: Path, as_json: bool) -> int:
    """Measure, write and tell; the exit code."""
    from loadtest.analysis.floors import C2, LIMITED
    from loadtest.analysis.sizing import fit
    from loadtest.cli.calibration_files import tell, write
    from loadtest.cli.indexing import rebuild_indexes
    from loadtest.cli.sizing import machine
    from loadtest.measure.run import RunError

    where = out / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-calibration-{secrets.token_hex(3)}"
    known, failed = _measure(planned, load, where, where if run is None else run.path, quiet=as_json)
    if failed:
        typer.echo(f"error: {failed}", err=True)
    if known is None:
        return USAGE if failed else RUN_INVALID
    needed = fit(load.need(known.cost), machine())
    try:
        said, page = write(where, known, needed, run)
    except RunError as error:
        typer.echo(f"error: {error}", err=True)
        return USAGE
    rebuild_indexes([page], of=out)
    tell(known, needed, as_json, said, page)
    limited = said is not None and said.state == LIMITED
    return USAGE if failed else RUN_INVALID if limited or known.of(C2) is None else 0


def _measure(
    planned: list[Step], load: Load, where: Path, belongs: Path, quiet: bool
) -> tuple[Floors | None, str]:
    """(what was measured, why not all of it) behind one progress bar; Ctrl-C and SIGTERM are no failure."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from loadtest.cli.embedded import ServerFailed
    from loadtest.cli.floor_runs import CannotMeasure, measuring, whole_s
    from loadtest.cli.locust_run import Interrupted, RunFailed
    from loadtest.measure.run import RunError

    known: Floors | None = None
    columns = (TextColumn("{task.description:<42}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        whole = whole_s(planned)
        bar = progress.add_task("beginning", total=whole)

        def hear(what: str, passed_s: float) -> None:
            progress.update(bar, completed=min(passed_s, whole), description=what)

        try:
            for known in measuring(planned, load, where, belongs, hear):  # noqa: B007
                pass
        except (KeyboardInterrupt, Interrupted):
            return known, ""
        except (CannotMeasure, RunFailed, ServerFailed, RunError) as failed:
            return known, str(failed)
    return known, ""
