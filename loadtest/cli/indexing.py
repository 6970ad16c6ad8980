"""Which index must be made anew, now that a run or its verdicts have changed?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

_UP = 3
"""Levels above a run at which an index may list it: a night keeps its trials two levels down."""
_OURS = b'content="realtime-loadtest"'


def rebuild_indexes(paths: Iterable[Path], of: Path | None = None) -> None:
    """Rebuild the index of every reports directory that holds one of these; what cannot be written is said.

    A reports directory is known by its ``latest`` or by an index of ours: a run that somebody copied elsewhere
    makes no index there. ``of``: one that gets an index in any case.
    """
    from loadtest.measure.run import RunError
    from loadtest.report.index import rebuild

    above = {parent for path in paths for parent in list(path.resolve().parents)[:_UP]}
    asked = set() if of is None else {of.resolve()}
    for reports in sorted(above | asked):
        if reports in asked or _is_ours(reports):
            try:
                rebuild(reports)
            except RunError as error:
                typer.echo(f"warning: {error}", err=True)


def _is_ours(reports: Path) -> bool:
    from loadtest.measure.run import LATEST
    from loadtest.report.index import INDEX

    index = reports / INDEX
    if not index.exists():
        return (reports / LATEST).is_symlink()
    try:
        with index.open("rb") as page:
            return _OURS in page.read(2048)
    except OSError:
        return False
