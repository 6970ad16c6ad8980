"""`python -m bench`: is our client as cheap as we say, here and now?

    python -m bench [--quick] [--json FILE] [--only NAME ...] [--users N] [--seconds S]

What is compared is compared within one session on one server; no time in it means anything on another machine.
Requirements are judged, but only a crash makes the exit code anything but 0. A part that needs more than this
machine allows is not run, and says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import codec, crowd, events, intervals, machine, memory, mixed, recording, storm
from bench.session import QUICK, BenchError, Part, Refused, Requirement, Session, Sizes, open_session
from loadtest.cli.embedded import ServerFailed

PARTS = (
    "events", "memory", "recorder", "ledger", "codec", "intervals", "page", "server", "mixed", "storm", "crowd",
)  # fmt: skip
_WIDTH = 110  # a table cut off by a pipe's 80 columns is no table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; the exit code."""
    options = _parser().parse_args(arguments)
    console = Console()
    console.width = max(console.width, _WIDTH)
    console.print(machine.line(), highlight=False)
    parts: list[Part] = []
    try:
        with open_session(_sizes(options), console) as session:
            parts += _measure(session, options.only or PARTS)
    except (BenchError, ServerFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for part in parts:
        console.print()
        console.print(part.table)
    console.print()
    console.print(_summary(parts))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(_all(parts)), indent=2) + b"\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer users, short windows: a look, no proof")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to FILE")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=" ".join(PARTS))
    parser.add_argument("--users", type=int, help="users of every part, instead of the defaults")
    parser.add_argument("--seconds", type=float, help="length of a window instead of the default")
    return parser


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = QUICK if options.quick else Sizes()
    if options.users:
        users = options.users
        sizes = msgspec.structs.replace(
            sizes,
            users=users,
            idle_users=users,
            mixed_users=users,
            storm_users=users,
            crowd_users=users,
        )
    if options.seconds:
        seconds = options.seconds
        sizes = msgspec.structs.replace(
            sizes, window_s=seconds, mixed_s=seconds, storm_s=seconds, crowd_s=seconds
        )
    return sizes


def _measure(session: Session, wanted: Sequence[str]) -> list[Part]:
    native: list[events.Arm] = []

    def both_arms(session: Session) -> Part:
        part, arms = events.measure(session)
        native.append(arms[session.sizes.rates[-1]])
        return part

    ways: dict[str, Callable[[Session], Part]] = {
        "events": both_arms,
        "memory": memory.measure,
        "recorder": recording.measure,
        "ledger": recording.ledger,
        "codec": codec.measure,
        "intervals": intervals.measure,
        "page": intervals.page,
        "server": lambda session: events.server(session, native[0] if native else None),
        "mixed": mixed.measure,
        "storm": storm.measure,
        "crowd": crowd.measure,
    }
    return [_run(name, ways[name], session) for name in PARTS if name in wanted]


def _run(name: str, way: Callable[[Session], Part], session: Session) -> Part:
    try:
        return way(session)
    except Refused as refused:
        table = Table(title=f"{name}: not run", title_justify="left", show_header=False)
        table.add_row(str(refused))
        unknown = Requirement(f"{name}: all of it", "to be run", "not run", None)
        return Part(name, table, [unknown], {"not_run": str(refused)})


def _summary(parts: Sequence[Part]) -> Table:
    table = Table(title="requirements", title_justify="left")
    for name in ("requirement", "limit", "measured", "verdict"):
        table.add_column(name)
    for part in parts:
        for one in part.requirements:
            style = {"PASS": "green", "FAIL": "bold red"}.get(one.verdict, "yellow")
            table.add_row(one.name, one.limit, one.measured, f"[{style}]{one.verdict}[/]")
    return table


def _all(parts: Sequence[Part]) -> dict[str, Any]:
    return {
        "machine": machine.facts(),
        "parts": {part.name: part.raw for part in parts},
        "requirements": [
            {
                "part": part.name,
                "name": one.name,
                "limit": one.limit,
                "measured": one.measured,
                "verdict": one.verdict,
            }
            for part in parts
            for one in part.requirements
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
