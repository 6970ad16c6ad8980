"""How does the null server run?"""

import asyncio
import socket
from collections.abc import Callable, Mapping

from loadtest.targets.null.application import Application
from loadtest.targets.reference.clock import MS, SECOND, Clock
from loadtest.targets.reference.server import TICK_NS, run
from loadtest.targets.reference.settings import Settings, SettingsError

DELAY = "NULL_DELAY_MS"
LONGEST_MS = 60_000


def delay_ns(environment: Mapping[str, str]) -> int:
    """How long everything that is said is held back: known answers are made with it. Raises SettingsError."""
    given = environment.get(DELAY, "").strip() or "0"
    try:
        delay_ms = float(given)
        if not 0 <= delay_ms <= LONGEST_MS:
            raise ValueError
    except ValueError:
        raise SettingsError([f"{DELAY}={given} must be milliseconds from 0 to {LONGEST_MS}"]) from None
    return round(delay_ms * MS)


def serve(settings: Settings, held_back_ns: int, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then returns; ``ready`` is called once connections are accepted."""
    application = Application(settings, held_back_ns)
    run(application, settings, listener, ready, lambda: watch(application), application.close)


async def watch(application: Application) -> None:
    """Every 50 ms: how late is the loop?"""
    clock = Clock()
    due_ns = clock.now_ns() + TICK_NS
    while True:
        await asyncio.sleep(max(0, due_ns - clock.now_ns()) / SECOND)
        now_ns = clock.now_ns()
        application.counters.lagged(max(0, now_ns - due_ns))
        due_ns = now_ns + TICK_NS
