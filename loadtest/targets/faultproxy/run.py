"""How does the fault proxy live and end, with the server behind it?"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import uvloop

from loadtest.targets import descriptors
from loadtest.targets.child import say_ending
from loadtest.targets.faultproxy import control
from loadtest.targets.faultproxy.keeper import Keeper
from loadtest.targets.faultproxy.link import Upstream
from loadtest.targets.faultproxy.listener import Listener
from loadtest.targets.faultproxy.proxy import Proxy

OK, FAILED = 0, 2


@dataclass(frozen=True)
class Child:
    """A server to be started by the proxy; `environment` is all it gets. See Keeper for its first line."""

    command: Sequence[str]
    environment: Mapping[str, str]


def run(
    listener: Listener,
    controls: socket.socket,
    behind: Upstream | Child,
    ready: Callable[[], None],
    name: str,
) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code: 2 if the server behind it never came up.

    `ready` is called once connections are accepted. `name` begins what is said on stderr.
    """
    descriptors.raise_limit()  # a connection takes two
    # A full collection walks every connection: rare instead of in the middle of a measurement.
    gc.set_threshold(50_000, 20, 100)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_live(listener, controls, behind, ready, name))


async def _live(
    listener: Listener,
    controls: socket.socket,
    behind: Upstream | Child,
    ready: Callable[[], None],
    name: str,
) -> int:
    loop = asyncio.get_running_loop()
    end: asyncio.Future[int] = loop.create_future()

    def say(line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr, flush=True)

    def finish(code: int) -> None:
        if not end.done():
            end.set_result(code)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, finish, OK)
    proxy = Proxy(loop, listener, say)
    orders = control.Control(proxy, controls)
    orders.start()
    if isinstance(behind, Child):
        proxy.keeper = _keeper(proxy, behind, ready, say, finish)
        proxy.keeper.start()
    else:
        proxy.serve(behind)
        ready()
    try:
        return await end
    finally:
        proxy.close()
        if proxy.keeper is not None:
            await proxy.keeper.close()
        await orders.close()


def _keeper(
    proxy: Proxy,
    behind: Child,
    ready: Callable[[], None],
    say: Callable[[str], None],
    finish: Callable[[int], None],
) -> Keeper:
    was_up = False

    def up(upstream: Upstream) -> None:
        nonlocal was_up
        proxy.serve(upstream)
        if not was_up:
            was_up = True
            ready()

    def lost(code: int) -> None:
        proxy.shut_for("server")
        if was_up:
            say(
                f"the server ended by itself ({say_ending(code)}): connections are refused until it is restarted"
            )
        else:
            say(f"the server did not start ({say_ending(code)})")
            finish(FAILED)

    return Keeper(behind.command, behind.environment, proxy.timers, up, lost)
