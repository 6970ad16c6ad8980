"""Which losses count, and when an outage ends."""

from __future__ import annotations

from collections import defaultdict
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis import drops
from loadtest.measure.book import Book
from loadtest.measure.rows import Delta, Drop, SeriesRow, Try
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND


def run_of(made: ModuleType, *some: Drop, rows: Any = (), **changes: Any) -> Run:
    book = Book()
    book.add("local", Delta(1, list(rows), list(some), final=True))
    parameters = made.manifest().parameters | made.RETURNING | changes.pop("parameters", {})
    run: Run = made.in_memory(book, parameters=parameters, **changes)
    return run


def test_what_counts_and_what_stands_apart(made: ModuleType) -> None:
    """Connect 0-2, warmup 2-5, measure 5-27, drain 27-30."""
    some = [made.drop(f"u{at}", at) for at in (1, 4.999, 5, 26, 28)]
    stall = made.drop("u9", 9, cause="generator_stall")
    found = drops.losses(run_of(made, *some, stall))
    assert [one.drop.user for one in found.counted] == ["u5", "u26", "u28"]
    assert [one.drop.user for one in found.early] == ["u1", "u4.999"]
    assert found.stalled == 1


def test_a_run_that_never_measured_has_only_early_losses(made: ModuleType) -> None:
    edges = made.Edges(2 * SECOND, None, None, 4 * SECOND)
    found = drops.losses(run_of(made, made.drop("u", 3), edges=edges))
    assert (len(found.counted), len(found.early)) == (0, 1)


def only(made: ModuleType, *some: Drop, **changes: Any) -> drops.Loss:
    return drops.losses(run_of(made, *some, **changes)).counted[0]


def test_an_outage_begins_with_the_injection_and_ends_with_the_probe(made: ModuleType) -> None:
    loss = only(made, made.drop("u", 8, fault="blackhole#0", fault_s=6.5))
    assert loss.began_ns == made.ns(6.5)
    assert loss.restored_ns == loss.ended_ns == made.ns(9.07)
    assert only(made, made.drop("u", 8)).began_ns == made.ns(8), "unprovoked: from its being found out"


@pytest.mark.parametrize(
    ("told", "more", "restored_s"),
    [
        ({}, [], 9.05),  # no probe anywhere: the contract has no echoes
        ({}, ["other"], None),  # others were proven: this one's probe had all its time
        ({"rooms": 0}, ["other"], 9.05),  # it has no room to prove
        ({}, ["other", "again"], 9.05),  # lost once more before the probe's time was over
    ],
)
def test_joined_counts_unless_a_probe_failed(
    made: ModuleType, told: dict[str, Any], more: list[str], restored_s: float | None
) -> None:
    others = {"other": made.drop("v", 7), "again": made.drop("u", 12)}
    mine = made.drop("u", 8, heard_s=None, **told)
    found = drops.losses(run_of(made, mine, *(others[name] for name in more))).counted
    loss = next(one for one in found if one.drop is mine)
    assert loss.restored_ns == (None if restored_s is None else made.ns(restored_s))
    assert loss.ended_ns == (made.ns(30) if restored_s is None else loss.restored_ns)


def test_probes_that_all_failed_are_probes(made: ModuleType) -> None:
    resume = SeriesRow("session.resume", "websocket", "measure", 9, expected=1, lost=1)
    assert only(made, made.drop("u", 8, heard_s=None), rows=[resume]).restored_ns is None


def test_books_that_close_before_the_probe_is_due_prove_nothing(made: ModuleType) -> None:
    other, late = made.drop("v", 7), made.drop("u", 24, heard_s=None)
    found = drops.losses(run_of(made, other, late)).counted[1]
    assert found.restored_ns == made.ns(25.05)


@pytest.mark.parametrize(
    ("outcome", "ended_s"), [("gave_up", 30), ("stayed", 30), ("open", 30), ("left", 9.02)]
)
def test_who_does_not_come_back_is_out_to_the_end_or_until_it_left(
    made: ModuleType, outcome: str, ended_s: float
) -> None:
    loss = only(made, made.drop("u", 8, outcome=outcome))
    assert (loss.restored_ns, loss.ended_ns) == (None, made.ns(ended_s))


def test_the_numbers_of_attempts() -> None:
    def one(cause: str, waited: int = 5, late: int = 1) -> Try:
        return Try(waited, late, 0, 0, cause)

    tries = [one("reset"), one("connect_error"), one("", 1, 1), one("reset"), one("reset"), one("")]
    assert [number for number, _ in drops.numbered(tries)] == [1, 2, 0, 1, 2, 3], (
        "a new token costs no attempt, and a connection that did not last begins the count anew"
    )
    refused = [one("connect_error"), one("connect_error"), one("")]
    assert [number for number, _ in drops.numbered(refused)] == [1, 2, 3], "refused, and waited for"


WAYS = st.tuples(
    st.sampled_from(["u", "v", "w"]),
    st.integers(3, 29),
    st.integers(0, 4),
    st.sampled_from(["recovered", "gave_up", "open", "left"]),
)


@given(st.lists(WAYS, max_size=8, unique_by=lambda way: way[:2]), st.randoms())
def test_outages_are_what_somebody_with_a_watch_would_note(made: ModuleType, ways: Any, random: Any) -> None:
    """The oracle looks at every tenth of a second at every user."""
    some = [
        made.drop(
            user, at, (0.5,), outcome, "abort#0", at - back, took_s=0.0, rejoin_s=1.5, heard_s=None, rooms=0
        )
        for user, at, back, outcome in ways
    ]
    random.shuffle(some)
    found = drops.losses(run_of(made, *some))
    spans = drops.outages([*found.early, *found.counted], made.ns(5), made.ns(27))
    ticks: defaultdict[str, set[int]] = defaultdict(set)
    for user, at, back, outcome in ways:
        later = min((when for who, when, *_ in ways if who == user and when > at), default=30)
        lasts = {"recovered": min(at + 2.0, 99), "left": at + 0.5}.get(outcome, later)
        ticks[user] |= {tick for tick in range(50, 270) if (at - back) * 10 <= tick < round(lasts * 10)}
    assert sum(end - begin for begin, end in spans) == sum(map(len, ticks.values())) * SECOND // 10
    assert spans == sorted(spans)
