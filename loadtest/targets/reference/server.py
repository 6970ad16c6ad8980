"""How does the reference server run, and how does it end?"""

import asyncio
import contextlib
import errno
import gc
import ipaddress
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import uvicorn

from loadtest.targets.reference.application import Application
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.settings import Settings

TICK_NS = 50 * MS
BACKLOG = 4096


class PortTakenError(OSError):
    """The address cannot be bound; the message says which and what to do."""


def listen(settings: Settings) -> socket.socket:
    """A listening socket, before anything else is started. Raises PortTakenError or another OSError."""
    family = socket.AF_INET
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(settings.bind).version == 6:
            family = socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.bind, settings.port))
        listener.listen(BACKLOG)
    except OSError as bad:
        listener.close()
        if bad.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {settings.port} on {settings.bind} is taken: "
                "stop the other server, or use --port 0 for a free one"
            ) from bad
        raise
    return listener


def serve(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then returns; `ready` is called once connections are accepted. Raises
    SharedStateError where the settings name a Redis that is of no use."""
    if settings.shared:
        from loadtest.targets.reference.shared.member import serve_shared

        serve_shared(settings, listener, ready)
        return
    application = Application(settings)
    run(application, settings, listener, ready, lambda: keep_house(application), application.gateway.close)


def run(
    application: Callable[..., Any],
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    keep: Callable[[], Coroutine[Any, Any, None]],
    close: Callable[[], Awaitable[None]],
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serves any ASGI application so, after `prepare`. `keep` runs beside it until the end, when `close` ends
    its sessions; what `keep` raises ends the server, and is raised."""
    raise_file_limit()
    # A full collection walks every message kept: rare and late instead of 100 ms in the middle of a
    # measurement.
    gc.set_threshold(50_000, 20, 100)
    config = uvicorn.Config(
        application,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=settings.websocket_compression,
        # Engine.IO has heartbeats of its own; a second kind would blur what is measured.
        ws_ping_interval=None,
        ws_max_size=settings.max_http_buffer_bytes,
        loop="uvloop",
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, ready, keep, close, prepare)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    if server.failure is not None:
        raise server.failure


def raise_file_limit() -> None:
    """A thousand sockets do not fit into the usual soft limit of 1024 descriptors."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Server(uvicorn.Server):
    """uvicorn's server, which ends quietly with exit code 0 on a signal, and promptly even with open
    sockets."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        keep: Callable[[], Coroutine[Any, Any, None]],
        close: Callable[[], Awaitable[None]],
        prepare: Callable[[], Awaitable[None]] | None,
    ) -> None:
        super().__init__(config)
        self._prepare = prepare
        self.failure: BaseException | None = None
        self._ready = ready
        self._keep = keep
        self._close = close
        self._housekeeping: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The inherited method raises the signal again after the shutdown: exit code -15 instead of 0.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._prepare is not None:
            await self._prepare()
        await super().startup(sockets)
        self._housekeeping = asyncio.create_task(self._keep())
        self._housekeeping.add_done_callback(self._kept)
        gc.freeze()
        self._ready()

    def _kept(self, housekeeping: asyncio.Task[None]) -> None:
        if not housekeeping.cancelled():
            self.failure = housekeeping.exception()
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._close()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.wait([self._housekeeping])
        await super().shutdown(sockets)


async def keep_house(application: Application) -> None:
    """Every 50 ms: how late is the loop, what has come due?"""
    counters, way = application.core.counters, application.way
    due_ns = time.monotonic_ns() + TICK_NS
    while True:
        await asyncio.sleep(max(0, due_ns - time.monotonic_ns()) / SECOND)
        woke_ns = time.monotonic_ns()
        counters.lagged(max(0, woke_ns - due_ns))
        way.tick()
        due_ns = woke_ns + TICK_NS
