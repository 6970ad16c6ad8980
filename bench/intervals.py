"""How long do the percentiles and intervals of a million samples take, and the page of a long run?

    python -m bench --only intervals page

Both are of a run that is made here, without a server: ten minutes of a thousand users, unless it is to be quick.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

import msgspec
import numpy as np
from rich.table import Table

from bench.session import Part, Requirement, Session
from bench.task import Rendering
from loadtest.analysis.figures import QUANTILES, figures
from loadtest.analysis.quantile_intervals import mean_interval, quantile_intervals, tail_windows, tier
from loadtest.analysis.windows import Windows, windows
from loadtest.measure.histogram import Histogram, merged
from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import MS, SECOND

SAMPLES_PER_SECOND = 1667
LIMIT_S = 1.0
PAGE_LIMIT_S, PAGE_LIMIT_MB = 5.0, 500.0
PAGE_USERS = 1000
_ROUNDS = 3


def measure(session: Session) -> Part:
    """A series by the second, in the form in which a run is read from disk; medians of several rounds."""
    seconds = session.sizes.page_s
    session.say(f"intervals: {_ROUNDS} rounds of {seconds} windows")
    rows = _rows(seconds)
    rounds = [_round(rows) for _ in range(_ROUNDS)]
    costs = {name: median(one[name] for one in rounds) / SECOND for name in rounds[0]}
    samples = sum(row.latency.n for row in rows)
    title = f"intervals: {samples:,} samples in {seconds} windows of a second"
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("ms", justify="right")
    for name, cost_s in costs.items():
        table.add_row(name, f"{cost_s * 1000:.1f}")
    whole_s = sum(costs.values())
    kept = Requirement(
        f"intervals: all of {samples:,} samples", f"<= {LIMIT_S:g} s", f"{whole_s:.2f} s", whole_s <= LIMIT_S
    )
    return Part("intervals", table, [kept], {"samples": samples, "seconds": costs})


def _rows(seconds: int) -> list[SeriesRow]:
    rng = np.random.default_rng(7)
    rows = []
    for second in range(seconds):
        histogram = Histogram()
        for value in (rng.lognormal(0.7, 0.8, SAMPLES_PER_SECOND) * MS).astype(int).tolist():
            histogram.record(value)
        rows.append(SeriesRow("message.deliver", "websocket", "measure", second, latency=histogram.counts()))
    return rows


def _round(rows: list[SeriesRow]) -> dict[str, int]:
    """What each step takes, in ns."""
    began_ns = perf_counter_ns()
    whole = merged(row.latency for row in rows)
    figures(whole, whole.n)
    read_ns = perf_counter_ns()
    fell = windows(rows, 0, len(rows) - 1)
    fallen_ns = perf_counter_ns()
    _judge(fell)
    return {
        "percentiles of the merged histogram": read_ns - began_ns,
        "windows": fallen_ns - read_ns,
        "intervals of p50, p95, p99, p99.9 and mean, and their tiers": perf_counter_ns() - fallen_ns,
    }


def _judge(fell: Windows) -> None:
    quantile_intervals(fell, list(QUANTILES.values()))
    mean_interval(fell)
    for q in QUANTILES.values():
        tier(q, fell.expected, tail_windows(fell, q))


def page(session: Session) -> Part:
    """``loadtest report`` on a long run, as a process of its own."""
    seconds = session.sizes.page_s
    session.say(f"page: a run of {PAGE_USERS} users, {seconds} s of it measured")
    path = session.ask("bench.arms.long_run", str(session.directory), str(PAGE_USERS), str(seconds)).decode()
    found = msgspec.json.decode(session.ask("bench.arms.rendering", path), type=Rendering)
    table = Table(title=f"page: a run of {PAGE_USERS} users, {seconds} s measured", title_justify="left")
    for name in ("seconds", "CPU seconds", "peak MB", "page KB"):
        table.add_column(name, justify="right")
    cells = (found.elapsed_s, found.cpu_s, found.peak_bytes / 1e6, found.page_bytes / 1e3)
    table.add_row(*(f"{one:.1f}" for one in cells))
    requirements = [
        Requirement(
            "page: rendering it",
            f"<= {PAGE_LIMIT_S:g} s",
            f"{found.elapsed_s:.1f} s",
            found.elapsed_s <= PAGE_LIMIT_S,
        ),
        Requirement(
            "page: memory at its peak",
            f"<= {PAGE_LIMIT_MB:g} MB",
            f"{found.peak_bytes / 1e6:.0f} MB",
            found.peak_bytes <= PAGE_LIMIT_MB * 1e6,
        ),
    ]
    return Part("page", table, requirements, msgspec.to_builtins(found))
