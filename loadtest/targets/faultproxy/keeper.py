"""How does a proxy own the server behind it?

As a child process that cannot outlive it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from urllib.parse import urlsplit

from loadtest.targets.child import Child
from loadtest.targets.faultproxy.link import Upstream
from loadtest.targets.faultproxy.timers import Timer, Timers


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
        self._child: Child | None = None
        self._timer: Timer | None = None
        self._closing = False
        self.restart_ns: int | None = None  # when the server is started again; None when it is not away
        self._stopped = asyncio.Event()

    def start(self) -> None:
        self._child = Child(self._command, self._environment, self._listening, self._ended)

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

    def _listening(self, child: Child, url: str) -> None:
        if child.asked_to_end or self._closing:
            return
        self.restart_ns = None
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._up(Upstream.of(parts.hostname, parts.port))

    def _ended(self, child: Child, code: int) -> None:
        self._child = None
        if self._closing:
            self._stopped.set()
        elif not child.asked_to_end:
            self.restart_ns = None
            self._lost(code)
        elif self._timer is None:
            self.start()
