"""How does a proxy own the server behind it?

As a child process that cannot outlive it: ended when the proxy ends, by the kernel if the proxy is killed.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from urllib.parse import urlsplit

from loadtest.targets.faultproxy.link import Upstream
from loadtest.targets.faultproxy.timers import Timer, Timers

PATIENCE_S = 2.0
LISTENING = "listening on "
_PR_SET_PDEATHSIG = 1


class Keeper:
    """Starts the server, ends it, and starts it again.

    `up(upstream)` is called once the server accepts connections, `lost(code)` if it ends although nobody
    asked it to, with its exit code. `command` must print `listening on http://host:port` as its first line.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        timers: Timers,
        up: Callable[[Upstream], None],
        lost: Callable[[int], None],
    ) -> None:
        self._command = command
        self._environment = environment
        self._timers = timers
        self._up = up
        self._lost = lost
        self._child: _Child | None = None
        self._timer: Timer | None = None
        self._closing = False
        self.restart_ns: int | None = None  # when the server is started again; None when it is not away
        self._stopped = asyncio.Event()

    def start(self) -> None:
        self._child = _Child(self._command, self._environment, self._listening, self._ended)

    def end(self) -> None:
        """End the server; `start_at` is to say when it comes back."""
        if self._child is not None:
            self._child.end()

    def start_at(self, due_ns: int) -> None:
        """Start the server then, or once the one before has gone, if that takes longer."""
        if self._timer is not None:
            self._timer.cancel()
        self.restart_ns = due_ns
        self._timer = self._timers.call_at(due_ns, self._due)

    def hasten(self) -> None:
        """Where the server is to be started again, do that now."""
        if self._timer is not None:
            self.start_at(monotonic_ns())

    async def close(self) -> None:
        """End the server; returns when it has gone."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._child is not None:
            self._child.end()
            await self._stopped.wait()

    def _due(self) -> None:
        self._timer = None
        if self._child is None:
            self.start()

    def _listening(self, child: "_Child", url: str) -> None:
        if child.asked_to_end or self._closing:
            return
        self.restart_ns = None
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._up(Upstream.of(parts.hostname, parts.port))

    def _ended(self, child: "_Child", code: int) -> None:
        self._child = None
        if self._closing:
            self._stopped.set()
        elif not child.asked_to_end:
            self.restart_ns = None
            self._lost(code)
        elif self._timer is None:
            self.start()


class _Child:
    """One life of the server."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        listening: Callable[["_Child", str], None],
        ended: Callable[["_Child", int], None],
    ) -> None:
        self.asked_to_end = False
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._ended = ended
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,  # Ctrl-C is for us; we end the server
            preexec_fn=_die_with_parent(),
        )
        threading.Thread(target=self._watch, name="server", daemon=True).start()

    def end(self) -> None:
        """SIGTERM, and SIGKILL if it takes too long."""
        if self.asked_to_end:
            return
        self.asked_to_end = True
        self._process.terminate()
        self._loop.call_later(PATIENCE_S, self._process.kill)

    def _watch(self) -> None:
        out = self._process.stdout
        assert out is not None
        with out:
            # All of it is read: a full pipe would stop the server.
            for line in out:
                if line.startswith(LISTENING):
                    self._tell(self._listening, line.removeprefix(LISTENING).strip())
        self._tell(self._ended, self._process.wait())

    def _tell(self, whom: Callable[..., None], what: object) -> None:
        # A loop that is closed needs no news.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(whom, self, what)


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the server: the kernel is to kill it when we die. Elsewhere than
    on Linux a server outlives a proxy that was killed, though not one that was ended."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # we died in between
            os._exit(1)

    return ask
