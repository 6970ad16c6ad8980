"""Does the histogram say what the sorted list of all values would, to a bucket, however it was cut up?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure.histogram import BUCKETS, TOP_NS, Counts, Histogram, bucket_of, merged, upper_edge

WIDTH = 1 / 128
QUANTILES = (0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)


def filled(values: Iterable[int], fold_every: int = 0) -> Histogram:
    histogram = Histogram()
    for i, value in enumerate(values):
        histogram.record(value)
        if fold_every and i % fold_every == 0:
            histogram.fold()
    return histogram


def bucket_by_hand(value: int) -> int:
    """The slow oracle: shift until seven bits remain below the leading one."""
    shift = 0
    while value >> shift >= 256:
        shift += 1
    return shift * 128 + (value >> shift)


# -- buckets -------------------------------------------------------------------------------------------------


def test_every_bucket_is_the_inverse_of_its_upper_edge() -> None:
    edges = np.array([upper_edge(bucket) for bucket in range(BUCKETS)], np.int64)
    assert (np.diff(edges) > 0).all()
    assert edges[-1] == TOP_NS
    assert (bucket_of(edges) == np.arange(BUCKETS)).all()
    assert (bucket_of(edges[:-1] + 1) == np.arange(1, BUCKETS)).all()
    lower = np.concatenate(([0], edges[:-1] + 1))
    assert (edges - lower <= lower * WIDTH).all()


@given(st.integers(0, TOP_NS) | st.integers(0, 40).map(lambda bit: min(TOP_NS, 1 << bit)))
def test_bucket_of_one_value(value: int) -> None:
    bucket = int(bucket_of(np.array([value], np.int64))[0])
    assert bucket == bucket_by_hand(value)
    assert value <= upper_edge(bucket) <= value + value * WIDTH


def test_bucket_of_keeps_the_shape() -> None:
    assert bucket_of(np.zeros((3, 4), np.int64)).shape == (3, 4)


# -- quantiles -----------------------------------------------------------------------------------------------


def nearest_rank(values: list[int], q: float) -> int:
    return sorted(values)[max(1, math.ceil(round(q * len(values), 6))) - 1]


def edges(rng: Random, n: int) -> list[int]:
    return [max(0, upper_edge(rng.randrange(BUCKETS)) + rng.choice((-1, 0, 1))) for _ in range(n)]


SHAPES: dict[str, Callable[[Random, int], list[int]]] = {
    "lognormal": lambda rng, n: [int(rng.lognormvariate(math.log(2e6), 1)) for _ in range(n)],
    "bimodal": lambda rng, n: [int(rng.gauss(*rng.choice(((1e6, 1e4), (9e8, 1e7))))) for _ in range(n)],
    "constant": lambda rng, n: [rng.randrange(TOP_NS)] * n,
    "heavy tail": lambda rng, n: [min(TOP_NS, int(1e5 * rng.paretovariate(0.5))) for _ in range(n)],
    "edges of buckets": edges,
    "tiny": lambda rng, n: [rng.randrange(300) for _ in range(n)],
    "sorted": lambda rng, n: list(range(0, n * 1000, 1000)),
}


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 3000])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_err_upwards_by_a_bucket_at_most(shape: str, n: int) -> None:
    values = [min(TOP_NS, value) for value in SHAPES[shape](Random(f"{shape}{n}"), n)]
    histogram = filled(values, fold_every=37)
    for q in QUANTILES:
        true, got = nearest_rank(values, q), histogram.quantile(q)
        assert got is not None
        assert true <= got <= true * (1 + WIDTH), (q, true, got)
    assert histogram.quantile(1.0) == max(values)
    assert histogram.mean_ns == sum(values) / n


VALUES = st.lists(st.integers(0, 1000) | st.integers(0, TOP_NS), min_size=1, max_size=300)


@settings(max_examples=60)
@given(VALUES, st.integers(0, 50))
def test_every_rank(values: list[int], fold_every: int) -> None:
    histogram = filled(values, fold_every)
    for rank, true in enumerate(sorted(values), start=1):
        assert true <= histogram.at_rank(rank) <= true * (1 + WIDTH)
    assert histogram.at_rank(len(values)) == max(values)


@pytest.mark.parametrize("rank", [-1, 0, 4])
def test_a_rank_that_is_not_there(rank: int) -> None:
    with pytest.raises(ValueError, match=f"rank {rank} of 3"):
        filled([1, 2, 3]).at_rank(rank)


def test_nothing_has_no_quantile_and_no_mean() -> None:
    empty = Histogram()
    assert empty.empty
    assert (empty.quantile(0.5), empty.quantile(0.5, 10), empty.mean_ns) == (None, None, None)
    with pytest.raises(ValueError, match="rank 1 of 0"):
        empty.at_rank(1)
    assert not empty.dense().any()


@pytest.mark.parametrize(
    ("q", "of", "value"),
    [
        (0.5, 4, 2),
        (0.5, 100, 50),
        (0.95, 100, 95),
        (0.951, 100, None),
        (0.96, 100, None),
        (1.0, 100, None),
        (0.5, 191, None),
        (0.5, 190, 95),
        (0.999, 95, 95),
        (0.0, 100, 1),
    ],
)
def test_quantile_over_the_expected(q: float, of: int, value: int | None) -> None:
    """95 of them came, 1 to 95 ns: the rest rank above all others."""
    assert filled(range(1, 96)).quantile(q, of) == value


@given(VALUES, st.integers(0, 300), st.sampled_from(QUANTILES))
def test_missing_ones_are_infinite(values: list[int], missing: int, q: float) -> None:
    infinite = TOP_NS * 4
    true = nearest_rank(values + [infinite] * missing, q)
    got = filled(values).quantile(q, len(values) + missing)
    if true == infinite:
        assert got is None
    else:
        assert got is not None
        assert true <= got <= true * (1 + WIDTH)


def test_the_rank_of_round_percentages_is_not_off_by_one() -> None:
    """0.07 * 100 is 7.000000000000001 in binary; the rank is 7."""
    histogram = filled(range(1, 101))
    for percent in range(1, 101):
        assert histogram.quantile(percent / 100) == percent
    thousand = filled(range(1, 1001))
    for tenth in range(1, 1000):
        rank = histogram.quantile(tenth / 1000)
        got = thousand.quantile(tenth / 10 / 100)
        assert rank is not None
        assert got is not None
        assert tenth <= got <= tenth * (1 + WIDTH)
        assert thousand.at_rank(tenth) == got


# -- sums, odd values ----------------------------------------------------------------------------------------


def test_sums_are_exact_and_negatives_are_told() -> None:
    counts = filled([5, -3, 10**12, -1, 0]).counts()
    assert (counts.n, counts.sum_ns, counts.min_ns, counts.max_ns, counts.negative) == (
        5,
        10**12 + 1,
        -3,
        10**12,
        2,
    )
    assert filled([5, -3, -1, 0]).at_rank(1) == 0
    assert filled([-7, -3]).at_rank(2) == -3


def test_beyond_the_top_the_maximum_is_exact_and_quantiles_are_not_too_low() -> None:
    histogram = filled([5, TOP_NS + 1, TOP_NS * 9])
    assert histogram.counts().max_ns == TOP_NS * 9
    assert histogram.at_rank(1) == 5
    assert histogram.at_rank(2) >= TOP_NS + 1
    assert histogram.at_rank(3) == TOP_NS * 9
    assert histogram.dense()[BUCKETS - 1] == 2


@given(VALUES)
def test_dense(values: list[int]) -> None:
    expected = np.zeros(BUCKETS, np.int64)
    for value in values:
        expected[bucket_by_hand(value)] += 1
    assert (filled(values).dense() == expected).all()


@given(VALUES)
def test_pairs_are_sorted_and_small(values: list[int]) -> None:
    counts = filled(values).counts()
    buckets, of_each = counts.pairs()
    assert buckets.tolist() == sorted({bucket_by_hand(value) for value in values})
    assert of_each.sum() == counts.n == len(values)
    assert (of_each > 0).all()
    assert (len(counts.buckets), len(counts.counts)) == (2 * buckets.size, 4 * buckets.size)


# -- taking --------------------------------------------------------------------------------------------------


@given(st.lists(VALUES, max_size=5))
def test_taken_parts_add_up_and_record_stays_bound(parts: list[list[int]]) -> None:
    histogram = Histogram()
    record = histogram.record
    taken = []
    for part in parts:
        for value in part:
            record(value)
        seen = histogram.empty
        taken.append(histogram.take())
        assert (seen, histogram.empty) == (False, True)
        assert histogram.counts() == Counts()
    assert taken == [filled(part).counts() for part in parts]
    assert merged(taken).counts() == filled([value for part in parts for value in part]).counts()


def test_looking_does_not_unbind_record_either() -> None:
    histogram = Histogram()
    record = histogram.record
    for n in range(1, 5):
        record(n)
        assert histogram.quantile(1.0) == n
        assert histogram.counts().n == n
    record(9)
    histogram.merge(filled([3]))
    record(10)
    assert histogram.counts() == filled([1, 2, 3, 4, 9, 3, 10]).counts()


# -- merging -------------------------------------------------------------------------------------------------

ANY = st.lists(st.integers(-10, TOP_NS * 2), max_size=40)


@pytest.mark.parametrize("shape", SHAPES)
def test_shuffled_parts_are_bit_identical_to_the_whole(shape: str) -> None:
    rng = Random(shape)
    values = SHAPES[shape](rng, 2000)
    whole = filled(values).counts()
    for parts in (1, 2, 7, 60):
        rng.shuffle(values)
        cut = [values[i::parts] for i in range(parts)]
        assert merged(filled(part, fold_every=11) for part in cut).counts() == whole
        assert merged(filled(part).counts() for part in cut).counts() == whole
        total = Counts()
        for part in cut:
            total = total.plus(filled(part).counts())
        assert total == whole


@given(ANY, ANY, ANY)
def test_addition_is_associative_commutative_and_has_a_zero(a: list[int], b: list[int], c: list[int]) -> None:
    x, y, z = (filled(values).counts() for values in (a, b, c))
    assert x.plus(y) == y.plus(x) == filled(a + b).counts()
    assert x.plus(y).plus(z) == x.plus(y.plus(z)) == filled(a + b + c).counts()
    assert x.plus(Counts()) == Counts().plus(x) == x


@given(ANY, ANY)
def test_both_ways_of_adding_agree(a: list[int], b: list[int]) -> None:
    histogram, other = filled(a), filled(b)
    histogram.merge(other)
    assert histogram.counts() == filled(a).counts().plus(filled(b).counts())
    assert other.counts() == filled(b).counts(), "the one that was added is left as it was"
