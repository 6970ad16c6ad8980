"""How does a command run a scenario? As anybody would: a `locust` process, and the Run it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from loadtest.cli.telling import GITHUB
from loadtest.measure import run as runs

_POLL_S = 0.2
_PATIENCE_S = 60.0
"""How long past its run time a locust process may take to write the run and its page."""


class RunFailed(Exception):
    """The scenario left no Run; ``str`` is one line, ``log`` says where to read more."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"{reason}; what locust said: {log}")
        self.log = log


class Interrupted(Exception):
    """Ctrl-C in the middle of a run; ``path``: what it left, None if it was too early for anything."""

    def __init__(self, path: Path | None) -> None:
        super().__init__("interrupted")
        self.path = path


def scenario(name: str) -> Path:
    """The file of a scenario that came with the package."""
    spec = find_spec("scenarios")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / f"{name}.py"


def in_processes(several: int) -> list[str]:
    """The flags of a run of so many processes; none for one. Their master gets a port that nobody else's has.

    The usual port is the machine's: another run's workers would come to it.
    """
    if several <= 1:
        return []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return ["--processes", str(several), "--master-bind-port", port, "--master-port", port]


def run_scenario(
    locustfile: Path, flags: Sequence[str], reports: Path, run_time_s: float, tick: Callable[[float], None]
) -> Path:
    """Run a scenario for ``run_time_s`` and return its Run directory. ``tick`` hears the seconds that passed.

    Ctrl-C cuts the run short: the process writes what it had, and Interrupted names the Run, if there is one.
    Raises RunFailed.
    """
    name = locustfile.stem
    log = reports / f"{name}.log"
    before = _latest(reports)
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"]
    command += ["-t", f"{run_time_s:g}s", "--rt-out", str(reports), *flags]
    reports.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # What came out is told by the command that runs it, once for all its runs.
            env={name: value for name, value in os.environ.items() if name not in GITHUB},
        )
        try:
            _wait(child, run_time_s, tick)
        except KeyboardInterrupt:
            child.send_signal(signal.SIGTERM)
            # It writes what it has; one that hangs must not take along what other runs had before it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_PATIENCE_S)
            left = _latest(reports)
            raise Interrupted(left if left != before else None) from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    after = _latest(reports)
    if after is None or after == before:
        raise RunFailed(f"{name}: {_last_words(log)}", log)
    return after


def _wait(child: subprocess.Popen[bytes], run_time_s: float, tick: Callable[[float], None]) -> None:
    begun = time.monotonic()
    while child.poll() is None:
        elapsed = time.monotonic() - begun
        if elapsed > run_time_s + _PATIENCE_S:
            return
        tick(elapsed)
        time.sleep(_POLL_S)


def _latest(reports: Path) -> Path | None:
    link = reports / runs.LATEST
    return link.resolve() if link.is_symlink() and link.exists() else None


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "locust ended without a word"
