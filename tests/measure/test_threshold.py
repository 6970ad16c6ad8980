"""Is a threshold read as it is written, refused where it is wrong, and judged by what was owed?"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.rows import SeriesRow
from loadtest.measure.threshold import (
    COUNTS,
    Selector,
    Tally,
    ThresholdError,
    parse_selector,
    parse_slo,
    parse_threshold,
    tally,
)
from loadtest.measure.units import MS


@pytest.mark.parametrize(
    ("text", "aggregate", "compare", "limit", "quantile"),
    [
        ("p(95)<100", "p(95)", "<", 100, 0.95),
        (" p( 99.9 ) <= 1e3 ", "p(99.9)", "<=", 1000, 0.999),
        ("med<.5", "med", "<", 0.5, 0.5),
        ("avg>5.", "avg", ">", 5, None),
        ("min>=-1", "min", ">=", -1, None),
        ("max!=+3", "max", "!=", 3, None),
        ("count==0", "count", "==", 0, None),
        ("rate<0.01", "rate", "<", 0.01, None),
        ("lost==0", "lost", "==", 0, None),
    ],
)
def test_good(text: str, aggregate: str, compare: str, limit: float, quantile: float | None) -> None:
    read = parse_threshold(text)
    assert (read.text, read.aggregate, read.compare, read.limit) == (text.strip(), aggregate, compare, limit)
    assert read.quantile == (None if quantile is None else pytest.approx(quantile, rel=1e-15))


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ("", 0, "expected p(N) or one of"),
        ("   ", 3, "expected p(N) or one of"),
        ("p95<100", 0, "expected p(N) or one of"),
        ("p(x)<100", 0, "expected p(N) or one of"),
        ("  median<1", 2, "expected p(N) or one of"),
        ("p(0)<1", 2, "between 0 and 100"),
        ("p(100)<1", 2, "between 0 and 100"),
        (" p(-5)<1", 3, "between 0 and 100"),
        ("p(95)", 5, "expected one of <= >= == != < >"),
        ("p(95) =100", 6, "expected one of"),
        ("p(95)<", 6, "expected a number"),
        ("p(95)< abc", 7, "expected a number"),
        ("p(95)<=>5", 7, "expected a number"),
        ("p(95)<100ms", 9, "without a unit"),
        ("p(95)<100 200", 10, "nothing may follow"),
        ("p(95)<1_000", 7, "nothing may follow"),
    ],
)
def test_bad_threshold_shows_the_place(text: str, at: int, reason: str) -> None:
    with pytest.raises(ThresholdError) as caught:
        parse_threshold(text)
    _check_caret(caught.value, text, at, reason)


def _check_caret(error: ThresholdError, text: str, at: int, reason: str) -> None:
    first, shown, caret = str(error).split("\n")
    assert (error.text, error.at) == (text, at)
    assert reason in first
    assert shown == f"  {text}"
    assert caret.index("^") == at + 2


@given(
    st.sampled_from(["med", "avg", "min", "max", "count", "rate", *COUNTS])
    | st.decimals("0.001", "99.999", places=3).map(lambda q: f"p({q})"),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.sampled_from(["", " ", "\t"]), min_size=4, max_size=4),
)
def test_threshold_round_trip(aggregate: str, compare: str, limit: float, gaps: list[str]) -> None:
    text = f"{gaps[0]}{aggregate}{gaps[1]}{compare}{gaps[2]}{limit!r}{gaps[3]}"
    read = parse_threshold(text)
    assert (read.aggregate, read.compare, read.limit) == (aggregate, compare, limit)
    assert parse_threshold(read.text) == read


# -- selectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("message.deliver", ()),
        (" message.deliver {} ", ()),
        ("message.deliver{transport:websocket}", (("transport", "websocket"),)),
        (
            "message.deliver { transport : long-polling , phase:drain }",
            (("phase", "drain"), ("transport", "long-polling")),
        ),
    ],
)
def test_good_selector(text: str, labels: tuple[tuple[str, str], ...]) -> None:
    assert parse_selector(text) == Selector("message.deliver", labels)


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ("", 0, "expected an operation"),
        ("message.deliver}", 0, "expected an operation"),
        ("message.deliver{transport:x} y", 0, "expected an operation"),
        (" message.delivered", 1, "no such operation"),
        ("message.deliver{room:x}", 16, "expected label:value"),
        ("message.deliver{transport}", 16, "expected label:value"),
        ("message.deliver{transport:}", 16, "expected label:value"),
        ("message.deliver{transport:polling}", 16, "no such transport; there are websocket, upgrade"),
        ("message.deliver{transport:websocket, por}", 37, "expected label:value"),
        ("message.deliver{transport:websocket,t}", 36, "expected label:value"),
        ("message.deliver{transport:a b}", 16, "expected label:value"),
        ('message.deliver{transport:"a"}', 16, "expected label:value"),
        ("message.deliver{phase:mesure}", 16, "no such phase"),
        ("message.deliver{phase:drain,phase:measure}", 28, "twice"),
    ],
)
def test_bad_selector_shows_the_place(text: str, at: int, reason: str) -> None:
    with pytest.raises(ThresholdError) as caught:
        parse_selector(text)
    _check_caret(caught.value, text, at, reason)


LABELS = st.fixed_dictionaries(
    {},
    optional={
        "transport": st.sampled_from(["websocket", "long-polling", "interval-polling"]),
        "phase": st.sampled_from(["connect", "warmup", "measure", "drain"]),
    },
)


@given(st.sampled_from([one.value for one in Operation]), LABELS)
def test_selector_round_trip(operation: str, labels: dict[str, str]) -> None:
    selector = Selector(operation, tuple(sorted(labels.items())))
    assert parse_selector(str(selector)) == selector
    assert parse_slo(f"{selector}: p(95)<100") == (selector, parse_threshold("p(95)<100"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p(95)<100", "and a threshold"),
        ("message.deliver", "and a threshold"),
        ("message.deliver{transport:websocket}", "and a threshold"),
        ("message.deliver{transport:websocket: p(95)<100", "expected an operation"),
        ("message.deliver:", "expected p(N)"),
        (": p(95)<1", "expected an operation"),
    ],
)
def test_bad_slo(text: str, reason: str) -> None:
    with pytest.raises(ThresholdError) as caught:
        parse_slo(text)
    assert reason in caught.value.reason


# -- judging -------------------------------------------------------------------------------------------------


def counts(*millis: float) -> Counts:
    histogram = Histogram()
    for one in millis:
        histogram.record(round(one * MS))
    return histogram.counts()


def row(**fields: Any) -> SeriesRow:
    given: dict[str, Any] = {
        "operation": "message.deliver",
        "transport": "websocket",
        "phase": "measure",
        "second": 1,
    }
    return SeriesRow(**{**given, **fields})


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("message.deliver", ["a", "b"]),
        ("message.deliver{transport:websocket}", ["a"]),
        ("message.deliver{phase:drain}", ["c"]),
        ("message.deliver{transport:interval-polling,phase:drain}", []),
        ("session.connect", ["d"]),
        ("session.connect{phase:measure}", ["e"]),
        ("session.join", ["f"]),
        ("session.resume", ["g"]),
        ("typing.deliver", []),
    ],
)
def test_selection(selector: str, chosen: list[str]) -> None:
    rows = {
        "a": row(),
        "b": row(transport="polling"),
        "c": row(phase="drain"),
        "d": row(operation="session.connect", phase="connect"),
        "e": row(operation="session.connect"),
        "f": row(operation="session.join", phase="connect"),
        "g": row(operation="session.resume"),
    }
    assert [name for name, one in rows.items() if parse_selector(selector).selects(one)] == chosen


def test_a_tally_is_the_sum_of_what_is_selected() -> None:
    rows = [
        row(expected=3, lost=1, latency=counts(1, 2)),
        row(second=2, expected=2, late=1, duplicate=4, latency=counts(3)),
        row(phase="drain", expected=100, lost=100),
    ]
    found = tally(rows, Selector("message.deliver"))
    assert {name: n for name, n in found.counts.items() if n} == {
        "expected": 5,
        "lost": 1,
        "late": 1,
        "duplicate": 4,
    }
    assert found.latency.counts() == counts(1, 2, 3)


def tallied(**fields: Any) -> Tally:
    found = Tally()
    found.add(row(**fields))
    return found


HUNDRED = counts(*range(1, 96))  # 95 delivered of a hundred owed
OF_HUNDRED: dict[str, Any] = {"expected": 100, "lost": 3, "late": 2, "failed": 20, "latency": HUNDRED}


@pytest.mark.parametrize(
    ("text", "observed", "holds"),
    [
        ("p(50)<51", 50.0, True),
        ("p(50)<50", 50.0, False),
        ("p(95)<=95", 95.0, True),
        ("p(96)<1e9", None, False),
        ("p(96)>1e9", None, True),
        ("p(99.9)!=1", None, True),
        ("p(99.9)==1", None, False),
        ("med<=51", 50.0, True),
        ("avg==48", 48.0, True),
        ("min>=1", 1.0, True),
        ("max<1e9", None, False),  # five never came in time
        ("max>1e9", None, True),
        ("count==95", 95.0, True),
        ("expected==100", 100.0, True),
        ("lost==0", 3.0, False),
        ("leaked==0", 0.0, True),
        ("rate<0.05", 5 / 100, False),  # messages that could not leave are among the lost already
    ],
)
def test_judgement(text: str, observed: float | None, holds: bool) -> None:
    found, threshold = tallied(**OF_HUNDRED), parse_threshold(text)
    seen = threshold.observe(found)
    assert seen == (None if observed is None else pytest.approx(observed, rel=0.008))
    assert threshold.holds(found) is holds


def test_a_failure_that_nobody_was_owed_counts_in_the_rate() -> None:
    found = tallied(operation="message.ack", expected=100, lost=3, failed=20, latency=counts(*range(1, 98)))
    assert parse_threshold("rate<0.2").observe(found) == pytest.approx(23 / 120)


@pytest.mark.parametrize("text", ["p(50)<100", "med<100", "avg<100", "min<100", "max<100", "rate<1"])
def test_nothing_measured_is_no_verdict(text: str) -> None:
    threshold = parse_threshold(text)
    assert threshold.observe(Tally()) is None
    assert threshold.holds(Tally()) is None


@pytest.mark.parametrize(("text", "holds"), [("count>0", False), ("lost==0", True), ("expected>=1", False)])
def test_counts_of_nothing_are_zero(text: str, holds: bool) -> None:
    assert parse_threshold(text).holds(Tally()) is holds


@pytest.mark.parametrize("text", ["p(0.1)<1e12", "med<1e12"])
def test_all_lost_is_infinitely_slow(text: str) -> None:
    assert parse_threshold(text).holds(tallied(expected=5, lost=5)) is False


def test_a_limit_of_infinity_is_not_met_by_a_lost_quantile() -> None:
    assert parse_threshold("med<1e999").limit == math.inf
    assert parse_threshold("med<1e999").holds(tallied(expected=5, lost=5)) is False


@given(st.lists(st.integers(0, 5000), max_size=60), st.integers(0, 60), st.integers(1, 99))
def test_percentiles_rank_the_lost_above_all_others(millis: list[int], lost: int, percent: int) -> None:
    found = tallied(expected=len(millis) + lost, lost=lost, latency=counts(*millis))
    ranked = [*sorted(millis), *[math.inf] * lost]
    threshold = parse_threshold(f"p({percent})<1000")
    if not ranked:
        assert threshold.holds(found) is None
        return
    true = ranked[max(1, -(-percent * len(ranked) // 100)) - 1]
    seen = threshold.observe(found)
    if math.isinf(true):
        assert seen is None
        assert threshold.holds(found) is False
    else:
        assert seen is not None
        assert true <= seen <= true * (1 + 1 / 128)
        assert threshold.holds(found) is (seen < 1000)


@pytest.mark.parametrize(
    ("text", "lost", "may"),
    [
        ("lost==0", 1, False),
        ("lost==2", 1, True),
        ("lost==2", 3, False),
        ("lost<1", 1, False),
        ("lost<=0", 1, False),
        ("lost>5", 1, True),
        ("lost>=5", 1, True),
        ("lost!=1", 1, True),
        ("count>=200", 1, True),
        ("rate>0.9", 1, False),
        ("p(95)>1000", 1, False),
    ],
)
def test_only_a_count_may_yet_grow_into_its_limit(text: str, lost: int, may: bool) -> None:
    found = tallied(expected=100 + lost, lost=lost, latency=counts(*range(1, 101)))
    threshold = parse_threshold(text)
    assert threshold.holds(found) is False
    assert threshold.may_yet_hold(found) is may
