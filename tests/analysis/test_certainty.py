"""Seconds of phases, independence, and the intervals that stand in a summary."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
from asking import row, run, seconds
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from loadtest.analysis.certainty import certainty, ends_ms, fan_out, independent, seconds_of, windows_of
from loadtest.analysis.quantile_intervals import Bounds, mean_interval, quantile_interval
from loadtest.analysis.series import Name, grouped, total
from loadtest.analysis.summary import operation_row
from loadtest.measure.operations import Operation
from loadtest.measure.run import Edges
from loadtest.measure.units import MS, SECOND

NAME = Name("message.deliver", "websocket", "measure")


def at(*edges_s: float | None) -> Edges:
    warmup, measure, drain, ended = (None if one is None else round(one * SECOND) for one in edges_s)
    assert ended is not None
    return Edges(warmup, measure, drain, ended)


@pytest.mark.parametrize(
    ("edges", "phase", "span"),
    [
        (at(2, 5, 27, 30), "connect", (0, 1)),
        (at(2, 5, 27, 30), "warmup", (2, 4)),
        (at(2, 5, 27, 30), "measure", (5, 26)),
        (at(2, 5, 27, 30), "drain", (27, 29)),
        (at(2, 5, 27, 30), "queue", (0, 29)),
        (at(2.5, 5.5, 27.5, 30.2), "warmup", (2, 5)),  # seconds at an edge belong to both
        (at(2.5, 5.5, 27.5, 30.2), "measure", (5, 27)),
        (at(2, 5, None, 30), "measure", (5, 29)),
        (at(2, 5, None, 30), "drain", (30, 30)),
        (at(2, None, None, 4), "warmup", (2, 3)),
        (at(2, None, 3, 4), "measure", (3, 3)),
        (at(None, None, None, 4), "connect", (0, 3)),
        (at(0, 0, 0, 0), "measure", (0, 0)),
    ],
)
def test_seconds_of_a_phase(made: ModuleType, edges: Edges, phase: str, span: tuple[int, int]) -> None:
    assert seconds_of(run(made, [], edges=edges), phase) == span


def test_windows_begin_and_end_with_their_phase_and_have_the_empty_seconds_too(made: ModuleType) -> None:
    rows = [row(7, [1.0, 2.0]), row(9, [3.0], lost=1), row(9, [4.0])]
    found = windows_of(run(made, rows, edges=at(2, 5, 12, 15)), rows, "measure")
    assert found.counts.sum(axis=1).tolist() == [0, 0, 2, 0, 2, 0, 0]
    assert found.missing.tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert (found.n, found.expected) == (4, 5)


def test_windows_may_begin_later_and_never_leave_a_row_out(made: ModuleType) -> None:
    rows = [row(7, [1.0]), row(9, [3.0])]
    of = run(made, rows, edges=at(2, 5, 9, 15))
    assert windows_of(of, rows, "measure", first=6).counts.sum(axis=1).tolist() == [0, 1, 0, 1]
    assert windows_of(of, rows, "measure", first=8).counts.sum(axis=1).tolist() == [1, 0, 1]


def test_windows_of_nothing_are_empty_seconds(made: ModuleType) -> None:
    found = windows_of(run(made, [], edges=at(2, 5, 9, 15)), [], "measure")
    assert (found.size, found.expected) == (4, 0)


def test_fan_out_is_deliveries_to_a_message(made: ModuleType) -> None:
    acks = [row(1, [1.0] * 4, lost=1, operation="message.ack"), row(2, [1.0] * 5, operation="message.ack")]
    heard = [row(1, [1.0] * 44, lost=1), row(2, [1.0] * 45)]
    elsewhere = [row(0, [1.0] * 99, phase="warmup"), row(1, [1.0] * 99, operation="message.echo")]
    assert fan_out([*acks, *heard, *elsewhere]) == 9.0
    assert fan_out(heard) == 1.0, "nobody acknowledges: nothing is known"
    assert fan_out([]) == 1.0
    assert fan_out([*acks, row(1, [1.0])]) == 1.0, "rooms of two in which most were lost on the way"


@pytest.mark.parametrize(
    ("operation", "expected", "n"),
    [
        ("message.deliver", 900, 100),
        ("message.resync", 900, 100),
        ("typing.deliver", 904, 100),
        ("receipt.deliver", 905, 101),
        ("message.deliver", 1, 1),
        ("message.deliver", 0, 0),
        ("message.ack", 900, 900),
        ("message.echo", 900, 900),
        ("session.connect", 900, 900),
        ("call.ring", 900, 900),
    ],
)
def test_what_goes_to_a_room_shares_its_fate(operation: str, expected: int, n: int) -> None:
    assert independent(operation, expected, 9.0) == n


@given(st.sampled_from([one.value for one in Operation]), st.integers(0, 10**9), st.floats(1, 1000))
def test_never_more_are_independent_than_there_are(
    operation: str, expected: int, mean_fan_out: float
) -> None:
    assert (expected > 0) <= independent(operation, expected, mean_fan_out) <= expected


def test_ends_of_an_interval() -> None:
    assert ends_ms(Bounds(1.5 * MS, 2_000_400.0, 3)) == (1.5, 2.0)
    assert ends_ms(Bounds(0.0, math.inf, 0)) == (0.0, None)
    assert ends_ms(Bounds(math.inf, math.inf, 0)) == (None, None)


def test_every_figure_that_is_given_has_its_interval_and_its_tier(made: ModuleType) -> None:
    stream = np.random.RandomState(3)
    rows = seconds(stream.lognormal(3, 0.5, (60, 20)))
    of = run(made, rows)
    given_figures = operation_row(NAME, total(grouped(rows)[NAME])).latency_ms
    ci95, tiers = certainty(of, NAME, rows, given_figures, 1.0)
    assert given_figures.p999 is None, "1,200 do not carry it"
    assert list(ci95) == ["mean", "p50", "p95", "p99"]
    assert tiers == {"p50": "good", "p95": "usable", "p99": "usable"}
    fell = windows_of(of, rows, "measure")
    assert ci95["mean"] == ends_ms(mean_interval(fell))
    assert ci95["p95"] == ends_ms(quantile_interval(fell, 0.95))
    for name, (low, high) in ci95.items():
        figure = getattr(given_figures, name)
        assert low is not None and high is not None
        assert low <= figure <= high


def test_intervals_of_what_goes_to_a_room_are_wider(made: ModuleType) -> None:
    rows = seconds(np.repeat(np.random.RandomState(3).lognormal(3, 0.5, (60, 20)), 9, axis=1))
    of = run(made, rows)
    figures = operation_row(NAME, total(grouped(rows)[NAME])).latency_ms
    alone, shared = (certainty(of, NAME, rows, figures, share)[0] for share in (1.0, 9.0))
    for name in ("mean", "p50", "p95"):
        (low, high), (wide_low, wide_high) = alone[name], shared[name]
        assert None not in (low, high, wide_low, wide_high)
        assert wide_low <= low and wide_high >= high  # type: ignore[operator]
    assert alone != shared


def test_nothing_given_has_no_interval(made: ModuleType) -> None:
    rows = [replace(row(3), open=5)]
    figures = operation_row(NAME, total(grouped(rows)[NAME])).latency_ms
    assert certainty(run(made, rows, 10), NAME, rows, figures, 1.0) == ({}, {})
