"""Do the deltas of many processes add up to the Book that one process would have written?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure.book import Book
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import (
    EXEMPLARS,
    Delta,
    Drop,
    Exemplar,
    FaultRow,
    HealthRow,
    SeriesRow,
    ServerRow,
    TrafficRow,
    Try,
    decode_delta,
    encode_delta,
    worst,
)
from loadtest.measure.units import SECOND

START = 5 * SECOND
COUNTERS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")


def plan() -> Plan:
    made = Plan(START, warmup_ns=2 * SECOND)
    made.begin(START + SECOND)
    return made


def recorder(worker: str = "w", keep: int = 60) -> Recorder:
    return Recorder(plan(), worker, keep)


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def exemplar(latency: int | None = 1, planned: int = 0, outcome: str = "slow", **more: Any) -> Exemplar:
    fields: dict[str, Any] = {"room": "r", "sender": "s", "receiver": "x", "seq": 1, **more}
    read = None if latency is None else planned + latency
    return Exemplar(
        outcome, "message.deliver", "websocket", "measure", planned_ns=planned, read_ns=read, **fields
    )


# -- k recorders are one -------------------------------------------------------------------------------------

MOMENTS = st.integers(at(0), at(8))
NAMES = st.sampled_from(["message.deliver", "message.ack"])
TRANSPORTS = st.sampled_from(["websocket", "polling"])
EVENTS = st.one_of(
    st.tuples(st.just("record"), NAMES, TRANSPORTS, MOMENTS, st.integers(-5, 10**10), st.integers(0, 10**9)),
    st.tuples(st.just("count"), NAMES, TRANSPORTS, MOMENTS, st.sampled_from(COUNTERS), st.integers(-2, 3)),
    st.tuples(
        st.just("phase"), NAMES, TRANSPORTS, MOMENTS, st.sampled_from(["tcp", "tls"]), st.integers(0, 10**9)
    ),
    st.tuples(st.just("connecting"), NAMES, TRANSPORTS, MOMENTS, st.integers(0, 10**9)),
    st.tuples(st.just("run"), st.sampled_from(["foreign", "tolerated"]), st.integers(1, 3)),
    st.tuples(st.just("traffic"), TRANSPORTS, st.integers(0, 10**6)),
    st.tuples(st.just("drop"), st.integers(0, 5), st.integers(0, 3)),
    st.tuples(
        st.just("fault"),
        st.integers(0, 2),
        st.integers(0, 9),
        st.none() | st.integers(0, 9),
        st.integers(0, 3),
    ),
    st.tuples(st.just("exemplar"), st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)),
)


def feed(to: Recorder, event: tuple[Any, ...]) -> None:
    match event:
        case "record", name, transport, planned, latency, lag:
            to.interval(name, transport, planned).record(planned, planned + lag, planned + latency)
        case "count", name, transport, planned, counter, by:
            interval = to.interval(name, transport, planned)
            setattr(interval, counter, getattr(interval, counter) + by)
        case "phase", name, transport, planned, part, duration:
            to.interval(name, transport, planned).record_phase(part, duration)
        case "connecting", name, transport, planned, latency:
            to.connecting(name, transport, planned).record(planned, planned, planned + latency)
        case "run", name, by:
            to.count(name, by)
        case "traffic", transport, size:
            to.traffic(TrafficRow(transport, "idle", "tcp_info", 1, 2, size, size * 2, 3, 4))
        case "drop", moment, tries:
            way_back = [Try(number, 0, moment + number, 1, "connect_refused") for number in range(tries)]
            to.drops.append(Drop(f"u{moment}", "websocket", moment, "reset", tries=way_back, missed=tries))
        case "fault", number, at_ns, until_ns, struck:
            to.fault(FaultRow(f"abort#{number}", "abort", at_ns, until_ns, 0.5, "abort@0x3/9~0.5", struck))
        case "exemplar", latency, planned, seq:
            to.exemplar(exemplar(latency, planned, seq=seq))


def essence(book: Book) -> Any:
    """All of a Book; rows that came and went again are no difference."""
    rows = [r for r in book.rows() if not isinstance(r, SeriesRow) or r != SeriesRow(*r.key)]
    drops = sorted(book.drops, key=lambda one: (one.at_ns, one.user, one.missed))
    return rows, drops, book.exemplars, book.counters, book.gaps


@settings(max_examples=100)
@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 3), st.integers(0, 5)), max_size=60),
    st.integers(1, 4),
    st.randoms(),
)
def test_k_recorders_in_any_interleaving_are_one(
    events: list[tuple[tuple[Any, ...], int, int]], k: int, random: Any
) -> None:
    alone, one_book = recorder(), Book()
    several = [recorder(f"w{i}") for i in range(k)]
    sent: list[list[bytes]] = [[] for _ in several]
    for event, who, take in events:
        feed(alone, event)
        feed(several[who % k], event)
        if take == 0:
            sent[who % k].append(encode_delta(several[who % k].take()))
        if take == 1:
            one_book.add("alone", alone.take())
    one_book.add("alone", alone.take(final=True))
    for of_it, each in zip(sent, several, strict=True):
        of_it.append(encode_delta(each.take(final=True)))
    book = Book()
    while any(sent):
        i = random.choice([i for i, waiting in enumerate(sent) if waiting])
        book.add(f"w{i}", decode_delta(sent[i].pop(0)))
    assert essence(book) == essence(one_book)
    assert book.final == {f"w{i}" for i in range(k)}


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_delta_round_trip(events: list[tuple[Any, ...]], final: bool) -> None:
    from_it = recorder()
    for event in events:
        feed(from_it, event)
    from_it.health(at(1)).send_lag.record(7)
    from_it.server(ServerRow(3, sockets=9, cpu_percent=1.5))
    delta = from_it.take(final)
    assert decode_delta(encode_delta(delta)) == delta


# -- one recorder --------------------------------------------------------------------------------------------


def test_an_interval_is_that_of_the_planned_moment() -> None:
    mine = recorder()
    mine.interval("o", "t", at(0.5)).expected += 1
    mine.interval("o", "t", at(1.5)).expected += 2
    mine.interval("o", "t", at(3.5)).expected += 4
    mine.connecting("o", "t", at(3.5)).expected += 8
    rows = [row for row in mine.take().rows if isinstance(row, SeriesRow)]
    assert {(row.phase, row.second): row.expected for row in rows} == {
        ("connect", 0): 1,
        ("warmup", 1): 2,
        ("measure", 3): 4,
        ("connect", 3): 8,
    }
    assert mine.interval("o", "t", at(3.1)) is mine.interval("o", "t", at(3.9))
    assert mine.interval("o", "t", at(3.1)) is not mine.interval("o", "u", at(3.1))


def test_record_counts_latency_from_the_plan_and_service_from_the_sending() -> None:
    mine = recorder()
    mine.interval("o", "t", at(4)).record(at(4), at(4) + 30, at(4) + 100)
    (row,) = mine.take().rows
    assert isinstance(row, SeriesRow)
    assert (row.expected, row.latency.sum_ns, row.service.sum_ns) == (1, 100, 70)


def test_nothing_new_is_an_empty_delta_with_a_number() -> None:
    mine = recorder()
    mine.interval("o", "t", at(4))
    assert mine.take() == Delta(1)
    mine.interval("o", "t", at(4)).late += 1
    assert len(mine.take().rows) == 1
    assert mine.take(final=True) == Delta(3, final=True)


def test_what_is_handed_over_is_not_handed_over_again() -> None:
    mine = recorder()
    interval = mine.interval("o", "t", at(4))
    interval.record(0, 0, 5)
    interval.record_phase("tcp", 9)
    mine.count("c")
    mine.exemplar(exemplar())
    first = mine.take()
    assert (len(first.rows), first.counters, len(first.exemplars)) == (1, {"c": 1}, 1)
    assert mine.take() == Delta(2)
    interval.record(0, 0, 6)
    (row,) = mine.take().rows
    assert isinstance(row, SeriesRow)
    assert (row.expected, row.latency.sum_ns, row.phases) == (1, 6, {})


@pytest.mark.parametrize("keep", [1, 3, 60])
def test_intervals_are_forgotten_only_when_unused(keep: int) -> None:
    mine = recorder(keep=keep)
    used, unused = mine.interval("o", "t", at(1)), mine.interval("o", "t", at(2))
    for _ in range(keep + 1):
        assert mine.interval("o", "t", at(1)) is used
        mine.take()
    assert mine.interval("o", "t", at(1)) is used
    unused.late += 1  # too late: it was forgotten by the last take
    assert mine.take().rows == []
    assert mine.interval("o", "t", at(2)) is not unused
    assert mine.interval("o", "t", at(1)) is used


def test_what_is_held_within_keep_is_heard() -> None:
    mine = recorder(keep=3)
    held = mine.interval("o", "t", at(1))
    for number in range(4):
        held.late += 1
        assert [getattr(row, "late", 0) for row in mine.take().rows] == [1], number


def test_health_of_the_second_under_way_is_held_back_until_the_last() -> None:
    mine = recorder("me")
    mine.health(at(4)).sent = 3
    assert mine.take().rows == []
    mine.health(at(4.9)).sent += 1
    mine.health(at(5)).connections = 8
    mine.health(at(5)).loop_lag.record(5)
    assert mine.take().rows == [HealthRow("me", "measure", 4, sent=4)]
    assert mine.take().rows == []
    (row,) = mine.take(final=True).rows
    assert isinstance(row, HealthRow)
    assert (row.second, row.connections, row.loop_lag.n) == (5, 8, 1)
    assert mine.take(final=True).rows == []


# -- the Book ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ([1, 2, 3], []),
        ([1, 3, 4], ["w: delta 3 where 2 was due"]),
        ([2], ["w: delta 2 where 1 was due"]),
        ([1, 1], ["w: delta 1 where 2 was due"]),
    ],
)
def test_gaps_are_noted(numbers: list[int], gaps: list[str]) -> None:
    book = Book()
    for number in numbers:
        book.add("w", Delta(number))
    book.add("other", Delta(1))
    assert book.gaps == gaps


def test_final_is_noted_by_worker() -> None:
    book = Book()
    book.add("a", Delta(1))
    book.add("b", Delta(1, final=True))
    assert book.final == {"b"}


def test_rows_come_in_one_order() -> None:
    rows: list[Any] = [
        SeriesRow("a", "t", "measure", 2),
        SeriesRow("a", "t", "measure", 10),
        SeriesRow("b", "t", "connect", 1),
        HealthRow("w1", "measure", 1),
        HealthRow("w2", "measure", 1),
        HealthRow("w1", "measure", 2),
        ServerRow(1),
        ServerRow(2),
        TrafficRow("polling", "idle", "m"),
        TrafficRow("websocket", "idle", "m"),
        FaultRow("kick#1", "kick", 3),
        FaultRow("abort#0", "abort", 5),
        FaultRow("abort#2", "abort", 5),
    ]
    book = Book()
    book.add("w", Delta(1, rows[::-1]))
    assert list(book.rows()) == rows


def counts(values: list[int]) -> Counts:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.counts()


COUNTS = st.lists(st.integers(0, 10**9), max_size=5).map(counts)
SOME_COUNTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=5).map(counts)
ROWS = st.builds(
    SeriesRow,
    st.just("o"),
    st.just("t"),
    st.just("measure"),
    st.just(1),
    *[st.integers(-3, 3)] * len(COUNTERS),
    COUNTS,
    COUNTS,
    st.dictionaries(st.sampled_from(["tcp", "tls", "open"]), SOME_COUNTS),
)


@given(ROWS, ROWS, ROWS)
def test_rows_add_in_any_order(a: SeriesRow, b: SeriesRow, c: SeriesRow) -> None:
    assert a.plus(b) == b.plus(a)
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert a.plus(SeriesRow(*a.key)) == a
    for name in COUNTERS:
        assert getattr(a.plus(b), name) == getattr(a, name) + getattr(b, name)
    assert a.plus(b).latency == a.latency.plus(b.latency)
    assert list(a.plus(b).phases) == sorted(a.phases.keys() | b.phases.keys())
    assert a.plus(b).phases.get("tcp", Counts()) == a.phases.get("tcp", Counts()).plus(
        b.phases.get("tcp", Counts())
    )


def test_what_two_processes_say_of_one_strike_is_one_row() -> None:
    book = Book()
    book.add("a", Delta(1, [FaultRow("stop-reading#0", "stop-reading", 20, 90, 0.5, "text", 3)]))
    book.add("b", Delta(1, [FaultRow("stop-reading#0", "stop-reading", 10, 80, 0.5, "text", 4)]))
    book.add_fault(FaultRow("kick#1", "kick", 15, struck=9))  # ordered once, by who keeps the book
    assert list(book.rows()) == [
        FaultRow("stop-reading#0", "stop-reading", 10, 90, 0.5, "text", 7),
        FaultRow("kick#1", "kick", 15, struck=9),
    ]


# -- exemplars -----------------------------------------------------------------------------------------------


def test_the_worst_of_each_outcome_are_kept() -> None:
    slow = [exemplar(latency) for latency in range(50)]
    lost = [exemplar(None, planned, "lost") for planned in range(50, 0, -1)]
    kept = worst(slow + lost)
    assert [one.planned_ns for one in kept[:EXEMPLARS]] == list(range(1, EXEMPLARS + 1))
    assert [one.latency_ns for one in kept[EXEMPLARS:]] == list(range(49, 49 - EXEMPLARS, -1))


MANY = st.lists(
    st.builds(exemplar, st.none(), st.integers(0, 3), st.just("lost"))
    | st.builds(exemplar, st.integers(0, 3), st.integers(0, 3), st.sampled_from(["slow", "leaked"]))
    | st.builds(
        lambda sender, seq: exemplar(1, 1, sender=sender, seq=seq), st.sampled_from("ab"), st.integers(0, 9)
    ),
    max_size=70,
)


@given(MANY, st.integers(0, 70), st.randoms())
def test_the_worst_of_parts_are_the_worst_of_the_whole(many: list[Exemplar], cut: int, random: Any) -> None:
    shuffled = list(many)
    random.shuffle(shuffled)
    assert worst(worst(shuffled[:cut]) + worst(shuffled[cut:])) == worst(many)


@pytest.mark.parametrize("make", [lambda: Book().rows(), lambda: iter(recorder().take(True).rows)])
def test_nothing_yields_nothing(make: Callable[[], Any]) -> None:
    assert list(make()) == []
