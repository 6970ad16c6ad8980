"""Series, gaps and changes of the nights of a job."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis import history
from loadtest.analysis.history import Figure, Gap, Night, Series

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("nights.py"))))
P95 = "message.deliver p95_ms"


def only(nights: list[Night]) -> Series:
    (found,) = history.series(nights)
    return found


def test_a_series_has_the_nights_of_one_job_machine_and_metric() -> None:
    nights = [*made.nights(6, moved_at=4), *made.nights(3, job="soak", levels={P95: 50.0, "loss_share": 0.1})]
    found = {(one.job, one.fingerprint, one.metric): len(one.nights) for one in history.series(nights)}
    assert found == {
        ("messaging", made.MACHINE, P95): 4,
        ("messaging", made.OTHER_MACHINE, P95): 2,
        ("soak", made.MACHINE, P95): 3,
        ("soak", made.MACHINE, "loss_share"): 3,
    }


@given(st.permutations(made.nights(9, moved_at=6, invalid={2})))
def test_the_order_in_which_nights_come_does_not_matter(shuffled: list[Night]) -> None:
    straight = made.nights(9, moved_at=6, invalid={2})
    assert history.series(shuffled) == history.series(straight)
    assert history.gaps(shuffled) == history.gaps(straight)
    assert history.breaks(shuffled) == history.breaks(straight)


@pytest.mark.parametrize("state", ["invalid", "incomplete"])
def test_nights_that_nothing_follows_from_have_no_value_even_if_they_have_figures(state: str) -> None:
    nights = [*made.nights(3), made.night(3, state=state, why="it was cut short")]
    assert [night.state for night in only(nights).nights] == ["pass"] * 3
    assert history.gaps(nights) == [Gap(made.at(3), made.at(3), 1, f"{state}: it was cut short")]


@pytest.mark.parametrize("state", ["pass", "fail", "inconclusive"])
def test_a_verdict_takes_no_value_away(state: str) -> None:
    assert only([made.night(0, state=state)]).values == [41.0]


def test_the_newest_night_says_which_metrics_come_first() -> None:
    one = Figure(1.0, None, None, 6)
    old = made.night(0, figures={"gone": one, "b": one, "a": one})
    new = made.night(1, figures={"a": one, "b": one, "c": one})
    assert history.metrics([old, new]) == ["a", "b", "c", "gone"]


def test_few_nights_and_late_metrics_are_not_watched() -> None:
    levels = {f"m{number}_ms": 10.0 + number for number in range(8)}
    nights = [*made.nights(20, levels=levels), *made.nights(19, job="soak")]
    assert [(one.job, one.metric) for one in history.watched(nights)] == [
        ("messaging", f"m{number}_ms") for number in range(6)
    ]


@given(st.sets(st.integers(1, 28), max_size=8))
def test_every_lost_night_is_missed(lost: set[int]) -> None:
    nights = made.nights(30, lost=lost)
    gaps = history.gaps(nights)
    assert sum(gap.nights for gap in gaps) == len(lost)
    there = {night.at for night in nights}
    for gap in gaps:
        inside = {day for day in range(30) if gap.begin < made.at(day) < gap.end}
        assert len(inside) == gap.nights and inside <= lost
        assert {gap.begin, gap.end} <= there


def test_a_late_start_is_no_lost_night() -> None:
    days = [0, 1, 2.49, 3, 4, 5]
    assert history.gaps([made.night(day) for day in days]) == []
    days[2:] = [2.51, 3, 4, 5]
    (gap,) = history.gaps([made.night(day) for day in days])
    assert (gap.begin, gap.end, gap.nights) == (made.at(1), made.at(2.51), 1)


def test_without_a_cadence_nothing_is_missing() -> None:
    assert history.gaps([made.night(day) for day in (0, 1, 30)]) == []
    assert history.gaps([made.night(0) for _ in range(9)]) == []
    assert history.cadence([]) is None


def test_an_invalid_night_is_a_gap_of_its_own_and_no_lost_one() -> None:
    gaps = history.gaps(made.nights(10, lost={3, 4}, invalid={6}))
    assert [(gap.begin, gap.end, gap.nights) for gap in gaps] == [
        (made.at(2), made.at(5), 2),
        (made.at(6), made.at(6), 1),
    ]


@given(
    st.lists(st.floats(0.5, 1e6), min_size=4, max_size=40),
    st.sets(st.integers(1, 39), min_size=1, max_size=4),
)
def test_the_means_are_those_between_neighbouring_changes(values: list[float], indexes: set[int]) -> None:
    indexes = {index for index in indexes if index < len(values)} or {1}
    points = history.change_points(only(made.series_of(values)), dict.fromkeys(indexes, 0.0005))
    parts = np.split(np.array(values), sorted(indexes))
    assert [point.index for point in points] == sorted(indexes)
    for point, before, after in zip(points, parts, parts[1:], strict=False):
        assert point.before == pytest.approx(before.mean())
        assert point.after == pytest.approx(after.mean())
        assert point.percent == pytest.approx((after.mean() / before.mean() - 1) * 100, abs=1e-6)
        assert point.at == made.at(point.index)


def test_from_nothing_there_is_no_percentage() -> None:
    (point,) = history.change_points(only(made.series_of([0.0, 0.0, 0.5, 0.5])), {2: 0.0})
    assert (point.before, point.after, point.percent) == (0.0, 0.5, None)


def test_a_change_is_accepted_once_two_nights_lie_after_it() -> None:
    series = only(made.nights(20))
    points = history.change_points(series, {12: 0.0, 17: 0.0, 18: 0.0, 19: 0.0})
    assert [point.index for point in history.accept(points, series)] == [12, 17]


def test_no_change_of_a_short_series_is_accepted() -> None:
    series = only(made.nights(19))
    assert history.accept(history.change_points(series, {10: 0.0}), series) == []


def test_a_change_after_nights_on_another_machine_says_so() -> None:
    nights = made.nights(24)
    nights[12] = nights[12]._replace(fingerprint=made.OTHER_MACHINE)
    series = next(one for one in history.series(nights) if one.fingerprint == made.MACHINE)
    at_return, later = history.change_points(series, {12: 0.0, 15: 0.0})
    assert series.nights[12].at == made.at(13)
    assert history.on_another_machine(at_return, series, nights)
    assert not history.on_another_machine(later, series, nights)
    elsewhere = [night._replace(job="soak", fingerprint=made.OTHER_MACHINE) for night in nights]
    assert not history.on_another_machine(later, series, [*nights, *elsewhere])


def test_breaks_are_where_the_machine_changes() -> None:
    (moved,) = history.breaks(made.nights(6, moved_at=4))
    assert moved == history.Break(made.at(4), made.MACHINE, made.OTHER_MACHINE)


@pytest.mark.parametrize(
    ("states", "row"),
    [
        ([], 0),
        (["inconclusive"], 1),
        (["inconclusive", "pass"], 0),
        (["inconclusive", "pass", "inconclusive", "inconclusive"], 2),
        (["inconclusive", "fail", "inconclusive"], 1),
        (["inconclusive", "invalid", "inconclusive", "incomplete"], 2),
        (["inconclusive"] * 3, 3),
    ],
)
def test_inconclusive_nights_in_a_row(states: list[str], row: int) -> None:
    nights = [made.night(day, state=state) for day, state in enumerate(states)]
    random.Random(1).shuffle(nights)
    assert history.inconclusive_in_a_row(nights) == row


@pytest.mark.parametrize("text", ["2026-09-01T02:15:00", "2026-09-01T02:15:00+02:00", "yesterday", ""])
def test_what_is_no_moment_in_utc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"UTC|isoformat"):
        history.moment(text)


def test_both_ways_to_write_utc_are_one_moment() -> None:
    assert history.moment("2026-09-01T02:15:00Z") == history.moment("2026-09-01T02:15:00+00:00")
