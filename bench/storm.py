"""Do thousands of users in one process find their way back when all lose their connection at once?

They say nothing, so that the storm is all there is; and the server tells nobody who comes and goes, or it
would spend the storm on that.
"""

from __future__ import annotations

import msgspec
from rich.table import Table

from bench.mixed import validity
from bench.session import ARMS, Part, Requirement, Session
from bench.task import ROOM_SIZE
from loadtest.analysis.storm import LEAST, OK, Storm
from loadtest.analysis.summary import Summary, summarise
from loadtest.cli.embedded import embedded_server

SPAWN_RATE = 200
_QUIET = {"PRESENCE_BROADCAST": "off"}


def measure(session: Session) -> Part:
    """One run; everybody has ``storm_s`` seconds to come back."""
    sizes = session.sizes
    users = sizes.storm_users
    session.say(f"storm: {users} users cut off at once")
    flags = {"room-size": str(ROOM_SIZE), "fault": f"abort@{sizes.calm_s:g}", "reconnect": "js"}
    measure_s = sizes.calm_s + sizes.storm_s
    with embedded_server(environment=_QUIET) as server:
        run = session.scenario(ARMS / "idle.py", users, SPAWN_RATE, measure_s, flags, server)
    found = summarise(run)
    storms = found.reconnection.storms
    requirements = [_all_back(found, users), _pace(storms, found), validity("storm", found)]
    return Part("storm", _table(storms, users), requirements, msgspec.to_builtins(found))


def _all_back(found: Summary, users: int) -> Requirement:
    way = found.reconnection
    measured = f"{way.recovered} of {way.drops} cut off"
    kept = way.drops == way.recovered == users
    return Requirement("storm: recovered", f"all {users}", measured, kept)


def _pace(storms: list[Storm], found: Summary) -> Requirement:
    name, limit = "storm: T99 of the return", f"{OK}: not the generator's own pace"
    if not storms:
        return Requirement(name, limit, f"{found.reconnection.drops} cut off, {LEAST} are a storm", None)
    one = storms[0]
    t99 = one.why.get("t99_s", "") if one.t99_s is None else f"{one.t99_s:.1f} s"
    return Requirement(name, limit, f"{t99}, {one.verdict}", one.t99_s is not None and one.verdict == OK)


def _table(storms: list[Storm], users: int) -> Table:
    table = Table(title=f"storm: {users} idle users in one process, cut off at once", title_justify="left")
    for name in (
        "cut off",
        "back",
        "T50 s",
        "T95 s",
        "T99 s",
        "T100 s",
        "attempts",
        "most in 1 s",
        "failed %",
    ):
        table.add_column(name, justify="right")
    for name in ("took p99 ms", "late p99 ms"):
        table.add_column(name, justify="right")
    for one in storms:
        times = (one.t50_s, one.t95_s, one.t99_s, one.t100_s)
        failed = None if one.failed_share is None else one.failed_share * 100
        table.add_row(
            *map(str, (one.n, one.back)),
            *map(_number, times),
            *map(str, (one.attempts, one.peak_per_s)),
            *map(_number, (failed, one.took_p99_ms, one.late_p99_ms)),
        )
    if storms:
        table.caption, table.caption_justify = storms[0].words, "left"
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
