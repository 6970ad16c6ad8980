"""Where did a series change, by Apache Otava?

Otava (formerly Hunter; Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance
Regressions", ICPE 2023) runs as a tool in an environment of its own: it pins other versions of numpy and scipy
than ours. Without it, or if anything goes wrong with it, change points are off and say why; nothing else
depends on them.

What 0.8.0 does, found out by running it: ``--config-file`` counts only behind ``analyze``; only the last year
up to now is looked at unless told otherwise; a ``BRANCH`` in the environment is taken for ``--branch``; it ends
with 0 whether it found changes or could not read a file, in which case it prints no result for that one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from loadtest.analysis.history import (
    NIGHTS_BEFORE_USE,
    ChangePoint,
    Night,
    accept,
    change_points,
    moment,
    watched,
)
from loadtest.cli import history_csv
from loadtest.cli.history_csv import Sheet
from loadtest.cli.history_file import HistoryError

VERSION = "0.8.0"
REQUIREMENT = f"apache-otava=={VERSION}"
EXECUTABLE = "LOADTEST_OTAVA"
INSTALL = "`loadtest history --install-otava`"

WINDOW, MAGNITUDE = 50, 0.05
"""Nights looked at together, and the least relative change; its p of 0.001 is the default (no flag sets it)."""

TIMEOUT_S, DOWNLOAD_S = 120.0, 900.0
"""Ninety nights take it two seconds; uvx downloads 300 MB the first time."""

_NOT_ITS = ("BRANCH", "OTAVA_CONFIG", "PYTHONPATH", "PYTHONHOME")
"""Variables that would change what it reads, or which packages it loads."""

Key = tuple[str, str, str]
"""Job, fingerprint, metric."""


class OtavaError(Exception):
    """Otava cannot be had or used; ``str`` is the reason, in words."""


class Tool(NamedTuple):
    """How to start Otava, and for how long to wait for it."""

    command: list[str]
    timeout_s: float


class Found(NamedTuple):
    """The accepted change points of each series that was looked at; ``off``: why none could be looked for."""

    points: dict[Key, list[ChangePoint]]
    off: str = ""


class Change(msgspec.Struct):
    """What Otava says of one metric, as far as we take it.

    Its means are not taken: they are rounded to six decimals, too few for a small share, and reach no further than
    a weak point that it has dropped since.
    """

    metric: str
    index: Annotated[int, msgspec.Meta(ge=1)]
    time: int
    pvalue: str


class _Moment(msgspec.Struct):
    changes: list[Change]


def locate(environ: Mapping[str, str]) -> Tool:
    """The executable that the environment names, our own, or uvx's. Raises OtavaError."""
    if named := environ.get(EXECUTABLE):
        if shutil.which(named) is None:
            raise OtavaError(f"{EXECUTABLE} names {named}, which cannot be run")
        return Tool([named], TIMEOUT_S)
    if (own := executable(environ)).is_file():
        return Tool([str(own)], TIMEOUT_S)
    if uvx := shutil.which("uvx", path=environ.get("PATH", "")):
        return Tool([uvx, "--from", REQUIREMENT, "otava"], DOWNLOAD_S)
    raise OtavaError(f"Apache Otava is not installed; {INSTALL} installs it (300 MB)")


def executable(environ: Mapping[str, str]) -> Path:
    """Where our own one lies, if it is installed."""
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "realtime-loadtest" / f"otava-{VERSION}" / "bin" / "otava"


def install(environ: Mapping[str, str]) -> Path:
    """Install our own one, 300 MB; what a cut-short attempt left is replaced. Returns it. Raises OtavaError."""
    found = executable(environ)
    _step([sys.executable, "-m", "venv", "--clear", str(found.parent.parent)], environ)
    pip = [str(found.with_name("python")), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _step([*pip, "install", REQUIREMENT], environ)
    _step([str(found), "--help"], environ)
    return found


def look(nights: Iterable[Night], environ: Mapping[str, str]) -> Found:
    """The change points of every series that is watched. Never raises for what is wrong with Otava."""
    series = watched(nights)
    if not series:
        return Found({}, f"no series has {NIGHTS_BEFORE_USE} nights yet")
    try:
        tool = locate(environ)
        with tempfile.TemporaryDirectory(prefix="loadtest-otava-") as folder:
            found = history_csv.write(Path(folder), series)
            changes = parse(_run(tool, found, Path(folder), environ), found)
    except (OtavaError, HistoryError, OSError) as error:
        return Found({}, str(error))
    points: dict[Key, list[ChangePoint]] = {}
    for one in series:
        key = (one.job, one.fingerprint, one.metric)
        points[key] = accept(change_points(one, changes.get(key, {})), one)
    return Found(points)


def parse(said: str, found: Iterable[Sheet]) -> dict[Key, dict[int, float]]:
    """Index and p of the changes of each series, out of a line of JSON for each test. Raises OtavaError."""
    tests: dict[str, list[_Moment]] = {}
    try:
        for line in said.splitlines():
            if line.startswith("{"):
                tests |= msgspec.json.decode(line, type=dict[str, list[_Moment]])
        changes: dict[Key, dict[int, float]] = {}
        for sheet in found:
            if sheet.name not in tests:
                raise OtavaError(f"Apache Otava gave no result for {sheet.name}")
            of_metric = {one.metric: one for one in sheet.series}
            for change in (change for at in tests[sheet.name] for change in at.changes):
                one = of_metric[change.metric]
                if change.time != int(moment(one.nights[change.index].at).timestamp()):
                    raise OtavaError("Apache Otava left nights out")
                key = (one.job, one.fingerprint, one.metric)
                changes.setdefault(key, {})[change.index] = float(change.pvalue)
    except (msgspec.DecodeError, KeyError, IndexError, ValueError) as error:
        raise OtavaError(f"Apache Otava's answer is not understood ({error})") from None
    return changes


def _run(tool: Tool, found: Iterable[Sheet], folder: Path, environ: Mapping[str, str]) -> str:
    command = [
        *tool.command,
        "analyze",
        *(sheet.name for sheet in found),
        "--config-file",
        history_csv.CONFIG,
    ]
    command += ["--output", "json", "--window", str(WINDOW), "--magnitude", str(MAGNITUDE)]
    command += ["--since", "1970-01-01T00:00:00Z", "--until", "2999-01-01T00:00:00Z"]
    code, said, complaints = _ended(command, folder, environ, tool.timeout_s)
    if code or re.search("^ERROR: ", complaints, re.MULTILINE):
        raise OtavaError(f"Apache Otava failed ({_last(complaints) or f'exit code {code}'})")
    return said


def _step(command: list[str], environ: Mapping[str, str]) -> None:
    code, said, complaints = _ended(command, Path(tempfile.gettempdir()), environ, DOWNLOAD_S)
    if code:
        raise OtavaError(
            f"Apache Otava cannot be installed ({_last(complaints) or _last(said) or command[0]})"
        )


def _ended(
    command: list[str], folder: Path, environ: Mapping[str, str], wait_s: float
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that had its time. Raises OtavaError."""
    options: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    env = {name: value for name, value in environ.items() if name not in _NOT_ITS}
    try:
        child = subprocess.Popen(
            command, cwd=folder, env=env, text=True, encoding="utf-8", errors="replace",
            start_new_session=True, **options,
        )  # fmt: skip
    except OSError as error:
        raise OtavaError(f"{command[0]} cannot be started ({error.strerror or error})") from None
    try:
        said, complaints = child.communicate(timeout=wait_s)
    except subprocess.TimeoutExpired:
        raise OtavaError(f"{Path(command[0]).name} was stopped after {wait_s:.0f} s") from None
    finally:
        if child.poll() is None:
            # The whole group: uvx starts Otava as a child, which would keep the pipes open.
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    return child.returncode, said, complaints


def _last(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else ""
