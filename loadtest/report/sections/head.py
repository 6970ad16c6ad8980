"""What was run, may it be believed, and what came out, in ten seconds?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from loadtest.analysis.bandwidth import ACTIVE, IDLE, TCP_INFO, Bandwidth
from loadtest.analysis.compare import main_row, traffic_row
from loadtest.analysis.figures import say_share
from loadtest.analysis.summary import Summary
from loadtest.measure.operations import Operation
from loadtest.measure.units import say_bytes, say_ms, say_rate, say_seconds
from loadtest.report.subject import MAIN, Subject, main_operation
from loadtest.report.words import UNKNOWN, count, date, plural


class Verdict(NamedTuple):
    """May this run be believed? ``state``: valid, suspect or invalid."""

    label: str
    accent: str
    state: str
    says: str
    reasons: list[str]
    notes: list[str]
    cut_short: str


class Value(NamedTuple):
    """One run's answer on a tile."""

    label: str
    accent: str
    text: str
    detail: str


Maker = Callable[[Subject], tuple[str, str]]


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
    of_each = [facts(one.summary) for one in subjects]
    # By position: what differs stands next to what it differs from.
    told = list(dict.fromkeys(fact for alike in zip(*of_each, strict=True) for fact in alike if fact))
    return [*told, date(min(one.summary.run.started for one in subjects))]


def facts(summary: Summary) -> tuple[str, ...]:
    """Users, load, length, target."""
    run = summary.run
    return (
        plural(run.users, "user"),
        _load(summary),
        f"{say_seconds(run.measured_s)} measured",
        f"{run.target.get('kind', 'server')} at {run.target.get('url', 'unknown address')}",
    )


ACTS = {
    Operation.MESSAGE_DELIVER: ("message", "messages"),
    Operation.CALL_RING: ("call", "calls"),
    Operation.CHAT_DELIVER: ("step", "steps"),
}
"""What the rate of a run is a rate of: a visitor of a live chat asks, writes and leaves, step by step."""


def _load(summary: Summary) -> str:
    parameters, main = summary.run.parameters, main_operation([summary])
    rate, room = parameters.get("rate_per_min"), parameters.get("room_size")
    said = []
    if isinstance(rate, int | float):
        number, per = say_rate(rate / 60).split(" ", 1)
        said.append(f"{number} {ACTS[main][number != '1']} {per} each")
    if room and main == Operation.MESSAGE_DELIVER:
        said.append(f"rooms of {_sizes(room)}")
    return ", ".join(said)


def _sizes(room: object) -> str:
    """``10``; of several sizes ``2, 20 and 200``."""
    sizes = [str(one) for one in room] if isinstance(room, dict) else [str(room)]
    return " and ".join([", ".join(sizes[:-1]), sizes[-1]] if len(sizes) > 1 else sizes)


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
    known = summary.validity
    return Verdict(subject.label, subject.accent, state, SAYS[state], known.reasons, known.notes, cut)


def tiles(subjects: Sequence[Subject]) -> list[Tile]:
    """Six figures; nine where connections were lost."""
    summaries = [one.summary for one in subjects]
    main = main_operation(summaries)
    rows = [row for one in summaries if (row := traffic_row(one, ACTIVE)) is not None]
    hourly = all(row.bytes_per_delivery is None and row.bytes_per_user_hour for row in rows)
    messages = main == Operation.MESSAGE_DELIVER and not (rows and hourly)
    makers: list[tuple[str, Maker]] = [
        (f"{MAIN[main]}, median", partial(_median, main)),
        (f"{MAIN[main]}, tail", partial(_tail, main)),
        (DELIVERED[main], partial(_delivered, main)),
        ("Connections at once", _connections),
        ("Bytes per delivered message", _per_message)
        if messages
        else ("Bytes per active user and hour", partial(_per_hour, ACTIVE)),
        ("Bytes per idle user and hour", partial(_per_hour, IDLE)),
    ]
    if any(one.reconnection.drops and one.reconnection.recovered is not None for one in summaries):
        makers += [
            ("Connections that came back", _back),
            ("Outage, median", _outage),
            ("Missed while away", _missed),
        ]
    return [
        Tile(name, [Value(one.label, one.accent, *maker(one)) for one in subjects]) for name, maker in makers
    ]


def in_short(subject: Subject) -> tuple[str, str, str]:
    """(median, p95, lost) of what the run is there for."""
    row = main_row(subject.summary, main_operation([subject.summary]))
    if row is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return say_ms(row.latency_ms.p50), say_ms(row.latency_ms.p95), count(row.late + row.lost)


DELIVERED = {
    Operation.MESSAGE_DELIVER: "Delivered",
    Operation.CALL_RING: "Rung",
    Operation.CHAT_DELIVER: "Live chat messages delivered",
}


def _median(main: Operation, subject: Subject) -> tuple[str, str]:
    row = main_row(subject.summary, main)
    if row is None:
        return UNKNOWN, "nothing was measured"
    return say_ms(row.latency_ms.p50), row.why.get("p50", "planned moment to receipt")


def _tail(main: Operation, subject: Subject) -> tuple[str, str]:
    """The highest percentile of at most p99 that can be given."""
    row = main_row(subject.summary, main)
    if row is None:
        return UNKNOWN, "nothing was measured"
    for name in ("p99", "p95"):
        value = getattr(row.latency_ms, name)
        if value is not None:
            return say_ms(value), f"{name}; slowest {say_ms(row.latency_ms.max)}"
    return UNKNOWN, f"p95 {row.why.get('p95', 'not known')}"


def _delivered(main: Operation, subject: Subject) -> tuple[str, str]:
    row = main_row(subject.summary, main)
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


def _per_hour(regime: str, subject: Subject) -> tuple[str, str]:
    row = traffic_row(subject.summary, regime)
    if row is None:
        return UNKNOWN, f"no {regime} time was counted"
    if row.bytes_per_user_hour is None:
        return UNKNOWN, row.why.get("bytes_per_user_hour", "")
    wire = row.wire_bytes and row.wire_bytes / row.socket_bytes * row.bytes_per_user_hour
    return say_bytes(row.bytes_per_user_hour), _levels(row, wire)


def _back(subject: Subject) -> tuple[str, str]:
    found = subject.summary.reconnection
    if found.recovered is None or not found.drops:
        return UNKNOWN, "none was lost" if not found.drops else found.why.get("attempts", "not known")
    absent = [
        f"{count(number)} {words}"
        for number, words in (
            (found.gave_up, "gave up"),
            (found.stayed, "stayed away"),
            (found.open, "on the way"),
            (found.left, "left"),
        )
        if number
    ]
    return say_share(found.recovered / found.drops), "; ".join([f"of {count(found.drops)} lost", *absent])


def _outage(subject: Subject) -> tuple[str, str]:
    found = subject.summary.reconnection
    if found.rejoin_ms is None or found.rejoin_ms.p50 is None:
        return UNKNOWN, found.why.get("rejoin_ms.p50", "nobody was out")
    p99, longest = found.rejoin_ms.p99, f"longest {say_ms(found.rejoin_ms.max)}"
    return say_ms(found.rejoin_ms.p50), longest if p99 is None else f"p99 {say_ms(p99)}; {longest}"


def _missed(subject: Subject) -> tuple[str, str]:
    found = subject.summary.reconnection
    if found.missed is None:
        return UNKNOWN, found.why.get("attempts", "not known")
    messages = "message" if found.missed == 1 else "messages"
    return count(found.missed), f"{messages}; {count(found.resynced)} resynced, {count(found.lost)} lost"


def _levels(row: Bandwidth, wire: float | None) -> str:
    beside = "on the socket" if row.method == TCP_INFO else "on the socket, estimated"
    return f"{beside}; {say_bytes(wire)} on the wire" if wire else beside
