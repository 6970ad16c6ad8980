"""Which runs lie below a directory, and what does each say of itself in short?

No more is read than a table of runs shows: an older summary may lack some of it, a newer one may have more,
and neither keeps its run off the shelf. What cannot be read says so in its place. The series of a run are
never touched, so a shelf of hundreds is read in no time.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from loadtest.measure import run as runs
from loadtest.measure.run import RunError
from loadtest.report.words import TRANSPORTS

DEPTH = 3
"""Levels below the reports: the last is that of ``<UTC>-nightly-<id>/candidate/<run>``."""

GROUPS = {
    "night.json": "nightly",
    "comparison.json": "comparison",
    "calibration.json": "calibration",
    "claims.json": "claims",
    "capacity.json": "capacity",
    "bandwidth.json": "bandwidth",
}
"""Files that make a directory a group of runs, and of which kind."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_T = TypeVar("_T")
_Dated = TypeVar("_Dated", "Entry", "Block")
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_DIRECTORY = re.compile(rf"(\d{{8}})T(\d{{6}})Z-(.+)-({'|'.join(TRANSPORTS)})-[^-]+")


class Facts(msgspec.Struct, frozen=True):
    """What was run, in the manifest as in the summary."""

    id: str = ""
    scenario: str = ""
    transport: str = ""
    users: Count | None = None
    started: str = ""
    complete: bool | None = None


class Believed(msgspec.Struct, frozen=True):
    """Whether to believe it."""

    state: str = ""
    reasons: list[str] = []


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds; None has its reason in the ``why`` of its row."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class OperationRow(msgspec.Struct, frozen=True):
    """One operation over one transport in one phase."""

    name: str = ""
    transport: str = ""
    phase: str = ""
    expected: Count = 0
    n: Count = 0
    lost: Count = 0
    latency_ms: Percentiles = Percentiles()
    why: dict[str, str] = {}


class Bytes(msgspec.Struct, frozen=True):
    """What one regime of one transport cost."""

    transport: str = ""
    regime: str = ""
    bytes_per_delivery: float | None = None
    why: dict[str, str] = {}


class Losses(msgspec.Struct, frozen=True):
    """Connections lost, and how many of them came back; None: not known."""

    drops: Count | None = None
    recovered: Count | None = None


class Verdict(msgspec.Struct, frozen=True):
    """A question with an answer."""

    name: str = ""
    state: str = ""
    why: str = ""


class Brief(msgspec.Struct, frozen=True):
    """A summary.json, without what no table of runs shows."""

    run: Facts = Facts()
    validity: Believed = Believed()
    operations: list[OperationRow] = []
    bandwidth: list[Bytes] = []
    reconnection: Losses = Losses()
    verdicts: list[Verdict] = []


class Record(msgspec.Struct, frozen=True):
    """What a night or a comparison says of itself, in its night.json or comparison.json.

    state: pass, fail, inconclusive, invalid or incomplete. page: the name of a file beside it. runs: how many.
    """

    kind: str = ""
    name: str = ""
    started: str = ""
    state: str = ""
    exit_code: int | None = None
    page: str = "report.html"
    runs: Count | None = None


class Entry(NamedTuple):
    """A run. ``folder``: names of directories from the reports down to it; ``page``: there is a report.html.

    brief: None if there is no summary that can be read; ``why`` says so then.
    """

    folder: tuple[str, ...]
    facts: Facts
    brief: Brief | None
    why: str
    page: bool

    @property
    def moment(self) -> datetime | None:
        """When it started, UTC."""
        return moment(self.facts.started)


class Group(NamedTuple):
    """A directory of a night or a comparison; ``page``: its record's page lies there; ``why``: no record."""

    folder: tuple[str, ...]
    record: Record
    why: str
    page: bool


class Block(NamedTuple):
    """What stands together, newest first: a run, or a group and its runs."""

    group: Group | None
    entries: list[Entry]

    @property
    def moment(self) -> datetime | None:
        """When it started, UTC; of a group that does not say, when the last of its runs did."""
        told = moment(self.group.record.started) if self.group else None
        return told or max((one.moment for one in self.entries if one.moment), default=None)


def blocks(reports: Path) -> list[Block]:
    """Everything below ``reports``, newest first; what has no date comes last, in order of its name.

    Links are not followed: ``latest`` would show a run twice. Raises RunError if ``reports`` cannot be read.
    """
    try:
        names = _directories(reports)
    except OSError as error:
        raise RunError(f"{reports}: cannot be read ({error.strerror})") from None
    found: list[Block] = []
    for name in names:
        if name != runs.LATEST:
            entries, groups = _walk(reports, (name,))
            found += [Block(None, [entry]) for entry in entries] + groups
    return newest_first(found)


def newest_first(several: Sequence[_Dated]) -> list[_Dated]:
    """By ``moment``; stable, and those without one last."""
    return sorted(several, key=lambda one: one.moment or _BEFORE_ALL, reverse=True)


def moment(text: str) -> datetime | None:
    """An ISO 8601 moment in UTC, which one without an offset is taken for; None of what is none."""
    try:
        told = datetime.fromisoformat(text)
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_file(path: Path) -> bool:
    """A regular file: what is a pipe would be waited for, and a link may lead anywhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def _walk(reports: Path, folder: tuple[str, ...]) -> tuple[list[Entry], list[Block]]:
    """(runs that belong to no group yet, groups with theirs) in a directory and below it."""
    path = reports.joinpath(*folder)
    entries = [_entry(path, folder)] if is_file(path / runs.MANIFEST) else []
    groups: list[Block] = []
    if len(folder) < DEPTH:
        for name in _directories_if_any(path):
            more, inner = _walk(reports, (*folder, name))
            entries += more
            groups += inner
    group = _group(path, folder)
    if group is None:
        return entries, groups
    return [], [*groups, Block(group, newest_first(entries))]


def _directories_if_any(path: Path) -> Iterator[str]:
    try:
        yield from _directories(path)
    except OSError:
        return  # vanished meanwhile, or closed to us: there is nothing to show of it


def _directories(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(
            one.name for one in entries if one.is_dir(follow_symlinks=False) and not one.name.startswith(".")
        )


def _entry(path: Path, folder: tuple[str, ...]) -> Entry:
    brief, why = _read(path / runs.SUMMARY, Brief)
    facts = brief.run if brief else Facts()
    if not facts.scenario.strip():
        manifest, _ = _read(path / runs.MANIFEST, Facts)
        facts = manifest if manifest and manifest.scenario.strip() else _named(folder[-1])
    return Entry(folder, facts, brief, why, is_file(path / runs.REPORT))


def _named(directory: str) -> Facts:
    """What the name of a run's directory tells."""
    match = _DIRECTORY.fullmatch(directory)
    if not match:
        return Facts(scenario=directory)
    day, time, scenario, transport = match.groups()
    return Facts(scenario=scenario, transport=transport, started=f"{day}T{time}Z")


def _group(path: Path, folder: tuple[str, ...]) -> Group | None:
    for file, kind in GROUPS.items():
        if is_file(path / file):
            record, why = _read(path / file, Record)
            record = record or Record()
            record = msgspec.structs.replace(
                record,
                kind=record.kind or kind,
                name=record.name.strip() or folder[-1],
                page=Path(record.page).name,
            )
            return Group(folder, record, why, bool(record.page) and is_file(path / record.page))
    return None


def _read(path: Path, kind: type[_T]) -> tuple[_T | None, str]:
    """(its content, why it has none)."""
    if not is_file(path):
        return None, f"there is no {path.name}"
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind), ""
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, f"{path.name} cannot be read"
