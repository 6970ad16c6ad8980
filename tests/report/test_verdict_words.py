"""Verdicts in words: units, what lies close to a limit, what is not known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.verdict import COUNT, MS_UNIT, RATIO, SHARE, Verdict
from loadtest.report.verdict_words import interval, limit, observed, say

P95 = "message.deliver{transport:websocket}: p(95)<100"


def verdict(**told: Any) -> Verdict:
    return Verdict(**{"name": P95, "kind": "slo", "state": "fail", "unit": MS_UNIT} | told)


def test_everything_there_is_in_one_line() -> None:
    known = verdict(observed=312.4, limit=100.0, ci95=(290.2, 330.0), why="the server was slow")
    assert say(known) == "p(95) 312 ms, limit 100 ms, 95 % interval 290 ms to 330 ms: the server was slow"
    assert say(verdict(observed=312.4, limit=100.0)) == "p(95) 312 ms, limit 100 ms"


def test_what_is_not_known_is_left_out_or_a_dash() -> None:
    nothing = verdict(why="nothing was measured")
    assert say(nothing) == "no p(95): nothing was measured"
    assert (observed(nothing), limit(nothing), interval(nothing)) == ("–", "–", "–")


def test_a_claim_has_no_aggregate_to_name() -> None:
    claim = verdict(name="messaging is 15 times as fast", unit=RATIO, observed=14.2, limit=15.0)
    assert say(claim) == "observed 14.2×, limit 15×"
    assert (
        say(verdict(name="messaging is fast", why="no run over polling"))
        == "no observation: no run over polling"
    )


@pytest.mark.parametrize(
    ("unit", "value", "asked", "said"),
    [
        (MS_UNIT, 0.4213, 100.0, ("0.42 ms", "100 ms")),
        (MS_UNIT, 1523.0, 1500.0, ("1.52 s", "1.5 s")),
        (MS_UNIT, 80.0, 99.75, ("80.0 ms", "99.75 ms")),
        (SHARE, 0.0142, 0.0025, ("1.4 %", "0.25 %")),
        (SHARE, 0.0, 0.07, ("0 %", "7 %")),
        (COUNT, 12345.0, 1000.0, ("12,345", "1,000")),
        (COUNT, 3.0, 0.0, ("3", "0")),
        (RATIO, 1.1234, 1.05, ("1.12×", "1.05×")),
        ("", 2.5, 12.25, ("2.5", "12.25")),
        (MS_UNIT, 5.0, 1e-9, ("5.00 ms", "1e-09 ms")),
    ],
)
def test_units(unit: str, value: float, asked: float, said: tuple[str, str]) -> None:
    known = verdict(unit=unit, observed=value, limit=asked)
    assert (observed(known), limit(known)) == said


@pytest.mark.parametrize(
    ("unit", "value", "asked", "said"),
    [
        (MS_UNIT, 100.4, 100.0, "100.4 ms"),
        (MS_UNIT, 99.998, 100.0, "99.998 ms"),
        (MS_UNIT, 100.0, 100.0, "100 ms"),
        (MS_UNIT, 999.7, 1000.0, "0.9997 s"),
        (MS_UNIT, 1500.2, 1500.0, "1.5002 s"),
        (SHARE, 0.010400, 0.01, "1.04 %"),
        (SHARE, 3 / 997, 0.003, "0.301 %"),
        (RATIO, 1.0512, 1.05, "1.051×"),
        (COUNT, 1000.0004, 1000.0, "1,000.0004"),
    ],
)
def test_what_lies_close_to_the_limit_is_told_apart_from_it(
    unit: str, value: float, asked: float, said: str
) -> None:
    assert observed(verdict(unit=unit, observed=value, limit=asked)) == said
    assert interval(verdict(unit=unit, limit=asked, ci95=(value, None))) == f"{said} or more"


@given(
    st.sampled_from([MS_UNIT, SHARE, COUNT, RATIO, ""]),
    st.integers(1, 1_000_000),
    st.integers(-1000, 1000),
)
def test_two_that_differ_never_read_alike(unit: str, thousandths: int, apart: int) -> None:
    """Down to a thousandth of the unit, which is what latencies in summary.json have; shares to 1e-6."""
    scale = 1e6 if unit == SHARE else 1e3
    asked, value = thousandths / scale, max(0, thousandths + apart) / scale
    known = verdict(unit=unit, observed=value, limit=asked)
    if value == asked:
        assert observed(known) == limit(known)
    else:
        assert observed(known) != limit(known)


def test_intervals() -> None:
    assert interval(verdict(ci95=(0.5, 1500.0))) == "0.50 ms to 1.50 s"
    assert interval(verdict(ci95=(290.0, None))) == "290 ms or more"
    assert interval(verdict(unit=SHARE, ci95=(0.0, 0.0031))) == "0 % to 0.3 %"
    among_the_lost = verdict(limit=100.0, ci95=(None, None), why="not reached: 7.0 % of 812")
    assert interval(among_the_lost) == "not reached"
    assert say(among_the_lost) == "no p(95), limit 100 ms: not reached: 7.0 % of 812"


def test_a_difference_between_shares_may_be_less_than_nothing() -> None:
    less = verdict(name="losses", unit=SHARE, observed=-0.0142, limit=0.001, ci95=(-0.02, -0.00004))
    assert say(less) == "observed -1.4 %, limit 0.1 %, 95 % interval -2.0 % to -0.004 %"
    assert interval(verdict(unit=SHARE, ci95=(-math.inf, None))) == "not bounded"
    assert interval(verdict(unit=SHARE, ci95=(-math.inf, 0.01))) == "1.0 % or less"
