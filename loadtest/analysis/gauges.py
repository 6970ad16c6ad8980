"""Which figures of a run are worth following from night to night, and from build to build?

Few, so that one alarm in twenty by chance does not become one a night: what the server spends, what people
mostly wait for, in the middle and at the end of the scale, what is lost, and what it costs in bytes. The
least noisy first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.bandwidth import ACTIVE
from loadtest.analysis.compare import main_row, traffic_row
from loadtest.analysis.summary import OperationRow, Summary
from loadtest.measure.operations import MAIN, Operation

LOSS = "loss_share"
CPU = "server_cpu_s_per_1000"
PER_DELIVERY, PER_HOUR = "bytes_per_delivery", "bytes_per_active_hour"
REJOIN = "rejoin_p95_ms"


class Gauge(NamedTuple):
    """One figure. Its name ends in its unit; what has none in this run is not in the list."""

    name: str
    value: float


def main_operations(summary: Summary) -> list[Operation]:
    """What people mostly did, the first in importance first."""
    return [one for one in MAIN if (row := main_row(summary, one)) is not None and row.expected]


def gauges(summary: Summary) -> list[Gauge]:
    """What one run says, in their fixed order."""
    found: list[tuple[str, float | None]] = [(CPU, _cpu(summary))]
    rows = [(one, row) for one in main_operations(summary) if (row := main_row(summary, one)) is not None]
    for index, (operation, row) in enumerate(rows):
        found += _latency(operation, row, first=not index)
    found += [(LOSS, _loss([row for _, row in rows])), _bytes(summary), (REJOIN, _rejoin(summary))]
    return [Gauge(name, value) for name, value in found if value is not None]


def together(summaries: Sequence[Summary]) -> dict[str, list[float]]:
    """name -> values, one of each run; only what every run has, or a missing one would pass for a better."""
    of_each = [{one.name: one.value for one in gauges(summary)} for summary in summaries]
    names = [one.name for one in gauges(summaries[0])] if summaries else []
    return {name: [one[name] for one in of_each] for name in names if all(name in one for one in of_each)}


def _latency(operation: Operation, row: OperationRow, first: bool) -> list[tuple[str, float | None]]:
    p95 = (f"{operation} p95_ms", row.latency_ms.p95)
    if not first:
        return [p95]
    return [
        (f"{operation} service_p50_ms", row.service_ms.p50),
        p95,
        (f"{operation} p99_ms", row.latency_ms.p99),
    ]


def _loss(rows: Sequence[OperationRow]) -> float | None:
    expected = sum(row.expected for row in rows)
    return sum(row.late + row.lost for row in rows) / expected if expected else None


def _bytes(summary: Summary) -> tuple[str, float | None]:
    row = traffic_row(summary, ACTIVE)
    if row is None:
        return PER_DELIVERY, None
    if row.bytes_per_delivery is None:
        return PER_HOUR, row.bytes_per_user_hour
    return PER_DELIVERY, row.bytes_per_delivery


def _cpu(summary: Summary) -> float | None:
    return None if summary.server is None else summary.server.cpu_s_per_1000_deliveries


def _rejoin(summary: Summary) -> float | None:
    back = summary.reconnection.rejoin_ms
    return None if back is None else back.p95
