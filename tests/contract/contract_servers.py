"""The servers that keep the contract, started by `loadtest serve` as anybody would, once for all tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from contract_people import PATIENCE_S, Http

TARGETS = ("reference", "node")
# What tests need beside a server with all defaults. A clock that runs fast lets deadlines come without waiting.
KINDS: dict[str, dict[str, str]] = {
    "plain": {},
    "hurried": {"CLOCK_RATE": "30"},
    "racing": {"CLOCK_RATE": "600"},
    "manual": {"LIVECHAT_ASSIGN": "manual"},
    "beating": {"PING_INTERVAL": "0.2", "PING_TIMEOUT": "0.3"},
    "unlimited": {"RATE_LIMIT": "0", "MAX_HTTP_BUFFER_SIZE": "20000"},
    "disabled": {"ENABLE_WEBSOCKET": "false"},
    "hookless": {"TEST_HOOKS": "0"},
    "recovering": {"CSR": "1", "RATE_LIMIT": "0"},
    # Nobody else is there, of whom something may be left: they are counted.
    "counting": {},
}


def on(kind: str) -> pytest.MarkDecorator:
    """The test needs that kind of server."""
    assert kind in KINDS
    return pytest.mark.parametrize("kind", [kind])


class Server:
    """One that runs."""

    def __init__(self, target: str, url: str) -> None:
        self.target = target
        self.url = url
        self.http = Http(url)

    def stats(self) -> dict[str, Any]:
        """What it counted."""
        answer = self.http.ask("GET", "/__stats")
        assert answer.status == 200
        stats: dict[str, Any] = answer.body
        return stats

    def fault(self, kind: str, **more: object) -> dict[str, Any]:
        """Orders one."""
        answer = self.http.ask("POST", "/__fault", {"kind": kind, **more})
        assert answer.status == 200, answer
        told: dict[str, Any] = answer.body
        return told


@contextlib.contextmanager
def running(target: str, **switches: str) -> Iterator[Server]:
    """A server of that target on a free port, until the end."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtest", "serve", "--port", "0", "--target", target],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, **switches},
        )
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            complaints.seek(0)
            assert first.startswith("listening on http://"), first + complaints.read()
            server = Server(target, first.split()[-1].replace("0.0.0.0", "127.0.0.1"))
            yield server
            server.http.close()
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
            process.stdout.close()


class Servers:
    """Each kind of each target is started when it is first asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[str, str], Server] = {}

    def get(self, target: str, kind: str) -> Server:
        key = (target, kind)
        if key not in self._running:
            self._running[key] = self._stack.enter_context(running(target, **KINDS[kind]))
        return self._running[key]
