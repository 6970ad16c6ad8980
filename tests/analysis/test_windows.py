"""Windows against the histograms of each second, and blocks against what numpy splits."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.windows import (
    Windows,
    at_ranks,
    block_starts,
    blocks,
    of_each,
    quantile_ranks,
    windows,
)
from loadtest.measure.histogram import TOP_NS, Histogram, merged, upper_edge
from loadtest.measure.rows import SeriesRow

FIRST, LAST = 40, 52
QS = (0.01, 0.5, 0.95, 0.99, 1.0)


class Told(NamedTuple):
    """What a row is made of."""

    second: int
    values_ns: list[int]
    service_ns: list[int]
    late: int
    lost: int


def row_of(told: Told) -> SeriesRow:
    latency, service = Histogram(), Histogram()
    for value in told.values_ns:
        latency.record(value)
    for value in told.service_ns:
        service.record(value)
    return SeriesRow(
        "message.deliver",
        "websocket",
        "measure",
        told.second,
        expected=len(told.values_ns) + told.late + told.lost,
        late=told.late,
        lost=told.lost,
        latency=latency.counts(),
        service=service.counts(),
    )


NANOSECONDS = st.integers(0, 400) | st.integers(0, TOP_NS) | st.integers(TOP_NS - 2, TOP_NS + 10**9)
ROWS = st.lists(
    st.builds(
        Told,
        st.integers(FIRST, LAST),
        st.lists(NANOSECONDS, max_size=12),
        st.lists(NANOSECONDS, max_size=4),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=20,
)


def expanded(one: Windows, window: int) -> list[int]:
    """Every value of a window, as the upper edge it reads as."""
    return np.repeat(one.edges_ns, one.counts[window]).tolist()


@given(ROWS)
def test_a_second_is_the_sum_of_its_rows(told: list[Told]) -> None:
    found = windows(map(row_of, told), FIRST, LAST)
    assert found.size == LAST - FIRST + 1
    whole_max_ns = max((value for one in told for value in one.values_ns), default=0)
    for window in range(found.size):
        of_it = [one for one in told if one.second == FIRST + window]
        one = merged(row_of(told).latency for told in of_it)
        assert found.sums_ns[window] == one.sum_ns == sum(sum(told.values_ns) for told in of_it)
        assert found.missing[window] == sum(told.late + told.lost for told in of_it)
        buckets, counts = one.counts().pairs()
        edges = [
            edge if (edge := upper_edge(bucket)) < TOP_NS else max(edge, whole_max_ns)
            for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True)
            for _ in range(count)
        ]
        assert expanded(found, window) == [min(edge, whole_max_ns) for edge in edges]


@given(ROWS)
def test_the_whole_is_the_sum_of_all_rows(told: list[Told]) -> None:
    rows = [row_of(one) for one in told]
    found = windows(rows, FIRST, LAST)
    whole = merged(row.latency for row in rows)
    assert found.n == whole.n
    assert found.expected == sum(row.expected for row in rows)
    one = blocks(found, seconds=found.size)
    assert one.size == 1
    for q in QS:
        value = at_ranks(
            one.edges_ns, one.counts.cumsum(axis=1), quantile_ranks(np.array([found.expected]), q)
        )
        expected = whole.quantile(q, of=found.expected) if found.expected else None
        assert value[0] == (math.inf if expected is None else expected)


@given(ROWS)
def test_the_quantile_of_each_second_is_its_histogram_s(told: list[Told]) -> None:
    found = windows(map(row_of, told), FIRST, LAST)
    for q in QS:
        for window, value in enumerate(of_each(found, q)):
            one = merged(row_of(told).latency for told in told if told.second == FIRST + window)
            if one.n:
                assert one.quantile(q) <= value <= max(upper_edge(0), one.quantile(q) * (1 + 1 / 128))
            else:
                assert math.isnan(value)


@given(ROWS)
def test_of_the_service_time_nothing_is_missing(told: list[Told]) -> None:
    found = windows(map(row_of, told), FIRST, LAST, of="service")
    assert found.n == found.expected == sum(len(one.service_ns) for one in told)
    assert found.sums_ns.sum() == sum(sum(one.service_ns) for one in told)
    assert not found.missing.any()


def test_seconds_without_a_row_are_there_and_empty() -> None:
    found = windows([row_of(Told(3, [5, 7], [], 0, 1))], 1, 4)
    assert found.counts.tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]
    assert found.edges_ns.tolist() == [5, 7]
    assert found.sums_ns.tolist() == [0, 0, 12, 0]
    assert found.missing.tolist() == [0, 0, 1, 0]


def test_a_worker_whose_clock_began_earlier_loses_nothing() -> None:
    rows = [row_of(Told(second, [second], [], 1, 0)) for second in (9, 10, 11, 12, 13)]
    found = windows(rows, 10, 12)
    assert found.counts.sum(axis=1).tolist() == [2, 1, 2]
    assert found.missing.tolist() == [2, 1, 2]
    assert found.sums_ns.tolist() == [19, 11, 25]


def test_nothing_at_all_is_windows_of_nothing() -> None:
    found = windows([], 5, 9)
    assert found.counts.shape == (5, 0)
    assert found.n == found.expected == 0
    assert np.isnan(of_each(found, 0.5)).all()
    assert blocks(found).counts.shape == (1, 0)


def test_what_cannot_be_windows() -> None:
    with pytest.raises(ValueError, match="no second from 5 to 4"):
        windows([], 5, 4)
    with pytest.raises(ValueError, match="'phases' is neither latency nor service"):
        windows([], 5, 6, of="phases")


# -- blocks --------------------------------------------------------------------------------------------------


@given(st.integers(1, 700), st.integers(1, 30))
def test_blocks_are_nearly_equal_and_leave_nothing_over(size: int, seconds: int) -> None:
    lengths = np.diff([*block_starts(size, seconds), size])
    assert lengths.sum() == size
    assert len(lengths) == max(1, size // seconds)
    assert lengths.max() - lengths.min() <= 1
    assert (np.diff(lengths) <= 0).all(), "the longer ones first"
    assert lengths.min() >= min(seconds, size)


@given(ROWS, st.integers(1, 14))
def test_a_block_is_the_sum_of_its_seconds(told: list[Told], seconds: int) -> None:
    found = windows(map(row_of, told), FIRST, LAST)
    whole = blocks(found, seconds)
    assert whole.edges_ns is found.edges_ns
    parts = np.array_split(np.arange(found.size), max(1, found.size // seconds))
    for block, part in enumerate(parts):
        assert (whole.counts[block] == found.counts[part].sum(axis=0)).all()
        assert whole.sums_ns[block] == found.sums_ns[part].sum()
        assert whole.missing[block] == found.missing[part].sum()


# -- ranks ---------------------------------------------------------------------------------------------------


def test_a_rank_is_found_in_its_own_row() -> None:
    counts = np.array([[2, 0, 1], [0, 3, 0]])
    edges = np.array([10, 20, 30])
    found = [
        at_ranks(edges, counts.cumsum(axis=1), np.array([rank, rank])).tolist() for rank in (0, 1, 2, 3, 4)
    ]
    assert found == [[0, 0], [10, 20], [10, 20], [30, 20], [math.inf, math.inf]]


def test_a_quantile_is_the_nearest_rank() -> None:
    n = np.array([0, 1, 10, 100, 101])
    assert quantile_ranks(n, 0.95).tolist() == [1, 1, 10, 95, 96]
    assert quantile_ranks(n, 0.5).tolist() == [1, 1, 5, 50, 51]
