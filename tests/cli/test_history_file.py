"""The file of nights: whole after a kill, complete with several writers, never lost when it is damaged."""

from __future__ import annotations

import fcntl
import math
import os
import random
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.analysis.history import STATES, Figure, Night, in_order
from loadtest.cli import history_file
from loadtest.cli.history_file import HistoryError, append, read

HERE = Path(__file__).parent
made = SimpleNamespace(**runpy.run_path(str(HERE.parent / "analysis" / "nights.py")))
STAMP = "20261123T081500Z"
VERSION_1 = HERE / "golden" / "history-version-1.sqlite"
PROGRAM = HERE / "appending.py"
MANY = 40_000
"""Nights that are more than SQLite holds in memory before it writes into the file: 2 MB."""


def start(path: Path, first: int, count: int, way: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(path), str(first), str(count), way]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_whole(nights: list[Night]) -> None:
    """Every night that there is has all its figures."""
    for night in nights:
        assert [figure.n for figure in night.figures.values()] == list(range(6)), night.path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "history.sqlite"


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
kept_figures = st.dictionaries(
    words,
    st.builds(Figure, numbers, st.none() | numbers, st.none() | numbers, st.integers(0, 2**40)),
    max_size=4,
)
kept_nights = st.builds(
    Night,
    at=st.datetimes().map(lambda at: at.isoformat() + "+00:00"),
    job=words, target=words, fingerprint=words, commit=st.none() | words, trials=st.integers(0, 99),
    state=st.sampled_from(STATES), why=words, path=words, figures=kept_figures,
)  # fmt: skip


@given(st.lists(kept_nights, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_appended_is_read(tmp_path: Path, nights: list[Night]) -> None:
    path = tmp_path / "history.sqlite"
    path.unlink(missing_ok=True)
    assert append(path, nights, STAMP) == []
    found = read(path)
    assert found == in_order(nights)
    assert [list(night.figures) for night in found] == [list(night.figures) for night in in_order(nights)]


def test_of_one_job_or_machine_oldest_first(path: Path) -> None:
    append(path, made.nights(4, moved_at=2)[::-1], STAMP)
    append(path, made.nights(2, job="soak"), STAMP)
    assert [night.at for night in read(path, job="messaging")] == [made.at(day) for day in range(4)]
    assert [night.at for night in read(path, fingerprint=made.OTHER_MACHINE)] == [made.at(2), made.at(3)]
    assert read(path, job="soak", fingerprint=made.OTHER_MACHINE) == []


def test_one_file_and_nothing_beside_it(path: Path) -> None:
    append(path, made.nights(3), STAMP)
    append(path, made.nights(3), STAMP)
    read(path)
    assert [one.name for one in path.parent.iterdir()] == ["history.sqlite"]


def test_a_log_that_somebody_turned_on_is_turned_off(path: Path) -> None:
    append(path, [made.night(0)], STAMP)
    somebody = sqlite3.connect(path)
    assert somebody.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    somebody.close()
    assert len(read(path)) == 1
    append(path, [made.night(1)], STAMP)
    assert len(read(path)) == 2
    assert [one.name for one in path.parent.iterdir()] == ["history.sqlite"]


def test_no_history_yet(path: Path) -> None:
    with pytest.raises(HistoryError, match="no history yet: `loadtest nightly`"):
        read(path)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"at": "2026-09-01T02:15:00"},
        {"state": "perhaps"},
        {"figures": {"p95_ms": Figure(math.nan, None, None, 6)}},
        {"figures": {"p95_ms": Figure(math.inf, None, None, 6)}},
    ],
    ids=lambda one: next(iter(one)),
)
def test_a_night_that_is_none_keeps_all_of_its_batch_out(path: Path, changes: dict[str, object]) -> None:
    append(path, [made.night(0)], STAMP)
    with pytest.raises(ValueError, match=r"."):
        append(path, [made.night(1), made.night(2, **changes)], STAMP)
    assert read(path) == [made.night(0)]


def test_an_interval_without_an_end_is_one(path: Path) -> None:
    append(path, [made.night(0, figures={"p95_ms": Figure(1.0, -math.inf, math.inf, 6)})], STAMP)
    assert read(path)[0].figures == {"p95_ms": Figure(1.0, None, None, 6)}


def version_1_nights() -> list[Night]:
    """What the code of version 1 wrote into the file beside."""
    figures = [
        {
            "loss_share": Figure(0.0, 0.0, 0.00002, 6),
            "message.deliver p95_ms": Figure(41.0 + day, 39.5, None, 6),
        }
        for day in range(2)
    ]
    plain = [made.night(day, at=f"2026-09-0{day + 1}T02:15:00+00:00") for day in range(3)]
    return [
        plain[0]._replace(figures=figures[0]),
        plain[1]._replace(figures=figures[1], commit=None, state="inconclusive"),
        plain[2]._replace(figures={}, state="invalid"),
    ]


def version(path: Path) -> int:
    database = sqlite3.connect(path)
    (found,) = database.execute("PRAGMA user_version").fetchone()
    database.close()
    return int(found)


def test_a_file_of_version_1_is_read_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(VERSION_1, path)
    assert read(path) == version_1_nights()
    assert path.read_bytes() == VERSION_1.read_bytes()
    assert version(path) == 1


def test_appending_brings_a_file_of_version_1_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(VERSION_1, path)
    new = made.night(9, state="incomplete", why="stopped by SIGTERM", figures={})
    assert append(path, [new], STAMP) == []
    assert version(path) == history_file.VERSION > 1
    assert read(path) == [*version_1_nights(), new]


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    shutil.copy(VERSION_1, path)
    broken = (*history_file.MIGRATIONS, ("ALTER TABLE night ADD COLUMN mood TEXT", "no such statement"))
    monkeypatch.setattr(history_file, "MIGRATIONS", broken)
    monkeypatch.setattr(history_file, "VERSION", len(broken))
    with pytest.raises(HistoryError, match="cannot be written"):
        append(path, [made.night(9)], STAMP)
    assert path.read_bytes() == VERSION_1.read_bytes()


def of_a_newer_version(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()


def of_somebody_else(path: Path) -> None:
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE recipe (cake TEXT)")
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_a_newer_version, "written in version 99 by a newer"),
        (of_somebody_else, "but no history of nights"),
    ],
)
def test_a_file_that_is_not_for_us_is_refused_and_left_alone(
    path: Path, change: Callable[[Path], None], said: str
) -> None:
    append(path, [made.night(0)], STAMP)
    change(path)
    before = path.read_bytes()
    for ask in (lambda: read(path), lambda: append(path, [made.night(1)], STAMP)):
        with pytest.raises(HistoryError, match=said) as refused:
            ask()
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["history.sqlite"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of 200 nights."""
    path = tmp_path_factory.mktemp("whole") / "history.sqlite"
    append(path, made.nights(200, levels={f"m{index}_ms": 10.0 for index in range(6)}), STAMP)
    return path.read_bytes()


PAGE = 4096
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda whole: b"night,p95\n1,41.0\n" * 300,
    "a few bytes": lambda whole: whole[:50],
    "no tables": lambda whole: whole[:PAGE],
    "truncated in the middle": lambda whole: whole[: len(whole) // 2],
    "truncated by a page": lambda whole: whole[:-PAGE],
    "truncated by a byte": lambda whole: whole[:-1],
    "first page of zeros": lambda whole: bytes(PAGE) + whole[PAGE:],
    "last page of zeros": lambda whole: whole[:-PAGE] + bytes(PAGE),
    "a page in the middle of noise": lambda whole: _overwritten(whole, random.Random(1).randbytes(PAGE)),
    "a page of another place": lambda whole: _overwritten(whole, whole[:PAGE]),
}


def _overwritten(whole: bytes, page: bytes) -> bytes:
    middle = len(whole) // PAGE // 2 * PAGE
    return whole[:middle] + page + whole[middle + PAGE :]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(
    path: Path, whole: bytes, damage: Callable[[bytes], bytes]
) -> None:
    path.parent.mkdir()
    path.write_bytes(torn := damage(whole))
    with pytest.raises(HistoryError) as refused:
        read(path)
    assert str(path) in str(refused.value) and "damaged" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == torn
    (said,) = append(path, [made.night(0)], STAMP)
    aside = path.with_name(f"history.sqlite.corrupt-{STAMP}")
    assert aside.name in said and "\n" not in said
    assert aside.read_bytes() == torn
    assert read(path) == [made.night(0)]
    assert sorted(one.name for one in path.parent.iterdir()) == sorted([path.name, aside.name])


def test_wherever_it_is_cut_it_is_whole_or_damaged(path: Path, whole: bytes) -> None:
    path.parent.mkdir()
    for end in range(512, len(whole), 1536):
        path.write_bytes(whole[:end])
        with pytest.raises(HistoryError, match="damaged"):
            read(path)


def test_what_was_kept_aside_is_never_overwritten(path: Path) -> None:
    path.parent.mkdir()
    for number in range(3):
        path.write_bytes(b"no database, number %d" % number)
        append(path, [made.night(0)], STAMP)
    kept = {one.name: one.read_bytes() for one in path.parent.iterdir() if one != path}
    assert kept == {
        f"history.sqlite.corrupt-{STAMP}": b"no database, number 0",
        f"history.sqlite.corrupt-{STAMP}-2": b"no database, number 1",
        f"history.sqlite.corrupt-{STAMP}-3": b"no database, number 2",
    }


def test_the_journal_of_a_damaged_file_is_not_played_into_the_new_one(path: Path) -> None:
    append(path, [made.night(0)], STAMP)
    start(path, 1, MANY, "die").communicate(timeout=120)
    assert path.with_name("history.sqlite-journal").stat().st_size > 0
    path.write_bytes(b"no database" * 1000)
    append(path, [made.night(1)], STAMP)
    append(path, [made.night(2)], STAMP)
    assert read(path)[-2:] == [made.night(1), made.night(2)]
    assert not path.with_name("history.sqlite-journal").exists()


def test_an_empty_file_is_an_empty_history(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert read(path) == []
    assert append(path, [made.night(0)], STAMP) == []
    assert read(path) == [made.night(0)]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "history.sqlite"):
        with pytest.raises(HistoryError, match="cannot be written") as refused:
            append(path, [made.night(0)], STAMP)
        assert "\n" not in str(refused.value)


def test_a_writer_that_does_not_end_is_waited_for_only_so_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, [made.night(0)], STAMP)
    monkeypatch.setattr(history_file, "BUSY_S", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError, match=r"cannot be written .*locked"):
        append(path, [made.night(1)], STAMP)
    assert read(path) == [made.night(0)]
    other.execute("ROLLBACK")
    other.close()
    append(path, [made.night(1)], STAMP)
    assert len(read(path)) == 2


@pytest.mark.parametrize("before", ["nothing", "version 1", "damaged"])
def test_writers_at_the_same_time_lose_nothing(path: Path, before: str) -> None:
    path.parent.mkdir()
    if before == "version 1":
        shutil.copy(VERSION_1, path)
    if before == "damaged":
        path.write_bytes(b"no database")
    writers = [start(path, 1000 * number, 25, "each") for number in range(3)]
    told = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], told
    kept = {night.path for night in read(path)}
    assert {f"night {1000 * number + day}" for number in range(3) for day in range(25)} <= kept
    assert_whole([night for night in read(path) if night.path.startswith("night ")])
    aside = list(path.parent.glob("*.corrupt-*"))
    assert len(aside) == (before == "damaged")
    assert sum(said.count("a new history begins") for said, _ in told) == (before == "damaged")


def test_one_that_comes_late_to_the_damage_does_not_move_the_new_file_away(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database")
    said: list[str] = []
    late = threading.Thread(target=lambda: said.extend(append(path, [made.night(1)], STAMP)))
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    late.start()
    late.join(timeout=0.3)
    assert late.is_alive()  # it found the damage, and waits for the one that is about to mend it
    path.unlink()
    append(path, [made.night(0)], STAMP)
    os.close(folder)
    late.join(timeout=60)
    assert said == []
    assert read(path) == [made.night(0), made.night(1)]
    assert [one.name for one in path.parent.iterdir()] == ["history.sqlite"]


def test_killed_in_the_middle_of_a_night_it_keeps_what_was_whole(path: Path) -> None:
    append(path, [made.night(0)], STAMP)
    dying = start(path, 1, MANY, "die")
    dying.communicate(timeout=120)
    assert dying.returncode == -signal.SIGKILL
    # It came so far that pages of the file itself were written over: only the journal can take them back.
    assert path.with_name("history.sqlite-journal").stat().st_size > 0
    torn = path.read_bytes()
    assert len(torn) > 100_000
    assert read(path) == [made.night(0)]
    append(path, [made.night(1)], STAMP)
    assert read(path) == [made.night(0), made.night(1)]
    assert [one.name for one in path.parent.iterdir()] == ["history.sqlite"]


@pytest.mark.parametrize("after", [1, 2, 5, 9])
def test_killed_at_any_moment_it_has_whole_nights_only(path: Path, after: int) -> None:
    writer = start(path, 0, 100_000, "each")
    assert writer.stdout is not None
    seen = [writer.stdout.readline().split(" ", 1)[1].strip() for _ in range(after)]
    writer.kill()
    writer.communicate(timeout=60)
    nights = read(path)
    assert_whole(nights)
    kept = [night.path for night in nights]
    assert kept[:after] == seen
    assert kept == [f"night {number}" for number in range(len(kept))]
