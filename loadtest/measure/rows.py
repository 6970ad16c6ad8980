"""What does a number look like on its way from a process to a file?

One small record for each kind of thing that is measured. They travel in Deltas from a generator to the
Book, and stand in the files of a Run as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from loadtest.measure.histogram import Counts


class Key(NamedTuple):
    """What an Interval is about; ``second`` counts from the start of the run."""

    operation: str
    transport: str
    phase: str
    second: int


COUNTERS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")


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
            **{name: getattr(self, name) + getattr(other, name) for name in COUNTERS},
            latency=self.latency.plus(other.latency),
            service=self.service.plus(other.service),
            phases=dict(sorted(phases.items())),
        )


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

    @property
    def key(self) -> tuple[str, str, str]:
        """What the row is about."""
        return self.transport, self.regime, self.method

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
    """What the target said of itself in one second, or the system of it; -1 where nothing was said.

    sockets: connections by its own count. descriptors: files and sockets that it has open. cpu_percent: of one
    core, all its processes together; busiest_percent: of the busiest one, where there are several.
    """

    second: int
    sockets: int = -1
    cpu_percent: float = -1.0
    rss_bytes: int = -1
    loop_lag_ms: float = -1.0
    descriptors: int = -1
    busiest_percent: float = -1.0


class FaultRow(msgspec.Struct, frozen=True, omit_defaults=True, tag="fault", tag_field="kind"):
    """One occurrence of an injected fault, additive over processes; moments are ns from the start of the run.

    name: kind and number of the occurrence, ``abort#0``. until_ns: its end, None for what strikes at once.
    struck: connections that it was done to, as far as whoever did it can tell.
    """

    name: str
    fault: str
    at_ns: int
    until_ns: int | None = None
    share: float = 1.0
    argument: str = ""
    struck: int = 0

    def plus(self, other: FaultRow) -> FaultRow:
        """The sum of what two processes say of one occurrence."""
        at_ns = min(self.at_ns, other.at_ns)
        ends = [one for one in (self.until_ns, other.until_ns) if one is not None]
        until_ns = max(ends, default=None)
        struck = self.struck + other.struck
        return FaultRow(self.name, self.fault, at_ns, until_ns, self.share, self.argument, struck)


class Try(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt to come back. Durations in ns, ``began_ns`` from the start of the run.

    waited_ns: from the failure before it (the loss, for the first) to its start, connect time excluded.
    late_ns: the part of that which the policy had not asked for: the generator's own lateness.
    cause: why it failed; empty: it did not.
    """

    waited_ns: int
    late_ns: int
    began_ns: int
    took_ns: int
    cause: str = ""


RECOVERED, GAVE_UP, STAYED, OPEN, LEFT = "recovered", "gave_up", "stayed", "open", "left"
"""What became of a drop: back in its rooms; all attempts failed; this cause or policy brings nobody back; still
on the way when the run ended; the user went of its own will meanwhile."""


class Drop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A connection that was lost, and the way back. Moments are ns from the start of the run.

    fault, fault_ns: the occurrence of an injected fault that caused it, and when it was injected; empty for a
    drop that nobody provoked. at_ns: when we found out. back_ns: connected and authenticated again.
    rejoined_ns: every room acknowledged. heard_ns: a probe came back from every room. first_ns: the first
    message of somebody else. missed: messages owed to it that the server had and it had not read when it asked
    to rejoin; resynced: those of them that the rejoining brought. rooms, proven: rooms to rejoin, and those whose
    probe came.
    """

    user: str
    transport: str
    at_ns: int
    cause: str
    detail: str = ""
    connected_ns: int = 0
    outcome: str = ""
    fault: str = ""
    fault_ns: int | None = None
    tries: list[Try] = []
    back_ns: int | None = None
    rejoined_ns: int | None = None
    heard_ns: int | None = None
    first_ns: int | None = None
    rooms: int = 0
    proven: int = 0
    missed: int = 0
    resynced: int = 0
    resent: int = 0
    buffered: int = 0
    state_recovered: bool = False


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


Row = SeriesRow | HealthRow | TrafficRow | ServerRow | FaultRow


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


encode_delta = msgspec.msgpack.Encoder().encode
decode_delta = msgspec.msgpack.Decoder(Delta).decode
