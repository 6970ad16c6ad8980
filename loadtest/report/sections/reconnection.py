"""Who lost the connection, who came back, how soon, and what did they miss?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.drops import losses
from loadtest.analysis.figures import Figures
from loadtest.analysis.reconnection import Breakdown, Reconnection
from loadtest.measure.rows import GAVE_UP, OPEN, STAYED
from loadtest.measure.units import SECOND, say_ms
from loadtest.report.sections import outages, waits
from loadtest.report.sections.availability import availability_sentence, availability_table
from loadtest.report.sections.durations import COLUMNS, SHOWN, cells
from loadtest.report.sections.figure import Picture
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN, count, plural

NAMED = 6
"""So many waits of a policy are named."""
LISTED = 20
"""So many drops that never came back are listed one by one."""
DURATIONS = {
    "detect_ms": ("found out, after the fault", "detect_ms."),
    "reconnect_ms": ("connected again, after that", "reconnect_ms."),
    "rejoin_ms": ("back in all rooms: the outage", "rejoin_ms."),
    "first_message_ms": ("first message of somebody else", "first_message_ms."),
}
ENDED = [
    "lost", "came back", "gave up", "stayed away", "on the way", "left", "attempts", "attempts per connection",
]  # fmt: skip
ENDS = {
    GAVE_UP: "gave up: all attempts failed",
    STAYED: "stayed away: this cause or policy brings nobody back",
    OPEN: "still on the way when the run ended",
}


class ReconnectionSection(NamedTuple):
    """The section. ``pictures`` stand between the figures and what they are made of."""

    leads: list[str]
    sentences: list[str]
    drops: Table
    durations: Table
    pictures: list[Picture]
    by_fault: Table
    by_cause: Table
    backoff: Table
    storms: Table
    storm_notes: list[str]
    availability: Table
    absent: Table
    each: list[Table]


def reconnection(subjects: Sequence[Subject]) -> ReconnectionSection | None:
    """Everything about lost connections; None if there were none, and no faults either."""
    shown = [one for one in subjects if _happened(one)]
    if not shown:
        return None
    lost = [one for one in shown if one.summary.reconnection.recovered is not None and one.run.drops]
    heads = whose(subjects)
    return ReconnectionSection(
        [_lead(one) for one in shown],
        [line for one in lost for line in _more(one)],
        table(
            "Lost in measure and drain, and what became of them",
            ["transport"],
            ENDED,
            [_ends(one) for one in lost],
        ),
        table("How long it took", ["until", *heads], COLUMNS, _durations(lost)),
        [picture for one in lost for picture in outages.pictures(one)],
        _breakdown("By fault", "fault", heads, [(one, row) for one in lost for row in _rec(one).by_fault]),
        _breakdown("By cause", "cause", heads, [(one, row) for one in lost for row in _rec(one).by_cause]),
        waits.backoff_table(lost, heads),
        waits.storm_table(lost, heads),
        [note for one in lost for note in waits.storm_notes(one)],
        availability_table([one for one in shown if one.summary.availability is not None], heads),
        _absent(lost, heads),
        [outages.each_table(one) for one in lost],
    )


def _rec(subject: Subject) -> Reconnection:
    return subject.summary.reconnection


def _happened(subject: Subject) -> bool:
    known = _rec(subject)
    # A run of an older release has counts only, and they stand with the connections.
    return bool(subject.run.faults) or (known.recovered is not None and bool(known.drops or known.early))


def _lead(subject: Subject) -> str:
    """``300 connections were lost, 300 came back, half of them within 1.2 s, all within 3.4 s; ...``."""
    found = _rec(subject)
    if not found.drops or found.recovered is None:
        faults = plural(len(subject.run.faults), "fault")
        return f"{subject.intro}{faults} struck, and no connection was lost in measure."
    return (
        f"{subject.intro}{plural(found.drops, 'connection was', 'connections were')} lost, "
        f"{_came_back(found)}; {_missed(found)}."
    )


def _came_back(found: Reconnection) -> str:
    back, figures = found.recovered or 0, found.rejoin_ms or Figures()
    if not back:
        return "none came back"
    said = f"{count(back)} came back"
    if figures.max is None:
        return said
    if found.gave_up or back == 1:
        return f"{said} within {say_ms(figures.max)}"
    return f"{said}, half of them within {say_ms(figures.p50)}, all within {say_ms(figures.max)}"


def _missed(found: Reconnection) -> str:
    if not found.missed:
        return "nothing was missed meanwhile"
    return (
        f"{plural(found.missed, 'message was', 'messages were')} missed meanwhile, {count(found.resynced)} "
        f"resynced, {count(found.lost)} lost"
    )


def _more(subject: Subject) -> list[str]:
    """Rate, availability, rooms, what was left out; of several runs, a paragraph each."""
    said = (
        _unprovoked(subject),
        _rate(subject),
        availability_sentence(subject),
        _proven(subject),
        _left_out(subject),
    )
    lines = [one for one in said if one]
    return lines if subject.alone or not lines else [subject.intro + " ".join(lines)]


def _unprovoked(subject: Subject) -> str:
    number = _rec(subject).unprovoked
    if not number or not subject.run.faults:
        return ""
    return f"{count(number)} of these losses nobody had provoked."


def _rate(subject: Subject) -> str:
    found = _rec(subject)
    if found.rate is None:
        return ""
    rate = f"{count(found.attempts)} / {count(found.connections)} = {found.rate:.3g}"
    return (
        f"The reconnection rate as the application counts it, attempts to reconnect over "
        f"connections established, is {rate}.{_policy(subject)}"
    )


def _policy(subject: Subject) -> str:
    policy, told = _rec(subject).policy, subject.summary.run.parameters.get("backoff_s")
    if policy in (None, "none"):
        return " Nobody tries to come back with the policy “none”." if policy else ""
    if not isinstance(told, list) or not told:
        return f" Clients followed the policy “{policy}”."
    # The last wait of a policy without an end is repeated: naming it once is enough.
    waits_s = list(dict.fromkeys(waits.band(low, high) for low, high in told))
    more = ", and so on" if len(waits_s) > NAMED or len(waits_s) < len(told) else ""
    return (
        f" Clients followed the policy “{policy}”: before one attempt after another it waits "
        f"{', '.join(waits_s[:NAMED])} s{more}."
    )


def _proven(subject: Subject) -> str:
    found = _rec(subject)
    if not found.rooms:
        return ""
    if found.proven == found.rooms:
        return f"A probe came back through every one of the {count(found.rooms)} rooms rejoined."
    return (
        f"{count(found.rooms)} rooms were rejoined, but a probe came back through only "
        f"{count(found.proven)} of them: a join that is acknowledged and does not deliver is none."
    )


def _left_out(subject: Subject) -> str:
    found = _rec(subject)
    said = []
    if found.early:
        said.append(f"{count(found.early)} before measure")
    if found.stalled:
        said.append(f"{count(found.stalled)} because the generator itself stood still")
    if not said:
        return ""
    return f"Lost too, and in none of these figures: {', '.join(said)}."


def _ends(subject: Subject) -> Row:
    found = _rec(subject)
    numbers = [
        (found.drops, ""), (found.recovered, ""), (found.gave_up, "bad"), (found.stayed, "warn"),
        (found.open, "warn"), (found.left, ""), (found.attempts, ""),
    ]  # fmt: skip
    rate = UNKNOWN if found.rate is None else f"{found.rate:.3g}"
    return Row(
        [Cell(subject.label, accent="" if subject.alone else subject.accent)],
        [
            *(Cell(count(n), tone=tone if n else "quiet") for n, tone in numbers),
            known(rate, found.why.get("rate", "")),
        ],
    )


def _durations(subjects: Sequence[Subject]) -> list[Row]:
    found = []
    for name, (says, prefix) in DURATIONS.items():
        for one in subjects:
            figures = getattr(_rec(one), name)
            if figures is not None and any(getattr(figures, stat) is not None for stat in SHOWN):
                found.append(Row([Cell(says), *one.who], cells(figures, _rec(one).why, prefix)))
    return found


def _breakdown(
    caption: str, head: str, heads: list[str], found: Sequence[tuple[Subject, Breakdown]]
) -> Table:
    columns = ["lost", "came back", "gave up", "outage median", "p95", "longest", "missed", "resynced"]
    return table(caption, [head, *heads], columns, [_part(one, row) for one, row in found])


def _part(subject: Subject, row: Breakdown) -> Row:
    outage = cells(row.outage_ms, row.why, "outage_ms.", ("p50", "p95", "max"))
    return Row(
        [Cell(row.name), *subject.who],
        [
            Cell(count(row.drops)),
            Cell(count(row.recovered), tone="" if row.recovered == row.drops else "warn"),
            Cell(count(row.gave_up), tone="bad" if row.gave_up else "quiet"),
            *outage,
            Cell(count(row.missed), tone="" if row.missed else "quiet"),
            Cell(
                count(row.resynced),
                tone="bad" if row.resynced < row.missed else "" if row.missed else "quiet",
            ),
        ],
    )


def _absent(subjects: Sequence[Subject], heads: list[str]) -> Table:
    found = [
        (one, loss.drop) for one in subjects for loss in losses(one.run).counted if loss.drop.outcome in ENDS
    ]
    rows = [
        Row(
            [
                Cell(drop.user),
                *one.who,
                Cell(ENDS[drop.outcome], tone="bad" if drop.outcome == GAVE_UP else "warn"),
            ],
            [
                Cell(f"{drop.at_ns / SECOND:.1f} s"),
                Cell(drop.cause),
                Cell(drop.fault or "unprovoked"),
                Cell(count(len(drop.tries))),
                Cell(next((t.cause for t in reversed(drop.tries) if t.cause), UNKNOWN)),
            ],
        )
        for one, drop in found[:LISTED]
    ]
    kept = f" ({LISTED} of {count(len(found))})" if len(found) > LISTED else ""
    columns = ["lost at", "cause", "fault", "attempts", "last failed by"]
    return table(f"Never came back{kept}", ["user", *heads, "what became of it"], columns, rows)
