"""How do the numbers of several processes become one run?

By adding up what they hand over. A run in one process goes the same way as one in many.
"""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.measure.rows import (
    Delta,
    Drop,
    Exemplar,
    FaultRow,
    HealthRow,
    Key,
    Row,
    SeriesRow,
    ServerRow,
    TrafficRow,
    worst,
)


class Book:
    """The sum of all deltas: a whole run, whoever measured its parts."""

    def __init__(self) -> None:
        self.intervals: dict[Key, SeriesRow] = {}
        self.health: list[HealthRow] = []
        self.server: list[ServerRow] = []
        self.drops: list[Drop] = []
        self.exemplars: list[Exemplar] = []
        self.counters: dict[str, int] = {}
        self.final: set[str] = set()
        self.gaps: list[str] = []
        self.faults: dict[str, FaultRow] = {}
        self._traffic: dict[tuple[str, str, str], TrafficRow] = {}
        self._numbers: dict[str, int] = {}

    def add(self, worker: str, delta: Delta) -> None:
        """Add what ``worker`` sent. A delta that is missing in between is noted: numbers were lost."""
        expected = self._numbers.get(worker, 0) + 1
        if delta.number != expected:
            self.gaps.append(f"{worker}: delta {delta.number} where {expected} was due")
        self._numbers[worker] = delta.number
        for row in delta.rows:
            self._add_row(row)
        self.drops += delta.drops
        self.exemplars = worst(self.exemplars + delta.exemplars)
        for name, by in delta.counters.items():
            self.counters[name] = self.counters.get(name, 0) + by
        if delta.final:
            self.final.add(worker)

    def _add_row(self, row: Row) -> None:
        match row:
            case SeriesRow():
                before = self.intervals.get(row.key)
                self.intervals[row.key] = before.plus(row) if before else row
            case HealthRow():
                self.health.append(row)
            case ServerRow():
                self.server.append(row)
            case TrafficRow():
                sofar = self._traffic.get(row.key)
                self._traffic[row.key] = sofar.plus(row) if sofar else row
            case FaultRow():
                self.add_fault(row)

    def add_fault(self, row: FaultRow) -> None:
        """What one process says of an occurrence of a fault."""
        known = self.faults.get(row.name)
        self.faults[row.name] = known.plus(row) if known else row

    def rows(self) -> Iterator[Row]:
        """Everything that has a place in time or a sum, in one fixed order."""
        for key in sorted(self.intervals):
            yield self.intervals[key]
        yield from sorted(self.health, key=lambda row: (row.second, row.worker, row.phase))
        yield from sorted(self.server, key=lambda row: row.second)
        for name in sorted(self._traffic):
            yield self._traffic[name]
        yield from sorted(self.faults.values(), key=lambda row: (row.at_ns, row.name))
