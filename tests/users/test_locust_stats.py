"""Is a batch put into Locust's table what Locust would have made of it one by one? Pins the Locust installed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.stats import RequestStats

from loadtest.measure.histogram import Histogram, bucket_of, upper_edge
from loadtest.measure.operations import Operation
from loadtest.measure.rows import HealthRow, SeriesRow
from loadtest.users import locust_stats

NAME = "message.deliver"


def _stats() -> Any:
    return RequestStats()


def _edges(times_ns: Sequence[int]) -> list[int]:
    """The values that a histogram gives back for these: Locust is shown bucket edges."""
    import numpy as np

    return [upper_edge(int(bucket)) for bucket in bucket_of(np.array(times_ns, np.int64))]


def _row(times_ns: Sequence[int], **counts: Any) -> SeriesRow:
    histogram = Histogram()
    for time_ns in times_ns:
        histogram.record(time_ns)
    return SeriesRow(NAME, "websocket", "measure", 3, latency=histogram.counts(), **counts)


def _shape(entry: Any) -> dict[str, Any]:
    return {
        "response_times": dict(entry.response_times),
        "n": entry.num_requests,
        "none": entry.num_none_requests,
        "failures": entry.num_failures,
        "sum": pytest.approx(entry.total_response_time),
        "min": entry.min_response_time,
        "max": entry.max_response_time,
        "per second": sum(entry.num_reqs_per_sec.values()),
        "quantiles": [entry.get_response_time_percentile(q) for q in (0.5, 0.9, 0.95, 0.99, 1.0)],
        "average": pytest.approx(entry.avg_response_time),
        "last": int(entry.last_request_timestamp or 0) > 0,
    }


_TIMES = st.lists(st.integers(1_000, 90_000_000_000), min_size=1, max_size=60)


@given(_TIMES, _TIMES)
def test_batches_are_what_single_calls_would_be(first: list[int], second: list[int]) -> None:
    ours, theirs = _stats(), _stats()
    for batch in (first, second):
        edges = _edges(batch)
        locust_stats.show(ours, [_row(edges)])
        for edge in edges:
            theirs.log_request("WSR", NAME, edge / 1e6, 0)
    assert _shape(ours.get(NAME, "WSR")) == _shape(theirs.get(NAME, "WSR"))
    assert _shape(ours.total) == _shape(theirs.total)


def test_deliveries_that_were_fired_one_by_one_are_not_added_again() -> None:
    stats = _stats()
    poll = SeriesRow("poll.request", "interval-polling", "measure", 3, latency=_row([2_000_000]).latency)
    locust_stats.show(stats, [_row([5_000_000], lost=1), poll], deliveries=False)
    assert stats.get(NAME, "WSR").num_requests == stats.get(NAME, "WSR").num_failures == 1, "the lost one"
    assert stats.get("poll.request", "GET").num_requests == 1


def test_lost_and_leaked_are_locust_s_failures_without_a_time() -> None:
    ours, theirs = _stats(), _stats()
    locust_stats.show(ours, [_row([5_000_000], lost=2, leaked=1)])
    theirs.log_request("WSR", NAME, _edges([5_000_000])[0] / 1e6, 0)
    lost = locust_stats.LostDelivery("not delivered by the deadline")
    for error in (lost, lost, locust_stats.LeakedDelivery("reached a non-member")):
        theirs.log_request("WSR", NAME, None, 0)
        theirs.log_error("WSR", NAME, error)
    assert _shape(ours.get(NAME, "WSR"))["failures"] == 3
    assert {one.to_name(): one.occurrences for one in ours.errors.values()} == {
        one.to_name(): one.occurrences for one in theirs.errors.values()
    }
    assert ours.total.num_failures == theirs.total.num_failures == 3
    assert ours.total.num_requests == theirs.total.num_requests == 4


def test_a_volatile_loss_is_legal_and_other_rows_are_not_shown() -> None:
    stats = _stats()
    typing = SeriesRow("typing.deliver", "websocket", "measure", 1, expected=1, lost=1)
    ack = SeriesRow("message.ack", "websocket", "measure", 1, latency=_row([1_000_000]).latency)
    locust_stats.show(stats, [typing, ack, HealthRow("0", "measure", 1)])
    assert stats.total.num_requests == stats.total.num_failures == 0
    assert not stats.entries


def test_what_came_after_all_takes_no_failure_back() -> None:
    """Locust cannot unsay one; the Run says it right."""
    stats = _stats()
    locust_stats.show(stats, [_row([], lost=1)])
    locust_stats.show(stats, [_row([], lost=-1, late=1)])
    assert stats.total.num_failures == 1


def test_the_percentiles_of_the_web_ui_s_chart_see_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws the last ten seconds from copies that Locust makes when a second turns."""
    now = [1_000_000.5]
    monkeypatch.setattr(time, "time", lambda: now[0])
    ours, theirs = _stats(), _stats()
    for second in range(14):
        now[0] = 1_000_000.5 + second
        edges = _edges([(1 + second) * 1_000_000] * 3)
        locust_stats.show(ours, [_row(edges)])
        for edge in edges:
            theirs.log_request("WSR", NAME, edge / 1e6, 0)
    assert theirs.total.get_current_response_time_percentile(0.5) is not None
    assert ours.total.get_current_response_time_percentile(
        0.5
    ) == theirs.total.get_current_response_time_percentile(0.5)


# -- what is no failure --------------------------------------------------------------------------------------


def _failures(rows: Sequence[Any], **counters: int) -> dict[str, int]:
    """What Locust is shown as failed, by operation; counters by prefix and operation, ``_`` for a dot."""
    stats = _stats()
    locust_stats.show(stats, rows, counters={name.replace("_", "."): n for name, n in counters.items()})
    return {name: entry.num_failures for (name, _), entry in stats.entries.items() if entry.num_failures}


def _lost(operation: str, lost: int, second: int = 3, **counts: int) -> SeriesRow:
    return SeriesRow(operation, "websocket", "measure", second, expected=max(lost, 0), lost=lost, **counts)


@pytest.mark.parametrize(
    ("counters", "failures"),
    [
        ({}, {NAME: 3}),
        ({"provoked_lost_message_deliver": 1}, {NAME: 2}),
        ({"crossing_message_deliver": 2}, {NAME: 1}),
        ({"provoked_lost_message_deliver": 1, "crossing_message_deliver": 2}, {}),
        ({"provoked_lost_message_deliver": 9}, {}),
        ({"provoked_lost_chat_deliver": 3, "crossing_message_echo": 3, "message_deliver": 3}, {NAME: 3}),
    ],
)
def test_what_the_run_cut_off_and_what_another_has_yet_to_tell_of_is_forgiven(
    counters: dict[str, int], failures: dict[str, int]
) -> None:
    assert _failures([_lost(NAME, 3)], **counters) == failures


def test_nothing_is_forgiven_twice() -> None:
    rows = [_lost(NAME, 2, 3), _lost(NAME, 2, 4), _lost("chat.deliver", 2)]
    assert _failures(rows, provoked_lost_message_deliver=3) == {NAME: 1, "chat.deliver": 2}


def test_what_came_after_all_forgives_nothing() -> None:
    assert _failures([_lost(NAME, -2), _lost(NAME, 2, 4)], crossing_message_deliver=1) == {NAME: 1}


def test_a_leak_is_never_forgiven() -> None:
    assert _failures([_lost(NAME, 1, leaked=2)], provoked_lost_message_deliver=5) == {NAME: 2}


def test_what_is_lost_in_a_batch_is_forgiven_in_that_batch() -> None:
    """Its counter comes with it: what is new travels together."""
    stats = _stats()
    locust_stats.show(stats, [_lost(NAME, 1)], counters={"provoked.lost.message.deliver": 1})
    locust_stats.show(stats, [_lost(NAME, 1, 4)])
    assert stats.total.num_failures == 1


@pytest.mark.parametrize(
    "operation",
    [one for one in Operation if one.value.startswith(("call.", "chat.")) or one.value.endswith(".deliver")],
)
def test_all_that_somebody_is_owed_is_shown(operation: Operation) -> None:
    row = SeriesRow(operation.value, "websocket", "measure", 3, latency=_row([2_000_000]).latency, lost=1)
    stats = _stats()
    locust_stats.show(stats, [row])
    entry = stats.get(operation.value, "WSR")
    assert entry.num_requests - entry.num_none_requests == 1
    assert entry.num_failures == int(not operation.volatile)
