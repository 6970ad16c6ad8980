"""Is every second of a run in the CSV, with what was lost counted as the slowest?"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from types import ModuleType

import pytest

from loadtest.measure import run as runs
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import SeriesRow
from loadtest.measure.units import MS
from loadtest.report.seconds_csv import COLUMNS, seconds_csv

ROOT = Path(__file__).resolve().parents[2]


def row(second: int, values: list[int], lost: int = 0, late: int = 0, phase: str = "measure") -> SeriesRow:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    expected = len(values) + lost + late
    return SeriesRow(
        "message.deliver", "websocket", phase, second, expected, late, lost, latency=histogram.counts()
    )


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_known_answers() -> None:
    found = read(seconds_csv([row(7, [100, 200], lost=1, late=1), row(6, [255] * 100), row(8, [], lost=0)]))
    assert [one["second"] for one in found] == ["6", "7", "8"]
    assert [found[0][name] for name in COLUMNS[4:8]] == ["100", "100", "0", "0"]
    assert {found[0][name] for name in COLUMNS[8:]} == {"0.0"}, "in ms, to the microsecond"
    assert [found[1][name] for name in COLUMNS[4:]] == ["4", "2", "1", "1", "0.0", "inf", "inf", "0.0"]
    assert [found[2][name] for name in COLUMNS[4:]] == ["0", "0", "0", "0", "", "", "", ""]
    (slow,) = read(seconds_csv([row(1, [20 * MS])]))
    assert slow["p50_ms"] == slow["max_ms"] == "20.0"


def test_a_second_in_which_a_phase_began_has_a_row_for_each() -> None:
    found = read(seconds_csv([row(5, [MS], phase="warmup"), row(5, [MS], phase="measure")]))
    assert [(one["second"], one["phase"]) for one in found] == [("5", "measure"), ("5", "warmup")]


def test_every_row_of_a_run_is_there(made: ModuleType, tmp_path: Path) -> None:
    run = runs.read(made.Maker(users=10, seconds=20, rate_per_min=60.0, lost=0.05).write(tmp_path))
    found = read(seconds_csv(run.series))
    assert len(found) == len(run.series)
    for name in ("expected", "late", "lost"):
        assert sum(int(one[name]) for one in found) == sum(getattr(row, name) for row in run.series)
    assert sum(int(one["n"]) for one in found) == sum(row.latency.n for row in run.series)


def test_the_columns_are_those_of_the_page() -> None:
    section = (ROOT / "docs" / "live.md").read_text().split("## Export")[1]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == COLUMNS


@pytest.mark.parametrize("rows", [[], [row(1, [])]])
def test_nothing_is_a_head(rows: list[SeriesRow]) -> None:
    assert seconds_csv(rows).splitlines()[0] == ",".join(COLUMNS)
