"""Are stages understood, and does every moment belong to the one that it should?"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.stages import (
    SETTLE_NS,
    Stage,
    Wanted,
    begins_ns,
    contradictions,
    most_users,
    parse,
    resolve,
    stage_at,
    whole_ns,
)
from loadtest.measure.units import SECOND

DURATIONS = st.integers(1, 3600)
STAGES = st.lists(
    st.builds(Stage, st.integers(1, 600).map(lambda seconds: seconds * SECOND), st.integers(0, 2000)),
    min_size=1,
    max_size=8,
).map(tuple)


def test_stages_are_read_as_they_are_typed() -> None:
    assert parse("60s:20, 1m30s:100 ,30:0,500ms:12.5%") == (
        Wanted(60 * SECOND, 20, False),
        Wanted(90 * SECOND, 100, False),
        Wanted(30 * SECOND, 0, False),
        Wanted(SECOND // 2, 12.5, True),
    )


@given(
    st.lists(
        st.tuples(DURATIONS, st.one_of(st.integers(1, 10**6), st.floats(0.5, 100).map(lambda p: f"{p!r}%"))),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_written_down_is_read_again(stages: list[tuple[int, int | str]]) -> None:
    text = ",".join(f"{duration}s:{target}" for duration, target in stages)
    read = parse(text)
    assert [one.duration_ns for one in read] == [duration * SECOND for duration, _ in stages]
    assert [f"{one.amount!r}%" if one.relative else int(one.amount) for one in read] == [
        target for _, target in stages
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no stage in it"),
        (" , ,", "there is no stage in it"),
        ("60s", "'60s' is no stage: write DURATION:USERS"),
        ("60s:20,", "'' is no stage"),
        ("6x:20", "'6x:20': '6x' is no duration"),
        (":20", "':20': '' is no duration"),
        ("-5s:20", "is no duration"),
        ("0s:20", "'0s:20': a stage must last longer than nothing"),
        ("60s:", "'60s:': '' is no number of users"),
        ("60s:many", "'many' is no number of users: write 20, or 50% of -u"),
        ("60s:1.5", "'1.5' is no number of users"),
        ("60s:-1", "'-1' is no number of users"),
        ("60s:1_000", "'1_000' is no number of users"),
        ("60s:٢٠", "is no number of users"),
        (f"60s:1{'0' * 400}", "is no number of users"),
        ("60s:101%", "'60s:101%': a share of -u is between 0% and 100%"),
        ("60s:nan%", "a share of -u is between 0% and 100%"),
        ("60s:%", "a share of -u is between 0% and 100%"),
        ("60s:0,60s:20", "'60s:0': the first stage has no users"),
        ("60s:0%,60s:20", "'60s:0%': the first stage has no users"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as wrong:
        parse(text)
    assert "\n" not in str(wrong.value)


@given(st.text(max_size=30))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        read = parse(text)
    except ValueError:
        return
    assert read[0].amount > 0
    assert all(one.duration_ns > 0 for one in read)


def test_percent_are_of_all_users() -> None:
    wanted = parse("10s:25%,10s:0.1%,10s:7,10s:100%,10s:0%,10s:12.5%")
    assert [one.users for one in resolve(wanted, 100)] == [25, 1, 7, 100, 0, 13]
    with pytest.raises(ValueError, match="needs -u"):
        resolve(wanted, None)
    assert resolve(parse("10s:7"), None) == (Stage(10 * SECOND, 7),)


@given(st.floats(0, 100), st.integers(1, 10**6))
def test_a_share_is_never_more_than_the_whole_nor_less_than_somebody(percent: float, most: int) -> None:
    (stage,) = resolve((Wanted(SECOND, percent, True),), most)
    assert (1 if percent else 0) <= stage.users <= most
    assert abs(stage.users - most * percent / 100) <= 1


@given(STAGES, st.data())
def test_a_moment_belongs_to_the_stage_under_way(stages: tuple[Stage, ...], data: st.DataObject) -> None:
    together_ns = whole_ns(stages)
    run_time_ns = together_ns + data.draw(st.integers(0, 100 * SECOND))
    elapsed_ns = data.draw(st.integers(0, run_time_ns + SECOND))
    slow = None
    if elapsed_ns < run_time_ns:
        left_ns, slow = elapsed_ns, 0
        while slow < len(stages) - 1 and left_ns >= stages[slow].duration_ns:
            left_ns -= stages[slow].duration_ns
            slow += 1
    assert stage_at(stages, elapsed_ns, run_time_ns) == slow


@given(STAGES)
def test_stages_follow_one_another_without_a_gap(stages: tuple[Stage, ...]) -> None:
    begins = [*begins_ns(stages), whole_ns(stages)]
    assert begins[0] == 0
    assert [later - earlier for earlier, later in pairwise(begins)] == [one.duration_ns for one in stages]
    assert most_users(stages) == max(one.users for one in stages)


def test_beside_other_flags() -> None:
    stages = resolve(parse("60s:20,60s:100"), None)
    assert contradictions(stages, None, 20, None) == []
    assert contradictions(stages, 100, 20, 120 * SECOND) == []
    assert contradictions((), 5, 1, None) == []
    (users,) = contradictions(stages, 99, 20, None)
    assert users == "a stage has 100 users, -u says 99: leave -u out, or make it 100"
    (time,) = contradictions(stages, None, 20, 119 * SECOND)
    assert time.startswith("the stages last 2 min together, -t ends the run after 1 min 59 s")


def test_a_stage_must_have_time_for_its_users_to_come_and_settle() -> None:
    stages = resolve(parse("30s:20,30s:100,30s:10"), None)
    assert contradictions(stages, None, 10, None) == []
    up, down = contradictions(stages, None, 1, None)
    assert up.startswith("stage 2 lasts 30 s, but 80 users come at -r 1 and settle only after 1 min 22 s")
    assert down.startswith("stage 3 lasts 30 s, but 90 users go at -r 1")


@given(STAGES, st.floats(0.1, 1000))
def test_what_is_not_refused_leaves_every_stage_a_while(stages: tuple[Stage, ...], rate: float) -> None:
    refused = contradictions(stages, None, rate, None)
    before, short = 0, 0
    for one in stages:
        short += one.duration_ns <= abs(one.users - before) / rate * SECOND + SETTLE_NS
        before = one.users
    assert len(refused) == short
