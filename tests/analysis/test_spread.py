"""Do the figures by server add up to those of the run?"""

from __future__ import annotations

from types import ModuleType

import pytest

from loadtest.analysis.spread import spread
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.servers import way
from loadtest.measure.units import MS, SECOND

CAME = {("a", "a"): (100, 2), ("a", "b"): (80, 5), ("b", "a"): (70, 5), ("b", "b"): (60, 2)}
"""By way: how many came, and after how many ms."""
COUNTERS = {
    "servers.connections.a": 12,
    "servers.connections.b": 10,
    "servers.connected.a": 10,
    "servers.moved": 2,
    f"servers.missing.{way('a', 'b')}": 20,
    "connections.established": 22,
}


@pytest.fixture
def book() -> Book:
    plan = Plan(0, warmup_ns=SECOND)
    plan.begin(0)
    recorder = Recorder(plan, "w")
    for phase_s in (0, 10):  # warmup, which does not count, and measure
        interval = recorder.interval("message.deliver", "websocket", phase_s * SECOND)
        for (sender, reader), (n, after_ms) in CAME.items():
            for _ in range(n):
                interval.record(0, 0, after_ms * MS)
                interval.record_phase(way(sender, reader), after_ms * MS)
    book = Book()
    book.add("w", recorder.take(final=True))
    return book


def test_every_message_has_a_server_and_a_way(made: ModuleType, book: Book) -> None:
    found = spread(made.in_memory(book, counters=COUNTERS))
    assert found is not None
    a, b = found.servers
    assert (a.name, a.connected, a.connections, a.within, a.across, a.missing) == ("a", 10, 12, 100, 70, 0)
    assert (b.name, b.connected, b.connections, b.within, b.across, b.missing) == ("b", 0, 10, 60, 80, 20)
    assert found.moved == 2
    assert (found.within.expected, found.within.n, found.within.missing) == (160, 160, 0)
    assert (found.across.expected, found.across.n, found.across.missing) == (170, 150, 20)
    assert found.within.latency_ms.p95 == pytest.approx(2, rel=0.01)
    assert found.across.latency_ms.p50 == pytest.approx(5, rel=0.01)
    assert found.across.latency_ms.p95 is None
    assert "not reached" in found.across.why["p95"]


@pytest.mark.parametrize("counters", [{}, {"servers.connections.a": 5, "servers.connected.a": 5}])
def test_one_server_is_no_spread(made: ModuleType, book: Book, counters: dict[str, int]) -> None:
    assert spread(made.in_memory(book, counters=counters)) is None
