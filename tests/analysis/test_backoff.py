"""Waits before attempts, against the bands of the policy."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from loadtest.analysis import backoff
from loadtest.analysis.drops import losses
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import Delta, Drop, HealthRow
from loadtest.measure.run import Run
from loadtest.measure.units import MS

JS = {"reconnect": "js", "backoff_s": [[0.55, 1.5], [1.1, 3.0], [2.2, 5.0], [4.4, 5.0], [5.0, 5.0]]}


def run_of(made: ModuleType, *some: Drop, rows: Any = (), **parameters: Any) -> Run:
    book = Book()
    book.add("local", Delta(1, list(rows), list(some), final=True))
    run: Run = made.in_memory(book, parameters=made.manifest().parameters | made.RETURNING | parameters)
    return run


def rows_of(run: Run) -> list[backoff.Attempt]:
    return backoff.backoff(run, losses(run).counted)


def test_a_row_for_each_number(made: ModuleType) -> None:
    some = [made.drop(f"u{n}", 6 + n / 10, (1.0 + n / 100, 2.0)) for n in range(3)]
    first, second = rows_of(run_of(made, *some))
    assert (first.attempt, first.n, first.p50_s, first.min_s, first.max_s) == (1, 3, 1.01, 1.0, 1.02)
    assert (second.attempt, second.n, second.p50_s, second.in_band) == (2, 3, 2.0, 1.0)
    assert first.band_s == (1.0, 1.0) and second.band_s == (2.0, 2.0)
    assert first.state == "inconclusive", "three are too few to say"


@pytest.mark.parametrize(("wait_s", "inside"), [(0.949, 0), (0.95, 1), (1.05, 1), (1.0501, 0)])
def test_a_band_and_what_is_allowed_on_either_side(made: ModuleType, wait_s: float, inside: int) -> None:
    (row,) = rows_of(run_of(made, made.drop("u", 6, (wait_s,))))
    assert row.in_band == inside


def test_what_the_generator_s_own_timers_cost_is_allowed_too(made: ModuleType) -> None:
    lags = Histogram()
    lags.record(20 * MS)
    health = HealthRow("local", "measure", 9, planned=1, sent=1, send_lag=lags.counts())
    run = run_of(made, made.drop("u", 6, (1.069,)), rows=[health])
    assert rows_of(run)[0].in_band == 1


def test_the_state_is_the_interval_s(made: ModuleType) -> None:
    def state(good: int, bad: int) -> str | None:
        some = [made.drop(f"g{n}", 6 + n / 100) for n in range(good)]
        some += [made.drop(f"b{n}", 6 + n / 100, (1.4,)) for n in range(bad)]
        return rows_of(run_of(made, *some))[0].state

    assert state(100, 0) == "in band"
    assert state(99, 0) == "inconclusive", "by its interval it would be, but a hundred are asked for"
    assert state(100, 2) == "inconclusive"
    assert state(50, 50) == "out of band"


def test_the_last_band_holds_for_all_later_attempts_unless_the_list_is_all_there_is(made: ModuleType) -> None:
    js = backoff.bands(run_of(made, **JS))
    assert js is not None
    assert (js.of(1), js.of(5), js.of(6), js.of(40), js.of(0)) == (
        (0.55, 1.5),
        (5.0, 5.0),
        (5.0, 5.0),
        (5.0, 5.0),
        None,
    )
    documented = backoff.bands(run_of(made))
    assert documented is not None
    assert (documented.of(5), documented.of(6)) == ((16.0, 16.0), None)


@pytest.mark.parametrize("parameters", [{"reconnect": "none", "backoff_s": []}, {"backoff_s": None}])
def test_without_a_policy_there_is_no_band(made: ModuleType, parameters: dict[str, Any]) -> None:
    run = run_of(made, made.drop("u", 6), **parameters)
    assert backoff.bands(run) is None
    (row,) = rows_of(run)
    assert (row.p50_s, row.in_band, row.band_s, row.in_band_ci95, row.state) == (1.0, None, None, None, None)


def test_dots(made: ModuleType) -> None:
    some = [made.drop("u", 6, (1.0, 2.0)), made.drop("v", 7, (1.2,), late_s=0.2)]
    dots = backoff.attempt_dots(run_of(made, *some))
    assert dots.of == 3
    assert dots.attempt.tolist() == [1, 1, 2], "in order of time"
    assert dots.waited_s.tolist() == [1.0, 1.2, 2.0]
    assert dots.late.tolist() == [False, True, False]


def test_many_dots_are_sampled_evenly(made: ModuleType) -> None:
    some = [made.drop(f"u{n}", 6 + n / 1000, (1 + n / 10_000,)) for n in range(5000)]
    dots = backoff.attempt_dots(run_of(made, *some))
    assert (dots.of, dots.waited_s.size) == (5000, 2000)
    assert dots.waited_s[0] == 1.0 and dots.waited_s[-1] == pytest.approx(1.4999)
    steps = (dots.waited_s[1:] - dots.waited_s[:-1]) * 10_000
    assert steps.min() > 1.9 and steps.max() < 3.1


def test_nobody_tried(made: ModuleType) -> None:
    run = run_of(made, made.drop("u", 6, (), "stayed"))
    assert rows_of(run) == []
    assert backoff.attempt_dots(run).attempt.size == 0
