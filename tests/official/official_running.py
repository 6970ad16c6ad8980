"""The official implementation in processes of its own: installed once, started, driven and ended by the tests."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from e2e_running import PATIENCE_S, Program, wait_until

HERE = Path(__file__).resolve().parent
_INSTALL_S = 150.0
_OLDEST_NODE = 18


class Missing(Exception):
    """The official implementation cannot be had here; ``str`` says why and what to do."""


def install() -> Path:
    """The folder that holds the packages of package-lock.json, made on first use. Raises Missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("node or npm is not installed (Debian: apt-get install nodejs npm)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < _OLDEST_NODE:
        raise Missing(f"node is {version}, but {_OLDEST_NODE} or newer is needed")
    names = ("package.json", "package-lock.json")
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "realtime-loadtest"
    folder = cache / f"official-{digest}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: an install that was broken off, or another session's, is never mistaken for whole.
    with tempfile.TemporaryDirectory(dir=cache) as aside:
        for name in names:
            shutil.copy(HERE / name, aside)
        _npm_ci(npm, Path(aside))
        try:
            os.rename(aside, folder)
        except OSError:
            if not folder.exists():  # else somebody else was faster
                raise
        else:
            os.mkdir(aside)  # for the context to remove
    return folder


def _npm_ci(npm: str, folder: Path) -> None:
    command = [
        npm,
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
        "--loglevel=error",
    ]
    try:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise Missing(f"npm ci did not end within {_INSTALL_S:g} s: is the registry reachable?") from None
    if ended.returncode:
        said = [line.removeprefix("npm error").strip() for line in ended.stderr.splitlines()]
        raise Missing(f"npm ci failed: {'; '.join(line for line in said if line)[:300]}")


class Node(Program):
    """One of our scripts on the official packages; ``stdin`` is a pipe, at whose end it ends too."""

    def __init__(self, script: str, official: Path, log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        self.complaints = log.with_suffix(".err")
        node = shutil.which("node")
        assert node is not None
        with log.open("wb") as out, self.complaints.open("wb") as err:
            self.process = subprocess.Popen(
                [node, HERE / script],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env={**os.environ, "OFFICIAL": str(official), **(env or {})},
                start_new_session=True,
            )
        self.pid = self.process.pid

    def end(self) -> None:
        """End it, by closing its pipe and then by id."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it had ended by itself
        super().end()


class RoomServer(Node):
    """The room server; settings go to its environment: ``RoomServer(…, CSR="1")``."""

    def __init__(self, official: Path, log: Path, **settings: str) -> None:
        super().__init__("room_server.mjs", official, log, {"PORT": "0", **settings})
        wait_until(lambda: self.ended or "\n" in self.output, "the room server says where it listens")
        assert not self.ended, self.complaints.read_text()
        self.url = self.output.split()[2]

    def stats(self) -> dict[str, Any]:
        """Its own counts."""
        stats: dict[str, Any] = requests.get(f"{self.url}/__stats", timeout=PATIENCE_S).json()
        return stats

    def drop(self, *users: str) -> int:
        """Cut the transports of these users, or of all; how many that were."""
        order = {"userIds": users} if users else {}
        answer = requests.post(f"{self.url}/__drop", json=order, timeout=PATIENCE_S).json()
        return int(answer["dropped"])


Said = dict[str, Any]


class Driver(Node):
    """The official client: any number of sockets, each under an id, in one process."""

    def __init__(self, official: Path, log: Path) -> None:
        super().__init__("driver.mjs", official, log)
        self._heard: list[Said] = []
        self._read = 0
        self._refs = itertools.count()

    def order(self, do: str, socket_id: str, **more: Any) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "id": socket_id, **more}).encode() + b"\n")
        self.process.stdin.flush()

    def connect(self, socket_id: str, url: str, **options: Any) -> None:
        """Make a socket with the client's own options, and connect it."""
        self.order("connect", socket_id, url=url, options=options)

    def ask(self, socket_id: str, name: str, *args: Any) -> Any:
        """Emit and wait for the answer: its first argument."""
        ref = next(self._refs)
        self.order("ask", socket_id, name=name, args=args, ref=ref, timeoutMs=PATIENCE_S * 1000)
        wait_until(lambda: self._acks(socket_id, ref), f"an answer to {name}", PATIENCE_S + 10)
        (ack,) = self._acks(socket_id, ref)
        assert "error" not in ack, ack
        return ack["answer"][0]

    def _acks(self, socket_id: str, ref: int) -> list[Said]:
        return [one for one in self.said(socket_id, "ack") if one["ref"] == ref]

    def everything(self) -> list[Said]:
        """All that was said so far, by all sockets."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        self._heard += [json.loads(line) for line in whole.splitlines()]
        return self._heard

    def said(self, socket_id: str, what: str) -> list[Said]:
        """What one socket said of one kind."""
        return [one for one in self.everything() if one["id"] == socket_id and one["what"] == what]

    def events(self, socket_id: str, name: str) -> list[Any]:
        """First arguments of the events of that name."""
        return [one["args"][0] for one in self.said(socket_id, "event") if one["name"] == name]

    def wait_for(self, socket_id: str, what: str, times: int = 1) -> Said:
        """Wait until the socket said it that often; the last of them."""

        def there() -> bool:
            assert not self.ended, self.complaints.read_text()
            return len(self.said(socket_id, what)) >= times

        try:
            wait_until(there, f"{what} of socket {socket_id}, {times} times")
        except AssertionError:
            heard = [one for one in self.everything() if one["id"] == socket_id][-10:]
            raise AssertionError(f"no {what} of socket {socket_id}; the last it said: {heard}") from None
        return self.said(socket_id, what)[times - 1]


def durations(official: Path, options: dict[str, float], attempts: int, draws: Sequence[float]) -> Any:
    """What the official backoff answers: for every draw a list, the delay in ms of each attempt."""
    node = shutil.which("node")
    assert node is not None
    ended = subprocess.run(
        [node, HERE / "durations.mjs"],
        input=json.dumps({"options": options, "attempts": attempts, "draws": list(draws)}),
        env={**os.environ, "OFFICIAL": str(official)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
