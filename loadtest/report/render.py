"""How does a page become one file that needs nothing else?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from loadtest.analysis.summary import Summary, encode
from loadtest.measure import run as runs
from loadtest.measure.run import Run, RunError
from loadtest.report.view import view

TEMPLATES = "templates"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("loadtest.report", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flags"] = unbroken_flags
    environment.filters["sentence"] = sentence
    return environment


def unbroken_flags(text: str) -> Markup:
    """A browser may break a line after any hyphen: keep ``--processes 2`` in one piece."""
    return Markup(
        re.sub(r"(?<!\w)(--?[a-z][\w-]*(?: \d+)?)", r'<span class="flag">\1</span>', str(escape(text)))
    )


def sentence(text: str) -> str:
    """A remark as a sentence: with a capital, and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def render(shown: Sequence[Run], summaries: Sequence[Summary]) -> str:
    """One self-contained HTML page of one run, or of several side by side.

    The same runs give the same bytes. Raises ValueError if there is no run, or not one summary for each.
    """
    if not shown or len(shown) != len(summaries):
        raise ValueError(f"{len(shown)} runs and {len(summaries)} summaries: one of each is needed, at least")
    environment = _environment()
    css = environment.get_template("page.css").render()
    return environment.get_template("page.html.j2").render(page=view(shown, summaries), css=css)


def write_summary(run: Run, summary: Summary) -> Path:
    """Write summary.json into the run's directory. Raises RunError."""
    return _write(run.path / runs.SUMMARY, encode(summary))


def write_page(path: Path, page: str) -> Path:
    """Write a page where it shall lie. Raises RunError."""
    return _write(path, page.encode())


def _write(path: Path, content: bytes) -> Path:
    try:
        runs.replace(path, content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    return path
