"""How do deliveries get into Locust's own table without costing more than they took?

``events.request.fire`` costs several microseconds, so deliveries are added a batch at a time, straight into
the StatsEntry that Locust would have updated. These are numbers for the screen, rounded as Locust rounds;
the report has its own. A contract test holds Locust to the fields used here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from locust.stats import bucket_response_time

from loadtest.measure.crossing import CROSSING
from loadtest.measure.histogram import Counts, upper_edge
from loadtest.measure.ledger import PROVOKED
from loadtest.measure.operations import Operation
from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import MS

_HEARD = (
    Operation.MESSAGE_DELIVER,
    Operation.MESSAGE_ECHO,
    Operation.MESSAGE_RESYNC,
    Operation.RECEIPT_DELIVER,
    Operation.TYPING_DELIVER,
    Operation.PRESENCE_DELIVER,
    Operation.SESSION_RESUME,
    Operation.CALL_RING,
    Operation.CALL_ANSWER,
    Operation.CALL_CONNECTED,
    Operation.CALL_DECLINE,
    Operation.CALL_STATUS,
    Operation.CHAT_ASSIGN,
    Operation.CHAT_DELIVER,
    Operation.CHAT_STATUS,
)
_SHOWN = {operation.value: "WSR" for operation in _HEARD} | {Operation.POLL_REQUEST.value: "GET"}


class LostDelivery(Exception):
    """Deliveries that were owed and did not come by their deadline."""


class LeakedDelivery(Exception):
    """Deliveries that reached somebody who was not in the conversation."""


def show(
    stats: Any,
    rows: Iterable[Any],
    deliveries: bool = True,
    counters: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Add what is new to Locust's table: times of deliveries and polls, and what was lost or leaked.

    deliveries: False where each delivery was fired as a request already. counters: what is new among the run's
    counters; neither what the run itself cut off, nor what another process has yet to tell of, is a failure.
    """
    forgiven: dict[str, int] = {}
    for name, n in counters.items():
        for prefix in (PROVOKED, CROSSING):
            if name.startswith(prefix):
                operation = name.removeprefix(prefix)
                forgiven[operation] = forgiven.get(operation, 0) + n
    for row in rows:
        if not isinstance(row, SeriesRow) or row.operation not in _SHOWN:
            continue
        kind = _SHOWN[row.operation]
        if row.latency.n and (deliveries or kind != "WSR"):
            rounded = _rounded(row.latency)
            _add(stats.get(row.operation, kind), row.latency, rounded)
            _add(stats.total, row.latency, rounded)
        if not Operation(row.operation).volatile:
            excused = min(max(row.lost, 0), forgiven.get(row.operation, 0))
            forgiven[row.operation] = forgiven.get(row.operation, 0) - excused
            lost = row.lost - excused
            _fail(stats, kind, row.operation, LostDelivery("not delivered by the deadline"), lost)
            _fail(stats, kind, row.operation, LeakedDelivery("reached a non-member"), row.leaked)


@cache
def _shown_ms(bucket: int) -> int:
    shown: int = bucket_response_time(upper_edge(bucket) / MS)
    return shown


def _rounded(latency: Counts) -> dict[int, int]:
    """How many of each time that Locust would show."""
    found: dict[int, int] = {}
    buckets, counts = latency.pairs()
    for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True):
        shown_ms = _shown_ms(bucket)
        found[shown_ms] = found.get(shown_ms, 0) + count
    return found


def _add(entry: Any, latency: Counts, rounded: Mapping[int, int]) -> None:
    second = int(time.time())
    shown = entry.last_request_timestamp
    if entry.use_response_times_cache and shown and second > int(shown):
        # As Locust's own log does: the web UI's chart is drawn from it.
        entry._cache_response_times(second - 1)
    for shown_ms, count in rounded.items():
        entry.response_times[shown_ms] = entry.response_times.get(shown_ms, 0) + count
    entry.num_requests += latency.n
    entry.num_reqs_per_sec[second] = entry.num_reqs_per_sec.get(second, 0) + latency.n
    entry.last_request_timestamp = time.time()
    entry.total_response_time += latency.sum_ns / MS
    low, high = latency.min_ns / MS, latency.max_ns / MS
    entry.min_response_time = low if entry.min_response_time is None else min(entry.min_response_time, low)
    entry.max_response_time = max(entry.max_response_time, high)


def _fail(stats: Any, kind: str, name: str, error: Exception, times: int) -> None:
    for _ in range(times):
        stats.log_request(kind, name, None, 0)
        stats.log_error(kind, name, error)
