"""A grid that was run, on disk: what the command finds when it goes on with one."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, Arm
from loadtest.cli.bandwidth_grid import GRID
from loadtest.cli.bandwidth_points import ROOM, USERS, Plan, Spot, spots
from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan as Phases
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import TrafficRow
from loadtest.measure.run import Edges
from loadtest.measure.units import MS, SECOND

_ANALYSIS = Path(__file__).parents[1] / "analysis"
made = SimpleNamespace(**runpy.run_path(str(_ANALYSIS / "made.py")))
truth = SimpleNamespace(**runpy.run_path(str(_ANALYSIS / "bandwidths.py")))
SECONDS = 25
QUICK = Plan(True, 1)


def write_run(out: Path, spot: Spot, number: int, said: int | None = None, **changes: Any) -> str:
    """A run whose bytes are those of the closed form; the name of its directory."""
    wanted = spot.rate * USERS * SECONDS / (ROOM - 1)
    count = (round(wanted) if said is None else said) if spot.rate else 0
    heard = count * (ROOM - 1) / (USERS * SECONDS)
    told = {
        "id": f"{number:04x}",
        "scenario": "bandwidth",
        "transport": spot.arm.transport,
        "users": USERS,
        "seed": spot.seed,
        "edges": Edges(0, 0, SECONDS * SECOND, (SECONDS + 30) * SECOND),
        "workers": [runs.Worker("local", True)],
    } | changes
    manifest = made.manifest(**told)
    if not spot.rate:  # the server that the quick grid idles at pings five times as often
        manifest.target["ping_interval_s"] = 5.0
    name = runs.directory_name(manifest.started, manifest.scenario, manifest.transport, manifest.id)
    runs.write(out, name, manifest, _book(spot, count, heard))
    return name


def _book(spot: Spot, count: int, heard: float) -> Book:
    phases = Phases(0, (SECONDS + 30) * SECOND, 0, 30 * SECOND)
    phases.begin(0)
    recorder, arm = Recorder(phases, "local"), spot.arm
    for index in range(count):
        at = index * SECONDS * SECOND // count
        recorder.interval("message.ack", arm.transport, at).record(at, at, at + MS)
        for _ in range(ROOM - 1):
            recorder.interval("message.deliver", arm.transport, at).record(at, at, at + MS)
    if arm.transport == INTERVAL_POLLING:
        polls = round(USERS * SECONDS * sum(1 / one for one in list(truth.POLL_S.values())[: arm.feeds]))
        for index in range(polls):
            at = index * SECONDS * SECOND // polls
            recorder.interval("poll.request", arm.transport, at).record(at, at, at + MS)
    truth_of = truth.Arm(arm.transport, arm.headers, arm.feeds, arm.compression)
    pair = truth.pair(truth_of if arm.transport == INTERVAL_POLLING else truth.POLLERS[0], arm.compression)
    side = pair.polling if arm.transport == INTERVAL_POLLING else pair.pushing
    often = 1 if spot.rate or arm.transport == INTERVAL_POLLING else 5
    socket, wire = (often * side.cost(heard, ROOM, level) for level in ("socket", "wire"))
    user_ns = USERS * SECONDS * SECOND
    segments = (wire - socket) / 52 * USERS * SECONDS
    regime = ACTIVE if spot.rate else IDLE
    sizes = [
        (regime, user_ns, socket * USERS * SECONDS, segments),
        (CONNECT, USERS * MS, 1300 * USERS, 17 * USERS),
    ]
    for name, ns, size, of_size in sizes:
        half, some = round(size / 2), round(of_size / 2)
        recorder.traffic(TrafficRow(arm.transport, name, "tcp_info", USERS, ns, half, half, some, some))
    book = Book()
    book.add("local", recorder.take(final=True))
    return book


def write_grid(place: Path, plan: Plan = QUICK, without: tuple[str, ...] = (), **changes: Any) -> Path:
    """A grid below ``place``, whole but for some spots; ``changes``: to the manifest of every run."""
    out = place / "runs"
    out.mkdir(parents=True)
    told = {
        spot.name: write_run(out, spot, number, **changes)
        for number, spot in enumerate(spots(plan))
        if spot.name not in without
    }
    weighed = json.loads(msgspec.json.encode(truth.weighed()))
    (out / GRID).write_text(json.dumps({"plan": plan.kept, "weighed": weighed, "runs": told}))
    return place


__all__ = ["QUICK", "Arm", "Spot", "write_grid", "write_run"]
