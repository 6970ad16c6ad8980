"""What is known of a session of claims, so that it can go on after it was cut short?

reports/<UTC>-claims-<id>/
    claims.toml     the claims as they were asked
    claims.json     this record: what was to be run, and every run that is done; the index reads it too
    runs/<run>/     the runs
    summary.json, junit.xml, report.html
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest.cli.experiments import Plan, plan
from loadtest.measure import run as runs
from loadtest.measure.run import RunError

RECORD, CLAIMS, RUNS = "claims.json", "claims.toml", "runs"
INCOMPLETE = "incomplete"


class SessionError(Exception):
    """A directory that this session cannot go on in; ``str`` is one line."""


class Done(msgspec.Struct, frozen=True):
    """A run that is finished. path: below the session's directory. repeat: 0 for the first try."""

    recipe: str
    seed: int
    path: str
    repeat: int = 0


class Record(msgspec.Struct, kw_only=True):
    """claims.json. plan: fingerprint of all experiments. failed: a line for each run that left nothing."""

    format: int = 1
    kind: str = "claims"
    name: str
    started: str
    state: str = INCOMPLETE
    exit_code: int | None = None
    page: str = runs.REPORT
    runs: int = 0
    quick: bool
    only: list[str]
    host: str | None
    plan: str
    done: list[Done] = []
    failed: list[str] = []


class Wanted(NamedTuple):
    """What was asked for on the command line; None: nothing was said."""

    claims: Path | None
    only: tuple[str, ...]
    quick: bool
    host: str | None


class Session:
    """A directory, its record, and its plan."""

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.record = record
        self.plan: Plan = plan(record.quick)

    @property
    def runs(self) -> Path:
        """Where the runs go."""
        return self.path / RUNS

    @property
    def claims(self) -> Path:
        """The claims as they were asked."""
        return self.path / CLAIMS

    def save(self) -> None:
        """Write the record. Raises RunError."""
        self.record.runs = len(self.record.done)
        content = msgspec.json.format(msgspec.json.encode(self.record), indent=2) + b"\n"
        try:
            runs.replace(self.path / RECORD, content)
        except OSError as error:
            raise RunError(f"{self.path / RECORD}: cannot be written ({error.strerror})") from None

    def keep(self, done: Done) -> None:
        """A run is finished. Raises RunError."""
        self.record.done.append(done)
        self.save()

    def finished(self, recipe: str, seed: int) -> list[Done]:
        """The runs of a trial: one, or two if it was repeated."""
        return [one for one in self.record.done if (one.recipe, one.seed) == (recipe, seed)]


def begin(out: Path, wanted: Wanted, text: bytes, names: Sequence[str], now: datetime) -> Session:
    """A new directory. Raises RunError."""
    path = out / f"{now:%Y%m%dT%H%M%SZ}-claims-{secrets.token_hex(3)}"
    record = Record(
        name=("quick: " if wanted.quick else "") + ", ".join(names),
        started=now.isoformat(timespec="seconds"),
        quick=wanted.quick,
        only=list(wanted.only),
        host=wanted.host,
        plan=fingerprint(plan(wanted.quick)),
    )
    session = Session(path, record)
    try:
        session.runs.mkdir(parents=True)
        runs.replace(session.claims, text)
    except OSError as error:
        raise RunError(f"{path}: cannot be made ({error.strerror})") from None
    session.save()
    return session


def resume(path: Path, wanted: Wanted) -> Session:
    """One that was cut short. What is said on the command line must be what it was begun with.

    Raises SessionError.
    """
    try:
        record = msgspec.json.decode((path / RECORD).read_bytes(), type=Record)
    except OSError as error:
        raise SessionError(
            f"--resume {path}: no directory of loadtest claims ({RECORD}: {error.strerror})"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SessionError(f"--resume {path}: {RECORD} cannot be read ({error})") from None
    for flag, said, was in (
        ("--only", list(wanted.only) or record.only, record.only),
        ("--quick", wanted.quick or record.quick, record.quick),
        ("--host", wanted.host or record.host, record.host),
    ):
        if said != was:
            raise SessionError(
                f"--resume {path}: it was begun with another {flag}: leave that out, or begin anew"
            )
    if wanted.claims is not None and _content(wanted.claims) != _content(path / CLAIMS):
        raise SessionError(
            f"--resume {path}: holds other claims than {wanted.claims}: begin anew without --resume"
        )
    session = Session(path, record)
    if fingerprint(session.plan) != record.plan:
        raise SessionError(f"--resume {path}: begun by another release, whose experiments differ: begin anew")
    return session


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SessionError(f"{path}: cannot be read ({error.strerror})") from None


def fingerprint(of: Plan) -> str:
    """What tells the experiments of one release from those of another."""
    return hashlib.sha256(repr((sorted(of.recipes.items()), of.grid)).encode()).hexdigest()[:12]
