"""What did the conversation cost in bytes?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.bandwidth import (
    ACTIVE,
    CONNECT,
    ESTIMATED,
    HEADER_BYTES,
    IDLE,
    TCP_INFO,
    Bandwidth,
)
from loadtest.measure.units import say_bytes
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN, count

REGIMES = {
    CONNECT: "connecting, per user",
    ACTIVE: "active, per delivered message",
    IDLE: "idle, per user and hour",
}
PER_HOUR = "active, per user and hour"
METHODS = {TCP_INFO: "counted by the kernel", ESTIMATED: "estimated"}
NO_WIRE = "the kernel did not count segments here"


class BandwidthSection(NamedTuple):
    """The section."""

    sentence: str
    costs: Table
    totals: Table


def bandwidth(subjects: Sequence[Subject]) -> BandwidthSection:
    """Cost per unit, both levels, and the totals it was divided out of."""
    found = [(one, row) for one in subjects for row in one.summary.bandwidth]
    found.sort(key=lambda pair: list(REGIMES).index(pair[1].regime) if pair[1].regime in REGIMES else 9)
    return BandwidthSection(
        SENTENCE if found else "",
        table(
            "Cost of a connect, of a message, of an idle hour",
            ["regime", *whose(subjects)],
            ["socket (level B)", "wire estimate (level C)", "method"],
            [_cost(one, row) for one, row in found],
        ),
        table(
            "Totals, as the client's sockets counted them",
            ["regime", *whose(subjects)],
            ["users", "sent", "received", "on the wire", "deliveries", "per user-hour"],
            [_total(one, row) for one, row in found],
        ),
    )


def _cost(subject: Subject, row: Bandwidth) -> Row:
    """Socket and wire bytes over the unit of the regime."""
    if row.regime == IDLE or _no_messages(row):
        socket, why = row.bytes_per_user_hour, row.why.get("bytes_per_user_hour", "")
    elif row.regime == ACTIVE:
        socket, why = row.bytes_per_delivery, row.why.get("bytes_per_delivery", "")
    else:
        socket, why = (row.socket_bytes / row.users, "") if row.users else (None, "no users were counted")
    wire = None
    if socket is not None and row.wire_bytes is not None and row.socket_bytes:
        wire = socket * row.wire_bytes / row.socket_bytes
    why_wire = why or (NO_WIRE if wire is None else "")
    return Row(
        [Cell(PER_HOUR if _no_messages(row) else REGIMES.get(row.regime, row.regime)), *subject.who],
        [
            known(say_bytes(socket), why),
            known(say_bytes(wire), why_wire),
            Cell(METHODS.get(row.method, row.method), tone="quiet"),
        ],
    )


def _no_messages(row: Bandwidth) -> bool:
    """Whether people were active without a message to divide by: they called, or asked for help."""
    return row.regime == ACTIVE and not row.deliveries and row.bytes_per_user_hour is not None


def _total(subject: Subject, row: Bandwidth) -> Row:
    quiet = "quiet" if not row.deliveries else ""
    return Row(
        [Cell(row.regime), *subject.who],
        [
            Cell(count(row.users)),
            Cell(say_bytes(row.bytes_sent)),
            Cell(say_bytes(row.bytes_received)),
            known(say_bytes(row.wire_bytes), row.why.get("wire_bytes", "")),
            Cell(count(row.deliveries) if row.deliveries else UNKNOWN, tone=quiet),
            known(say_bytes(row.bytes_per_user_hour), row.why.get("bytes_per_user_hour", "")),
        ],
    )


SENTENCE = "Sent and received together, from the client's side; the kernel counts by TCP_INFO."
LEVELS = (
    "Level B is what went over the sockets: HTTP heads, WebSocket frames and protocol framing, below TLS. "
    f"Level C adds {HEADER_BYTES} bytes for every TCP segment (IPv4 20, TCP 20, timestamps 12), pure "
    "acknowledgements included; Ethernet is not counted."
)
