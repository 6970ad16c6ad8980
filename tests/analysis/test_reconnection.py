"""What a run with drops comes to, against answers known beforehand; whoever measured it, in whatever order."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.analysis.intervals import wilson
from loadtest.analysis.reconnection import Reconnection, reconnection
from loadtest.analysis.summary import encode, summarise
from loadtest.measure.book import Book
from loadtest.measure.rows import Delta, Drop, FaultRow, HealthRow, Row, SeriesRow, decode_delta, encode_delta
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

KICK = {"cause": "server_ns", "fault": "kick#1", "outcome": "stayed"}
FAULTS = [
    FaultRow("abort#0", "abort", 8 * SECOND, argument="abort@3x2/9~0.3", struck=3),
    FaultRow("kick#1", "kick", 12 * SECOND, argument="kick@7", struck=1),
    FaultRow("abort#2", "abort", 17 * SECOND, argument="abort@3x2/9~0.3", struck=1),
]


def found_in(made: ModuleType, *some: Drop, rows: Any = (), **changes: Any) -> Reconnection:
    book = Book()
    book.add("local", Delta(1, [*rows], list(some), final=True))
    told = {"parameters": made.manifest().parameters | made.RETURNING} | changes
    return reconnection(made.in_memory(book, **told))


def sample(made: ModuleType) -> list[Drop]:
    """Six that count: three of the abort, one of them gives up; a kick; one of a later abort; one unprovoked."""
    return [
        made.drop("a", 8.01, (1.0,), fault="abort#0", fault_s=8, missed=3, resynced=3, state_recovered=True),
        made.drop("b", 8.03, (1.0, 2.0), fault="abort#0", fault_s=8, missed=2, resynced=1, resent=1, rooms=2),
        made.drop("c", 8.02, (1.0, 2.0, 4.0), "gave_up", fault="abort#0", fault_s=8),
        made.drop("d", 12.1, (), fault_s=12, **KICK),
        made.drop("e", 17, (1.0,), fault="abort#2", buffered=4, first_s=None),
        made.drop("f", 20, (1.0,), cause="ping_timeout", proven=0, heard_s=None, rooms=1, rejoin_s=0.25),
        made.drop("g", 26, (4.0,), "open", cause="ping_timeout"),
        made.drop("h", 21, (1.0,), "left", cause="ping_timeout"),
        made.drop("i", 3, (1.0,)),
        made.drop("j", 9, cause="generator_stall", missed=100),
    ]


def test_what_became_of_each(made: ModuleType) -> None:
    found = found_in(made, *sample(made), rows=FAULTS, counters={"connections.established": 40})
    assert found.drops == 8
    became = (found.recovered, found.gave_up, found.stayed, found.open, found.left)
    assert became == (4, 1, 1, 1, 1) and sum(map(int, became)) == found.drops  # type: ignore[arg-type]
    assert (found.early, found.stalled, found.unprovoked, found.policy) == (1, 1, 3, "documented")
    assert (found.attempts, found.connections, found.rate) == (10, 40, 0.25), "1 + 2 + 3 + 0 + 1 + 1 + 1 + 1"
    assert found.recovered_ratio == 0.8
    assert found.ci95 == {"recovered_ratio": wilson(4, 5)}
    assert found.attempts_to_success == {1: 3, 2: 1}
    assert (found.missed, found.resynced, found.lost) == (5, 4, 1)
    assert (found.resent, found.buffered, found.state_recovered) == (1, 4, 1)
    assert (found.rooms, found.proven) == (5, 4)


def test_the_four_durations(made: ModuleType) -> None:
    found = found_in(made, *sample(made), rows=FAULTS)
    assert found.detect_ms is not None and found.reconnect_ms is not None
    assert found.detect_ms.p50 == pytest.approx(20, rel=1 / 128), "10, 30, 20, 100, 0 ms"
    assert (found.detect_ms.mean, found.detect_ms.max) == (32.0, 100.0)
    # Back after 1.02, 3.04, 1.02, 1.02 s, and one never: the third of five.
    assert found.reconnect_ms.p50 == pytest.approx(1020, rel=1 / 128)
    assert found.reconnect_ms.max == pytest.approx(3040)
    assert found.why["reconnect_ms.max"] == "of the 4 that came back; 1 never back have none"
    # Heard 1.08, 3.12, 1.07 s after the injection, and one joined (no probe came, nor was it too late for one).
    assert found.rejoin_ms is not None and found.first_message_ms is not None
    assert found.rejoin_ms.p50 == pytest.approx(1270, rel=1 / 128), "1.07, 1.08, 1.27, 3.12, never"
    assert found.why["rejoin_ms.p95"] == "n=5 with those that did not, 59 needed"
    assert found.first_message_ms.max == pytest.approx(3570), "of those who heard one"


def test_who_gives_up_pulls_a_percentile_out_of_reach(made: ModuleType) -> None:
    some = [made.drop(f"u{n}", 6 + n / 10) for n in range(56)]
    some += [made.drop(f"g{n}", 6, (1.0,), "gave_up") for n in range(4)]
    found = found_in(made, *some)
    assert found.rejoin_ms is not None
    assert found.rejoin_ms.p50 is not None and found.rejoin_ms.p95 is None
    assert found.why["rejoin_ms.p95"] == "not reached: 6.7 % never back"


def test_by_cause_and_by_fault(made: ModuleType) -> None:
    found = found_in(made, *sample(made), rows=FAULTS)
    causes = {one.name: (one.drops, one.recovered, one.gave_up) for one in found.by_cause}
    assert causes == {"ping_timeout": (3, 1, 0), "server_ns": (1, 0, 0), "transport_error": (4, 3, 1)}
    assert list(causes) == sorted(causes)
    assert [one.name for one in found.by_fault] == ["abort@3x2/9~0.3", "kick@7", "unprovoked"]
    abort, kick, unprovoked = found.by_fault
    assert (abort.drops, abort.recovered, abort.gave_up, abort.missed, abort.resynced) == (4, 3, 1, 5, 4)
    assert abort.outage_ms.max == pytest.approx(3120)
    assert (kick.drops, kick.outage_ms.p50, kick.why["outage_ms.p50"]) == (1, None, "nobody was to come back")
    assert unprovoked.outage_ms.max == pytest.approx(1270)


def test_a_fault_that_nobody_reported_is_named_by_its_kind(made: ModuleType) -> None:
    found = found_in(made, made.drop("a", 8, fault="restart#3"))
    assert [one.name for one in found.by_fault] == ["restart"]


def test_the_unprovoked_come_last_whenever_they_came(made: ModuleType) -> None:
    found = found_in(
        made, made.drop("a", 6), made.drop("b", 9, fault="kick#1"), made.drop("c", 8, fault="abort#0")
    )
    assert [one.name for one in found.by_fault] == ["abort", "kick", "unprovoked"]


def test_drops_per_hour_of_connected_time(made: ModuleType) -> None:
    """Ten users for 22 s, less the one second that one of them was out; the other was lost after measure."""
    some = [made.drop("a", 8, (0.9,), took_s=0.0, heard_s=0.1), made.drop("b", 28)]
    found = found_in(made, *some, users=10)
    assert found.drops_per_hour == pytest.approx(3600 / 219, abs=1e-6)


def test_copies_twice_or_out_of_order(made: ModuleType) -> None:
    rows = [
        SeriesRow("message.deliver", "websocket", "measure", 9, duplicate=2, reordered=1),
        SeriesRow("message.resync", "websocket", "measure", 9, duplicate=3, reordered=4),
        SeriesRow("message.resync", "websocket", "warmup", 3, duplicate=9),
        SeriesRow("message.echo", "websocket", "measure", 9, duplicate=9),
    ]
    found = found_in(made, rows=rows)
    assert (found.duplicate, found.reordered) == (5, 5)


def test_resynced_beyond_the_missed_is_no_negative_loss(made: ModuleType) -> None:
    assert found_in(made, made.drop("a", 8, missed=1, resynced=2)).lost == 0


def test_a_run_without_drops(made: ModuleType) -> None:
    found = found_in(made, counters={"connections.established": 20})
    assert (found.drops, found.attempts, found.rate, found.recovered, found.lost) == (0, 0, 0.0, 0, 0)
    assert (found.drops_per_hour, found.recovered_ratio, found.backoff, found.storms) == (0.0, None, [], [])
    assert found.why["recovered_ratio"] == found.why["rejoin_ms.p50"] == "nobody was to come back"
    assert found.why["detect_ms.p50"] == found.why["detect_ms.max"] == "no loss was provoked"


def test_a_run_without_connections_or_users(made: ModuleType) -> None:
    found = found_in(made, users=0, counters={})
    assert (found.rate, found.drops_per_hour) == (None, None)
    assert found.why["rate"] == "no connection was established"
    assert found.why["drops_per_hour"] == "nobody was connected in measure"


def test_a_run_of_an_older_release_says_so(made: ModuleType) -> None:
    old = [Drop("u1", "websocket", 7 * SECOND, "transport close"), Drop("u2", "websocket", 0, "kick")]
    found = found_in(made, *old, parameters=made.manifest().parameters)
    assert (found.drops, found.early, found.attempts, found.recovered, found.missed) == (
        1,
        1,
        None,
        None,
        None,
    )
    assert (found.rejoin_ms, found.policy, found.storms) == (None, None, [])
    assert found.why == {"attempts": "this run counted lost connections, not the way back"}


# -- however it was measured -------------------------------------------------------------------------------


def everything(made: ModuleType, seed: int) -> tuple[list[Row], list[Drop]]:
    """All rows and drops of a run with two storms, some who give up, and a stall."""
    maker = made.Maker(seconds=20, users=30, rate_per_min=20, seed=seed)
    book = maker.play()
    maker.storm(8.0, 25)
    maker.storm(13.0, 22, "abort#1")
    book.drops += [made.drop(f"user-{n}", 11 + n / 100, (1.0, 2.0), "gave_up") for n in range(26, 29)]
    return list(book.rows()), list(book.drops)


def whole(made: ModuleType, book: Book) -> bytes:
    edges = made.Edges(2 * SECOND, 5 * SECOND, 17 * SECOND, 20 * SECOND)
    parameters = made.manifest().parameters | made.RETURNING
    return encode(summarise(made.in_memory(book, edges=edges, parameters=parameters, users=30)))


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 4), st.integers(0, 99))
def test_k_workers_come_to_the_same_bytes_as_one(made: ModuleType, k: int, seed: int) -> None:
    """Each strike is told by every worker, with its own share of the struck; health stays of its worker."""
    draw = random.Random(seed)
    rows, drops = everything(made, seed)
    one = Book()
    one.add("local", Delta(1, rows, drops, final=True))
    parts: list[tuple[list[Row], list[Drop]]] = [([], []) for _ in range(k)]
    for row in rows:
        if isinstance(row, FaultRow):
            for index, (mine, _) in enumerate(parts):
                struck = row.struck // k + (index < row.struck % k)
                mine.append(msgspec.structs.replace(row, struck=struck))
        elif isinstance(row, HealthRow):
            parts[0][0].append(row)
        else:
            draw.choice(parts)[0].append(row)
    for drop in drops:
        draw.choice(parts)[1].append(drop)
    several = Book()
    for index, (mine, lost) in draw.sample(list(enumerate(parts)), k):
        draw.shuffle(mine)
        draw.shuffle(lost)
        several.add(f"w{index}", decode_delta(encode_delta(Delta(1, mine, lost, final=True))))
    assert several.faults == one.faults
    assert list(several.rows()) == list(one.rows())
    assert whole(made, several) == whole(made, one)


def test_the_order_of_rows_and_drops_is_no_matter(made: ModuleType) -> None:
    rows, drops = everything(made, 5)
    told = {"parameters": made.manifest().parameters | made.RETURNING, "users": 30}
    manifest = made.manifest(**told)
    path = made.in_memory().path
    in_order = encode(summarise(Run(path, manifest, rows, drops, [])))
    draw = random.Random(3)
    for _ in range(5):
        draw.shuffle(rows)
        draw.shuffle(drops)
        assert encode(summarise(Run(path, manifest, rows, drops, []))) == in_order
