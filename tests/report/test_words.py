"""Numbers in words, tables and their notes, names and colours of runs."""

from __future__ import annotations

import pytest

from loadtest.report import words
from loadtest.report.table import Cell, Row, known, table


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(None, "–"), (0.824, "0.82×"), (7.5, "7.50×"), (14.26, "14.3×"), (312.4, "312×"), (12345.6, "12,346×")],
)
def test_ratios(ratio: float | None, said: str) -> None:
    assert words.times(ratio) == said


@pytest.mark.parametrize(
    ("started", "said"),
    [
        ("2026-11-23T08:15:00Z", "23 November 2026, 08:15 UTC"),
        ("2026-01-02T23:59:59+00:00", "2 January 2026, 23:59 UTC"),
        ("2026-13-02T23:59:59Z", "2026-13-02T23:59:59Z"),
        ("yesterday", "yesterday"),
    ],
)
def test_dates(started: str, said: str) -> None:
    assert words.date(started) == said


@pytest.mark.parametrize(
    ("inverse", "said"), [(2.0, "p50"), (10.0, "p90"), (100.0, "p99"), (1000.0, "p99.9"), (1e5, "p99.999")]
)
def test_percentile_ticks(inverse: float, said: str) -> None:
    assert words.tick_percentile(inverse) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.1, "0.1 ms"), (1.0, "1 ms"), (999.9999999999, "1 s"), (1000, "1 s"), (2e4, "20 s")],
)
def test_latency_ticks(value: float, said: str) -> None:
    assert words.tick_ms(value) == said


def test_counts_and_plurals() -> None:
    assert words.count(1234567) == "1,234,567"
    assert words.count(None) == "–"
    assert words.plural(1, "user") == "1 user"
    assert words.plural(0, "user") == "0 users"
    assert words.plural(2, "delivery", "deliveries") == "2 deliveries"


def test_a_reason_becomes_one_footnote_however_often_it_is_given() -> None:
    rows = [
        Row([Cell("a")], [known("–", "n=3, 59 needed"), known("–", "n=3, 299 needed")]),
        Row([Cell("b")], [known("–", "n=4, 59 needed"), Cell("1 ms")]),
    ]
    found = table("caption", ["what"], ["p95", "p99"], rows)
    assert found.notes == [("a", "given from 59 values on"), ("b", "given from 299 values on")]
    assert [[cell.note for cell in row.cells] for row in found.rows] == [["a", "b"], ["a", ""]]


def test_footnotes_go_on_after_z() -> None:
    rows = [Row([Cell("")], [known("–", f"reason {index}")]) for index in range(28)]
    assert [mark for mark, _ in table("", ["what"], ["x"], rows).notes][24:] == ["y", "z", "aa", "ab"]


def test_rows_of_one_name_form_a_group() -> None:
    rows = [Row([Cell(name)], [Cell("1")]) for name in ("a", "a", "b")]
    found = table("", ["what"], ["x"], rows).rows
    assert [row.first for row in found] == [True, False, True]
    assert [row.heads[0].tone for row in found] == ["", "again", ""]


def test_a_percentile_among_the_missing_says_so_in_its_place() -> None:
    assert known("–", "not reached: 2 % late or lost").text == "not reached"
    few = known("–", "n=120 with the late and lost, 2995 needed")
    assert (few.text, few.why, few.tone) == ("–", "given from 2,995 values on", "quiet")
