"""Network namespaces as machines: a master that does not reach the target, and workers that reach both.

    master ──────┬────────┐              10.77.1.0/24
              worker a  worker b
    target ──────┴────────┘              10.77.2.0/24

A time namespace gives a machine a monotonic clock of its own, ahead by a known time. Everything is gone with the
process that made it, or when the test ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_running import MESSAGING, Program, wait_until
from lacking import lacking

SECRET = "a secret of this test's own, and long enough"
MASTER_AT, TARGET_AT = "10.77.1.1", "10.77.2.1"
TARGET = f"http://{TARGET_AT}:3000"
PORT = 5557
WORKERS = ("a", "b")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def needed() -> None:
    """Skip the test with the reason why there can be no namespaces here; fail where nothing may be skipped."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for command, package in (("ip", "iproute2"), ("unshare", "util-linux")):
        if shutil.which(command) is None:
            lacking(f"{command} is not installed (Debian: apt-get install {package})")


class Hosts:
    """Four machines, each reached by its name: ``master``, ``a``, ``b`` and ``target``."""

    def __init__(self, folder: Path, programs: list[Program]) -> None:
        self._folder = folder
        self._programs = programs
        self._names = {one: f"loadtest-{os.getpid()}-{one}" for one in ("master", *WORKERS, "target")}
        self._number = itertools.count()

    def build(self) -> None:
        """Make the machines and their cables. Raises OSError."""
        for name in self._names.values():
            _ip("netns", "add", name)
            self._inside(name, "link", "set", "lo", "up")
        for number, (hub, address) in enumerate((("master", MASTER_AT), ("target", TARGET_AT)), 1):
            at = self._names[hub]
            self._inside(at, "link", "add", "hub", "type", "bridge")
            self._inside(at, "addr", "add", f"{address}/24", "dev", "hub")
            self._inside(at, "link", "set", "hub", "up")
            for last, worker in enumerate(WORKERS, 2):
                there = self._names[worker]
                cable = ("link", "add", f"to-{worker}", "type", "veth", "peer", "name", hub, "netns", there)
                self._inside(at, *cable)
                self._inside(at, "link", "set", "dev", f"to-{worker}", "master", "hub", "up")
                self._inside(there, "addr", "add", f"10.77.{number}.{last}/24", "dev", hub)
                self._inside(there, "link", "set", "dev", hub, "up")

    def take_down(self) -> None:
        """End what runs on the machines, and take them away."""
        for program in self._programs:
            program.end()
        for name in self._names.values():
            with contextlib.suppress(OSError):
                _ip("netns", "del", name)

    @staticmethod
    def _inside(name: str, *words: str) -> None:
        _ip("-n", name, *words)

    def run(self, host: str, *words: object, ahead_s: int = 0, **options: Any) -> Program:
        """Start a program on a machine; its monotonic clock is so many seconds ahead of ours."""
        clock = ("unshare", "--time", "--monotonic", ahead_s, "--fork", "--kill-child") if ahead_s else ()
        log = self._folder / f"{host}{next(self._number)}.log"
        args = ("ip", "netns", "exec", self._names[host], *clock, sys.executable, "-m", *words)
        program = Program(args, log, **options)
        self._programs.append(program)
        return program

    def serve(self) -> Program:
        """The reference server, on the target."""
        words = ("loadtest", "serve", "--bind", TARGET_AT, "--port", 3000, "--rate-limit", 0)
        server = self.run("target", *words, env={"TOKEN_SECRET": SECRET})
        wait_until(lambda: server.ended or TARGET in server.output, "the server says where it listens")
        assert not server.ended, server.output
        return server

    def master(self, out: Path, *flags: object) -> Program:
        """``locust --master`` that puts load on the target."""
        words = ("locust", "-f", MESSAGING, "--headless", "--only-summary", "--master", "-H", TARGET)
        ports = ("--master-bind-host", MASTER_AT, "--master-bind-port", PORT)
        ours = ("--rt-allow-remote", "--rt-token-secret", SECRET, "--rt-out", out)
        return self.run("master", *words, *ports, *ours, *flags)

    def worker(self, host: str, *flags: object, ahead_s: int = 0) -> Program:
        """``locust --worker`` that takes its locustfile from the master."""
        where = ("--master-host", MASTER_AT, "--master-port", PORT)
        return self.run(host, "locust", "-f", "-", "--worker", *where, *flags, ahead_s=ahead_s)


@contextlib.contextmanager
def machines(folder: Path) -> Iterator[Hosts]:
    """The machines, until the end."""
    needed()
    made = Hosts(folder, [])
    try:
        try:
            made.build()
        except OSError as error:
            lacking(f"no network namespaces here: {error}")
        yield made
    finally:
        made.take_down()
