"""Single outages, and which of them are shown."""

from __future__ import annotations

from types import ModuleType

from loadtest.analysis.waterfall import LONGEST, SHOWN, TryMark, Waterfall, outages
from loadtest.measure.book import Book
from loadtest.measure.rows import Delta, Drop


def of(made: ModuleType, *some: Drop) -> Waterfall:
    book = Book()
    book.add("local", Delta(1, [], list(some), final=True))
    return outages(made.in_memory(book, parameters=made.manifest().parameters | made.RETURNING))


def test_an_outage_step_by_step(made: ModuleType) -> None:
    drop = made.drop("u", 8.5, (1.0, 2.0), fault="blackhole#0", fault_s=6, took_s=0.25)
    (one,) = of(made, drop).shown
    assert (one.fault_s, one.at_s, one.back_s, one.rejoined_s, one.heard_s) == (6.0, 8.5, 12.0, 12.03, 12.05)
    assert one.tries == [TryMark(9.5, 0.25, "transport_error"), TryMark(11.75, 0.25, "")]
    assert (one.user, one.cause, one.outcome, one.fault) == (
        "u",
        "transport_error",
        "recovered",
        "blackhole#0",
    )
    assert (one.end_s, one.restored) == (12.05, True)


def test_one_that_never_ended_lasts_as_long_as_is_known(made: ModuleType) -> None:
    (one,) = of(made, made.drop("u", 8.5, (1.0,), "gave_up")).shown
    assert (one.fault_s, one.back_s, one.heard_s, one.end_s, one.restored) == (None, None, None, 30.0, False)


def test_the_longest_come_first_and_others_stand_apart(made: ModuleType) -> None:
    found = of(
        made,
        made.drop("short", 8),
        made.drop("long", 8, (1.0, 2.0)),
        made.drop("early", 3),
        made.drop("ours", 9, cause="generator_stall"),
    )
    assert [one.user for one in found.shown] == ["long", "short"]
    assert (found.of, found.how) == (2, "all 2")


def test_of_many_the_longest_and_some_of_all_the_others(made: ModuleType) -> None:
    found = of(made, *(made.drop(f"u{n:03}", 8, (1 + n / 100,)) for n in range(310)))
    assert (len(found.shown), found.of) == (SHOWN, 310)
    users = [int(one.user[1:]) for one in found.shown]
    assert users[:LONGEST] == list(range(309, 299, -1))
    assert users == sorted(users, reverse=True) and users[-1] == 0
    steps = [high - low for high, low in zip(users[LONGEST:], users[LONGEST + 1 :], strict=False)]
    assert min(steps) >= 10 and max(steps) <= 11
    assert found.how == "the 10 longest of 310, and 30 at even steps of all others by length"


def test_nobody_was_out(made: ModuleType) -> None:
    assert of(made) == Waterfall([], 0, "all 0")
