"""Where does a measured number go, and how do the numbers of several processes become one?

A process folds what it measures into an Interval per (operation, transport, phase, second of the planned
moment). Once a second or so it hands over a Delta, what is new since the last one; the Book adds deltas up.
A run in one process goes the same way as one in many, so both give the same Book.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.plan import Phase, Plan


class Key(NamedTuple):
    """What an Interval is about; ``second`` counts from the start of the run."""

    operation: str
    transport: str
    phase: str
    second: int


_COUNTERS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")


class SeriesRow(msgspec.Struct, frozen=True, omit_defaults=True, tag="series", tag_field="kind"):
    """An Interval as data. ``expected`` = latency.n + late + lost; the others stand beside it."""

    operation: str
    transport: str
    phase: str
    second: int
    expected: int = 0
    late: int = 0
    lost: int = 0
    open: int = 0
    duplicate: int = 0
    reordered: int = 0
    leaked: int = 0
    failed: int = 0
    latency: Counts = Counts()
    service: Counts = Counts()
    phases: dict[str, Counts] = {}

    @property
    def key(self) -> Key:
        """What the row is about."""
        return Key(self.operation, self.transport, self.phase, self.second)

    def plus(self, other: SeriesRow) -> SeriesRow:
        """The sum of two rows of one key."""
        phases = dict(self.phases)
        for name, counts in other.phases.items():
            phases[name] = phases.get(name, Counts()).plus(counts)
        return SeriesRow(
            *self.key,
            **{name: getattr(self, name) + getattr(other, name) for name in _COUNTERS},
            latency=self.latency.plus(other.latency),
            service=self.service.plus(other.service),
            phases=dict(sorted(phases.items())),
        )


class Interval:
    """What one second of one series came to; ``record`` takes a delivered one."""

    __slots__ = (*_COUNTERS, "latency", "phases", "record_latency", "record_service", "service", "touched")

    expected: int
    late: int
    lost: int
    open: int
    duplicate: int
    reordered: int
    leaked: int
    failed: int

    def __init__(self) -> None:
        for name in _COUNTERS:
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
        self.phases.setdefault(name, Histogram()).record(duration_ns)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return (
            self.latency.empty
            and self.service.empty
            and not self.phases
            and not any(getattr(self, name) for name in _COUNTERS)
        )

    def take(self, key: Key) -> SeriesRow:
        """What is new since the last take, as data."""
        row = SeriesRow(
            *key,
            **{name: getattr(self, name) for name in _COUNTERS},
            latency=self.latency.take(),
            service=self.service.take(),
            phases={name: histogram.take() for name, histogram in sorted(self.phases.items())},
        )
        for name in _COUNTERS:
            setattr(self, name, 0)
        self.phases = {}
        return row


class HealthRow(msgspec.Struct, frozen=True, omit_defaults=True, tag="health", tag_field="kind"):
    """How one generator process was in one second; durations in ns, ``cpu_percent`` of one core.

    receive_lag: from the kernel's arrival stamp to our read. loop_lag: how late a timer of the probe ran.
    send_lag: how much later than planned an operation left for reasons of our own.
    """

    worker: str
    phase: str
    second: int
    cpu_percent: float = 0.0
    connections: int = 0
    planned: int = 0
    sent: int = 0
    steal_percent: float = 0.0
    gc_pause_ns: int = 0
    receive_lag: Counts = Counts()
    loop_lag: Counts = Counts()
    send_lag: Counts = Counts()


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

    def row(self, worker: str, phase: str, second: int) -> HealthRow:
        """All of it as data."""
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
            self.receive_lag.counts(),
            self.loop_lag.counts(),
            self.send_lag.counts(),
        )


class TrafficRow(msgspec.Struct, frozen=True, omit_defaults=True, tag="traffic", tag_field="kind"):
    """Bytes on the sockets of one transport in one regime, additive over processes.

    user_ns: user-time they were counted over. segments are 0 where the kernel does not tell (``estimated``).
    """

    transport: str
    regime: str
    method: str
    users: int = 0
    user_ns: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    segments_sent: int = 0
    segments_received: int = 0

    def plus(self, other: TrafficRow) -> TrafficRow:
        """The sum of two rows of one (transport, regime, method)."""
        return TrafficRow(
            self.transport,
            self.regime,
            self.method,
            self.users + other.users,
            self.user_ns + other.user_ns,
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.segments_sent + other.segments_sent,
            self.segments_received + other.segments_received,
        )


class ServerRow(msgspec.Struct, frozen=True, omit_defaults=True, tag="server", tag_field="kind"):
    """What the target said of itself in one second; -1 where it said nothing."""

    second: int
    sockets: int = -1
    cpu_percent: float = -1.0
    rss_bytes: int = -1
    loop_lag_ms: float = -1.0


class Drop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A connection that was lost: which, when (ns from the start of the run), why."""

    user: str
    transport: str
    at_ns: int
    cause: str
    detail: str = ""
    connected_ns: int = 0


class Exemplar(msgspec.Struct, frozen=True, omit_defaults=True):
    """One delivery worth looking at. Moments are ns from the start of the run; None means it never came."""

    outcome: str
    operation: str
    transport: str
    phase: str
    room: str
    sender: str
    receiver: str
    seq: int
    planned_ns: int
    sent_ns: int | None = None
    arrived_ns: int | None = None
    read_ns: int | None = None
    connection: str = ""
    fault: str | None = None

    @property
    def latency_ns(self) -> int | None:
        """From the planned moment to the read; None if it never came."""
        return None if self.read_ns is None else self.read_ns - self.planned_ns


Row = SeriesRow | HealthRow | TrafficRow | ServerRow


class Delta(msgspec.Struct, frozen=True):
    """What one process has to add since its last one; ``number`` counts from 1, a gap means loss."""

    number: int
    rows: list[Row] = []
    drops: list[Drop] = []
    exemplars: list[Exemplar] = []
    counters: dict[str, int] = {}
    final: bool = False


EXEMPLARS = 20
"""How many are kept of each outcome."""


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
        self._traffic: list[TrafficRow] = []
        self._server: list[ServerRow] = []
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
        """Bytes of some connections."""
        self._traffic.append(row)

    def server(self, row: ServerRow) -> None:
        """What the target said of itself."""
        self._server.append(row)

    def exemplar(self, exemplar: Exemplar) -> None:
        """A delivery worth looking at; the Book keeps the worst of each outcome."""
        self._exemplars.append(exemplar)

    def take(self, final: bool = False) -> Delta:
        """What is new since the last take. Health of the second under way goes with the last."""
        rows: list[Row] = [one.take(Key(*key)) for key, one in self._intervals.items() if not one.empty]
        whole_seconds = list(self._health) if final else list(self._health)[:-1]
        rows += [self._health.pop(key).row(self.worker, *key) for key in whole_seconds]
        rows += [*self._traffic, *self._server]
        self._number += 1
        delta = Delta(self._number, rows, self.drops, worst(self._exemplars), self.counters, final)
        self.drops, self._traffic, self._server, self._exemplars, self.counters = [], [], [], [], {}
        oldest = self._number - self._keep
        for key in [key for key, one in self._intervals.items() if one.touched < oldest]:
            del self._intervals[key]
        return delta


def worst(exemplars: list[Exemplar]) -> list[Exemplar]:
    """The EXEMPLARS worst of each outcome: the slowest first, or the first of those that never came."""
    kept: list[Exemplar] = []
    for outcome in sorted({one.outcome for one in exemplars}):
        of_it = [one for one in exemplars if one.outcome == outcome]
        of_it.sort(key=_badness)
        kept += of_it[:EXEMPLARS]
    return kept


def _badness(one: Exemplar) -> tuple[int, int, str, str, int]:
    # Total, or which of two equals is kept would depend on whose delta came first.
    return -(one.latency_ns or 0), one.planned_ns, one.receiver, one.sender, one.seq


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
                key = (row.transport, row.regime, row.method)
                known = self._traffic.get(key)
                self._traffic[key] = known.plus(row) if known else row

    def rows(self) -> Iterator[Row]:
        """Everything that has a place in time or a sum, in one fixed order."""
        for key in sorted(self.intervals):
            yield self.intervals[key]
        yield from sorted(self.health, key=lambda row: (row.second, row.worker, row.phase))
        yield from sorted(self.server, key=lambda row: row.second)
        for name in sorted(self._traffic):
            yield self._traffic[name]


encode_delta = msgspec.msgpack.Encoder().encode
decode_delta = msgspec.msgpack.Decoder(Delta).decode
