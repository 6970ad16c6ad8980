"""What does the server say of itself while the load is on? Asked once a second, where it has such a route."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec

from loadtest.measure.plan import Plan
from loadtest.measure.rows import ServerRow
from loadtest.measure.units import SECOND
from loadtest.users.causes import ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import fetch

_TIMEOUT_S = 5.0


def watch(
    place: Place, path: str, plan: Plan, tell: Callable[[ServerRow], object], polling: bool
) -> gevent.Greenlet:
    """Ask until killed. A server that does not answer leaves a gap, as it should.

    polling: users have no sockets that the server could count, so its count says nothing about them.
    """
    return gevent.spawn(_watch, place, path, plan, tell, polling)


def _watch(place: Place, path: str, plan: Plan, tell: Callable[[ServerRow], object], polling: bool) -> None:
    last: tuple[int, float] | None = None
    while True:
        try:
            stats = msgspec.json.decode(fetch(place, path, _TIMEOUT_S).body, type=dict[str, Any])
        except (ConnectFailed, msgspec.DecodeError):
            last = None
        else:
            now_ns = perf_counter_ns()
            cpu_s = stats.get("cpuSeconds")
            sockets = -1 if polling else int(stats.get("sockets", -1))
            tell(_row(stats, plan.second(now_ns), sockets, _percent(last, now_ns, cpu_s)))
            last = None if cpu_s is None else (now_ns, cpu_s)
        gevent.sleep(1)


def _percent(last: tuple[int, float] | None, now_ns: int, cpu_s: float | None) -> float:
    if last is None or cpu_s is None or now_ns <= last[0]:
        return -1.0
    return 100 * (cpu_s - last[1]) / ((now_ns - last[0]) / SECOND)


def _row(stats: dict[str, Any], second: int, sockets: int, cpu_percent: float) -> ServerRow:
    return ServerRow(
        second,
        sockets,
        cpu_percent,
        int(stats.get("rssBytes", -1)),
        float(stats.get("loopLagMsP99") or -1.0),
    )
