"""Are rates and durations read as people mean them, and worded so that they can be read back?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure import units

MINUTE = 60 * units.SECOND


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("6/m", 0.1),
        ("6", 0.1),
        (" 6 / m ", 0.1),
        ("0.1/s", 0.1),
        (".1/s", 0.1),
        ("30/h", 30 / 3600),
        ("1e3/s", 1000.0),
        ("60", 1.0),
    ],
)
def test_rate(text: str, per_second: float) -> None:
    assert units.parse_rate(text) == pytest.approx(per_second, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "/s",
        "6/d",
        "6/",
        "-1/s",
        "+1",
        "0",
        "0/h",
        "1e-400",
        "1e400/s",
        "nan",
        "inf",
        "6/m/s",
        "6 7",
    ],
)
def test_bad_rate_is_named_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate") as caught:
        units.parse_rate(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.integers(1, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_rate_round_trip(count: int, unit: tuple[str, int]) -> None:
    assert units.parse_rate(f"{count}/{unit[0]}") * unit[1] == pytest.approx(count, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("30s", 30 * units.SECOND),
        ("30", 30 * units.SECOND),
        ("0", 0),
        ("1m30s", 90 * units.SECOND),
        ("1 m 30 s", 90 * units.SECOND),
        ("500ms", 500 * units.MS),
        ("1.5s", 1500 * units.MS),
        (".5m", 30 * units.SECOND),
        ("2h", 120 * MINUTE),
        ("1h2m3s4ms", 62 * MINUTE + 3 * units.SECOND + 4 * units.MS),
        ("0.0000000014", 1),
    ],
)
def test_duration(text: str, ns: int) -> None:
    assert units.parse_duration(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "ten",
        "30S",
        "-5",
        "-5s",
        "1m-30s",
        "5x",
        "1.5.5s",
        "1 5s",
        "5s3",
        "nan",
        "inf",
        "9e400",
        "9" * 400 + "h",
    ],
)
def test_bad_duration_is_named_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration") as caught:
        units.parse_duration(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_duration_round_trip(hours: int, minutes: int, seconds: int, millis: int) -> None:
    ns = (hours * 60 + minutes) * MINUTE + seconds * units.SECOND + millis * units.MS
    assert units.parse_duration(f"{hours}h{minutes}m{seconds}s{millis}ms") == ns
    assert units.parse_duration(f"{ns / units.SECOND:.3f}") == ns


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0, "0.00 ms"),
        (0.42, "0.42 ms"),
        (9.994, "9.99 ms"),
        (9.996, "10.0 ms"),
        (12.3, "12.3 ms"),
        (99.96, "100 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1520, "1.52 s"),
    ],
)
def test_say_ms(value: float | None, words: str) -> None:
    assert units.say_ms(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (312, "312 B"),
        (999.6, "1.0 KB"),
        (4_100, "4.1 KB"),
        (999_960, "1.0 MB"),
        (2_300_000, "2.3 MB"),
        (999_960_000, "1.0 GB"),
        (5e12, "5000.0 GB"),
        (-4_100, "-4.1 KB"),
    ],
)
def test_say_bytes(value: float | None, words: str) -> None:
    assert units.say_bytes(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0.0 s"),
        (8.5, "8.5 s"),
        (9.96, "10 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (125, "2 min 5 s"),
    ],
)
def test_say_seconds(value: float, words: str) -> None:
    assert units.say_seconds(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.1, "6 per minute"), (1, "1 per second"), (3, "3 per second"), (1 / 3600, "0.016667 per minute")],
)
def test_say_rate(value: float, words: str) -> None:
    assert units.say_rate(value) == words


@given(st.integers(1, 59))
def test_a_worded_rate_is_the_rate_that_was_read(per_minute: int) -> None:
    assert units.say_rate(units.parse_rate(f"{per_minute}/m")) == f"{per_minute} per minute"


@given(st.floats(0, 1e9, allow_nan=False), st.floats(0, 1e9, allow_nan=False))
def test_worded_milliseconds_are_true_to_their_last_digit(value: float, other: float) -> None:
    number, unit = units.say_ms(value).split()
    read = float(number) * (1000 if unit == "s" else 1)
    digits = len(number.partition(".")[2])
    assert abs(read - value) <= 0.5001 * 10**-digits * (1000 if unit == "s" else 1)
    assert units.ms(value * units.MS) == pytest.approx(value, abs=0.00051)
