"""A clock of a run that is moved by hand."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from types import ModuleType

import pytest

from loadtest.measure.units import SECOND


class Hand:
    """Stands where a Clock does; ``modules`` read their time from it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        self.now_ns = 0
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._tie = itertools.count()
        for module in modules:
            monkeypatch.setattr(module, "perf_counter_ns", lambda: self.now_ns)

    def call_at(self, moment_ns: int, call: Callable[[], object]) -> None:
        heapq.heappush(self._due, (moment_ns, next(self._tie), call))

    def next(self, late_ns: int = 0) -> None:
        """To the next call that is due, and so much later."""
        moment_ns, _, call = heapq.heappop(self._due)
        self.now_ns = moment_ns + late_ns
        call()

    def go_on(self, by_ns: int = SECOND) -> int:
        """How many calls were due."""
        until_ns, made = self.now_ns + by_ns, 0
        while self._due and self._due[0][0] <= until_ns:
            self.next()
            made += 1
        self.now_ns = until_ns
        return made
