"""How many bytes did a transport cost, per delivered message and per idle user?

Three levels exist and are always named. A, the payload, is not counted here. B is what went over the sockets:
HTTP heads, WebSocket frames and protocol framing, below TLS where there is any. C, the wire, adds the
TCP/IP headers of every segment in both directions, pure acknowledgements included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from loadtest.analysis.series import Name, Series
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import TrafficRow

HEADER_BYTES = 52
"""Of a segment: IPv4 20 + TCP 20 + timestamps 12. IPv6 would add 20, Ethernet 14."""

HOUR_NS = 3_600_000_000_000
CONNECT, ACTIVE, IDLE = "connect", "active", "idle"
TCP_INFO, ESTIMATED = "tcp_info", "estimated"


class Bandwidth(msgspec.Struct, frozen=True):
    """Bytes of one transport in one regime, as the client's sockets counted them."""

    transport: str
    regime: str
    method: str
    users: int
    bytes_sent: int
    bytes_received: int
    wire_bytes: int | None
    deliveries: int
    bytes_per_delivery: float | None
    bytes_per_user_hour: float | None
    why: dict[str, str] = {}

    @property
    def socket_bytes(self) -> int:
        """Level B, both directions."""
        return self.bytes_sent + self.bytes_received


def bandwidth(rows: Iterable[TrafficRow], series: Mapping[Name, Series]) -> list[Bandwidth]:
    """A row per (transport, regime), sorted; deliveries are those of the measured phase."""
    found: dict[tuple[str, str], list[TrafficRow]] = {}
    for row in rows:
        found.setdefault((row.transport, row.regime), []).append(row)
    return [_row(parts, _deliveries(series, name[0])) for name, parts in sorted(found.items())]


SAID = (Operation.MESSAGE_DELIVER, Operation.MESSAGE_ECHO, Operation.MESSAGE_RESYNC)
"""Messages; signals, read marks and acknowledgements are what they cost."""
OTHER = (Operation.CALL_RING, Operation.CHAT_DELIVER)
"""What has bytes of its own, that no message should be billed for."""


def _deliveries(series: Mapping[Name, Series], transport: str) -> int | None:
    """Delivered messages of the measured phase; None where the bytes are not theirs alone."""

    def came(operations: tuple[Operation, ...]) -> int:
        names = [Name(name, transport, Phase.MEASURE.value) for name in operations]
        return sum(series[name].latency.n for name in names if name in series)

    messages = came(SAID)
    return None if messages and came(OTHER) else messages


def _row(parts: list[TrafficRow], delivered: int | None) -> Bandwidth:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.plus(part)
    why: dict[str, str] = {}
    total = whole.bytes_sent + whole.bytes_received
    wire = _wire(parts, total, why)
    deliveries = (delivered or 0) if whole.regime == ACTIVE else 0
    per_delivery = None
    if deliveries:
        per_delivery = round(total / deliveries, 3)
    elif whole.regime == ACTIVE and delivered is None:
        why["bytes_per_delivery"] = "calls and live chats share these bytes with the messages"
    elif whole.regime == ACTIVE:
        why["bytes_per_delivery"] = "no message was delivered"
    else:
        why["bytes_per_delivery"] = f"{whole.regime}: no messages belong to it"
    per_hour = None
    if whole.regime == CONNECT:
        why["bytes_per_user_hour"] = "connecting happens once: see bytes and users"
    elif whole.user_ns:
        per_hour = round(total / whole.user_ns * HOUR_NS, 3)
    else:
        why["bytes_per_user_hour"] = "no user-time was counted"
    return Bandwidth(
        whole.transport,
        whole.regime,
        # One estimated part makes the sum an estimate.
        ESTIMATED if any(part.method != TCP_INFO for part in parts) else TCP_INFO,
        whole.users,
        whole.bytes_sent,
        whole.bytes_received,
        wire,
        deliveries,
        per_delivery,
        per_hour,
        why,
    )


def _wire(parts: list[TrafficRow], total: int, why: dict[str, str]) -> int | None:
    if any(not (part.segments_sent or part.segments_received) for part in parts):
        why["wire_bytes"] = "the kernel did not count segments"
        return None
    return total + HEADER_BYTES * sum(part.segments_sent + part.segments_received for part in parts)
