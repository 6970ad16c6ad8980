"""How long do kernel and loop take by themselves? C0: bytes to a process that sends them back, and no more."""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadtest.cli.embedded import stop

if TYPE_CHECKING:
    from loadtest.measure.histogram import Histogram

TIMES = 1500
PAUSE_S = 0.002
"""Between two: a loop that never rests does not pay for waking up."""
WARM = 100
"""The first ones are not counted: caches and buffers are cold."""
_LISTENING = "listening on "
_LOST_S = 5.0


class EchoFailed(Exception):
    """The echo process did not start, or did not answer; ``str`` is one line."""


def measure_echo(size: int, times: int = TIMES, tick: Callable[[float], None] | None = None) -> Histogram:
    """The times (ns) from before a message of ``size`` bytes is written until all of it was read again.

    One delivery leads from the sender through the server to the receiver, and so does this: it is not halved.
    ``tick`` hears the seconds that passed. Raises EchoFailed.
    """
    try:
        with _echo_process() as address, socket.create_connection(address, _LOST_S) as connection:
            return exchange(connection, size, times, tick or (lambda passed_s: None))
    except OSError as error:
        raise EchoFailed(f"the echo process did not answer: {error.strerror or error}") from None


def exchange(connection: socket.socket, size: int, times: int, tick: Callable[[float], None]) -> Histogram:
    """The same over an open connection, whoever sends back what it gets."""
    from loadtest.measure.histogram import Histogram

    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    message, found = bytes(size), Histogram()
    begun_s = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        for number in range(WARM + times):
            time.sleep(PAUSE_S)
            sent_ns = time.perf_counter_ns()
            connection.sendall(message)
            missing = size
            while missing:
                if not selector.select(_LOST_S):
                    raise EchoFailed(f"the echo process did not answer within {_LOST_S:g} s")
                got = connection.recv(missing)
                if not got:
                    raise EchoFailed("the echo process hung up")
                missing -= len(got)
            if number >= WARM:
                found.record(time.perf_counter_ns() - sent_ns)
            tick(time.monotonic() - begun_s)
    return found


@contextmanager
def _echo_process() -> Iterator[tuple[str, int]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "loadtest.targets.null.echo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        first = child.stdout.readline().strip()
        if not first.startswith(_LISTENING):
            raise EchoFailed("the echo process did not start")
        host, _, port = first.removeprefix(_LISTENING).rpartition(":")
        yield host, int(port)
    finally:
        stop(child)
