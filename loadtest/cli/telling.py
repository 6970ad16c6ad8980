"""Who is told of verdicts beside the person at the terminal? A CI system, in its own words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from loadtest.report.suite import Suite

GITHUB = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
"""Variables by which GitHub's runner says that it listens; a command that runs others keeps it to itself."""


def tell_github(title: str, suites: Sequence[Suite]) -> None:
    """Annotations and a job summary, if GitHub's runner is there; nothing otherwise."""
    from loadtest.report.annotations import annotations, job_summary

    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations(suites):
            typer.echo(line)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            with Path(path).open("a", encoding="utf-8") as summary:
                summary.write(job_summary(title, suites))
        except OSError as error:
            typer.echo(f"warning: {path}: no job summary there ({error.strerror})", err=True)


def write_junit(path: Path, suites: Sequence[Suite]) -> Path:
    """Write JUnit XML. Raises RunError."""
    from loadtest.report.junit import junit
    from loadtest.report.render import write_file

    return write_file(path, junit(suites))
