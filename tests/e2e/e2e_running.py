"""Real servers and real locust processes, started, watched and ended by their process ids.

Output goes to files, never to pipes: a full pipe would stop the process under test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from e2e_counting import Totals

from loadtest.measure import run as runs
from loadtest.measure.run import Run

PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
MESSAGING = ROOT / "scenarios" / "messaging.py"
HERE = Path(__file__).resolve().parent


def wait_until(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Look until ``holds()``; fail with ``what`` if it never does."""
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, f"not within {patience_s:g} s: {what}"
        time.sleep(0.02)


class Program:
    """A process of ours in a session of its own, its output in one file."""

    def __init__(
        self, args: Sequence[object], log: Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self.log = log
        # What this machine has set for Locust is no part of a test.
        own = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [str(one) for one in args],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**own, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
                **options,
            )
        self.pid = self.process.pid

    @property
    def output(self) -> str:
        """All it has said so far."""
        return self.log.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has one."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {patience_s:g} s; it said:\n{self.output}") from None

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        os.kill(self.pid, number)

    def session(self) -> list[int]:
        """Process ids that are alive in its session, itself too: forked workers share it."""
        alive = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process.pid)
        return alive

    def end(self) -> None:
        """End whatever is left of it, by id."""
        for pid in self.session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


class Server(Program):
    """``loadtest serve`` on a free port."""

    def __init__(self, log: Path, flags: Sequence[str] = (), **options: Any) -> None:
        args = [sys.executable, "-m", "loadtest", "serve", "--port", "0", *flags]
        super().__init__(args, log, **options)
        wait_until(lambda: self.ended or self.output.count("\n") >= 2, "the server says where it listens")
        assert not self.ended, self.output
        self.url = self.output.split()[2]

    def ask(self, path: str, body: object = None) -> Any:
        """JSON of a GET, or of a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def stats(self) -> dict[str, Any]:
        """Its own counts."""
        stats: dict[str, Any] = self.ask("/__stats")
        return stats

    def accepted(self) -> int:
        """Messages it took so far."""
        return int(self.stats()["accepted"].get("message:send", 0))

    def fault(self, kind: str, **more: Any) -> None:
        """Order a fault."""
        assert self.ask("/__fault", {"kind": kind, **more})["ok"]


class Result:
    """What a run came to: exit code, what was printed, the Run, and its sums."""

    def __init__(self, code: int, output: str, run: Run) -> None:
        self.code = code
        self.output = output
        self.run = run
        self.totals = Totals(run)
        self.counters: Mapping[str, int] = run.manifest.counters


class Locust(Program):
    """``locust`` with our flags; ``run`` reads the Run it wrote."""

    def __init__(self, args: Sequence[object], out: Path, log: Path, **options: Any) -> None:
        self.out = out
        scenario = () if "-f" in args else ("-f", MESSAGING)
        folder = () if "--rt-out" in args else ("--rt-out", out)
        port = _free_port() if "--processes" in args else None
        # A master's usual port is the machine's: another run's workers would come to it.
        ports = () if port is None else ("--master-bind-port", port, "--master-port", port)
        super().__init__([sys.executable, "-m", "locust", *scenario, *args, *ports, *folder], log, **options)

    def run(self) -> Run:
        """The newest Run it wrote."""
        assert (self.out / runs.LATEST).exists(), self.output
        return runs.read(self.out / runs.LATEST)

    def result(self, patience_s: float = PATIENCE_S) -> Result:
        """Wait for its end and read what it left."""
        code = self.wait(patience_s)
        return Result(code, self.output, self.run())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def paused(program: Program) -> Iterator[list[float]]:
    """Stop a process with SIGSTOP; the list holds the seconds it stood, once it goes on."""
    stood: list[float] = []
    program.signal(signal.SIGSTOP)
    begun = time.perf_counter()
    try:
        yield stood
    finally:
        program.signal(signal.SIGCONT)
        stood.append(time.perf_counter() - begun)
