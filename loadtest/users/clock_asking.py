"""How does the master find out what a worker's clock says?

By Locust's own channel: a worker reaches the master's port through whatever lies between, and a port more would
have to be opened for UDP on every firewall. The channel queues, and both ends may be busy; that makes an exchange
slow, and a slow one says so itself: it is bounded by half of what it took. The quickest of a burst counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore

from loadtest.measure.clocks import Exchange, quickest

ASK, TELL = "rt_clock", "rt_clock_told"
BURST = 32
"""Exchanges of one burst: with queues of a millisecond the quickest of so many is ten times better than one."""
EVERY_S = 30.0
_PATIENCE_S = 1.0
_ENOUGH_S = 3.0
"""A burst over a slow line ends then, with what it has."""
_UNANSWERED = 3


def tell(question: dict[str, Any], heard_ns: int) -> dict[str, Any]:
    """A worker's answer."""
    return {
        "number": question["number"],
        "heard_ns": heard_ns,
        "wall_ns": time.time_ns(),
        "answered_ns": perf_counter_ns(),
    }


class ClockAsking:
    """The clock of one worker. ``bursts`` has the best exchange of each burst so far.

    ask: sends a question to the worker.
    """

    def __init__(self, ask: Callable[[dict[str, Any]], object]) -> None:
        self._ask = ask
        self._number = 0
        self._answer: AsyncResult = AsyncResult()
        self._going_on: gevent.Greenlet | None = None
        self._one_at_a_time = BoundedSemaphore()
        self.bursts: list[Exchange] = []

    def told(self, answer: dict[str, Any], read_ns: int) -> None:
        """The worker answered; one that comes too late is nobody's."""
        if answer["number"] == self._number:
            self._answer.set((answer, read_ns, time.time_ns()))

    def burst(self, several: int = BURST) -> Exchange | None:
        """Ask ``several`` times; the best of the answers, None if none came. Blocks."""
        with self._one_at_a_time:
            found = self._ask_often(several)
        if not found:
            return None
        self.bursts.append(quickest(found))
        return self.bursts[-1]

    def _ask_often(self, several: int) -> list[Exchange]:
        found: list[Exchange] = []
        unanswered, until_ns = 0, perf_counter_ns() + round(_ENOUGH_S * 1e9)
        while len(found) < several and unanswered < _UNANSWERED:
            exchange = self._exchange()
            if exchange is None:
                unanswered += 1
            else:
                found.append(exchange)
            if perf_counter_ns() > until_ns:
                break
        return found

    def _exchange(self) -> Exchange | None:
        self._number += 1
        self._answer = AsyncResult()
        asked_ns = perf_counter_ns()
        self._ask({"number": self._number})
        try:
            answer, read_ns, wall_ns = self._answer.get(timeout=_PATIENCE_S)
        except gevent.Timeout:
            return None
        return Exchange(
            asked_ns, answer["heard_ns"], answer["answered_ns"], read_ns, answer["wall_ns"] - wall_ns
        )

    def go_on(self) -> None:
        """Ask again and again, until stopped."""
        if self._going_on is None:
            self._going_on = gevent.spawn(self._again)

    def stop(self) -> None:
        """Ask no more."""
        if self._going_on is not None:
            self._going_on.kill()
            self._going_on = None

    def _again(self) -> None:
        while True:
            gevent.sleep(EVERY_S)
            self.burst()
