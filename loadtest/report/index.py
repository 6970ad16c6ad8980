"""Which runs are there, and what came of each, on one page that can be sorted?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from loadtest.measure import run as runs
from loadtest.measure.run import RunError
from loadtest.report.line import COLUMNS, KINDS, lines
from loadtest.report.shelf import Block, blocks, is_file
from loadtest.report.template import fill
from loadtest.report.words import date, plural

INDEX = "index.html"
PAGES = {
    "demo.html": "The demo",
    "demo-claims.html": "Claims, by the demo",
    "compare.html": "Runs side by side",
    "history.html": "History",
}
"""Other pages that may lie beside the index, and their names there."""


def rebuild(reports: Path) -> Path:
    """Write ``index.html`` anew from what lies below ``reports``. Returns its path.

    A run that cannot be read gets a row that says so. Raises RunError if the index cannot be written.
    """
    path = reports / INDEX
    try:
        reports.mkdir(parents=True, exist_ok=True)
        # The name of a directory need not be UTF-8; a page must be.
        runs.replace(path, render(reports).encode(errors="replace"))
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def render(reports: Path) -> str:
    """The page of what lies below ``reports``: the same files give the same page.

    Raises RunError if ``reports`` cannot be read.
    """
    found = blocks(reports)
    return fill(
        "index.html.j2",
        columns=COLUMNS,
        lines=lines(found),
        facts=_facts(found),
        pages=[(file, name) for file, name in PAGES.items() if is_file(reports / file)],
    )


def _facts(found: Sequence[Block]) -> list[str]:
    """How much there is, and of when."""
    entries = [entry for block in found for entry in block.entries]
    kinds = Counter(block.group.record.kind for block in found if block.group)
    newest = max((entry.moment for entry in entries if entry.moment), default=None)
    return [
        plural(len(entries), "run"),
        *(plural(kinds[kind], name) for kind, name in KINDS.items() if kinds[kind]),
        *([f"newest of {date(newest.isoformat())}"] if newest else []),
    ]
