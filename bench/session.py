"""How does a part of the benchmark start a server and generators, and tell what it found?

One reference server serves a whole session, but for a part that needs it otherwise; every generator is a
process of its own, and each is ended by the process id it was given.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from bench.task import BODY_BYTES, ROOM_SIZE, Memory, Task, Window
from loadtest.cli.embedded import Embedded, embedded_server
from loadtest.measure import run as run_files
from loadtest.measure.run import Run

_ROOT = Path(__file__).resolve().parent.parent
ARMS = _ROOT / "bench" / "arms"
SCENARIOS = _ROOT / "scenarios"
_LEAVE_TIMEOUT_S = 20
_JOIN_TIMEOUT_S = 150
_SLOW, _SETTLE_S = 1.25, 2.0
"""A run with an end leaves its users so many times as long to come in as starting them takes, and so much more."""
_REFUSED = 2
"""The exit code of a locust that found out before its run that it cannot do it."""
_USAGE = b"usage:"
"""What a locust that was called wrongly says first; its exit code is the same."""

_Found = TypeVar("_Found", Window, Memory)


class BenchError(Exception):
    """A process did not do its part; ``str`` says which, and what it said last."""


class Refused(BenchError):
    """What was asked for is more than this machine allows; ``str`` says what, in one line."""


class Sizes(msgspec.Struct, frozen=True):
    """How much is done. ``window_s`` is of one round; rounds alternate between the arms."""

    users: int = 200
    idle_users: int = 1000
    rates: tuple[float, ...] = (1.0, 3.0)
    rounds: int = 2
    warmup_s: float = 4.0
    window_s: float = 15.0
    seconds: int = 20
    """Simulated seconds of the recorder and of the ledger, thousands of packets of the codec."""
    mixed_users: int = 1000
    mixed_s: float = 30.0
    storm_users: int = 5000
    calm_s: float = 5.0
    """Of measure, before the storm."""
    storm_s: float = 45.0
    """How long everybody has to come back."""
    crowd_users: int = 10_000
    crowd_deliveries: float = 1000.0
    """Per second, of all of them together."""
    crowd_s: float = 30.0
    drain_s: float = 6.0
    page_s: int = 600
    """Measured seconds of the run whose intervals and page are timed; nobody waits for them."""


QUICK = Sizes(
    users=100,
    idle_users=500,
    rounds=1,
    warmup_s=1.5,
    window_s=5.0,
    seconds=5,
    mixed_users=300,
    mixed_s=25.0,
    storm_users=500,
    calm_s=2.0,
    storm_s=10.0,
    crowd_users=2000,
    crowd_deliveries=400.0,
    crowd_s=10.0,
    drain_s=3.0,
    page_s=60,
)


class Requirement(msgspec.Struct, frozen=True):
    """A promise of the product, and whether it was kept on this machine, today."""

    name: str
    limit: str
    measured: str
    kept: bool | None
    """None: it could not be found out, and ``measured`` says why."""

    @property
    def verdict(self) -> str:
        """PASS, FAIL or UNKNOWN."""
        return "UNKNOWN" if self.kept is None else "PASS" if self.kept else "FAIL"


class Part(msgspec.Struct, frozen=True):
    """What one part found: a table to read, requirements, and every number for machines."""

    name: str
    table: Table
    requirements: list[Requirement]
    raw: Any


class Session:
    """Where the parts get their server and generators from."""

    def __init__(self, sizes: Sizes, console: Console, directory: Path, server: Embedded) -> None:
        self.sizes = sizes
        self.directory = directory
        self._server = server
        self._console = console
        self._begun = time.monotonic()
        self._number = 0

    def say(self, text: str) -> None:
        """Show progress."""
        self._console.print(f"[dim]{time.monotonic() - self._begun:5.0f} s[/]  {text}", highlight=False)

    def talk(self, arm: str, rate: float, round_number: int) -> tuple[Window, Path]:
        """A window of talking users, and the directory for what else they leave behind."""
        sizes = self.sizes
        self.say(f"{arm}: {sizes.users} users, {rate:g} messages/s each, {sizes.window_s:g} s")
        out = self._new_directory()
        task = Task(
            answer=str(out / "answer.json"),
            server_pid=self._server.pid,
            users=sizes.users,
            rate=rate,
            seed=round_number,
            warmup_s=sizes.warmup_s,
            window_s=sizes.window_s,
        )
        return self._generate(arm, task, "websocket", out, Window), out

    def idle(self, arm: str, transport: str) -> Memory:
        """What users hold that only listen."""
        users = self.sizes.idle_users
        self.say(f"{arm}, {transport}: {users} idle users")
        out = self._new_directory()
        # A rate far too low for anything to be sent, but with all that talking needs in place.
        task = Task(str(out / "answer.json"), self._server.pid, users, 1e-6, 1, 0.0, 0.0, idle=True)
        return self._generate(arm, task, transport, out, Memory)

    def scenario(
        self,
        file: Path,
        users: int,
        spawn_rate: int,
        measure_s: float,
        flags: Mapping[str, str],
        server: str | None = None,
        more: Sequence[str] = (),
    ) -> Run:
        """What a locustfile left behind that measured for at least ``measure_s``; ``flags`` without ``--rt-``.

        more: flags of Locust's own.

        Raises BenchError.
        """
        sizes, out = self.sizes, self._new_directory()
        joining_s = _SLOW * users / spawn_rate + _SETTLE_S
        run_time_s = math.ceil(joining_s + sizes.warmup_s + measure_s + sizes.drain_s)
        edges = {"warmup": f"{sizes.warmup_s:g}s", "drain": f"{sizes.drain_s:g}s"}
        words = ["-t", f"{run_time_s}s", *_rt({**edges, **flags, "out": str(out / "reports")}), *more]
        log = self._locust(file, server or self._server, users, spawn_rate, words, None, out, run_time_s)
        try:
            return run_files.read(out / "reports" / run_files.LATEST)
        except run_files.RunError:
            raise BenchError(f"{file.stem}: no run; its last words:\n{_tail(log)}") from None

    def ask(self, module: str, *arguments: str) -> bytes:
        """What a module prints that needs a process of its own. Raises BenchError."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
        if done.returncode:
            raise BenchError(f"{module} failed:\n{done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _new_directory(self) -> Path:
        self._number += 1
        path = self.directory / f"{self._number:02}"
        path.mkdir()
        return path

    def _generate(self, arm: str, task: Task, transport: str, out: Path, kind: type[_Found]) -> _Found:
        flags = {
            "transport": transport,
            "rate": f"{task.rate * 3600:.9f}/h",
            "seed": str(task.seed),
            "room-size": str(ROOM_SIZE),
            "payload-bytes": str(BODY_BYTES),
            "warmup": f"{task.warmup_s:g}s",
            "drain": "1s",
            "out": str(out / "reports"),
        }
        words = _rt(flags) if arm == "native" else []
        seconds = task.warmup_s + task.window_s
        log = self._locust(
            ARMS / f"{arm}.py", self._server, task.users, 200, words, task.environment(), out, seconds
        )
        try:
            return msgspec.json.decode(Path(task.answer).read_bytes(), type=kind)
        except FileNotFoundError:
            raise BenchError(f"{arm}: no answer; its last words:\n{_tail(log)}") from None

    def _locust(
        self,
        file: Path,
        server: str,
        users: int,
        spawn_rate: int,
        words: list[str],
        environment: Mapping[str, str] | None,
        out: Path,
        seconds: float,
    ) -> Path:
        """Run a locustfile to its end, which is due ``seconds`` after everybody is in; where its words are."""
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary"]
        command += ["-H", server, "-u", str(users), "-r", str(spawn_rate), *words]
        log = out / "locust.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=sink, stderr=sink)
        try:
            process.wait(_JOIN_TIMEOUT_S + seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)
        if process.returncode == _REFUSED and not log.read_bytes().startswith(_USAGE):
            raise Refused(_tail(log, 1))
        return log


def _rt(flags: Mapping[str, str]) -> list[str]:
    return [word for name, value in flags.items() for word in (f"--rt-{name}", value)]


@contextlib.contextmanager
def open_session(sizes: Sizes, console: Console) -> Iterator[Session]:
    """A server and a scratch directory, both gone afterwards. Raises BenchError and ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, embedded_server() as server:
        yield Session(sizes, console, Path(scratch), server)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_LEAVE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
