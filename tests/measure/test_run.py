"""Does a Run come back from disk as it was, and is a damaged one named in one line?"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure import run
from loadtest.measure.book import Book
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.rows import (
    Delta,
    Drop,
    Exemplar,
    FaultRow,
    HealthRow,
    SeriesRow,
    ServerRow,
    TrafficRow,
    Try,
)
from loadtest.measure.run import Edges, Manifest, Run, RunError, Worker


def manifest(**fields: Any) -> Manifest:
    given: dict[str, Any] = {
        "id": "1f3a",
        "scenario": "messaging",
        "transport": "websocket",
        "client": "own",
        "users": 3,
        "seed": 7,
        "started": "2026-11-23T08:15:00Z",
        "complete": True,
        "edges": Edges(1, 2, None, 9),
        "parameters": {"rate": 0.1, "nested": [1, None, "ü"]},
        "target": {},
        "environment": {"python": "3.11"},
        "command": "loadtest run",
        "workers": [Worker("w", True, {"pid": 3})],
    }
    return Manifest(**{**given, **fields})


def counts(*values: int) -> Counts:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.counts()


def book(worker: str = "w", *deltas: Delta) -> Book:
    made = Book()
    for delta in deltas:
        made.add(worker, delta)
    return made


SAMPLE = Delta(
    1,
    [
        SeriesRow("message.deliver", "websocket", "measure", 3, 5, 1, 1, latency=counts(1, 10**9, 7)),
        HealthRow("w", "measure", 3, 12.5, 4, receive_lag=counts(9)),
        ServerRow(3, 4, 1.5),
        TrafficRow("websocket", "idle", "tcp_info", 3, 10**12, 5, 6, 7, 8),
        FaultRow("abort#0", "abort", 10**9, None, 0.3, "abort@0~0.3", 4),
    ],
    [Drop("u1", "websocket", 5, "reset", "by\r\npeer\u2028", 3)],
    [Exemplar("slow", "message.deliver", "websocket", "measure", "r", "a", "b", 3, 10, 11, None, 20)],
)

# -- round trips ---------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTS = st.integers(-(2**40), 2**60)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.lists(st.integers(-5, 2**41), max_size=6).map(lambda values: counts(*values))
SERIES = st.builds(
    SeriesRow,
    WORDS,
    WORDS,
    WORDS,
    INTS,
    *[INTS] * 8,
    COUNTS,
    COUNTS,
    st.dictionaries(WORDS, COUNTS, max_size=2),
)
HEALTH = st.builds(
    HealthRow, WORDS, WORDS, INTS, FLOATS, INTS, INTS, INTS, FLOATS, INTS, COUNTS, COUNTS, COUNTS
)
SERVER = st.builds(ServerRow, INTS, INTS, FLOATS, INTS, FLOATS)
TRAFFIC = st.builds(TrafficRow, WORDS, WORDS, WORDS, *[INTS] * 6)
MAYBE = st.none() | INTS
TRIES = st.lists(st.builds(Try, INTS, INTS, INTS, INTS, WORDS), max_size=3)
DROPS = st.builds(
    Drop,
    *[WORDS, WORDS, INTS, WORDS, WORDS, INTS, WORDS, WORDS, MAYBE, TRIES],
    *[MAYBE] * 4,
    *[INTS] * 6,
    st.booleans(),
)
FAULTS = st.builds(FaultRow, WORDS, WORDS, INTS, MAYBE, FLOATS, WORDS, INTS)
EXEMPLARS = st.builds(Exemplar, *[WORDS] * 7, INTS, INTS, MAYBE, MAYBE, MAYBE, WORDS, st.none() | WORDS)
ROWS = st.lists(SERIES | HEALTH | SERVER | TRAFFIC | FAULTS, max_size=6)


@settings(max_examples=60)
@given(ROWS, st.lists(DROPS, max_size=3), st.lists(EXEMPLARS, max_size=3), WORDS)
def test_a_run_comes_back_as_it_was(
    rows: list[Any], drops: list[Drop], exemplars: list[Exemplar], command: str
) -> None:
    whole = book("w", Delta(1, rows, drops, exemplars))
    told = manifest(command=command)
    with TemporaryDirectory() as reports:
        found = run.read(run.write(Path(reports), "one", told, whole))
        assert found.manifest == told
        expected = Run(found.path, told, whole.rows(), [], [])
        assert (found.series, found.health) == (expected.series, expected.health)
        assert (found.server, found.traffic) == (expected.server, expected.traffic)
        assert found.faults == expected.faults
        assert sorted(map(repr, found.drops)) == sorted(map(repr, drops))
        assert found.exemplars == whole.exemplars


def files(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir()}


def test_written_twice_it_is_the_same_bytes(tmp_path: Path) -> None:
    first = files(run.write(tmp_path, "one", manifest(), book("w", SAMPLE)))
    assert set(first) == {run.MANIFEST, run.INTERVALS, run.CONNECTIONS, run.EXEMPLARS}
    assert files(run.write(tmp_path, "two", manifest(), book("w", SAMPLE))) == first
    assert files(run.write(tmp_path, "one", manifest(), book("w", SAMPLE))) == first


def test_whoever_was_heard_first_it_is_the_same_bytes(tmp_path: Path) -> None:
    parts = [
        ("a", SAMPLE),
        ("b", Delta(1, SAMPLE.rows, [Drop("u0", "websocket", 5, "reset")], SAMPLE.exemplars)),
    ]
    written = []
    for name, order in (("one", parts), ("two", parts[::-1])):
        whole = Book()
        for worker, delta in order:
            whole.add(worker, delta)
        written.append(files(run.write(tmp_path, name, manifest(), whole)))
    assert written[0] == written[1]


def test_line_breaks_in_words_do_not_break_lines(tmp_path: Path) -> None:
    found = run.read(run.write(tmp_path, "one", manifest(), book("w", SAMPLE)))
    assert found.drops == SAMPLE.drops


def test_an_empty_run_is_a_run(tmp_path: Path) -> None:
    found = run.read(run.write(tmp_path, "one", manifest(complete=False), Book()))
    assert (found.series, found.health, found.server, found.traffic, found.faults) == ([], [], [], [], [])
    assert (found.drops, found.exemplars, found.manifest.complete) == ([], [], False)


# -- latest --------------------------------------------------------------------------------------------------


def test_latest_points_to_the_newest(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run.write(tmp_path, name, manifest(id=name), Book())
        assert run.read(tmp_path / run.LATEST).manifest.id == name
        assert run.read(tmp_path / run.LATEST).path == (tmp_path / name).resolve()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["latest", "one", "two"]


def test_a_link_to_nowhere_is_replaced(tmp_path: Path) -> None:
    (tmp_path / run.LATEST).symlink_to("gone")
    run.write(tmp_path, "one", manifest(), Book())
    assert (tmp_path / run.LATEST).resolve() == (tmp_path / "one").resolve()


def test_what_a_person_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / run.LATEST).mkdir()
    (tmp_path / run.LATEST / "mine").write_text("x")
    run.write(tmp_path, "one", manifest(), Book())
    assert (tmp_path / run.LATEST / "mine").read_text() == "x"


def test_directory_name() -> None:
    name = run.directory_name("2026-11-23T08:15:00.123456+00:00", "messaging", "websocket", "1f3a")
    assert name == "20261123T081500Z-messaging-websocket-1f3a"


# -- damage --------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[12:40] = b"\xff" * 28
    path.write_bytes(bytes(content))


def not_gzip(path: Path) -> None:
    path.write_bytes(b'{"kind":"series"}\n')


def strange_kind(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"kind":"weather"}\n'))


def half_a_line(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"kind":"server","second":1}\n{"kind":"serv'))


def not_json(path: Path) -> None:
    path.write_bytes(b"<html>\n")


def not_text(path: Path) -> None:
    path.write_bytes(b'{"outcome":"\xff\xfe"}\n')


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def missing(path: Path) -> None:
    path.unlink()


def change(**fields: Any) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = msgspec.json.decode(path.read_bytes())
        path.write_bytes(msgspec.json.encode({**content, **fields}))

    return apply


DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    (run.INTERVALS, truncate, "truncated or damaged"),
    (run.INTERVALS, scramble, "truncated or damaged"),
    (run.INTERVALS, not_gzip, "truncated or damaged"),
    (run.INTERVALS, strange_kind, "truncated or damaged"),
    (run.INTERVALS, half_a_line, "truncated or damaged"),
    (run.INTERVALS, missing, "cannot be read"),
    (run.INTERVALS, a_directory, "cannot be read"),
    (run.CONNECTIONS, truncate, "truncated or damaged"),
    (run.CONNECTIONS, missing, "cannot be read"),
    (run.EXEMPLARS, not_json, "truncated or damaged"),
    (run.EXEMPLARS, not_text, "truncated or damaged"),
    (run.MANIFEST, not_json, "not a manifest"),
    (run.MANIFEST, not_text, "not a manifest"),
    (run.MANIFEST, truncate, "not a manifest"),
    (run.MANIFEST, change(users="many"), "not a manifest"),
    (run.MANIFEST, change(format=None), "not a manifest"),
    (run.MANIFEST, change(format=run.FORMAT + 1, users={}), "upgrade"),
    (run.MANIFEST, missing, "no manifest.json there"),
    (run.MANIFEST, a_directory, "no manifest.json there"),
]


@pytest.mark.parametrize(("name", "damage", "reason"), DAMAGE)
def test_damage_is_named_in_one_line(
    tmp_path: Path, name: str, damage: Callable[[Path], None], reason: str
) -> None:
    path = run.write(tmp_path, "one", manifest(), book("w", SAMPLE))
    damage(path / name)
    with pytest.raises(RunError) as caught:
        run.read(path)
    said = str(caught.value)
    assert reason in said
    assert str(path) in said
    assert name in said
    assert "\n" not in said


@pytest.mark.parametrize("cut", [0, 1, 5, 10, 20, 40, 60])
def test_a_file_cut_anywhere_is_damaged(tmp_path: Path, cut: int) -> None:
    path = run.write(tmp_path, "one", manifest(), book("w", SAMPLE))
    content = (path / run.INTERVALS).read_bytes()
    assert len(content) > cut
    (path / run.INTERVALS).write_bytes(content[:cut])
    with pytest.raises(RunError, match=run.INTERVALS):
        run.read(path)


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run directory"):
        run.read(tmp_path / "nowhere")


def test_an_unwritable_place_is_named_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    below = tmp_path / "file" / "reports"
    with pytest.raises(RunError, match="--rt-out") as before:
        run.check_writable(below)
    with pytest.raises(RunError, match="cannot write the run") as after:
        run.write(below, "one", manifest(), Book())
    for caught in (before, after):
        assert str(below) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_writable_place_is_left_clean(tmp_path: Path) -> None:
    run.check_writable(tmp_path / "new" / "reports")
    assert list((tmp_path / "new" / "reports").iterdir()) == []
