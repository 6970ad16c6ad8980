"""How is a generator measured, whichever client it drives?

Both arms append the same numbers to the same arrays, and one greenlet reads the clocks at the two ends of
a window that lies after everybody has joined and warmed up.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from random import Random
from time import perf_counter_ns
from typing import Any

import gevent
from locust import events

from bench import proc
from bench.task import BODY_BYTES, Memory, Task, Window, answer
from loadtest.measure.histogram import Counts, Histogram

_STAMP = 20
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 "
_TEXT = "".join(Random(1).choices(_LETTERS, k=BODY_BYTES - _STAMP))
_LONGEST_JOINING_S = 120
_SETTLE_S = 4.0
"""After the last join: what connecting left behind is freed, and a pool grows to its size."""


class Meter:
    """The numbers of this process.

    begun: returns the moment from which the users' schedules count, None until everybody has joined.
    acks: answers of the server so far.
    """

    def __init__(self, task: Task, begun: Callable[[Any], int | None], acks: Callable[[Any], int]) -> None:
        self._task = task
        self._begun = begun
        self._acks = acks
        self._service = array("q")
        self._lateness = array("q")
        self.took = self._service.append
        events.test_start.add_listener(self._started)  # type: ignore[no-untyped-call]

    def _started(self, environment: Any, **_: Any) -> None:
        gevent.spawn(self._watch, environment)

    def body(self, planned_ns: int) -> str:
        """A message to be sent now, with the moment in it."""
        now_ns = perf_counter_ns()
        self._lateness.append(now_ns - planned_ns)
        return f"{now_ns:0{_STAMP}d}{_TEXT}"

    def heard(self, message: dict[str, Any]) -> None:
        """A copy of a message reached its handler."""
        self.took(perf_counter_ns() - int(message["body"][:_STAMP]))

    def _watch(self, environment: Any) -> None:
        before = proc.memory(os.getpid())
        try:
            begun_ns = self._until_begun(environment)
            if self._task.idle:
                answer(self._task, self._memory(environment, before))
            else:
                answer(self._task, self._window(environment, begun_ns))
        finally:
            environment.runner.quit()

    def _until_begun(self, environment: Any) -> int:
        with gevent.Timeout(_LONGEST_JOINING_S):
            while (begun_ns := self._begun(environment)) is None:
                gevent.sleep(0.02)
            return begun_ns

    def _memory(self, environment: Any, before: tuple[int, int]) -> Memory:
        gevent.sleep(_SETTLE_S)
        after = proc.memory(os.getpid())
        failures = environment.stats.total.num_failures
        return Memory(self._task.users, failures, before[0], after[0], before[1], after[1])

    def _window(self, environment: Any, begun_ns: int) -> Window:
        gevent.sleep(self._task.warmup_s - (perf_counter_ns() - begun_ns) / 1e9)
        first = self._read(environment)
        gevent.sleep(self._task.window_s)
        last = self._read(environment)
        elapsed, generator, server, sent, deliveries, acks = (b - a for a, b in zip(first, last, strict=True))
        return Window(
            elapsed,
            generator,
            server,
            sent,
            deliveries,
            acks,
            environment.stats.total.num_failures,
            _counts(self._service[first[4] : last[4]]),
            _counts(self._lateness[first[3] : last[3]]),
        )

    def _read(self, environment: Any) -> tuple[int, int, int, int, int, int]:
        return (
            perf_counter_ns(),
            proc.cpu_ns(os.getpid()),
            proc.cpu_ns(self._task.server_pid),
            len(self._lateness),
            len(self._service),
            self._acks(environment),
        )


def _counts(values: array[int]) -> Counts:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.counts()
