"""What does the live page say of a run, as numbers?

Milliseconds, percent and counts; None is what is not known yet, and a percentile that lies among what never came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from loadtest.measure.histogram import Counts, merged
from loadtest.measure.operations import MAIN
from loadtest.measure.rows import SeriesRow, ServerRow
from loadtest.measure.units import MS, ms
from loadtest.users.live_board import LATELY_S, Board, Point, Second, Series, Sums

Rest = Callable[[], object]
"""Called between pieces of work: nobody who looks may keep the users waiting."""


def view(board: Board, gaps: int, server: ServerRow | None, since: int, rest: Rest) -> dict[str, Any]:
    """Everything, and of the single seconds those that changed after revision ``since``."""
    revision = board.revision
    judged = board.fitness.judge(board.counters, gaps, main_p99_ns(board))
    rest()
    return {
        "revision": revision,
        "run": board.run,
        "elapsed_s": round(board.elapsed_s, 1),
        "ended": board.ended,
        "validity": {"state": judged.state, "reasons": judged.reasons},
        "connections": _connections(board),
        "receive_lag_ms": _lag(part for second in board.lately() for part in second.receive_lag),
        "server": None if server is None else _server(server),
        "lately_s": LATELY_S,
        "operations": operations(board, rest),
        "seconds": _seconds(board, since, rest),
    }


def main_p99_ns(board: Board) -> int | None:
    """Of what people mostly do, so far; None: nothing of it has come."""
    for operation in MAIN:
        of_it = [sums for (name, _), sums in board.sums.items() if name == operation and sums.latency.n]
        if of_it:
            return max(sums.latency.quantile_ns(0.99) or 0 for sums in of_it)
    return None


def _connections(board: Board) -> dict[str, int]:
    counters, outcomes = board.counters, board.outcomes
    return {
        "now": board.connections,
        "established": counters["connections.established"],
        "failed": counters["connections.failed"],
        "lost": counters["connections.lost"],
        "recovered": outcomes["recovered"],
        "gave_up": outcomes["gave_up"],
    }


def _lag(parts: Iterable[Counts]) -> dict[str, float | None]:
    lag = merged(parts)
    p50, p99 = lag.quantile(0.5) if lag.n else None, lag.quantile(0.99) if lag.n else None
    return {
        "p50": None if p50 is None else ms(p50),
        "p99": None if p99 is None else ms(p99),
        "max": ms(lag.max_ns) if lag.n else None,
    }


def _server(row: ServerRow) -> dict[str, float | int | None]:
    told = {
        "cpu_percent": row.cpu_percent,
        "rss_bytes": row.rss_bytes,
        "loop_lag_ms": row.loop_lag_ms,
        "sockets": row.sockets,
        "descriptors": row.descriptors,
    }
    return {name: None if value < 0 else value for name, value in told.items()}


def operations(board: Board, rest: Rest) -> list[dict[str, Any]]:
    """A row for each series: the last seconds, and all so far."""
    found = []
    lately = board.lately()
    seconds = max(1, min(LATELY_S, len(lately)))
    for series, sums in sorted(board.sums.items()):
        parts = [row for second in lately for row in second.parts.get(series, ())]
        found.append(_operation(series, sums, Point(parts), seconds))
        rest()
    return found


def _operation(series: Series, sums: Sums, point: Point, seconds: int) -> dict[str, Any]:
    counts = sums.counts
    # Those that were taken for lost, and were then read after all, are taken back: for a moment it may be less.
    missed = max(0, counts["late"] + counts["lost"])
    expected = max(0, counts["expected"])
    return {
        "operation": series[0],
        "transport": series[1],
        "per_second": round(point.n / seconds, 2),
        "p50_ms": point.quantiles_ms[0],
        "p95_ms": point.quantiles_ms[1],
        "p99_ms": point.quantiles_ms[2],
        "missing": point.late + point.lost > 0,
        "max_ms": round(sums.latency.max_ns / MS, 3) if sums.latency.n else None,
        "expected": expected,
        "n": sums.latency.n,
        "late": counts["late"],
        "lost": max(0, counts["lost"]),
        "open": counts["open"],
        "failed": counts["failed"],
        "missed_percent": round(100 * missed / expected, 4) if expected else None,
    }


def _seconds(board: Board, since: int, rest: Rest) -> list[dict[str, Any]]:
    changed = sorted((number, one) for number, one in board.seconds.items() if one.changed > since)
    found = []
    for number, second in changed:
        found.append(_second(number, second))
        rest()
    return found


def _second(number: int, second: Second) -> dict[str, Any]:
    return {
        "second": number,
        "connections": sum(second.connections.values()) if second.connections else None,
        "receive_lag_p99_ms": _lag(second.receive_lag)["p99"],
        "series": {" ".join(series): _numbers(rows) for series, rows in list(second.parts.items())},
    }


def _numbers(rows: Sequence[SeriesRow]) -> list[float | int | None]:
    """n, late, lost, p50, p95, p99 (ms)."""
    point = Point(rows)
    return [point.n, point.late, point.lost, *point.quantiles_ms]
