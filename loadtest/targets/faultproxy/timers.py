"""How does a byte leave when it is due, and not a millisecond off?

The loop's timers count whole milliseconds of a clock read once a turn. A timerfd carries nanoseconds and is
waited for like a socket, so one of them and a heap serve the whole process. Where there is none (not Linux)
the loop's timers do it, up to a millisecond late.

All moments are `time.monotonic_ns()`, the timerfd's own clock.
"""

import asyncio
import ctypes
import heapq
import itertools
import os
import sys
from collections.abc import Callable
from time import monotonic_ns

from loadtest.targets.faultproxy.poller import READ, Poller

SECOND = 1_000_000_000
_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1


class _Itimerspec(ctypes.Structure):
    _fields_ = [
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    ]


class Timer:
    """A call that is due at `due_ns`; `cancel` may come at any time."""

    __slots__ = ("call", "due_ns")

    def __init__(self, due_ns: int, call: Callable[[], object]) -> None:
        self.due_ns = due_ns
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class Timers:
    def __init__(self, loop: asyncio.AbstractEventLoop, poller: Poller) -> None:
        self._loop = loop
        self._poller = poller
        self._heap: list[tuple[int, int, Timer]] = []
        self._tie = itertools.count()
        self._armed_ns: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._spec = _Itimerspec()
        self._fd = -1
        if sys.platform.startswith("linux"):
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd >= 0:
            poller.watch(self._fd, 0, READ, self._expired)

    def call_at(self, due_ns: int, call: Callable[[], object]) -> Timer:
        """Calls `call` at `due_ns`, never before."""
        timer = Timer(due_ns, call)
        heapq.heappush(self._heap, (due_ns, next(self._tie), timer))
        if self._armed_ns is None or due_ns < self._armed_ns:
            self._arm(due_ns)
        return timer

    def close(self) -> None:
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._poller.watch(self._fd, READ, 0, self._expired)
            os.close(self._fd)

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        if self._fd >= 0:
            # 0 would disarm it; a moment in the past fires at once.
            self._spec.value_s, self._spec.value_ns = divmod(max(1, due_ns), SECOND)
            self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(self._spec), None)
            return
        if self._handle is not None:
            self._handle.cancel()
        wait_ms = -(-max(0, due_ns - monotonic_ns()) // 1_000_000)
        self._handle = self._loop.call_later(wait_ms / 1000, self._run)

    def _expired(self, _events: int) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # armed anew meanwhile
        self._run()

    def _run(self) -> None:
        now_ns = monotonic_ns()
        try:
            while self._heap and self._heap[0][0] <= now_ns:
                call = heapq.heappop(self._heap)[2].call
                if call is not None:
                    call()
        finally:
            # Also after a call that failed: the others are still due.
            self._armed_ns = None
            if self._heap:
                self._arm(self._heap[0][0])
