"""Which sentences does docs/contract.md say about a server, and which test holds a server to each?

A test names what it is about with `says("words of the page")`. Nothing is imported to find that out: the source of
the tests is read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "contract.md"
BEGIN = "## What the default contract asks of a server"
END = "### Where the two servers differ"
F = TypeVar("F", bound=Callable[..., object])


def says(*words: str) -> Callable[[F], F]:
    """The test is about these words of docs/contract.md, given as they stand there but for line ends."""
    assert words
    return lambda test: test


@dataclass(frozen=True)
class Sentence:
    """One sentence or one row of a table; `line` is where it begins."""

    line: int
    text: str


def plain(text: str) -> str:
    """Words only: neither line ends nor what is bold."""
    return " ".join(text.replace("**", "").split())


def sentences() -> list[Sentence]:
    """Of the half of the page that is about servers, without headings and the heads of tables."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first, last = lines.index(BEGIN) + 1, lines.index(END)
    found: list[Sentence] = []
    paragraph: list[tuple[int, str]] = []
    for number, line in enumerate([*lines[first:last], ""], first + 1):
        if line and not line.startswith(("#", "|", "```")):
            paragraph.append((number, line))
            continue
        found += _split(paragraph)
        paragraph = []
        following = lines[number] if number < len(lines) else ""
        if line.startswith("|") and not line.startswith("|---") and not following.startswith("|---"):
            found.append(Sentence(number, plain(line)))
    return found


def _split(paragraph: list[tuple[int, str]]) -> Iterator[Sentence]:
    if not paragraph:
        return
    text = plain(" ".join(line for _, line in paragraph))
    for one in re.split(r"(?<=[.:]) (?=[A-Z`\d*])(?<!Authorization: )", text):
        begins = " ".join(one.split()[:3])
        line = next((number for number, line in paragraph if begins in plain(line)), paragraph[0][0])
        yield Sentence(line, one)


def told() -> dict[str, list[str]]:
    """The words that tests are about, and which tests those are."""
    words: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for one in _words(node):
                    words.setdefault(plain(one), []).append(f"{path.name}::{node.name}")
    return words


def _words(test: ast.FunctionDef) -> Iterator[str]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "says":
            for one in mark.args:
                assert isinstance(one, ast.Constant) and isinstance(one.value, str), (
                    f"{test.name}: words only"
                )
                yield one.value
