"""What was run, may it be believed, and what came out, in ten seconds?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.bandwidth import ACTIVE, IDLE, TCP_INFO, Bandwidth
from loadtest.analysis.compare import main_row, traffic_row
from loadtest.analysis.figures import say_share
from loadtest.analysis.summary import Facts, OperationRow
from loadtest.measure.operations import Operation
from loadtest.measure.units import say_bytes, say_ms, say_rate, say_seconds
from loadtest.report.subject import Subject
from loadtest.report.words import UNKNOWN, count, date, plural


class Verdict(NamedTuple):
    """May this run be believed? ``state``: valid, suspect or invalid."""

    label: str
    accent: str
    state: str
    says: str
    reasons: list[str]
    cut_short: str


class Value(NamedTuple):
    """One run's answer on a tile."""

    label: str
    accent: str
    text: str
    detail: str


class Tile(NamedTuple):
    """A key figure, with an answer for each run."""

    name: str
    values: list[Value]


SAYS = {
    "valid": "The generator kept up: these numbers are the server's.",
    "suspect": "The generator was near its limit: part of these numbers may be its own.",
    "invalid": "Nothing can be concluded about the server from these numbers.",
}


def title(subjects: Sequence[Subject]) -> str:
    """``messaging over WebSocket``; several runs are named side by side."""
    scenarios = list(dict.fromkeys(one.summary.run.scenario for one in subjects))
    labels = [one.label for one in subjects]
    joined = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    return f"{' and '.join(scenarios)} over {joined}"


def subtitle(subjects: Sequence[Subject]) -> list[str]:
    """Users, load, length, target, date: what is common to all runs is said once."""
    of_each = [_facts(one.summary.run) for one in subjects]
    # By position: what differs stands next to what it differs from.
    facts = list(dict.fromkeys(fact for alike in zip(*of_each, strict=True) for fact in alike if fact))
    return [*facts, date(min(one.summary.run.started for one in subjects))]


def _facts(run: Facts) -> tuple[str, ...]:
    return (
        plural(run.users, "user"),
        _load(run.parameters),
        f"{say_seconds(run.measured_s)} measured",
        f"{run.target.get('kind', 'server')} at {run.target.get('url', 'unknown address')}",
    )


def _load(parameters: dict[str, object]) -> str:
    rate, room = parameters.get("rate_per_min"), parameters.get("room_size")
    said = []
    if isinstance(rate, int | float):
        number, per = say_rate(rate / 60).split(" ", 1)
        said.append(f"{number} {'message' if number == '1' else 'messages'} {per} each")
    if room:
        said.append(f"rooms of {room}")
    return ", ".join(said)


def verdict(subject: Subject) -> Verdict:
    """The first thing to read."""
    summary = subject.summary
    cut = ""
    if not summary.run.complete:
        cut = f"Cut short after {say_seconds(summary.run.duration_s)}."
        still_open = sum(row.open for row in summary.operations)
        if still_open:
            under_way = plural(still_open, "delivery", "deliveries")
            cut += f" {under_way} under way then count as open, not as lost."
    state = summary.validity.state
    return Verdict(subject.label, subject.accent, state, SAYS[state], summary.validity.reasons, cut)


def tiles(subjects: Sequence[Subject]) -> list[Tile]:
    """Six figures."""
    makers = (_median, _tail, _delivered, _connections, _per_message, _per_hour)
    names = (
        "Delivery latency, median",
        "Delivery latency, tail",
        "Delivered",
        "Connections at once",
        "Bytes per delivered message",
        "Bytes per idle user and hour",
    )
    return [
        Tile(name, [Value(one.label, one.accent, *maker(one)) for one in subjects])
        for name, maker in zip(names, makers, strict=True)
    ]


def _deliver(subject: Subject) -> OperationRow | None:
    return main_row(subject.summary, Operation.MESSAGE_DELIVER)


def _median(subject: Subject) -> tuple[str, str]:
    row = _deliver(subject)
    if row is None:
        return UNKNOWN, "nothing was measured"
    return say_ms(row.latency_ms.p50), row.why.get("p50", "planned moment to receipt")


def _tail(subject: Subject) -> tuple[str, str]:
    """The highest percentile of at most p99 that can be given."""
    row = _deliver(subject)
    if row is None:
        return UNKNOWN, "nothing was measured"
    for name in ("p99", "p95"):
        value = getattr(row.latency_ms, name)
        if value is not None:
            return say_ms(value), f"{name}; slowest {say_ms(row.latency_ms.max)}"
    return UNKNOWN, f"p95 {row.why.get('p95', 'not known')}"


def _delivered(subject: Subject) -> tuple[str, str]:
    row = _deliver(subject)
    if row is None or not row.expected:
        return UNKNOWN, "nothing was expected"
    share = say_share(row.n / row.expected)
    if row.n == row.expected:
        return share, f"of {count(row.expected)} expected"
    return share, f"of {count(row.expected)}; {count(row.lost)} lost, {count(row.late)} late"


def _connections(subject: Subject) -> tuple[str, str]:
    known = subject.summary.connections
    server = known.server_peak
    beside = (
        "the server told no count" if server is None else f"the server counted {plural(server, 'socket')}"
    )
    return count(known.peak), beside


def _per_message(subject: Subject) -> tuple[str, str]:
    row = traffic_row(subject.summary, ACTIVE)
    if row is None:
        return UNKNOWN, "not counted"
    if row.bytes_per_delivery is None:
        return UNKNOWN, row.why.get("bytes_per_delivery", "")
    wire = row.wire_bytes and row.wire_bytes / row.deliveries
    return say_bytes(row.bytes_per_delivery), _levels(row, wire)


def _per_hour(subject: Subject) -> tuple[str, str]:
    row = traffic_row(subject.summary, IDLE)
    if row is None:
        return UNKNOWN, "no idle time was counted"
    if row.bytes_per_user_hour is None:
        return UNKNOWN, row.why.get("bytes_per_user_hour", "")
    wire = row.wire_bytes and row.wire_bytes / row.socket_bytes * row.bytes_per_user_hour
    return say_bytes(row.bytes_per_user_hour), _levels(row, wire)


def _levels(row: Bandwidth, wire: float | None) -> str:
    beside = "on the socket" if row.method == TCP_INFO else "on the socket, estimated"
    return f"{beside}; {say_bytes(wire)} on the wire" if wire else beside
