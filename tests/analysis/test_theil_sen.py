"""The slope of all pairs, held against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import theilslopes

from loadtest.analysis.theil_sen import theil_sen

# Few different values, so that ties are common; whole ones, so that both sums come to the same bits.
FEW = st.integers(-4, 4)
POINTS = st.lists(st.tuples(FEW, st.integers(-1000, 1000) | FEW), min_size=2, max_size=40).filter(
    lambda points: len({x for x, _ in points}) > 1
)


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")  # scipy's own, of nothing but ties
@given(points=POINTS, confidence=st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_it_is_scipy_s(points: list[tuple[int, int]], confidence: float) -> None:
    x, y = (np.array(values, float) for values in zip(*points, strict=True))
    found, wanted = theil_sen(y, x, confidence), theilslopes(y, x, alpha=confidence)
    assume(not np.isnan(wanted.low_slope))
    assert found == pytest.approx((wanted.slope, wanted.low_slope, wanted.high_slope))


def test_one_outlier_does_not_move_a_line() -> None:
    x = np.arange(20.0)
    y = 3 * x
    y[7] = 1e9
    found = theil_sen(y, x)
    assert found.slope == 3 and found.low <= 3 <= found.high


def test_points_above_one_another_have_no_slope() -> None:
    with pytest.raises(ValueError, match="no two points"):
        theil_sen(np.array([1.0, 2.0]), np.array([5.0, 5.0]))
