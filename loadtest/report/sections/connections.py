"""How did users come in, and did they stay?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis import timeline
from loadtest.analysis.summary import OperationRow
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.units import say_ms
from loadtest.report import charts
from loadtest.report.sections.durations import COLUMNS, cells
from loadtest.report.sections.figure import (
    KeyEntry,
    Picture,
    fault_key,
    fault_words,
    key,
    shared_marks,
    shared_spans,
)
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import count, plural

PARTS = {
    "login": "logging in over HTTP",
    "tcp": "TCP connection",
    "tls": "TLS handshake",
    "open": "Engine.IO open",
    "namespace": "namespace",
    "authenticate": "authentication",
    "join": "joining rooms",
    "upgrade": "moving to WebSocket, afterwards",
}
AFTERWARDS = "upgrade"  # a session acts on polling meanwhile, so it is no part of the connect
FIRST_POLL = "first answer of the feed"  # what a polling user has where a socket has the Engine.IO open


class Share(NamedTuple):
    """A part of the mean connect: ``percent`` of the whole; ``thin``: too narrow to be labelled."""

    name: str
    percent: float
    text: str
    thin: bool


class Split(NamedTuple):
    """Where the mean connect of a run went. Means add up; percentiles would not."""

    label: str
    accent: str
    whole: str
    shares: list[Share]


class ConnectionsSection(NamedTuple):
    """The section."""

    sentences: list[str]
    pictures: list[Picture]
    splits: list[Split]
    table: Table
    drops: Table


def connections(subjects: Sequence[Subject]) -> ConnectionsSection:
    """Phases of the connect, connections over time, drops by cause."""
    return ConnectionsSection(
        [_sentence(one) for one in subjects],
        [_picture(subjects)] if any(one.run.health for one in subjects) else [],
        [split for one in subjects if (split := _split(one))],
        table("Connecting, by phase", ["phase", *whose(subjects)], COLUMNS, _rows(subjects)),
        table("Lost connections by cause", ["cause", *whose(subjects)], ["connections"], _drops(subjects)),
    )


def _sentence(subject: Subject) -> str:
    known, drops = subject.summary.connections, len(subject.run.drops)
    came = plural(known.established, "connection")
    server = known.server_peak
    theirs = (
        "the server told no count of its own"
        if server is None
        else f"{plural(server, 'socket')} by the server's"
    )
    return (
        f"{subject.intro}{came} established, {count(known.failed)} failed, {count(drops)} lost. "
        f"At most {count(known.peak)} at once by our count, {theirs}."
    )


def _picture(subjects: Sequence[Subject]) -> Picture:
    """Our count and the server's; several runs by our count only, each narrower than the last."""
    lines: list[charts.Line] = []
    for index, one in enumerate(reversed(subjects)):
        track = timeline.connections(one.run)
        lines.insert(0, charts.Line(one.accent, track, steps=True, width=2 + 2 * index))
    entries = key(subjects)
    theirs = timeline.server_connections(subjects[0].run)
    if len(subjects) == 1 and theirs.values.size:
        entries = [KeyEntry("our count", subjects[0].accent), KeyEntry("the server's", "ink", "dotted")]
        lines.append(charts.Line("ink", theirs, style="dotted", steps=True))
    struck = shared_marks(subjects)
    peaks = ", ".join(f"{one.intro}{count(one.summary.connections.peak)} at most" for one in subjects)
    return Picture(
        "Connections over time",
        charts.time_chart(lines, shared_spans(subjects), "connections", marks=struck),
        f"Connections over time; {peaks}.",
        fault_words(struck),
        [*entries, *fault_key(struck)],
    )


def _session(subject: Subject, operation: Operation) -> OperationRow | None:
    rows = [row for row in subject.summary.operations if row.name == operation]
    return next((row for row in rows if row.phase == Phase.CONNECT), None)


def _split(subject: Subject) -> Split | None:
    row = _session(subject, Operation.SESSION_CONNECT)
    phases = row.phases_ms.items() if row else ()
    means = {name: figures.mean for name, figures in phases if figures.mean and name != AFTERWARDS}
    whole = sum(means.values())
    if not whole:
        return None
    shares = [
        Share(_part(subject, name), means[name] / whole * 100, say_ms(means[name]), means[name] / whole < 0.1)
        for name in sorted(means, key=_place)
    ]
    return Split(subject.label, subject.accent, say_ms(whole), shares)


def _part(subject: Subject, part: str) -> str:
    if part == "open" and subject.summary.run.transport == "interval-polling":
        return FIRST_POLL
    return PARTS.get(part, part)


def _place(part: str) -> tuple[int, str]:
    order = list(PARTS)
    return (order.index(part) if part in order else len(order), part)


def _rows(subjects: Sequence[Subject]) -> list[Row]:
    """The parts of a connect in their order, then the whole; runs in neighbouring rows."""
    found: list[tuple[tuple[int, str], Row]] = []
    for one in subjects:
        connect = _session(one, Operation.SESSION_CONNECT)
        for part, figures in connect.phases_ms.items() if connect else ():
            parts = cells(figures, connect.why if connect else {}, f"phases_ms.{part}.")
            found.append((_place(part), Row([Cell(_part(one, part)), *one.who], parts)))
        for operation in (Operation.SESSION_CONNECT, Operation.SESSION_JOIN):
            row = _session(one, operation)
            if row:
                heads = [Cell(row.name, tone="strong"), *one.who]
                found.append(((len(PARTS) + 1, operation), Row(heads, cells(row.latency_ms, row.why))))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _drops(subjects: Sequence[Subject]) -> list[Row]:
    """By cause, unless the section on reconnection has them all."""
    return [
        Row([Cell(cause), *one.who], [Cell(count(number), tone="bad")])
        for one in subjects
        if len(one.run.drops) > sum(row.drops for row in one.summary.reconnection.by_cause)
        for cause, number in sorted(Counter(drop.cause for drop in one.run.drops).items())
    ]
