"""The time that people could talk, and the messages that came while they waited."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from loadtest.analysis.availability import Availability, availability
from loadtest.analysis.intervals import wilson
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import Delta, Drop, SeriesRow
from loadtest.measure.units import MS, SECOND


def told(made: ModuleType, *some: Drop, rows: Any = (), **changes: Any) -> Availability:
    book = Book()
    book.add("local", Delta(1, list(rows), list(some), final=True))
    parameters = made.manifest().parameters | made.RETURNING | changes.pop("parameters", {})
    found = availability(made.in_memory(book, parameters=parameters, **changes))
    assert found is not None
    return found


def copies(name: str, second: int, *latencies_ms: float, phase: str = "measure", **more: int) -> SeriesRow:
    histogram = Histogram()
    for value in latencies_ms:
        histogram.record(round(value * MS))
    return SeriesRow(name, "websocket", phase, second, latency=histogram.counts(), **more)


def test_time_of_users(made: ModuleType) -> None:
    """Ten users, measured from 5 to 27: 220 s of users."""
    some = [
        made.drop("u", 9, (1.0,), fault="abort#0", fault_s=8.5, took_s=0.0, heard_s=0.5),  # 8.5 to 10.5
        made.drop("v", 3, (2.0,), took_s=0.0, heard_s=1.0),  # lost before measure, out until 6: 1 s of it
        made.drop("w", 25, (1.0,), "gave_up"),  # 25 to 27
        made.drop("x", 26, (2.0,)),  # back in the drain: 1 s
        made.drop("y", 28, (1.0,)),  # lost in the drain: nothing of measure
        made.drop("z", 10, cause="generator_stall"),
    ]
    found = told(made, *some, users=10)
    assert (found.observed_s, found.outage_s, found.longest_s) == (220.0, 6.0, 2.0)
    assert found.user_share == pytest.approx(1 - 6 / 220, abs=1e-6)


def test_a_user_with_two_devices_counts_twice(made: ModuleType) -> None:
    found = told(made, users=10, parameters={"devices": 2})
    assert (found.observed_s, found.user_share, found.outage_s) == (440.0, 1.0, 0.0)


def test_messages_in_time(made: ModuleType) -> None:
    rows = [
        copies("message.deliver", 6, *[5] * 90, 1980, 2001, lost=3, late=1),
        copies("message.resync", 6, 1500, 4000, lost=2),
        copies("message.deliver", 3, *[5] * 50, phase="warmup"),
        copies("message.echo", 6, *[5] * 50),
    ]
    found = told(made, rows=rows)
    assert (found.deadline_s, found.expected, found.in_time) == (2.0, 100, 92)
    assert found.message_share == 0.92
    assert found.ci95 == {"message_share": wilson(92, 100)}


def test_the_deadline_is_the_run_s(made: ModuleType) -> None:
    row = copies("message.deliver", 6, 400, 600)
    assert told(made, rows=[row], parameters={"availability_deadline_s": 0.5}).in_time == 1


def test_what_cannot_be_told(made: ModuleType) -> None:
    found = told(made)
    assert (found.message_share, found.why["message_share"]) == (None, "nobody was owed a message")
    book = Book()
    assert availability(made.in_memory(book, edges=made.Edges(2 * SECOND, None, None, 9 * SECOND))) is None


def test_a_run_of_an_older_release(made: ModuleType) -> None:
    book = Book()
    book.add("local", Delta(1, [copies("message.deliver", 6, 5)], [Drop("u", "websocket", 9 * SECOND, "x")]))
    found = availability(made.in_memory(book))
    assert found is not None
    assert (found.user_share, found.message_share, found.deadline_s) == (None, 1.0, 2.0)
    assert found.why["user_share"] == "this run counted lost connections, not the way back"
