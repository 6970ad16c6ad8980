"""How much slower, and how much dearer, is one run than another?

The same statistic stands on both sides of every ratio. The worst case of one against the typical case of
the other, such as a polling interval against a median delivery, would double the ratio by a trick.
"""

from __future__ import annotations

from typing import NamedTuple

from loadtest.analysis.bandwidth import ACTIVE, IDLE, Bandwidth
from loadtest.analysis.summary import OperationRow, Summary
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase

LATENCY_STATISTICS = ("mean", "p50", "p95", "max")
ACTIVE_HOUR = "active_bytes_per_user_hour"


class Ratio(NamedTuple):
    """One statistic of the slower run (``more``) and the faster (``less``); why: if one is None."""

    what: str
    unit: str
    more: float | None
    less: float | None
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """more / less: below 1 where the run that is slower on the whole is the smaller one here."""
        return None if self.more is None or not self.less else self.more / self.less


class Comparison(NamedTuple):
    """Two runs of one operation: indexes into the pair given, and the ratios slower / faster."""

    slower: int
    faster: int
    latency: list[Ratio]
    bandwidth: list[Ratio]


def compare(
    first: Summary, second: Summary, operation: Operation = Operation.MESSAGE_DELIVER
) -> Comparison | None:
    """Ratios of two runs; None if one of them did not measure the operation.

    Which one is the slower is decided once, by the mean (by the median where a mean is missing), and holds
    for every row, so that a statistic in which it is the faster one shows as a ratio below 1.
    """
    rows = main_row(first, operation), main_row(second, operation)
    if rows[0] is None or rows[1] is None:
        return None
    pair = (rows[0], rows[1])
    slower = 0 if _weight(pair[0]) > _weight(pair[1]) else 1
    faster = 1 - slower
    summaries = (first, second)
    return Comparison(
        slower,
        faster,
        [_latency(name, pair[slower], pair[faster]) for name in LATENCY_STATISTICS],
        _bandwidth(summaries[slower], summaries[faster]),
    )


def main_row(summary: Summary, operation: Operation) -> OperationRow | None:
    """The measured row of an operation over the run's own transport, or else the one with most in it."""
    rows = [row for row in summary.operations if (row.name, row.phase) == (operation, Phase.MEASURE)]
    own = [row for row in rows if row.transport == summary.run.transport]
    return max(own or rows, key=lambda row: row.expected, default=None)


def traffic_row(summary: Summary, regime: str) -> Bandwidth | None:
    """The bandwidth of a regime over the run's own transport, or else the one with most bytes."""
    rows = [row for row in summary.bandwidth if row.regime == regime]
    own = [row for row in rows if row.transport == summary.run.transport]
    return max(own or rows, key=lambda row: row.socket_bytes, default=None)


def _weight(row: OperationRow) -> float:
    figures = row.latency_ms
    return figures.mean or figures.p50 or 0.0


def _latency(name: str, slower: OperationRow, faster: OperationRow) -> Ratio:
    why = "; ".join(
        f"{row.transport}: {row.why.get(name, 'not known')}"
        for row in (slower, faster)
        if getattr(row.latency_ms, name) is None
    )
    return Ratio(name, "ms", getattr(slower.latency_ms, name), getattr(faster.latency_ms, name), why)


def _bandwidth(slower: Summary, faster: Summary) -> list[Ratio]:
    talking = _bytes("bytes_per_delivery", ACTIVE, "bytes_per_delivery", slower, faster)
    if talking.ratio is None:
        # Where calls and live chats share the bytes, no message can be billed for them; an hour can.
        hourly = _bytes(ACTIVE_HOUR, ACTIVE, "bytes_per_user_hour", slower, faster)
        talking = talking if hourly.ratio is None else hourly
    return [talking, _bytes("bytes_per_user_hour", IDLE, "bytes_per_user_hour", slower, faster)]


def _bytes(what: str, regime: str, name: str, slower: Summary, faster: Summary) -> Ratio:
    rows = traffic_row(slower, regime), traffic_row(faster, regime)
    values = [None if row is None else getattr(row, name) for row in rows]
    missing = [
        f"{summary.run.transport}: " + ("not measured" if row is None else row.why.get(name, "not known"))
        for summary, row, value in zip((slower, faster), rows, values, strict=True)
        if value is None
    ]
    return Ratio(what, "B", values[0], values[1], "; ".join(missing))
