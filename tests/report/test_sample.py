"""The run that comes with the repository is read, counted and drawn again as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtest.analysis.summary import encode, summarise
from loadtest.measure import run as runs
from loadtest.report.junit import junit
from loadtest.report.render import render
from loadtest.report.suite import suite_of

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


@pytest.fixture(scope="module")
def sample() -> runs.Run:
    return runs.read(SAMPLE)


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 300_000


def test_its_summary_is_worked_out_again(sample: runs.Run) -> None:
    assert encode(summarise(sample)) == (SAMPLE / runs.SUMMARY).read_bytes()


def test_what_ci_is_told_of_it_is_worked_out_again(sample: runs.Run) -> None:
    suite = suite_of(summarise(sample), sample.manifest.locust_failures)
    assert junit([suite]) == (SAMPLE / runs.JUNIT).read_bytes()


def test_its_page_is_drawn_again(sample: runs.Run) -> None:
    def words(page: str) -> str:
        """Without the charts, which another release of matplotlib may draw another way."""
        return re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)

    page = (SAMPLE / runs.REPORT).read_text(encoding="utf-8")
    assert words(render([sample], [summarise(sample)])) == words(page)


def test_it_is_worth_showing(sample: runs.Run) -> None:
    summary = summarise(sample)
    assert summary.validity.state == "valid"
    assert summary.run.complete
    assert all(row.lost == row.late == row.leaked == 0 for row in summary.operations)
