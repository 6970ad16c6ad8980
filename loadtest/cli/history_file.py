"""Where do the nights lie? The only module that knows the tables of history.sqlite.

One file, without a log beside it: CI keeps and copies it as one. So the journal is a rollback journal, which
is gone once a night is written, and not a write-ahead log, whose side file would hold the newest nights. A
writer that is killed leaves the journal behind; the next one that opens the file takes back the half night.

Version history, in ``PRAGMA user_version``: 1 nights and their figures; 2 why a night is in its state (a gap
must say its reason), and the order of its figures (the first ones are watched for changes).
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from loadtest.analysis.history import STATES, Figure, Night, in_order, moment

APPLICATION = 0x6C746869
"""Marks our databases among others: the letters ``lthi``."""

BUSY_S = 30.0
"""A writer waits so long for another; writing a night takes milliseconds."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION}",
        """CREATE TABLE night (
             id INTEGER PRIMARY KEY,
             at TEXT NOT NULL,
             job TEXT NOT NULL,
             target TEXT NOT NULL,
             fingerprint TEXT NOT NULL,
             "commit" TEXT,
             trials INTEGER NOT NULL,
             state TEXT NOT NULL
               CHECK (state IN ('pass', 'fail', 'inconclusive', 'invalid', 'incomplete')),
             path TEXT NOT NULL)""",
        """CREATE TABLE figure (
             night INTEGER NOT NULL REFERENCES night (id) ON DELETE CASCADE,
             metric TEXT NOT NULL,
             value REAL NOT NULL,
             low REAL,
             high REAL,
             n INTEGER NOT NULL,
             PRIMARY KEY (night, metric)) WITHOUT ROWID""",
        "CREATE INDEX night_of_job ON night (job, fingerprint, at)",
    ),
    (
        "ALTER TABLE night ADD COLUMN why TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE figure ADD COLUMN position INTEGER NOT NULL DEFAULT 0",
    ),
)
"""What leads from each version to the next; a step once released is never changed."""

VERSION = len(MIGRATIONS)


class HistoryError(Exception):
    """A history that cannot be read or written; ``str`` is one line for a person."""


class _Damaged(Exception):
    """The file is no database, or a torn one."""


def append(path: Path, nights: Sequence[Night], aside_stamp: str) -> list[str]:
    """Add nights, all or none; returns lines to tell the user. Safe beside other writers.

    A file that is damaged is kept as ``<name>.corrupt-<aside_stamp>`` and a new one is begun. Raises
    HistoryError, and ValueError for a night that is none (no UTC moment, unknown state, a value not finite).
    """
    said: list[str] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _append(path, nights)
        except _Damaged as damage:
            said = _set_aside(path, aside_stamp, str(damage))
            _append(path, nights)
    except _Damaged as damage:
        raise HistoryError(f"{path}: {damage}, again after a new one was begun: is the disk sound?") from None
    except OSError as error:
        raise HistoryError(f"{path}: cannot be written ({error.strerror or error})") from None
    return said


def read(path: Path, job: str | None = None, fingerprint: str | None = None) -> list[Night]:
    """The nights, oldest first, of one job or machine if asked. Never changes the file. Raises HistoryError."""
    if not path.exists():
        raise HistoryError(f"{path}: no history yet: `loadtest nightly` appends a night to it")
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy, _told(path, "read"):
            # A copy at one stroke: what is old is brought up to date there, and the file stays as it is.
            with closing(_connect(path, "rw")) as kept:
                kept.backup(copy)
            _check(path, copy)
            _migrate(copy)
            return _nights(copy, job, fingerprint)
    except ValueError as error:
        raise HistoryError(f"{path}: holds a night of no date ({error})") from None
    except _Damaged as damage:
        raise HistoryError(
            f"{path}: {damage}; it was left as it is: `loadtest nightly` will keep it aside and begin a new one"
        ) from None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Read-only would not do to read either: it may not take back what a killed writer left half done.
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """Errors of SQLite as ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The low byte is the kind of error, the rest details of it.
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _Damaged(f"damaged ({error})") from None
        raise HistoryError(f"{path}: cannot be {what} ({error})") from None


def _append(path: Path, nights: Sequence[Night]) -> None:
    with _told(path, "written"), closing(_connect(path, "rwc")) as database:
        database.execute("PRAGMA foreign_keys = ON")
        _check(path, database)
        database.execute("PRAGMA journal_mode = DELETE")
        # At once for writing: two that both began to read would wait for one another.
        database.execute("BEGIN IMMEDIATE")
        try:
            _migrate(database, within=True)
            for night in nights:
                _insert(database, night)
        except BaseException:
            database.rollback()
            raise
        database.execute("COMMIT")


def _check(path: Path, database: sqlite3.Connection) -> None:
    """Is it ours, not newer, and whole? Raises HistoryError, _Damaged."""
    version, application = _number(database, "user_version"), _number(database, "application_id")
    empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not empty and application != APPLICATION:
        raise HistoryError(f"{path}: a SQLite database, but no history of nights: name another file")
    if version > VERSION:
        raise HistoryError(
            f"{path}: written in version {version} by a newer realtime-loadtest; this one knows up to {VERSION}: "
            "upgrade it"
        )
    # SQLite takes what is missing of the last page for zeros: a figure would read as another one.
    if path.stat().st_size < _number(database, "page_count") * _number(database, "page_size") and not empty:
        raise _Damaged("damaged (it ends too early)")
    complaint = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if complaint != "ok":
        raise _Damaged(f"damaged ({complaint.splitlines()[-1]})")
    if application == APPLICATION and (version == 0 or empty):
        raise _Damaged("damaged (its tables are gone)")


def _number(database: sqlite3.Connection, pragma: str) -> int:
    return int(database.execute(f"PRAGMA {pragma}").fetchone()[0])


def _migrate(database: sqlite3.Connection, within: bool = False) -> None:
    """From any older version to ours, each step whole or not at all; ``within`` a transaction already begun."""
    for version in range(_number(database, "user_version"), VERSION):
        if not within:
            database.execute("BEGIN IMMEDIATE")
        for statement in MIGRATIONS[version]:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {version + 1}")
        if not within:
            database.execute("COMMIT")


def _insert(database: sqlite3.Connection, night: Night) -> None:
    moment(night.at)
    if night.state not in STATES:
        raise ValueError(f"{night.state!r} is no state of a night: {', '.join(STATES)}")
    row = database.execute(
        'INSERT INTO night (at, job, target, fingerprint, "commit", trials, state, why, path) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        night[:-1],
    ).lastrowid
    for position, (metric, figure) in enumerate(night.figures.items()):
        if not math.isfinite(figure.value):
            raise ValueError(f"{metric} of {night.at} is {figure.value}: leave out what is not known")
        low, high = (end if end is not None and math.isfinite(end) else None for end in figure[1:3])
        database.execute(
            "INSERT INTO figure (night, metric, value, low, high, n, position) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row, metric, figure.value, low, high, figure.n, position),
        )


def _nights(database: sqlite3.Connection, job: str | None, fingerprint: str | None) -> list[Night]:
    figures: dict[int, dict[str, Figure]] = {}
    of_all = "SELECT night, metric, value, low, high, n FROM figure ORDER BY night, position, metric"
    for night, metric, *figure in database.execute(of_all):
        figures.setdefault(night, {})[metric] = Figure(*figure)
    rows = database.execute(
        'SELECT id, at, job, target, fingerprint, "commit", trials, state, why, path FROM night '
        "WHERE job = ifnull(?, job) AND fingerprint = ifnull(?, fingerprint) ORDER BY id",
        (job, fingerprint),
    )
    return in_order([Night._make([*facts, figures.get(key, {})]) for key, *facts in rows])


def _set_aside(path: Path, stamp: str, why: str) -> list[str]:
    """Keep a damaged file under a name that is free; says so. Raises OSError, HistoryError."""
    with _alone(path.parent):
        try:
            with _told(path, "read"), closing(_connect(path, "rw")) as database:
                _check(path, database)
        except _Damaged:
            pass
        else:
            return []  # another writer has begun a new one in the meantime: that one must stay
        # No journal stays behind for the new file: SQLite has used it up, or thrown it away, to find the damage.
        aside = _free(path, stamp)
        path.rename(aside)
    return [f"{path}: {why}; kept as {aside.name}, a new history begins"]


def _free(path: Path, stamp: str) -> Path:
    number = 1
    while True:
        free = path.with_name(f"{path.name}.corrupt-{stamp}" + (f"-{number}" if number > 1 else ""))
        if not os.path.lexists(free):
            return free
        number += 1


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: two that both find the damage must not take turns to move the new file away."""
    try:
        import fcntl
    except ImportError:  # a platform without it: there the file is still checked a second time
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
