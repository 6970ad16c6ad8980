"""Are faults read as they are written, and do they strike when they should?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.faults import KINDS, Means, longest_outage_ns, occurrences, parse
from loadtest.measure.units import MS, SECOND


def test_all_parts() -> None:
    (fault,) = parse("abort@10x3/15~0.3")
    assert (fault.kind, fault.start_ns, fault.times, fault.every_ns) == ("abort", 10 * SECOND, 3, 15 * SECOND)
    assert (fault.share, fault.lasting_ns, fault.amount) == (0.3, 0, None)
    assert fault.means is Means.CLIENT
    assert fault.last_ns == 40 * SECOND


@pytest.mark.parametrize(
    ("text", "amount", "lasting_s"),
    [
        ("blackhole@0", None, 10),
        ("blackhole@0:30s", None, 30),
        ("refuse-upgrade@10x1:10", None, 10),
        ("delay@0", 80 * MS, 10),
        ("delay@0:20ms", 20 * MS, 10),
        ("delay@0:20ms/1m", 20 * MS, 60),
        ("slow@0:5000/5", 5000, 5),
        ("slow-accept@0:1.5s/20s", 1500 * MS, 20),
        ("kick@0", None, 0),
    ],
)
def test_arguments(text: str, amount: float | None, lasting_s: int) -> None:
    (fault,) = parse(text)
    assert fault.amount == amount
    assert fault.lasting_ns == lasting_s * SECOND


def test_none_is_none() -> None:
    assert parse("") == parse("none") == parse("  ") == ()


def test_several_are_numbered_by_time() -> None:
    strikes = occurrences(parse("kick@12, abort@0x3/10~0.5"))
    assert [one.name for one in strikes] == ["abort#0", "abort#1", "kick#2", "abort#3"]
    assert [one.at_ns // SECOND for one in strikes] == [0, 10, 12, 20]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abort", "write KIND@START"),
        ("abort@", "write KIND@START"),
        ("explode@3", "there is no fault 'explode'"),
        ("abort@0x3", "xCOUNT/EVERY"),
        ("abort@0x0/5", "xCOUNT/EVERY"),
        ("abort@0~0", "more than 0 and at most 1"),
        ("abort@0~1.5", "more than 0 and at most 1"),
        ("abort@0~.", "is no number"),
        ("abort@0:5s", "takes no argument"),
        ("blackhole@0:0", "longer than nothing"),
        ("blackhole@0:x", "is no duration"),
        ("delay@0:0ms", "more than nothing"),
        ("slow@0:fast", "is no number"),
        ("blackhole@0x3/5:10s", "until its next strike"),
        ("abort@5q", "is no duration"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse(text)
    assert "\n" not in str(refused.value)
    assert text in str(refused.value)


def test_the_longest_outage_counts_the_time_to_find_out() -> None:
    silence_ns = 45 * SECOND
    assert longest_outage_ns(parse("abort@0"), silence_ns) == 0
    assert longest_outage_ns(parse("refuse@0:20s, freeze@5:2s"), silence_ns) == 20 * SECOND
    assert longest_outage_ns(parse("blackhole@0:5s"), silence_ns) == silence_ns
    assert longest_outage_ns(parse("blackhole@0:60s"), silence_ns) == 60 * SECOND
    assert longest_outage_ns(parse("delay@0:5s/60s"), silence_ns) == 0


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 100),
    st.integers(1, 5),
    st.integers(60, 90),
    st.integers(1, 100),
)
def test_what_is_written_is_read(kind: str, start: int, count: int, every: int, percent: int) -> None:
    (fault,) = parse(f"{kind}@{start}x{count}/{every}~{percent / 100}")
    strikes = occurrences([fault])
    assert [one.at_ns for one in strikes] == [(start + n * every) * SECOND for n in range(count)]
    assert fault.share == percent / 100
    for one in strikes:
        assert one.until_ns is None or one.until_ns == one.at_ns + fault.lasting_ns
