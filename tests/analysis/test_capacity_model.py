"""What a user costs, and what may be said beyond what was measured."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from loadtest.analysis.capacity_model import (
    DASHED,
    EXTRAPOLATED,
    INTERPOLATED,
    REFUSED,
    Model,
    Point,
    band,
    fit,
    predict,
    reach,
    saturates_at,
)

LEVELS = (50, 75, 112, 168, 252, 378)


def fitted(points: list[Point]) -> Model:
    found = fit(points)
    assert isinstance(found, Model)
    return found


def at_one_rate(noise: float = 0.0, seed: int = 1) -> list[Point]:
    chance = random.Random(seed)
    return [Point(n, 2.0 * n, 3 + 0.15 * n + chance.gauss(0, noise)) for n in LEVELS for _ in range(2)]


def test_what_is_a_line_is_found_exactly() -> None:
    model = fitted(at_one_rate())
    assert model.idle_percent == pytest.approx(3)
    assert model.per_user_percent == pytest.approx(0.15)
    assert model.per_delivery_percent is None, (
        "users and deliveries went together: nobody can tell them apart"
    )
    assert saturates_at(model) == pytest.approx(97 / 0.15)
    assert predict(model, 200).value == pytest.approx(33)


def test_a_factorial_tells_users_from_deliveries() -> None:
    points = [
        Point(n, rate * n, 2 + 0.02 * n + 0.03 * rate * n) for n in (50, 100, 200) for rate in (0.5, 1.0, 4.0)
    ]
    model = fitted(points)
    assert (model.idle_percent, model.per_user_percent) == (pytest.approx(2), pytest.approx(0.02))
    assert model.per_delivery_percent == pytest.approx(0.03)
    assert predict(model, 150, 300).value == pytest.approx(2 + 3 + 9)


def test_nothing_costs_less_than_nothing() -> None:
    """By plain least squares the idle server would take minus five percent."""
    model = fitted([Point(n, n, max(0.5, 0.2 * n - 5)) for n in (40, 60, 80, 100, 120)])
    assert model.idle_percent == 0
    assert model.used == [False, True]


def test_the_interval_is_the_textbook_s() -> None:
    from scipy import stats

    points = at_one_rate(noise=1.5)
    model = fitted(points)
    x = np.array([point.users for point in points], float)
    y = np.array([point.cpu_percent for point in points], float)
    line = stats.linregress(x, y)
    residual = y - line.intercept - line.slope * x
    s = math.sqrt(float(residual @ residual) / (len(x) - 2))
    at = 200
    share = 1 + 1 / len(x) + (at - x.mean()) ** 2 / float(((x - x.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, len(x) - 2) * s * math.sqrt(share)
    value, low, high = band(model, at)
    assert value == pytest.approx(line.intercept + line.slope * at)
    assert (value - low, high - value) == (pytest.approx(half), pytest.approx(half))


def test_the_interval_holds_as_often_as_it_says() -> None:
    inside = 0
    trials = 400
    for seed in range(trials):
        model = fitted(at_one_rate(noise=1.5, seed=seed))
        _, low, high = band(model, 300)
        new = 3 + 0.15 * 300 + random.Random(10_000 + seed).gauss(0, 1.5)
        inside += low <= new <= high
    assert 0.92 <= inside / trials <= 0.98


@pytest.mark.parametrize(
    ("users", "how"),
    [
        (1, INTERPOLATED),
        (378, INTERPOLATED),
        (379, EXTRAPOLATED),
        (567, EXTRAPOLATED),
        (568, DASHED),
        (756, DASHED),
        (757, REFUSED),
    ],
)
def test_how_far_a_line_may_be_carried(users: int, how: str) -> None:
    assert reach(users, 378) == how
    found = predict(fitted(at_one_rate(noise=1.0)), users)
    assert found.how == how
    numbers = (found.value, found.low, found.high)
    assert all(one is None for one in numbers) if how in (DASHED, REFUSED) else None not in numbers


@pytest.mark.parametrize(
    "points",
    [
        [],
        [Point(50, 100, 10), Point(100, 200, 20)],
        [Point(50, 100, 10)] * 5,
        [Point(50, 0, 0), Point(60, 0, 0), Point(70, 0, 0)],
    ],
)
def test_too_little_is_no_line(points: list[Point]) -> None:
    assert isinstance(fit(points), str)
