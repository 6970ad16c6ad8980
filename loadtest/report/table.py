"""How is a table of the page put together, so that what is missing always says why?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from loadtest.report.words import UNKNOWN, count


class Cell(NamedTuple):
    """Words in a table; ``why`` becomes a footnote; ``tone``: '', good, warn, bad, quiet, strong or again.

    bar: share of the table's widest bar, 0-1, or None for no bar; accent: CSS variable of bar or swatch.
    """

    text: str
    why: str = ""
    tone: str = ""
    bar: float | None = None
    accent: str = ""
    note: str = ""


class Row(NamedTuple):
    """``heads`` are row headers (the first columns), ``cells`` the figures; ``first`` starts a group."""

    heads: list[Cell]
    cells: list[Cell]
    first: bool = False


class Table(NamedTuple):
    """A captioned table; ``heads`` says how many columns are words, the rest is aligned as numbers."""

    caption: str
    columns: list[str]
    heads: int
    rows: list[Row]
    notes: list[tuple[str, str]]


def table(caption: str, heads: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """A table whose footnotes are the distinct reasons of its cells, in order of appearance.

    Rows with the same first words form a group: the words are shown once, a line stands before them.
    """
    notes: list[str] = []
    noted = [row._replace(cells=[_noted(cell, notes) for cell in row.cells]) for row in _grouped(rows)]
    return Table(
        caption,
        [*heads, *columns],
        len(heads),
        noted,
        [(_mark(index), note) for index, note in enumerate(notes)],
    )


def _grouped(rows: Sequence[Row]) -> list[Row]:
    found: list[Row] = []
    for index, row in enumerate(rows):
        again = index > 0 and rows[index - 1].heads[0].text == row.heads[0].text
        heads = [row.heads[0]._replace(tone="again"), *row.heads[1:]] if again else row.heads
        found.append(row._replace(heads=heads, first=row.first or not again))
    return found


def _noted(cell: Cell, notes: list[str]) -> Cell:
    if not cell.why:
        return cell
    if cell.why not in notes:
        notes.append(cell.why)
    return cell._replace(note=_mark(notes.index(cell.why)))


def _mark(index: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(97 + rest) + letters
    return letters


def known(text: str, why: str = "", tone: str = "") -> Cell:
    """A figure, or a dash with its reason; a percentile among the missing says so itself."""
    if text == UNKNOWN and why.startswith("not reached"):
        return Cell("not reached", why, "warn")
    return Cell(text, _common(why), "quiet" if text == UNKNOWN else tone)


def _common(why: str) -> str:
    """The reason without a row's own n: twenty rows of too few values share one footnote."""
    few = re.fullmatch(r"n=\d+.*, (\d+) needed", why)
    return f"given from {count(int(few[1]))} values on" if few else why
