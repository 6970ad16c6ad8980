"""Do several machines, their clocks and their coming decide whether a run is believed?"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import msgspec
import pytest

from loadtest.analysis.hosts import HostRow, doubts, hosts, notes
from loadtest.analysis.validity import judge
from loadtest.measure.book import Book
from loadtest.measure.clocks import ClockOffset
from loadtest.measure.run import Run, Worker
from loadtest.measure.units import MS, SECOND

SOUND = ClockOffset(5_000 * SECOND, MS // 2, MS, 2.0, 1.0, 0, 0, 12)


def worker(name: str, host: str, offset: ClockOffset | None = None, joined_ns: int | None = None) -> Worker:
    clock = "boot-1" if offset is None else f"boot-{host}"
    told = None if offset is None else msgspec.to_builtins(offset)
    return Worker(name, True, {"host": host, "clock": clock, "clock_offset": told, "joined_ns": joined_ns})


def made_by(made: ModuleType, *workers: Worker, **changes: Any) -> Run:
    run: Run = made.in_memory(Book(), workers=list(workers), **changes)
    return run


def changed(**figures: Any) -> ClockOffset:
    return msgspec.structs.replace(SOUND, **figures)


def test_machines_stand_by_name_with_the_best_known_of_their_clocks(made: ModuleType) -> None:
    worse = changed(bound_ns=3 * MS, offset_ns=1)
    run = made_by(made, worker("0", "here"), worker("1", "there", worse), worker("2", "there", SOUND))
    assert hosts(run) == [
        HostRow("here", ["0"], True),
        HostRow("there", ["1", "2"], False, 5_000_000.0, 0.5, 1.0, 2.0, 1.0, 0.0, 0.0),
    ]
    (note,) = notes(run)
    assert note.startswith("1 machine has a clock of its own: ")
    assert "within 1.00 ms" in note
    assert "latencies in rooms do not cross machines" in note
    assert doubts(run) == []


def test_on_one_clock_there_is_nothing_to_say(made: ModuleType) -> None:
    run = made_by(made, worker("0", "here"), worker("1", "here"))
    assert notes(run) == doubts(run) == []


def test_a_run_of_an_older_release_names_no_machine(made: ModuleType) -> None:
    assert hosts(made_by(made, Worker("local", True))) == []


def test_what_crossed_between_processes_is_told_with_what_it_may_be_wrong_by(made: ModuleType) -> None:
    counters = {"crossing.chat.deliver": 1234}
    run = made_by(made, worker("0", "here"), worker("1", "there", SOUND), counters=counters)
    assert any("1,234 deliveries" in note and "up to 2.00 ms" in note for note in notes(run))


# what is wrong; at the limit; past it; far past it; whether that is invalid; a word of the reason
WRONG: list[tuple[ClockOffset, ClockOffset, ClockOffset, bool, str]] = [
    (changed(bound_ns=100 * MS), changed(bound_ns=101 * MS), changed(bound_ns=1001 * MS), True, "known to within"),
    (changed(jump_ns=10 * MS), changed(jump_ns=-11 * MS), changed(jump_ns=1001 * MS), True, "jumped by"),
    (changed(drift_ppm=1001.0), changed(drift_ppm=-1002.0), changed(drift_ppm=10_002.0), True, "the master's "),
    (changed(axis_ns=500 * MS), changed(axis_ns=501 * MS), changed(axis_ns=90 * SECOND), False, "off by the end"),
    (changed(wall_ns=2 * SECOND), changed(wall_ns=-3 * SECOND), changed(wall_ns=10**15), False, "time of day"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sound", "wrong", "worse", "invalid", "words"), WRONG, ids=[row[4] for row in WRONG]
)
def test_a_clock_that_is_wrong_decides(
    made: ModuleType, sound: ClockOffset, wrong: ClockOffset, worse: ClockOffset, invalid: bool, words: str
) -> None:
    assert doubts(made_by(made, worker("1", "there", sound))) == []
    (doubt,) = doubts(made_by(made, worker("1", "there", wrong)))
    assert (doubt.invalid, words in doubt.text, doubt.text.count("\n")) == (False, True, 0)
    assert "the clock of there (worker 1)" in doubt.text
    (doubt,) = doubts(made_by(made, worker("1", "there", worse)))
    assert doubt.invalid is invalid


def test_drift_is_held_against_a_clock_only_beyond_doubt(made: ModuleType) -> None:
    """A short run knows the drift to within thousands of ppm: nobody is suspect for that."""
    unsure = changed(drift_ppm=4000.0, drift_bound_ppm=3500.0)
    assert doubts(made_by(made, worker("1", "there", unsure))) == []


def test_who_came_late_makes_the_run_suspect(made: ModuleType) -> None:
    run = made_by(made, worker("0", "here"), worker("1", "here", joined_ns=12 * SECOND))
    (doubt,) = doubts(run)
    assert doubt.invalid is False
    assert "worker 1 came 12 s into the run, in the middle of measure" in doubt.text
    assert doubt.text in judge(run).reasons
