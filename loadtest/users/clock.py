"""How does a greenlet wake up when it should, and not a millisecond later?

libev rounds timers up to epoll's milliseconds. A timerfd carries nanoseconds and is waited for like any
other descriptor, so one of them and a heap serve all sleepers of a process. Where the platform has none
(not Linux), libev's timers do the same job with that millisecond.

All moments are ``time.perf_counter_ns()``, which on Linux is CLOCK_MONOTONIC, the timerfd's own clock.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import os
import sys
from collections.abc import Callable
from time import perf_counter_ns

import gevent
from gevent import get_hub, getcurrent

from loadtest.measure.units import SECOND

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_TFD_TIMER_ABSTIME = 1


class _Itimerspec(ctypes.Structure):
    _fields_ = [
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    ]


class Timer:
    """A call that is due; ``cancel`` may come at any time, also after it was made."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Make the call no more."""
        self.call = None


class Clock:
    """Timers of one process; to be made after the fork, since a timerfd and a hub survive none.

    failed: told of an exception that a call raised, because one that reached the hub would stop the
    watcher, and with it every sleeper of the process.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._heap: list[tuple[int, int, Timer]] = []
        self._tie = itertools.count()
        self._armed: int | None = None
        self._closed = False
        self._loop = get_hub().loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = _timerfd(self._libc)
        self._spec = _Itimerspec()
        if self._fd is None:
            self._watcher = self._loop.timer(0)
        else:
            self._watcher = self._loop.io(self._fd, 1)
            self._watcher.start(self._fire)

    def close(self) -> None:
        """Stop all timers and give the descriptor back; calls asked for later are not made."""
        if self._closed:
            return
        self._closed = True
        self._heap.clear()
        self._watcher.stop()
        self._watcher.close()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def call_at(self, moment_ns: int, call: Callable[[], object]) -> Timer:
        """Call ``call`` on the hub at ``moment_ns``, never before; it must not block."""
        timer = Timer(call)
        if self._closed:
            return timer
        heapq.heappush(self._heap, (moment_ns, next(self._tie), timer))
        if self._armed is None or moment_ns < self._armed:
            self._arm(moment_ns)
        return timer

    def sleep_until(self, moment_ns: int) -> None:
        """Put the current greenlet to sleep; it can be killed meanwhile."""
        if moment_ns <= perf_counter_ns():
            gevent.sleep(0)
            return
        timer = self.call_at(moment_ns, getcurrent().switch)
        try:
            get_hub().switch()
        finally:
            timer.cancel()

    def _arm(self, moment_ns: int) -> None:
        self._armed = moment_ns
        if self._fd is None:
            self._watcher.stop()
            self._watcher = self._loop.timer(max(0, moment_ns - perf_counter_ns()) / SECOND)
            self._watcher.start(self._fire)
            return
        # 0 would disarm it; a moment in the past fires at once.
        self._spec.value_s, self._spec.value_ns = divmod(max(1, moment_ns), SECOND)
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)

    def _fire(self) -> None:
        if self._fd is not None:
            try:
                os.read(self._fd, 8)
            except BlockingIOError:
                pass
        heap = self._heap
        now = perf_counter_ns()
        while heap and heap[0][0] <= now:
            call = heapq.heappop(heap)[2].call
            if call is not None:
                try:
                    call()
                except Exception as error:
                    self._failed(error)
        self._armed = None
        if heap and not self._closed:
            self._arm(heap[0][0])


def _timerfd(libc: ctypes.CDLL) -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
    return fd if fd >= 0 else None
