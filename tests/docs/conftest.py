"""The pages as text, their tables, and what only a process with Locust can tell of flags and manifest."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Table = Callable[[str, str], list[list[str]]]

# Importing users imports Locust, which patches the whole process: not this one.
ASKED = """
import argparse, json
from loadtest.measure.plan import Plan
from loadtest.measure.book import Book
from loadtest.users import finish, options
from loadtest.users.generating import Generating
from loadtest.users.live import QUIET_AFTER_NS, Header
from loadtest.users.target import Target

given = {"rt_" + flag.name.replace("-", "_"): flag.default for flag in options.FLAGS}
settings = options.read(argparse.Namespace(run_time=60, **given), None)
header = Header("1f3a5c", "messaging", "2026-11-23T08:15:00+00:00", 0, None)
target = Target("http://127.0.0.1:3000", True, True, True, 100)
manifest = finish.manifest(
    finish.Ending(header, settings, target, "default", Plan(0), Book(), [], 1, 1.0, True, 0, [], [], None)
)
print(json.dumps({
    "flags": [[flag.name, flag.default, flag.choices, flag.switch] for flag in options.FLAGS],
    "secrets": options.SECRETS,
    "parameters": list(manifest.parameters),
    "target": list(manifest.target),
    "environment": list(manifest.environment),
    "facts": list(Generating.facts(None)),
    "quiet_s": QUIET_AFTER_NS / 1e9,
}))
"""


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    """Every page of the repository, by its path."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "reports" / "README.md"]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(found)}


@pytest.fixture(scope="session")
def table(pages: dict[str, str]) -> Table:
    """``table(page, heading)``: the rows below that heading line, without the head, as lists of cells."""

    def read(page: str, heading: str) -> list[list[str]]:
        lines = pages[page].splitlines()
        assert lines.count(heading) == 1, f"{page}: not one heading {heading}"
        section = lines[lines.index(heading) + 1 :]
        ends = [number for number, line in enumerate(section) if re.match(r"#{1,6} ", line)]
        rows = [line for line in section[: ends[0] if ends else None] if line.startswith("|")]
        assert rows, f"{page}: no table below {heading}"
        cells = [[cell.strip() for cell in row.strip("|").split(" |")] for row in rows]
        heads = [number + 1 for number, row in enumerate(cells) if set("".join(row)) <= set("-|")]
        return [
            row for number, row in enumerate(cells) if number + 1 not in heads and number + 2 not in heads
        ]

    return read


@pytest.fixture(scope="session")
def users() -> dict[str, Any]:
    """What ASKED prints."""
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
