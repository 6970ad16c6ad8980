"""How does a page become one file that needs nothing else?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadtest.analysis.floors import Floors
from loadtest.analysis.summary import Summary, encode
from loadtest.measure import run as runs
from loadtest.measure.run import Run, RunError
from loadtest.report.template import fill
from loadtest.report.view import view


def render(shown: Sequence[Run], summaries: Sequence[Summary], floors: Sequence[Floors | None] = ()) -> str:
    """One self-contained HTML page of one run, or of several side by side.

    floors: one for each run, None where they were not measured; empty if they were for none of them.
    The same runs give the same bytes. Raises ValueError if there is no run, or not one summary for each.
    """
    if not shown or len(shown) != len(summaries):
        raise ValueError(f"{len(shown)} runs and {len(summaries)} summaries: one of each is needed, at least")
    return fill("page.html.j2", page=view(shown, summaries, floors))


def write_summary(run: Run, summary: Summary) -> Path:
    """Write summary.json into the run's directory. Raises RunError."""
    return write_file(run.path / runs.SUMMARY, encode(summary))


def write_page(path: Path, page: str) -> Path:
    """Write a page where it shall lie. Raises RunError."""
    return write_file(path, page.encode())


def write_file(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all. Raises RunError."""
    try:
        runs.replace(path, content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    return path
