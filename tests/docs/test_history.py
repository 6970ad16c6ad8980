"""Does docs/history.md say what is in the file, and do its queries work?"""

import re
import runpy
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtest.analysis import history
from loadtest.cli import history_file, otava

PAGE = "docs/history.md"
made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "analysis" / "nights.py")))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Ten nights and more of a job, one of them invalid, and as many on the machine that the page names."""
    path = tmp_path / "history.sqlite"
    history_file.append(path, made.nights(12, job="mixed", moved_at=6, invalid={8}), "stamp")
    opened = sqlite3.connect(path)
    yield opened
    opened.close()


def test_the_tables_are_those_of_the_file(table: Any, database: sqlite3.Connection) -> None:
    said = [name for row in table(PAGE, "## What is in the file") for name in re.findall(r"`(\w+)`", row[0])]
    columns = [
        row[1] for name in ("night", "figure") for row in database.execute(f"PRAGMA table_info({name})")
    ]
    assert said == columns


def test_its_queries_work(pages: dict[str, str], database: sqlite3.Connection) -> None:
    last_ten, one_figure, removal = re.findall(r'sqlite3 [^"]*"([^"]+)"', pages[PAGE])
    assert len(database.execute(last_ten).fetchall()) == 10
    figures = database.execute(one_figure).fetchall()
    assert [row[0] for row in figures] == [made.at(day) for day in range(12) if day != 8]
    for statement in removal.split(";"):
        database.execute(statement)
    assert database.execute("SELECT count(*), min(fingerprint) FROM night").fetchone() == (
        6,
        made.OTHER_MACHINE,
    )
    assert database.execute("SELECT count(*) FROM figure").fetchone() == (5,)


def test_its_numbers_are_ours(pages: dict[str, str]) -> None:
    text = " ".join(pages[PAGE].split())
    assert f"version {history_file.VERSION} (`PRAGMA user_version`)" in text
    assert f"has {history.NIGHTS_BEFORE_USE} nights or more" in text
    assert history.NIGHTS_AFTER == 2 and "at least two nights lie after it" in text
    assert history.METRICS_WATCHED == 6 and "the first six figures are looked at" in text
    assert history.MISSING_FROM == 1.5 and "one and a half of it is a night too few" in text
    assert f"{history_file.BUSY_S:.0f} seconds at most" in text
    assert f"Otava](https://otava.apache.org) {otava.VERSION}" in text
    assert f"--magnitude {otava.MAGNITUDE}" in text
    assert f"`{otava.EXECUTABLE}`" in text
