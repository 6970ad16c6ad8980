"""How does a run lie on disk? The only module that knows.

    reports/<UTC>-<scenario>-<transport>-<short id>/
        manifest.json           what was run, on what, how it ended
        intervals.jsonl.gz      one JSON object per line: series, health, server, traffic, fault
        connections.jsonl.gz    one per lost connection
        exemplars.jsonl         deliveries worth a look
        floors.json             what the harness alone came to at this load, if somebody measured it
    reports/latest              -> the newest

Format history: 1 (2026) is the first. A reader takes its own format and older ones.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from loadtest.measure.book import Book
from loadtest.measure.rows import Drop, Exemplar, FaultRow, HealthRow, Row, SeriesRow, ServerRow, TrafficRow
from loadtest.measure.slo import Slo

FORMAT = 1
MANIFEST = "manifest.json"
INTERVALS = "intervals.jsonl.gz"
CONNECTIONS = "connections.jsonl.gz"
EXEMPLARS = "exemplars.jsonl"
SUMMARY = "summary.json"
REPORT = "report.html"
JUNIT = "junit.xml"
FLOORS = "floors.json"
LATEST = "latest"

_T = TypeVar("_T")


class RunError(Exception):
    """A Run that cannot be read or written; ``str`` is one line for a person."""


class Edges(msgspec.Struct, frozen=True):
    """Where the phases began, ns from the start of the run; None: never came to that."""

    warmup_ns: int | None
    measure_ns: int | None
    drain_ns: int | None
    ended_ns: int


class Worker(msgspec.Struct, frozen=True):
    """A generator process: its part in the run, and whether its last word was heard."""

    name: str
    final: bool
    facts: dict[str, Any] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was run. ``facts`` of target and environment are for people and fingerprints, not for arithmetic.

    started: UTC, ISO 8601. harness_errors: failures of the generator itself (not of the target), worded.
    locust_failures: requests, exceptions and errors that Locust counted. slos: what the run was asked to keep.
    stopped_by: the name of the SLO that ended it early.
    """

    format: int = FORMAT
    id: str
    scenario: str
    transport: str
    client: str
    users: int
    seed: int
    started: str
    complete: bool
    edges: Edges
    parameters: dict[str, Any]
    target: dict[str, Any]
    environment: dict[str, Any]
    command: str
    commit: str | None = None
    workers: list[Worker] = []
    counters: dict[str, int] = {}
    gaps: list[str] = []
    harness_errors: list[str] = []
    locust_failures: int = 0
    slos: list[Slo] = []
    stopped_by: str | None = None


class Run:
    """A Run in memory, as it was on disk."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        rows: Iterable[Row],
        drops: list[Drop],
        exemplars: list[Exemplar],
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.drops = drops
        self.exemplars = exemplars
        self.series: list[SeriesRow] = []
        self.health: list[HealthRow] = []
        self.server: list[ServerRow] = []
        self.traffic: list[TrafficRow] = []
        self.faults: list[FaultRow] = []
        for row in rows:
            match row:
                case SeriesRow():
                    self.series.append(row)
                case HealthRow():
                    self.health.append(row)
                case ServerRow():
                    self.server.append(row)
                case TrafficRow():
                    self.traffic.append(row)
                case FaultRow():
                    self.faults.append(row)


def directory_name(started: str, scenario: str, transport: str, short_id: str) -> str:
    """``20261123T081500Z-messaging-websocket-1f3a``; ``started`` is ISO 8601 UTC."""
    stamp = started[:19].replace("-", "").replace(":", "")
    return f"{stamp}Z-{scenario}-{transport}-{short_id}"


def check_writable(reports: Path) -> None:
    """Find out before a run, not after it. Raises RunError."""
    probe = reports / f".writable-{os.getpid()}"
    try:
        reports.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise RunError(
            f"{reports}: cannot write runs there ({error.strerror}); name another directory with --rt-out"
        ) from None


def write(reports: Path, name: str, manifest: Manifest, book: Book) -> Path:
    """Write a Run and point ``latest`` to it; the manifest comes last: a Run without one is not whole.

    Raises RunError.
    """
    path = reports / name
    try:
        path.mkdir(parents=True, exist_ok=True)
        _write_lines(path / INTERVALS, book.rows())
        # Sorted: the order in which workers were heard is no property of the run.
        drops: list[Drop] = sorted(book.drops, key=_by_time)
        _write_lines(path / CONNECTIONS, drops)
        _write_lines(path / EXEMPLARS, book.exemplars)
        replace(path / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        _point_latest(reports, name)
    except OSError as error:
        raise RunError(f"{path}: cannot write the run ({error.strerror})") from error
    return path


def _by_time(drop: Drop) -> tuple[int, str, bytes]:
    return drop.at_ns, drop.user, msgspec.json.encode(drop)


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it at the same time."""
    # A name of its own: with a common one, two writers would write into one half, and one would lose it.
    half = path.with_name(f".{path.name}.{os.urandom(4).hex()}.half")
    try:
        half.write_bytes(content)
        os.replace(half, path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def _write_lines(path: Path, items: Iterable[msgspec.Struct]) -> None:
    encode = msgspec.json.Encoder().encode
    content = b"".join(encode(item) + b"\n" for item in items)
    # mtime 0: the same run gives the same bytes.
    replace(path, gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)


def _point_latest(reports: Path, name: str) -> None:
    link = reports / LATEST
    if link.exists() and not link.is_symlink():
        return
    half = reports / f".latest-{os.getpid()}"
    half.unlink(missing_ok=True)
    half.symlink_to(name)
    os.replace(half, link)


def read(path: Path) -> Run:
    """Read a Run. Raises RunError, with one line that says which file is wrong and how."""
    if not path.is_dir():
        raise RunError(f"{path}: no such run directory")
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise RunError(
            f"{path}: no {MANIFEST} there: not a run directory, or one whose writing was cut short"
        )
    manifest = _read_manifest(manifest_path)
    rows = _read_lines(path / INTERVALS, SeriesRow | HealthRow | ServerRow | TrafficRow | FaultRow)
    return Run(
        path.resolve(),
        manifest,
        rows,
        _read_lines(path / CONNECTIONS, Drop),
        _read_lines(path / EXEMPLARS, Exemplar),
    )


class _Format(msgspec.Struct):
    format: int


def _read_manifest(path: Path) -> Manifest:
    try:
        content = path.read_bytes()
        written = msgspec.json.decode(content, type=_Format).format
        if written > FORMAT:
            raise RunError(
                f"{path}: written in format {written} by a newer version; this one reads up to {FORMAT}: "
                "upgrade realtime-loadtest"
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not a manifest ({error})") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None


def _read_lines(path: Path, kind: Any) -> list[Any]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            if not content:
                raise EOFError("an empty file")  # gzip takes that for an empty archive
            content = gzip.decompress(content)
        decode = msgspec.json.Decoder(kind).decode
        return [decode(line) for line in content.splitlines()]
    except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: truncated or damaged ({error})") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from None
