"""Does one process carry ten thousand users of the official server, and do two share the same work?

Against Node's Socket.IO, in rooms of two, so that a message is one delivery: users enough to fill the tables of
the kernel and of the harness, and a rate low enough that they, not the messages, are what it is about. The second
half compares the CPU that a process spends when it makes a load alone with what each of two spends.
"""

from __future__ import annotations

import os

import msgspec
from rich.table import Table

from bench.mixed import validity
from bench.session import SCENARIOS, Part, Refused, Requirement, Session
from loadtest.analysis.series import Series, measured, measured_seconds
from loadtest.analysis.summary import Summary, summarise
from loadtest.cli.embedded import ServerFailed, embedded_server
from loadtest.cli.locust_run import in_processes
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run

SPAWN_RATE = 400
SHARE = 0.6
"""Of what one process spends: half of the work, and what a process costs by itself."""
_ROOM = 2
_QUIET = {"PRESENCE_BROADCAST": "off"}
_NODE = ("--target", "node")


def measure(session: Session) -> Part:
    """One run of a crowd, and two of a fifth of it that says as much."""
    users = session.sizes.crowd_users
    session.say(f"crowd: {users} users of Node's Socket.IO in one process")
    try:
        crowd = _run(session, users, 1)
        fewer = max(_ROOM, users // 5)
        session.say(f"crowd: {fewer} users who say as much, in one process and in two")
        alone, shared = _run(session, fewer, 1), _run(session, fewer, 2)
    except ServerFailed as failed:
        raise Refused(str(failed)) from None
    found = summarise(crowd)
    spent = [_cpu(alone), _cpu(shared)]
    requirements = [
        _there(found, users),
        validity("crowd", found),
        _flow(crowd, session.sizes.crowd_deliveries),
        _shared(*spent),
    ]
    raw = {"crowd": msgspec.to_builtins(found), "cpu_percent_of": {"one": spent[0], "two": spent[1]}}
    return Part("crowd", _table(users, crowd, found, spent), requirements, raw)


def _run(session: Session, users: int, processes: int) -> Run:
    rate = session.sizes.crowd_deliveries / users
    flags = {"room-size": str(_ROOM), "rate": f"{rate:.6f}/s"}
    file, seconds = SCENARIOS / "messaging.py", session.sizes.crowd_s
    with embedded_server(*_NODE, environment=_QUIET) as server:
        return session.scenario(file, users, SPAWN_RATE, seconds, flags, server, in_processes(processes))


def _cpu(run: Run) -> list[float]:
    """Percent of a core that each process spent in measure, in the mean, the most first."""
    spent: dict[str, list[float]] = {}
    for row in run.health:
        if row.phase == Phase.MEASURE:
            spent.setdefault(row.worker, []).append(row.cpu_percent)
    return sorted((sum(some) / len(some) for some in spent.values()), reverse=True)


def _there(found: Summary, users: int) -> Requirement:
    peak, failed = found.connections.peak, found.connections.failed
    measured = f"{peak}, {failed} failed"
    return Requirement("crowd: connected at once", str(users), measured, peak == users and not failed)


def _flow(run: Run, wanted: float) -> Requirement:
    delivered, per_s = _delivered(run)
    said = f"{per_s:.0f}, {delivered.counts['lost']} lost, service p99 {_p99_ms(delivered)}"
    # A Poisson process of the planned rate: what is planned varies by a few percent from seed to seed.
    kept = per_s >= 0.95 * wanted and not delivered.counts["lost"]
    return Requirement("crowd: deliveries per second", f"{wanted:.0f}", said, kept)


def _delivered(run: Run) -> tuple[Series, float]:
    """(what was delivered, how much of it per second)."""
    delivered, seconds = measured(run, Operation.MESSAGE_DELIVER), measured_seconds(run)
    return delivered, delivered.latency.n / seconds if seconds else 0.0


def _shared(alone: list[float], shared: list[float]) -> Requirement:
    name, limit = "crowd: CPU of each of two processes", f"<= {SHARE} of one's"
    if len(alone) != 1 or len(shared) != 2 or not alone[0]:
        return Requirement(name, limit, f"told by {len(alone)} and {len(shared)} processes", None)
    ratios = [one / alone[0] for one in shared]
    measured = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return Requirement(name, limit, measured, max(ratios) <= SHARE)


def _p99_ms(series: Series) -> str:
    ns = series.service.quantile(0.99)
    return "-" if ns is None else f"{ns / 1e6:.2f} ms"


def _table(users: int, run: Run, found: Summary, spent: list[list[float]]) -> Table:
    title = f"crowd: {users} users of Node's Socket.IO in one process, {os.cpu_count()} cores with the server"
    table = Table(title=title, title_justify="left")
    for name in (
        "connected",
        "deliveries/s",
        "service p50 ms",
        "service p99 ms",
        "generator CPU %",
        "alone %",
        "each of two %",
    ):
        table.add_column(name, justify="right")
    delivered, per_s = _delivered(run)
    p50 = delivered.service.quantile(0.5)
    table.add_row(
        str(found.connections.peak),
        f"{per_s:.0f}",
        "-" if p50 is None else f"{p50 / 1e6:.2f}",
        _p99_ms(delivered).removesuffix(" ms"),
        ", ".join(f"{one:.0f}" for one in _cpu(run)),
        ", ".join(f"{one:.0f}" for one in spent[0]),
        ", ".join(f"{one:.0f}" for one in spent[1]),
    )
    return table
