"""Runs that settle, drift, grow and stay; a slow MSER-5, and how often a steady run is called something else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.steadiness import (
    DRIFTING,
    LEAST_S,
    STEADY,
    UNKNOWN,
    UNSETTLED,
    Drift,
    Steadiness,
    drift,
    mser5,
    steadiness,
)
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Edges, Run
from loadtest.measure.units import MS, SECOND

MEASURE_S = 10
Level = Callable[[int], float]


def row(
    second: int, values_ms: Sequence[float], operation: str = "message.deliver", **told: Any
) -> SeriesRow:
    latency = Histogram()
    for value in values_ms:
        latency.record(round(value * MS))
    facts = {"transport": "websocket", "phase": "measure"} | told
    return SeriesRow(operation, second=second, expected=latency.n, latency=latency.counts(), **facts)


@pytest.fixture
def run_of(made: ModuleType) -> Callable[..., Run]:
    """A run of these rows, whose measured phase begins at MEASURE_S."""

    def make(rows: list[SeriesRow], **parameters: Any) -> Run:
        edges = Edges(2 * SECOND, MEASURE_S * SECOND, 400 * SECOND, 410 * SECOND)
        return Run(Path("/nowhere"), made.manifest(edges=edges, parameters=parameters), rows, [], [])

    return make


def played(
    rng: np.random.Generator, seconds: int, each: int, level: Level = lambda second: 1.0, sigma: float = 0.45
) -> list[SeriesRow]:
    """Lognormal latencies of 2 ms in the median, times the level of their second of the measured phase."""
    return [
        row(MEASURE_S + second, 2 * level(second) * rng.lognormal(0, sigma, each))
        for second in range(seconds)
    ]


def states(
    run_of: Callable[..., Run], times: int, seconds: int, each: int, level: Level = lambda second: 1.0
) -> Counter[str]:
    rng = np.random.default_rng(1000 * seconds + each)
    return Counter(steadiness(run_of(played(rng, seconds, each, level))).state for _ in range(times))


# -- MSER-5 --------------------------------------------------------------------------------------------------


def criterion(values: Sequence[float]) -> list[float]:
    """Of every cut up to the half, as the paper has it."""
    batches = [sum(values[i : i + 5]) / 5 for i in range(0, len(values) - 4, 5)]
    found = []
    for cut in range(len(batches) // 2 + 1):
        rest = batches[cut:]
        mean = sum(rest) / len(rest)
        found.append(sum((one - mean) ** 2 for one in rest) / len(rest) ** 2)
    return found


@given(st.lists(st.floats(0, 1000), min_size=10, max_size=90))
def test_the_cut_is_the_one_whose_rest_is_surest(values: list[float]) -> None:
    every = criterion(values)
    cut = mser5(values)
    chosen = every[-1] if cut is None else every[cut // 5]
    assert chosen <= min(every) * (1 + 1e-9) + 1e-12
    assert cut is None or (cut % 5 == 0 and cut // 5 < len(every) - 1)


def test_a_bad_start_is_cut_and_nothing_else() -> None:
    noise = np.random.default_rng(4).standard_normal(100)
    assert mser5(np.where(np.arange(100) < 15, 20, 10) + noise) == 15
    assert mser5([7.0] * 40) == 0
    assert mser5([9.0] * 10 + [7.0] * 30) == 10
    assert mser5([1e12 + one for one in [9.0] * 10 + [7.0] * 30]) == 10, "far from 0 it is the same"


def test_what_is_still_changing_in_the_middle_never_settled() -> None:
    assert mser5(list(range(60))) is None
    assert mser5([5.0] * 9) is None, "of nine there is no half to cut"


def test_a_transient_is_cut_so_that_the_mean_is_true() -> None:
    rng = np.random.default_rng(13)
    uncut, left = [], []
    for _ in range(100):
        values = (1 + 2 * np.exp(-np.arange(240) / 10)) * rng.lognormal(0, 0.1, 240)
        cut = mser5(values)
        assert cut is not None
        uncut.append(values.mean())
        left.append(values[cut:].mean())
    truth = math.exp(0.005)
    assert np.mean(uncut) / truth > 1.07
    assert np.mean(left) / truth == pytest.approx(1, abs=0.01)


# -- drift ---------------------------------------------------------------------------------------------------


def test_a_straight_line_drifts_by_what_it_rises() -> None:
    values = [100 + one / 10 for one in range(101)]
    assert drift(values) == Drift(*(pytest.approx(100 * 10 / 105),) * 3)
    assert drift(values[::-1]) == Drift(*(pytest.approx(-100 * 10 / 105),) * 3)
    assert drift([3.0] * 50) == Drift(0.0, 0.0, 0.0)


@pytest.mark.parametrize("size", [10, 11, 49, 50, 53, 120, 3000, 3601])
def test_a_line_is_a_line_at_any_length(size: int) -> None:
    found = drift([50 + 100 * one / (size - 1) for one in range(size)])
    assert found is not None
    assert found.percent == pytest.approx(100, rel=1e-6)


def test_nine_values_are_too_few_and_nought_has_no_percent() -> None:
    assert drift([1.0] * 9) is None
    assert drift([0.0] * 20) is None


def test_single_outliers_do_not_make_a_drift() -> None:
    values = 10 + 0.2 * np.random.default_rng(6).standard_normal(120)
    calm = drift(values)
    values[[100, 105, 110, 115]] = 500
    wild = drift(values)
    assert calm is not None and wild is not None
    assert wild.percent == pytest.approx(calm.percent, abs=3)


def test_the_interval_holds_the_true_drift_also_of_neighbours_that_are_alike() -> None:
    rng = np.random.default_rng(7)
    for alike, least in ((0.0, 0.92), (0.4, 0.85)):
        held = 0
        for _ in range(200):
            noise = np.zeros(120)
            for second in range(1, 120):
                noise[second] = alike * noise[second - 1] + math.sqrt(1 - alike**2) * rng.standard_normal()
            found = drift(100 + 10 * np.linspace(0, 1, 120) + 5 * noise)
            assert found is not None
            held += found.low <= 100 * 10 / 105 <= found.high
        assert held / 200 >= least


def test_more_confidence_is_a_wider_interval() -> None:
    values = 10 + np.random.default_rng(6).standard_normal(120)
    usual, sure = drift(values), drift(values, 0.99)
    assert usual is not None and sure is not None
    assert sure.low < usual.low < usual.percent < usual.high < sure.high


# -- runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "each"), [(20, 20), (60, 5), (60, 50), (120, 20)])
def test_a_steady_run_is_seldom_called_anything_else(
    run_of: Callable[..., Run], seconds: int, each: int
) -> None:
    # 2 in 100 are, in many more simulations than these.
    assert states(run_of, 100, seconds, each)[STEADY] >= 95


@pytest.mark.parametrize("each", [20, 100])
def test_a_bad_start_is_caught(run_of: Callable[..., Run], each: int) -> None:
    found = states(run_of, 40, 120, each, lambda second: 1.5 if second < 15 else 1.0)
    assert found[UNSETTLED] >= 36
    assert found[STEADY] == 0


@pytest.mark.parametrize("each", [20, 100])
def test_a_long_warm_up_is_not_called_steady(run_of: Callable[..., Run], each: int) -> None:
    found = states(run_of, 40, 120, each, lambda second: 1 + 2 * math.exp(-second / 10))
    assert found[STEADY] == 0
    assert found[UNSETTLED] >= 28, "of the others what is left of it after the cut is a drift"


@pytest.mark.parametrize("each", [20, 100])
def test_a_growing_queue_is_caught(run_of: Callable[..., Run], each: int) -> None:
    found = states(run_of, 40, 120, each, lambda second: 1 + second / 120)
    assert found[STEADY] == 0
    assert found[DRIFTING] >= 36


def test_it_says_how_long_it_took_to_settle(run_of: Callable[..., Run]) -> None:
    rng = np.random.default_rng(1)
    found = steadiness(run_of(played(rng, 120, 100, lambda second: 2.0 if second < 15 else 1.0, 0.05)))
    assert found.state == UNSETTLED
    assert found.cut_s == 15
    assert "of message.deliver was " in found.why
    assert found.why.endswith("% higher in the first 15 s of measure")
    assert found.drift_percent is not None and abs(found.drift_percent) < 5, "of what came after"


def test_a_step_in_the_middle_is_no_drift(run_of: Callable[..., Run]) -> None:
    # MSER-5 finds no cut up to the half that is good enough, yet from there on it is steady.
    rng = np.random.default_rng(1)
    rows = played(rng, 120, 100, lambda second: 1.0 if second < 60 else 1.4)
    assert mser5([rows[second].latency.sum_ns for second in range(120)]) is None
    found = steadiness(run_of(rows))
    assert found.state == UNSETTLED
    assert found.cut_s == 60
    assert found.why.endswith("% lower in the first 60 s of measure")


def test_it_says_how_far_it_went(run_of: Callable[..., Run]) -> None:
    rng = np.random.default_rng(1)
    found = steadiness(run_of(played(rng, 120, 100, lambda second: 1.3 - 0.6 * second / 120)))
    assert found.state == DRIFTING
    assert found.drift_percent == pytest.approx(-60, abs=6)
    assert found.drift_ci95 is not None
    assert found.drift_ci95[0] < found.drift_percent < found.drift_ci95[1] < 0
    least, most = sorted(f"{-end:.3g}" for end in found.drift_ci95)
    assert " of message.deliver fell by " in found.why
    assert found.why.endswith(f"(95 % interval: {least} to {most} %)")
    rising = steadiness(run_of(played(rng, 120, 100, lambda second: 0.7 + 0.6 * second / 120)))
    assert " rose by " in rising.why


def test_a_p95_may_drift_alone(run_of: Callable[..., Run]) -> None:
    rows = []
    for second in range(100):
        tail = 20 + second / 2
        rows.append(row(MEASURE_S + second, [2.0] * 90 + [tail] * 10))
    found = steadiness(run_of(rows))
    assert found.state == DRIFTING
    assert found.why.startswith("p95 of message.deliver rose by")


def test_a_steady_run_says_so(run_of: Callable[..., Run]) -> None:
    found = steadiness(run_of(played(np.random.default_rng(2), 120, 100)))
    assert found.state == STEADY
    assert found.cut_s == 0
    assert found.drift_ci95 is not None and found.drift_percent is not None
    assert found.drift_ci95[0] <= found.drift_percent <= found.drift_ci95[1]
    assert "message.deliver neither drifted nor" in found.why


def test_latencies_that_are_all_alike_are_steady(run_of: Callable[..., Run]) -> None:
    found = steadiness(run_of([row(MEASURE_S + second, [2.0] * 10) for second in range(60)]))
    assert found == Steadiness(STEADY, 0, 0.0, (0.0, 0.0), found.why)


def test_what_the_clock_cannot_tell_is_no_drift(run_of: Callable[..., Run]) -> None:
    # A fifth more, but of so little that timers alone make it.
    rows = [row(MEASURE_S + second, [0.3 + 0.06 * second / 60] * 10) for second in range(60)]
    assert steadiness(run_of(rows)).state == STEADY
    tenfold = [row(MEASURE_S + second, [3 + 0.6 * second / 60] * 10) for second in range(60)]
    assert steadiness(run_of(tenfold)).state == DRIFTING


def test_a_step_of_less_than_a_twentieth_is_none(run_of: Callable[..., Run]) -> None:
    def stepped(by: float) -> str:
        levels = [20 * (by if second < 10 else 1) for second in range(60)]
        return steadiness(run_of([row(MEASURE_S + s, [level] * 10) for s, level in enumerate(levels)])).state

    assert stepped(1.03) == STEADY
    assert stepped(1.10) == UNSETTLED


def test_a_cut_counts_seconds_of_the_run_not_rows(run_of: Callable[..., Run]) -> None:
    # Every other second is quiet, so the sixteenth that can be looked at is 30 s into the phase.
    rows = [
        row(MEASURE_S + second, [30.0 if second < 30 else 10.0] * (20 if second % 2 == 0 else 4))
        for second in range(150)
    ]
    found = steadiness(run_of(rows))
    assert found.state == UNSETTLED
    assert found.cut_s == 30


def test_transports_and_halves_of_a_second_add_up(run_of: Callable[..., Run]) -> None:
    rows = []
    for second in range(MEASURE_S, MEASURE_S + LEAST_S):
        rows += [row(second, [2.0] * 3), row(second, [2.0] * 2, transport="interval-polling")]
    assert steadiness(run_of(rows)).state == STEADY


# -- what cannot be told -------------------------------------------------------------------------------------


def test_a_short_run_tells_nothing(run_of: Callable[..., Run]) -> None:
    rows = [row(MEASURE_S + second, [2.0] * 5) for second in range(LEAST_S)]
    assert steadiness(run_of(rows)).state == STEADY
    rows[7] = row(MEASURE_S + 7, [2.0] * 4)
    short = steadiness(run_of(rows))
    assert short == Steadiness(
        UNKNOWN, why="only 19 seconds of measure had 5 deliveries or more, 20 are needed"
    )


def test_a_run_that_was_meant_to_change_is_not_asked(run_of: Callable[..., Run]) -> None:
    rows = [row(MEASURE_S + second, [2.0 + second] * 10) for second in range(60)]
    assert steadiness(run_of(rows, faults=[], stages=None)).state == DRIFTING
    assert steadiness(run_of(rows, faults=["abort@5"])).why.startswith("faults were injected")
    assert steadiness(run_of(rows, stages="30s:10,60s:50")).why.startswith("the number of users changed")
    for told in ({"faults": ["abort@5"]}, {"stages": [[30, 10]]}):
        assert steadiness(run_of(rows, **told)).state == UNKNOWN


def test_only_what_was_delivered_while_measuring_counts(run_of: Callable[..., Run]) -> None:
    others = [row(MEASURE_S + second, [second * 9.0 + 1] * 9, "message.ack") for second in range(60)]
    others += [row(second, [999.0] * 9, phase="warmup") for second in range(MEASURE_S)]
    nothing = steadiness(run_of(others))
    assert nothing == Steadiness(UNKNOWN, why="nothing was delivered in the measured phase")
    calls = [row(MEASURE_S + second, [30.0] * 6, "call.ring") for second in range(60)]
    found = steadiness(run_of(others + calls))
    assert found.state == STEADY
    assert "call.ring" in found.why
