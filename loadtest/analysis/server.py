"""What did the target spend, and did its memory grow?

Of what it told of itself, about once a second, in the measured phase. A memory that grows may be a leak, or a
cache or a history that fills: the slope says how fast, and whether it is more than noise, not why.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from loadtest.analysis.figures import nearest_rank
from loadtest.analysis.intervals import Interval
from loadtest.analysis.series import measured, measured_seconds
from loadtest.analysis.stages import held, mean, measured_range
from loadtest.analysis.theil_sen import theil_sen
from loadtest.measure.operations import Operation
from loadtest.measure.rows import ServerRow
from loadtest.measure.run import Run

SLOPE_S = 60
"""Seconds of memory that a slope needs at least."""
LEAK_S = 15 * 60
"""Seconds after which it begins to tell a leak from caches that fill."""
POINTS = 120
"""So many stretches of equal length a series is thinned to, each by its median: neighbouring seconds say the same
once more, and the pairs that a slope is the median of grow with the square."""
UNTOLD = "the server did not tell it"
ONE_PROCESS = "it told of one process only"
_HOUR_S = 3600
_Floats = npt.NDArray[np.float64]


class ServerFigures(msgspec.Struct, frozen=True):
    """The target in the measured phase; None is what it did not tell, or what too little was told of.

    cpu_percent_mean, cpu_percent_p95: of one core. cpu_s_per_1000_deliveries: CPU seconds for so many copies of
    messages, of rooms and of live chats, delivered to others. rss_bytes_max: most resident memory.
    rss_bytes_per_hour, rss_percent_per_hour: its slope, the second in percent of its median; in a run with stages
    over the seconds of the longest one. loop_lag_ms_p99_median, loop_lag_ms_p99_max: of the p99 of its loop's lag
    that it told each time. descriptors_max: most files and sockets open at once. cpu_percent_busiest: of the
    busiest of its processes, in the mean; None where there was one. ci95: of rss_percent_per_hour. why: reasons
    for what is None, and how little a short slope says.
    """

    cpu_percent_mean: float | None = None
    cpu_percent_p95: float | None = None
    cpu_s_per_1000_deliveries: float | None = None
    rss_bytes_max: int | None = None
    rss_bytes_per_hour: float | None = None
    rss_percent_per_hour: float | None = None
    loop_lag_ms_p99_median: float | None = None
    loop_lag_ms_p99_max: float | None = None
    descriptors_max: int | None = None
    cpu_percent_busiest: float | None = None
    ci95: dict[str, Interval] = {}
    why: dict[str, str] = {}


class Slope(msgspec.Struct, frozen=True):
    """How fast memory grew: bytes per hour, the same in percent of its median with a 95 % interval."""

    bytes_per_hour: float
    percent_per_hour: float
    ci95: Interval


def server_figures(run: Run) -> ServerFigures | None:
    """None if the target told nothing but its connections. Pure."""
    seconds = measured_range(run)
    rows = sorted((row for row in run.server if row.second in seconds), key=lambda row: row.second)
    cpu = [row.cpu_percent for row in rows if row.cpu_percent >= 0]
    memory = [row for row in rows if row.rss_bytes >= 0]
    lags = [row.loop_lag_ms for row in rows if row.loop_lag_ms >= 0]
    open_files = [row.descriptors for row in rows if row.descriptors >= 0]
    busiest = [row.busiest_percent for row in rows if row.busiest_percent >= 0]
    if not (cpu or memory or lags or open_files):
        return None
    deliveries = measured(run, Operation.MESSAGE_DELIVER, Operation.CHAT_DELIVER).latency.n
    grown, reason = _slope(run, memory)
    why = _reasons(cpu, memory, lags, deliveries) | (
        {"rss_bytes_per_hour": reason, "rss_percent_per_hour": reason} if reason else {}
    )
    if not open_files:
        why["descriptors_max"] = UNTOLD
    if not busiest:
        why["cpu_percent_busiest"] = ONE_PROCESS if cpu else UNTOLD
    cpu_s = (mean(cpu) or 0.0) / 100 * measured_seconds(run)
    return ServerFigures(
        cpu_percent_mean=mean(cpu),
        cpu_percent_p95=round(nearest_rank(cpu, 0.95), 3) if cpu else None,
        cpu_s_per_1000_deliveries=round(cpu_s / deliveries * 1000, 6) if cpu and deliveries else None,
        rss_bytes_max=max((row.rss_bytes for row in memory), default=None),
        rss_bytes_per_hour=grown.bytes_per_hour if grown else None,
        rss_percent_per_hour=grown.percent_per_hour if grown else None,
        loop_lag_ms_p99_median=nearest_rank(lags, 0.5) if lags else None,
        loop_lag_ms_p99_max=max(lags, default=None),
        descriptors_max=max(open_files, default=None),
        cpu_percent_busiest=mean(busiest),
        ci95={"rss_percent_per_hour": grown.ci95} if grown else {},
        why=why,
    )


def _reasons(
    cpu: Sequence[float], memory: Sequence[ServerRow], lags: Sequence[float], deliveries: int
) -> dict[str, str]:
    """Why some figures are None, by their names."""
    why: dict[str, str] = {}
    if not cpu:
        why |= dict.fromkeys(("cpu_percent_mean", "cpu_percent_p95", "cpu_s_per_1000_deliveries"), UNTOLD)
    elif not deliveries:
        why["cpu_s_per_1000_deliveries"] = "no message was delivered in the measured phase"
    if not memory:
        why["rss_bytes_max"] = UNTOLD
    if not lags:
        why |= dict.fromkeys(("loop_lag_ms_p99_median", "loop_lag_ms_p99_max"), UNTOLD)
    return why


def _slope(run: Run, memory: Sequence[ServerRow]) -> tuple[Slope | None, str]:
    """How memory went, and why that is not known, or says little."""
    stage = held(run)
    rows = [row for row in memory if stage is None or row.second in stage]
    of = "measure" if stage is None else "the longest stage"
    if not memory:
        return None, UNTOLD
    span_s = rows[-1].second - rows[0].second + 1 if rows else 0
    if span_s < SLOPE_S or len(rows) < SLOPE_S // 2:
        return None, f"{span_s} s of memory in {of}, {SLOPE_S} needed"
    found = slope([row.second for row in rows], [row.rss_bytes for row in rows])
    if span_s >= LEAK_S:
        return found, ""
    return found, f"over {span_s} s: it takes {LEAK_S // 60} min to tell a leak from caches that fill"


def slope(seconds: Sequence[int], values: Sequence[int]) -> Slope:
    """The median of the slopes of all pairs, which a step or a spike here and there does not move.

    P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968), 1379-1389; so is
    the interval. It takes the points as independent but for the slope, and those of a memory are not quite that.
    ``values`` of shape (n,), n >= 2, at ``seconds`` of the same shape in ascending order.
    """
    at, of_each = _thinned(np.asarray(seconds, float), np.asarray(values, float))
    found = theil_sen(of_each, at / _HOUR_S)
    percent = 100 / max(float(np.median(np.asarray(values, float))), 1.0)
    low, high = (round(end * percent, 3) for end in (found.low, found.high))
    return Slope(round(found.slope), round(found.slope * percent, 3), (low, high))


def _thinned(seconds: _Floats, values: _Floats) -> tuple[_Floats, _Floats]:
    """Medians of at most POINTS stretches of equal length."""
    stretch = (seconds - seconds[0]) * POINTS // (seconds[-1] - seconds[0] + 1)
    parts = [stretch == number for number in np.unique(stretch)]
    return (
        np.array([np.median(seconds[part]) for part in parts]),
        np.array([np.median(values[part]) for part in parts]),
    )
