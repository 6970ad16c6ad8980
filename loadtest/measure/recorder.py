"""Where does a measured number go, and how do the numbers of several processes become one?

A process folds what it measures into an Interval per (operation, transport, phase, second of the planned
moment). Once a second or so it hands over a Delta, what is new since the last one; the Book adds deltas up.
A run in one process goes the same way as one in many, so both give the same Book.
"""

from __future__ import annotations

from loadtest.measure.histogram import Histogram
from loadtest.measure.plan import Phase, Plan
from loadtest.measure.rows import (
    COUNTERS,
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


class Interval:
    """What one second of one series came to; ``record`` takes a delivered one."""

    __slots__ = (*COUNTERS, "latency", "phases", "record_latency", "record_service", "service", "touched")

    expected: int
    late: int
    lost: int
    open: int
    duplicate: int
    reordered: int
    leaked: int
    failed: int

    def __init__(self) -> None:
        for name in COUNTERS:
            setattr(self, name, 0)
        self.latency = Histogram()
        self.service = Histogram()
        self.phases: dict[str, Histogram] = {}
        self.touched = 0
        self.record_latency = self.latency.record
        self.record_service = self.service.record

    def record(self, planned_ns: int, sent_ns: int, done_ns: int) -> None:
        """One that was expected and came: latency from the planned moment, service from the sending."""
        self.expected += 1
        self.record_latency(done_ns - planned_ns)
        self.record_service(done_ns - sent_ns)

    def record_phase(self, name: str, duration_ns: int) -> None:
        """A named part of a longer operation, such as ``tcp`` of a connect."""
        found = self.phases.get(name)
        if found is None:
            found = self.phases[name] = Histogram()
        found.record(duration_ns)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return (
            self.latency.empty
            and self.service.empty
            and not self.phases
            and not any(getattr(self, name) for name in COUNTERS)
        )

    def take(self, key: Key) -> SeriesRow:
        """What is new since the last take, as data."""
        row = SeriesRow(
            *key,
            **{name: getattr(self, name) for name in COUNTERS},
            latency=self.latency.take(),
            service=self.service.take(),
            phases={name: histogram.take() for name, histogram in sorted(self.phases.items())},
        )
        for name in COUNTERS:
            setattr(self, name, 0)
        self.phases = {}
        return row


class Health:
    """The health of this process in the second under way, of one phase."""

    def __init__(self) -> None:
        self.cpu_percent = 0.0
        self.steal_percent = 0.0
        self.connections = 0
        self.planned = 0
        self.sent = 0
        self.gc_pause_ns = 0
        self.receive_lag = Histogram()
        self.loop_lag = Histogram()
        self.send_lag = Histogram()

    def take(self, worker: str, phase: str, second: int) -> HealthRow:
        """All of it as data, once: its histograms are empty afterwards."""
        return HealthRow(
            worker,
            phase,
            second,
            self.cpu_percent,
            self.connections,
            self.planned,
            self.sent,
            self.steal_percent,
            self.gc_pause_ns,
            self.receive_lag.take(),
            self.loop_lag.take(),
            self.send_lag.take(),
        )


class Recorder:
    """The numbers of this process that have not been handed over yet.

    keep: an Interval is forgotten once it was asked for in none of the last ``keep`` takes. Who holds one
    longer than that must ask for it again, or what is added to it is lost.
    """

    def __init__(self, plan: Plan, worker: str, keep: int = 60) -> None:
        self._keep = keep
        self.plan = plan
        self.worker = worker
        self.drops: list[Drop] = []
        self.counters: dict[str, int] = {}
        self._intervals: dict[tuple[str, str, str, int], Interval] = {}
        self._health: dict[tuple[str, int], Health] = {}
        self._traffic: dict[tuple[str, str, str], TrafficRow] = {}
        self._server: list[ServerRow] = []
        self._faults: list[FaultRow] = []
        self._exemplars: list[Exemplar] = []
        self._number = 0

    def interval(self, operation: str, transport: str, planned_ns: int) -> Interval:
        """The Interval that a moment planned for ``planned_ns`` belongs to."""
        plan = self.plan
        # str() and a plain tuple: a hot path, and Key() and .value cost six times what they do.
        key = operation, transport, str(plan.phase(planned_ns)), plan.second(planned_ns)
        found = self._intervals.get(key)
        if found is None:
            return self._at(Key(*key))
        found.touched = self._number
        return found

    def connecting(self, operation: str, transport: str, planned_ns: int) -> Interval:
        """As ``interval``, for what belongs to the connect phase whenever it happens."""
        return self._at(Key(operation, transport, Phase.CONNECT.value, self.plan.second(planned_ns)))

    def _at(self, key: Key) -> Interval:
        found = self._intervals.get(key)
        if found is None:
            found = self._intervals[key] = Interval()
        found.touched = self._number
        return found

    def health(self, now_ns: int) -> Health:
        """The health of the second that ``now_ns`` lies in."""
        key = (self.plan.phase(now_ns).value, self.plan.second(now_ns))
        found = self._health.get(key)
        if found is None:
            found = self._health[key] = Health()
        return found

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the run."""
        self.counters[name] = self.counters.get(name, 0) + by

    def traffic(self, row: TrafficRow) -> None:
        """Bytes of some connections. Added up here: thousands of them may come to the edge of a regime."""
        before = self._traffic.get(row.key)
        self._traffic[row.key] = before.plus(row) if before else row

    def server(self, row: ServerRow) -> None:
        """What the target said of itself."""
        self._server.append(row)

    def fault(self, row: FaultRow) -> None:
        """An occurrence of an injected fault, and whom it struck here."""
        self._faults.append(row)

    def exemplar(self, exemplar: Exemplar) -> None:
        """A delivery worth looking at; the Book keeps the worst of each outcome."""
        self._exemplars.append(exemplar)

    def take(self, final: bool = False) -> Delta:
        """What is new since the last take. Health of the second under way goes with the last."""
        rows: list[Row] = [one.take(Key(*key)) for key, one in self._intervals.items() if not one.empty]
        whole_seconds = list(self._health) if final else list(self._health)[:-1]
        rows += [self._health.pop(key).take(self.worker, *key) for key in whole_seconds]
        rows += [*self._traffic.values(), *self._server, *self._faults]
        self._number += 1
        delta = Delta(self._number, rows, self.drops, worst(self._exemplars), self.counters, final)
        self.drops, self._exemplars, self.counters = [], [], {}
        self._traffic, self._server, self._faults = {}, [], []
        oldest = self._number - self._keep
        for key in [key for key, one in self._intervals.items() if one.touched < oldest]:
            del self._intervals[key]
        return delta
