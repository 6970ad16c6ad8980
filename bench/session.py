"""How does a part of the benchmark start a server and generators, and tell what it found?

One reference server serves a whole session; every generator is a process of its own, and each is ended by
the process id it was given.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from bench.task import BODY_BYTES, ROOM_SIZE, Memory, Task, Window

_ROOT = Path(__file__).resolve().parent.parent
_ARMS = _ROOT / "bench" / "arms"
_LISTENING = re.compile(r"listening on (http://\S+)")
_START_TIMEOUT_S = 30
_LEAVE_TIMEOUT_S = 20
_JOIN_TIMEOUT_S = 150

_Found = TypeVar("_Found", Window, Memory)


class BenchError(Exception):
    """A process did not do its part; ``str`` says which, and what it said last."""


class Sizes(msgspec.Struct, frozen=True):
    """How much is done. ``window_s`` is of one round; rounds alternate between the arms."""

    users: int = 200
    idle_users: int = 1000
    rates: tuple[float, ...] = (1.0, 3.0)
    rounds: int = 2
    warmup_s: float = 4.0
    window_s: float = 15.0
    seconds: int = 20
    """Simulated seconds of the recorder, thousands of packets of the codec."""


QUICK = Sizes(users=100, idle_users=500, rounds=1, warmup_s=1.5, window_s=5.0, seconds=5)


class Requirement(msgspec.Struct, frozen=True):
    """A promise of the product, and whether it was kept on this machine, today."""

    name: str
    limit: str
    measured: str
    kept: bool

    @property
    def verdict(self) -> str:
        """PASS or FAIL."""
        return "PASS" if self.kept else "FAIL"


class Part(msgspec.Struct, frozen=True):
    """What one part found: a table to read, requirements, and every number for machines."""

    name: str
    table: Table
    requirements: list[Requirement]
    raw: Any


class Session:
    """Where the parts get their server and generators from."""

    def __init__(self, sizes: Sizes, console: Console, directory: Path, url: str, server_pid: int) -> None:
        self.sizes = sizes
        self.directory = directory
        self.server_pid = server_pid
        self._url = url
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
            server_pid=self.server_pid,
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
        task = Task(str(out / "answer.json"), self.server_pid, users, 1e-6, 1, 0.0, 0.0, idle=True)
        return self._generate(arm, task, transport, out, Memory)

    def _new_directory(self) -> Path:
        self._number += 1
        path = self.directory / f"{self._number:02}"
        path.mkdir()
        return path

    def _generate(self, arm: str, task: Task, transport: str, out: Path, kind: type[_Found]) -> _Found:
        command = [sys.executable, "-m", "locust", "-f", str(_ARMS / f"{arm}.py"), "--headless"]
        command += ["--only-summary", "-H", self._url, "-u", str(task.users), "-r", "200"]
        if arm == "native":
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
            command += [word for name, value in flags.items() for word in (f"--rt-{name}", value)]
        log = out / "locust.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=_ROOT, env=task.environment(), stdout=sink, stderr=sink)
        try:
            process.wait(_JOIN_TIMEOUT_S + task.warmup_s + task.window_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)
        try:
            return msgspec.json.decode(Path(task.answer).read_bytes(), type=kind)
        except FileNotFoundError:
            raise BenchError(f"{arm}: no answer; its last words:\n{_tail(log)}") from None


@contextlib.contextmanager
def open_session(sizes: Sizes, console: Console) -> Iterator[Session]:
    """A server and a scratch directory, both gone afterwards. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = Path(scratch)
        log = directory / "server.log"
        command = [sys.executable, "-m", "loadtest", "serve", "--port", "0", "--rate-limit", "0"]
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=_ROOT, stdout=sink, stderr=sink)
        try:
            yield Session(sizes, console, directory, _address(process, log), process.pid)
        finally:
            _end(process)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = _LISTENING.search(log.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    raise BenchError(f"the server did not start:\n{_tail(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_LEAVE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
