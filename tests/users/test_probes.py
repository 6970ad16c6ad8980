"""Each connection is looked at once a second, however many there are, and never all in one go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hand import Hand

from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import HealthRow
from loadtest.measure.units import SECOND
from loadtest.users import probes as probes_module
from loadtest.users.probes import Probes


class Socket:
    sockets = 1

    def __init__(self, looks: Counter[Socket]) -> None:
        self._looks = looks

    def check(self, now_ns: int) -> None:
        self._looks[self] += 1


class Run:
    """As much of a run as the probes see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, links: int) -> None:
        self.hand = Hand(monkeypatch, probes_module)
        self.looks: Counter[Socket] = Counter()
        self.seconds = 0
        recorder = Recorder(Plan(0, 60 * SECOND, SECOND, SECOND), "0")
        self.live: Any = SimpleNamespace(
            clock=self.hand,
            recorder=recorder,
            health=recorder.health(0),
            links={Socket(self.looks): None for _ in range(links)},
            ledger=SimpleNamespace(expire=lambda now_ns: None),
            stalls=lambda from_ns, until_ns: None,
            each_second=self._second,
        )
        self.probes = Probes(self.live)

    def _second(self) -> None:
        self.seconds += 1

    def health(self) -> list[HealthRow]:
        return [row for row in self.live.recorder.take(final=True).rows if isinstance(row, HealthRow)]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Run]]:
    made: list[Run] = []

    def start(links: int) -> Run:
        made.append(Run(monkeypatch, links))
        return made[-1]

    yield start
    for run in made:
        run.probes.stop()


@pytest.mark.parametrize("links", [0, 1, 8, 9, 10, 250, 5003])
def test_each_is_looked_at_once_a_second_and_a_ninth_at_a_time(
    make: Callable[[int], Run], links: int
) -> None:
    run = make(links)
    for _ in range(10):  # the first second: who is there is known at its end
        run.hand.next()
    assert run.seconds == 1
    run.looks.clear()
    most = 0
    for number in range(1, 11):
        before = run.looks.total()
        run.hand.next()
        most = max(most, run.looks.total() - before)
        # The tick that ends a second has enough to do.
        assert number < 10 or run.looks.total() == before
    assert run.seconds == 2
    assert set(run.looks.values()) <= {1}
    assert run.looks.total() == links
    assert most <= -(-links // 9)


def test_ticks_that_a_stuck_loop_missed_leave_nobody_out(make: Callable[[int], Run]) -> None:
    run = make(900)
    for _ in range(10):
        run.hand.next()
    run.looks.clear()
    run.hand.next()
    run.hand.next(late_ns=2 * SECOND)
    assert run.looks.total() == 900
    lags = run.live.health.loop_lag.n + sum(row.loop_lag.n for row in run.health())
    assert lags == 10 + 1 + 21


def test_who_has_gone_meanwhile_is_not_looked_at(make: Callable[[int], Run]) -> None:
    run = make(90)
    for _ in range(10):
        run.hand.next()
    run.looks.clear()
    gone = list(run.live.links)[50]
    del run.live.links[gone]
    for _ in range(10):
        run.hand.next()
    assert run.looks.total() == 89
    assert gone not in run.looks


def test_connections_of_many_are_those_of_the_second_before(make: Callable[[int], Run]) -> None:
    run = make(5000)
    for _ in range(31):
        run.hand.next()
    assert [row.connections for row in run.health()][1:3] == [5000, 5000]
