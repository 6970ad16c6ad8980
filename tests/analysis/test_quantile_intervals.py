"""Intervals of a run: slow oracles, and how often they hold what was drawn from a known distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.intervals import proportion, ranks
from loadtest.analysis.quantile_intervals import (
    GOOD,
    LOW,
    NONE,
    USABLE,
    Bounds,
    mean_interval,
    needed,
    quantile_interval,
    quantile_intervals,
    share_interval,
    tail_windows,
    tier,
)
from loadtest.analysis.windows import FloatArray, Windows, blocks
from loadtest.measure.histogram import IntArray, bucket_of, upper_edge
from loadtest.measure.units import MS

QS = (0.5, 0.95, 0.99, 0.999)
UNBOUNDED = Bounds(0.0, math.inf, 0)


def of(values_ns: IntArray, missing: list[int] | None = None) -> Windows:
    """Windows of values, (W, n): n of them in each second."""
    size, each = values_ns.shape
    used, column = np.unique(bucket_of(values_ns), return_inverse=True)
    counts = np.zeros((size, len(used)), np.int64)
    np.add.at(counts, (np.repeat(np.arange(size), each), column.ravel()), 1)
    edges = np.minimum([upper_edge(bucket) for bucket in used.tolist()], values_ns.max(initial=0))
    gone = np.zeros(size, np.int64) if missing is None else np.array(missing, np.int64)
    return Windows(edges.astype(np.int64), counts, values_ns.sum(axis=1), gone)


def in_one(series: Windows) -> Windows:
    """The same without its seconds, so that only independence is left to stand on."""
    return blocks(series, series.size)


def in_order(series: Windows) -> list[float]:
    """Every value, the missing at the end, after a leading 0 for rank 0."""
    came = np.repeat(series.edges_ns, series.counts.sum(axis=0)).astype(float).tolist()
    return [0.0, *came, *[math.inf] * int(series.missing.sum() + 1)]


SMALL = st.integers(1, 9).flatmap(
    lambda size: st.tuples(
        st.lists(st.lists(st.integers(0, 10**9), min_size=8, max_size=8), min_size=size, max_size=size).map(
            lambda rows: np.array(rows, np.int64)
        ),
        st.lists(st.integers(0, 3), min_size=size, max_size=size),
    )
)

# -- independent ones ----------------------------------------------------------------------------------------


@given(SMALL, st.sampled_from(QS))
def test_a_short_series_has_the_interval_of_its_order(drawn: tuple[IntArray, list[int]], q: float) -> None:
    series = of(*drawn)
    found = quantile_interval(series, q)
    ordered = in_order(series)
    low, high = ranks(series.expected, q)
    assert found == Bounds(ordered[low], ordered[high] if high <= series.expected else math.inf, 0)


@given(SMALL, st.sampled_from(QS), st.integers(1, 9))
def test_copies_that_share_their_fate_say_nothing_new(
    drawn: tuple[IntArray, list[int]], q: float, copies: int
) -> None:
    values, missing = drawn
    once = of(values, missing)
    often = of(np.repeat(values, copies, axis=1), [copies * one for one in missing])
    assert quantile_interval(often, q, once.expected) == quantile_interval(once, q)


def test_more_independent_ones_than_there_are_is_all_of_them() -> None:
    series = of(np.arange(400).reshape(4, 100))
    assert quantile_interval(series, 0.95, 10**6) == quantile_interval(series, 0.95)


def test_the_missing_rank_above_all() -> None:
    values = np.arange(1, 97, dtype=np.int64).reshape(4, 24) * MS
    few = quantile_interval(of(values, [1, 1, 1, 1]), 0.5)
    assert few.low < 50.5 * MS < few.high < math.inf
    assert quantile_interval(of(values, [1, 1, 1, 1]), 0.95).high == math.inf
    assert quantile_interval(of(values, [100] * 4), 0.5) == Bounds(math.inf, math.inf, 0)


def test_nothing_has_no_bounds() -> None:
    nothing = of(np.zeros((20, 0), np.int64))
    assert quantile_intervals(nothing, QS) == [UNBOUNDED] * 4
    assert mean_interval(nothing) == UNBOUNDED
    lost = of(np.zeros((20, 0), np.int64), [1] * 20)
    assert quantile_interval(lost, 0.5).high == math.inf
    assert mean_interval(lost) == UNBOUNDED


def test_a_single_value_has_no_upper_end() -> None:
    one = of(np.array([[7 * MS]]))
    assert quantile_interval(one, 0.5) == UNBOUNDED
    assert mean_interval(one) == Bounds(7 * MS, math.inf, 0)


# -- blocks --------------------------------------------------------------------------------------------------


@given(st.integers(10, 14), st.sampled_from(QS), st.integers(0, 2**32 - 1))
def test_two_blocks_give_whatever_can_be_drawn_of_them(size: int, q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = of(rng.integers(0, 10**9, (size, 20)), rng.integers(0, 2, size).tolist())
    halves = blocks(series)
    assert halves.size == 2
    drawn = []
    for chosen in product((0, 1), repeat=2):
        came = np.repeat(series.edges_ns, halves.counts[list(chosen)].sum(axis=0)).tolist()
        expected = len(came) + int(halves.missing[list(chosen)].sum())
        rank = max(1, math.ceil(q * expected - 1e-9))
        drawn.append(came[rank - 1] if rank <= len(came) else math.inf)
    alone = quantile_interval(in_one(series), q)
    assert quantile_interval(series, q) == Bounds(min(alone.low, *drawn), max(alone.high, *drawn), 2)


def test_blocks_that_are_all_alike_add_nothing() -> None:
    second = np.random.default_rng(3).integers(MS, 50 * MS, 200)
    series = of(np.tile(second, (60, 1)))
    for wide, alone in zip(
        quantile_intervals(series, QS), quantile_intervals(in_one(series), QS), strict=True
    ):
        assert wide == alone._replace(blocks=12)


@given(st.integers(10, 60), st.integers(0, 2**32 - 1), st.integers(1, 10))
def test_the_wider_holds_what_is_read_and_what_independence_gives(size: int, seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    series = of((rng.lognormal(1, 1, (size, 10)) * MS).astype(np.int64), rng.integers(0, 3, size).tolist())
    units = max(1, series.expected // copies)
    ordered = in_order(series)
    alone = quantile_intervals(in_one(series), QS, units)
    for q, wide, one in zip(QS, quantile_intervals(series, QS, units), alone, strict=True):
        rank = max(1, math.ceil(q * series.expected - 1e-9))
        assert wide.low <= one.low <= ordered[rank] <= one.high <= wide.high
        assert wide == quantile_interval(series, q, units), "and one by one, or again, gives the same"
        assert wide.blocks == size // 5


def test_blocks_in_which_nothing_was_expected() -> None:
    values = np.zeros((20, 1), np.int64)
    series = of(values)
    quiet = Windows(series.edges_ns, series.counts.copy(), series.sums_ns, series.missing)
    quiet.counts[1:] = 0
    assert quantile_interval(quiet, 0.5) == Bounds(0.0, math.inf, 4)
    assert mean_interval(quiet).blocks == 4


# -- means and shares ----------------------------------------------------------------------------------------


def test_the_mean_of_few_seconds_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(5).integers(0, 256, (4, 500))  # read exactly
    spread = values.std() / math.sqrt(2000)
    found = mean_interval(of(values))
    assert found == (
        pytest.approx(values.mean() - 1.96 * spread, rel=1e-5),
        pytest.approx(values.mean() + 1.96 * spread, rel=1e-5),
        0,
    )
    tenth = mean_interval(of(values), 200)
    assert tenth.high - tenth.low == pytest.approx((found.high - found.low) * math.sqrt(10))


def test_a_mean_does_not_fall_below_zero() -> None:
    values = np.zeros((4, 3), np.int64)
    values[0, 0] = MS
    assert mean_interval(of(values)).low == 0.0


@pytest.mark.parametrize(("wrong", "owed"), [(0, 500), (3, 500), (500, 500)])
def test_a_share_of_few_seconds_is_judged_as_it_was_counted(wrong: int, owed: int) -> None:
    assert share_interval(np.array([wrong, 0]), np.array([owed, 0])) == Bounds(*proportion(wrong, owed), 0)


def test_none_of_a_hundred_messages_is_not_none_of_nine_hundred_deliveries() -> None:
    owed = np.full(60, 15)
    none = np.zeros(60, np.int64)
    assert share_interval(none, owed, 100) == Bounds(*proportion(0, 100), 12)
    assert share_interval(owed, owed, 100) == Bounds(*proportion(100, 100), 12)


def test_what_was_lost_in_one_second_may_as_well_not_have_been() -> None:
    owed = np.full(60, 100)
    at_once, spread = np.zeros(60, np.int64), np.ones(60, np.int64)
    at_once[30] = 60
    found = share_interval(at_once, owed)
    assert found.low == 0.0, "one block in twelve: a third of all draws are without it"
    assert found.high > 2 * proportion(60, 6000)[1]
    assert share_interval(spread, owed) == Bounds(*proportion(60, 6000), 12)


def test_nothing_owed_may_be_any_share() -> None:
    assert share_interval(np.zeros(60, np.int64), np.zeros(60, np.int64)) == Bounds(0.0, 1.0, 0)
    assert share_interval(np.zeros(0, np.int64), np.zeros(0, np.int64)) == Bounds(0.0, 1.0, 0)


# -- how often they hold -------------------------------------------------------------------------------------

SECONDS, EACH, REPLICATES = 300, 100, 200


def calm(rng: np.random.Generator, seconds: int) -> FloatArray:
    """Milliseconds, (seconds, EACH): independent of one another."""
    return rng.lognormal(math.log(2), 0.45, (seconds, EACH))


def bursty(rng: np.random.Generator, seconds: int) -> FloatArray:
    """The same with a stall in every twentieth second, of 100 ms on average: what is due within it waits."""
    stalled_ms = rng.exponential(100, seconds) * (rng.random(seconds) < 1 / 20)
    due_ms = rng.random((seconds, EACH)) * 1000
    return calm(rng, seconds) + np.maximum(0, stalled_ms[:, np.newaxis] - due_ms)


Draw = Callable[[np.random.Generator, int], FloatArray]


def coverage(draw: Draw) -> tuple[dict[float, float], dict[float, float]]:
    """(wider of both, independence alone): how often each interval held the true percentile."""
    rng = np.random.default_rng(20261123)
    many = np.sort(draw(rng, 30_000), axis=None) * MS
    truth = {q: many[math.ceil(q * many.size) - 1] for q in QS}
    held = dict.fromkeys(QS, 0), dict.fromkeys(QS, 0)
    for _ in range(REPLICATES):
        series = of((draw(rng, SECONDS) * MS).astype(np.int64))
        for kind, one in zip(held, (series, in_one(series)), strict=True):
            for q, bounds in zip(QS, quantile_intervals(one, QS), strict=True):
                # An end is read at its bucket's upper edge, up to 0.8 % above it.
                kind[q] += bounds.low / (1 + 1 / 128) <= truth[q] <= bounds.high
    wide, alone = ({q: n / REPLICATES for q, n in kind.items()} for kind in held)
    return wide, alone


def test_intervals_of_independent_deliveries_hold() -> None:
    wide, alone = coverage(calm)
    assert min(wide.values()) >= 0.93
    assert min(alone.values()) >= 0.92
    assert all(wide[q] >= alone[q] for q in QS)


def test_in_bursts_only_the_wider_holds() -> None:
    wide, alone = coverage(bursty)
    assert wide[0.5] >= 0.95
    assert wide[0.95] >= 0.93
    assert wide[0.99] >= 0.85
    assert wide[0.999] >= 0.65, "as far as one run can: its tail is a dozen stalls"
    assert alone[0.99] <= 0.62, "three thousand deliveries of a dozen stalls are not three thousand"
    assert alone[0.999] <= 0.45


# -- tiers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "exists", "usable", "good"),
    [
        (0.5, 5, 20, 200),
        (0.9, 29, 100, 1000),
        (0.95, 59, 200, 2000),
        (0.99, 299, 1000, 10_000),
        (0.999, 2995, 10_000, 100_000),
        (0.9999, 29_956, 100_000, 1_000_000),
    ],
)
def test_tiers_begin_where_there_are_enough(q: float, exists: int, usable: int, good: int) -> None:
    assert needed(q) == (exists, usable, good)
    found = [tier(q, n + by, 60) for n in (exists, usable, good) for by in (-1, 0)]
    assert found == [NONE, LOW, LOW, USABLE, USABLE, GOOD]


@pytest.mark.parametrize(("q", "found"), [(0.5, GOOD), (0.95, GOOD), (0.99, LOW), (0.999, LOW)])
def test_a_tail_of_few_seconds_is_of_few_from_p99_on(q: float, found: str) -> None:
    assert tier(q, 10**6, 9) == found
    assert tier(q, 10**6, 10) == GOOD


def test_a_tail_is_counted_by_its_seconds() -> None:
    rng = np.random.default_rng(8)
    values = rng.integers(MS, 2 * MS, (60, 100))
    values[20:23, :30] = 500 * MS  # 90 of 6000, more than 1 %
    series = of(values)
    assert tail_windows(series, 0.99) == 3
    assert tail_windows(series, 0.95) > 50
    lost = of(values, [0] * 50 + [20] * 10)
    assert tail_windows(lost, 0.99) == 10, "p99 is among the missing"
    assert tail_windows(of(np.zeros((5, 0), np.int64)), 0.99) == 0


def test_latencies_that_are_all_alike_are_no_burst() -> None:
    assert tail_windows(of(np.full((60, 100), MS)), 0.99) == 60


@given(SMALL, st.sampled_from(QS))
def test_tail_windows_one_by_one(drawn: tuple[IntArray, list[int]], q: float) -> None:
    series = of(*drawn)
    value = in_order(series)[max(1, math.ceil(q * series.expected - 1e-9))]
    windows = 0
    for counts, missing in zip(series.counts, series.missing, strict=True):
        windows += bool(missing or any(edge >= value for edge in np.repeat(series.edges_ns, counts)))
    assert tail_windows(series, q) == windows
