"""What did one run of the grid cost its users, in each of its regimes?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, HEADER_BYTES, IDLE, TCP_INFO
from loadtest.analysis.bandwidth_model import LIBRARY, SOCKET
from loadtest.analysis.series import measured, measured_ns
from loadtest.measure.operations import Operation
from loadtest.measure.rows import TrafficRow
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND

WEBSOCKET, LONG_POLLING, INTERVAL_POLLING = "websocket", "long-polling", "interval-polling"
MOST_LOST = 0.01
"""Of the deliveries; more, and the bytes of a run are not those of its messages."""
MOST_POLLS_OFF = 0.03
"""By how much the polls may differ from those the schedule asked for; more, and a slow generator made it cheap."""


class Arm(msgspec.Struct, frozen=True, order=True):
    """A way to the server: headers and number of feeds of polling users, compression of sockets."""

    transport: str
    headers: str = LIBRARY
    feeds: int = 1
    compression: bool = False

    @property
    def name(self) -> str:
        """``interval-polling-browser-3``, ``websocket-deflate``."""
        if self.transport == WEBSOCKET:
            return f"{WEBSOCKET}-deflate" if self.compression else WEBSOCKET
        feeds = f"-{self.feeds}" if self.transport == INTERVAL_POLLING else ""
        return f"{self.transport}-{self.headers}{feeds}"


class Cost(msgspec.Struct, frozen=True):
    """Bytes of one arm in one regime of one run.

    rate: messages of others that each user was to hear per second, 0 when idle. socket, wire: bytes per user and
    second, of levels B and C; of connecting, per user. delivered: the rate it really heard; said: messages sent by
    all. users, seconds: over which it was counted; period_s: of the heartbeat. scaled: from what period, where the
    heartbeats of the run came more often than those of the server it stands for.
    """

    arm: Arm
    regime: str
    rate: float
    seed: int
    run: str
    users: int
    seconds: float
    socket: float
    wire: float | None
    delivered: float = 0.0
    said: int = 0
    period_s: float | None = None
    scaled: float | None = None

    def at(self, level: str) -> float | None:
        """Bytes on that level; None where the kernel does not count segments."""
        return self.socket if level == SOCKET else self.wire

    @property
    def per_message(self) -> float | None:
        """Socket bytes for each message delivered to another; None where there was none."""
        return self.socket / self.delivered if self.regime == ACTIVE and self.delivered else None


def costs(run: Run, arm: Arm, rate: float, seed: int, period_s: float | None = None) -> list[Cost]:
    """Connecting, and the regime that the run was made for: idle at rate 0, else active.

    period_s: that of the heartbeats of the server under test, where this run had others to see enough of them.
    What was not counted by the kernel is left out.
    """
    wanted = ACTIVE if rate else IDLE
    found: dict[str, list[TrafficRow]] = {}
    for row in run.traffic:
        counted = row.method == TCP_INFO and row.transport == arm.transport
        if counted and row.regime in (CONNECT, wanted):
            found.setdefault(row.regime, []).append(row)
    return [_cost(run, parts, arm, rate, seed, period_s) for _, parts in sorted(found.items())]


def _cost(
    run: Run, parts: Sequence[TrafficRow], arm: Arm, rate: float, seed: int, period_s: float | None
) -> Cost:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.plus(part)
    seconds = whole.user_ns / SECOND / whole.users
    socket = whole.bytes_sent + whole.bytes_received
    segments = whole.segments_sent + whole.segments_received
    per = whole.users if whole.regime == CONNECT else whole.user_ns / SECOND
    beats_s: float | None = run.manifest.target.get("ping_interval_s")
    scaled = None
    beats = whole.regime == IDLE and arm.transport != INTERVAL_POLLING
    if beats and period_s and beats_s and beats_s != period_s:
        # An idle connection carries heartbeats and nothing else, so its bytes go with their number.
        scaled, per = beats_s, per * period_s / beats_s
    active = whole.regime == ACTIVE
    heard = measured(run, Operation.MESSAGE_DELIVER).latency.n if active else 0
    said = measured(run, Operation.MESSAGE_ACK).latency.n if active else 0
    return Cost(
        arm,
        whole.regime,
        rate if active else 0.0,
        seed,
        run.path.name,
        whole.users,
        round(seconds, 3),
        socket / per,
        (socket + HEADER_BYTES * segments) / per if segments else None,
        heard / (whole.user_ns / SECOND) if active else 0.0,
        said,
        beats_s,
        scaled,
    )


def trouble(run: Run, arm: Arm, polls_per_s: float) -> str:
    """Why the bytes of a run are no measurement, in a few words; empty: they are.

    A generator that reads late bills the same bytes, so the limits of latency do not apply here; one that polls
    less often does not. polls_per_s: of one user, by its schedule; 0 for sockets.
    """
    manifest = run.manifest
    if manifest.harness_errors:
        return f"the generator failed: {manifest.harness_errors[0]}"
    if manifest.gaps or not all(worker.final for worker in manifest.workers):
        return "a part of it was lost on the way to the master"
    if run.drops:
        return f"connections were lost: {len(run.drops)}"
    if manifest.counters.get("connections.failed"):
        return f"users that could not connect: {manifest.counters['connections.failed']}"
    heard = measured(run, Operation.MESSAGE_DELIVER)
    missing = heard.counts["late"] + heard.counts["lost"]
    if heard.expected and missing > MOST_LOST * heard.expected:
        return f"{missing} of {heard.expected} deliveries did not come"
    wanted = manifest.users * polls_per_s * measured_ns(run) / SECOND
    polls = measured(run, Operation.POLL_REQUEST).latency.n
    if polls_per_s and wanted >= 100 and abs(polls / wanted - 1) > MOST_POLLS_OFF:
        return f"{polls} polls, where the schedule asked for {round(wanted)}: the generator was at its limit"
    return ""
