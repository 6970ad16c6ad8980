"""How were those helped who asked for help?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.measure.histogram import Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.units import MS, say_ms
from loadtest.report.sections.counted import Kind, counted
from loadtest.report.sections.durations import (
    COLUMNS,
    DELIVERED_COLUMNS,
    DELIVERED_HEADS,
    delivered,
    median,
    of_histogram,
)
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import count, plural

ASKED = "asked"
KINDS = (
    Kind(ASKED, "asked for help", part=True, always=True),
    Kind("assigned", "given an operator", part=True, always=True),
    Kind("queued", "put in the queue first", part=True, always=True),
    Kind("handed_over", "handed over to another operator", part=True, always=True),
    Kind("requeued", "back in the queue, as the operator went", part=True),
    Kind("closed", "closed by the visitor", part=True, always=True),
    Kind("closed_already", "closed or left twice"),
)
ACTS = (
    Kind("written", "messages written", always=True),
    Kind("waiting", "moments at which a visitor still waited", always=True),
)
OPERATIONS: dict[str, str] = {
    Operation.CHAT_ASSIGN: "visitor and operator hear of one another",
    Operation.CHAT_DELIVER: "a message is read",
    Operation.CHAT_STATUS: "the new status is heard",
}
WAITS = {
    "queue": "for an operator, since asking",
    "handover": "for the next operator, since the last one went",
}


class LiveChat(NamedTuple):
    """The section."""

    sentences: list[str]
    times: Table
    waits: Table
    outcomes: Table


def live_chat(subjects: Sequence[Subject]) -> LiveChat | None:
    """Outcomes, waits and latency of live chats; None if nobody asked."""
    shown = [one for one in subjects if one.summary.chats]
    if not shown:
        return None
    counts = [one.summary.chats for one in shown]
    rows = counted(shown, counts, KINDS, ASKED)
    return LiveChat(
        [_sentence(one) for one in shown],
        table(
            "Until it is heard, measured phase",
            DELIVERED_HEADS,
            DELIVERED_COLUMNS,
            delivered(shown, OPERATIONS),
        ),
        table(
            "Waiting for people, the whole run, warmup included",
            ["waited", *whose(subjects)],
            ["n", *COLUMNS],
            [_wait(one, part) for part in WAITS for one in shown if _waited(one, part).n],
        ),
        table(
            "What became of the chats of the whole run, warmup included",
            ["chats", *whose(subjects)],
            ["number", "of those who asked"],
            [*rows, *counted(shown, counts, ACTS, "")],
        ),
    )


def _waited(subject: Subject, part: str) -> Histogram:
    """Over all phases: how long people wait for people is no matter of the load's phase."""
    whole = Histogram()
    for row in subject.run.series:
        if row.operation == Operation.CHAT_ASSIGN and part in row.phases:
            whole.merge(row.phases[part])
    return whole


def _wait(subject: Subject, part: str) -> Row:
    return Row([Cell(WAITS[part]), *subject.who], of_histogram(_waited(subject, part)))


def _sentence(subject: Subject) -> str:
    known = subject.summary.chats
    asked, assigned = known.get(ASKED, 0), known.get("assigned", 0)
    delivered_within = median(subject, Operation.CHAT_DELIVER)
    waited = _waited(subject, "queue").quantile(0.5)
    handed = known.get("handed_over", 0)
    parts = [
        f"{subject.intro}{plural(asked, 'visitor')} asked for help, {count(assigned)} got an operator",
        f", half of them within {say_ms(waited / MS)}" if waited is not None else "",
        f"; {count(known['queued'])} had to queue" if known.get("queued") else "",
        f"; {count(handed)} {'was' if handed == 1 else 'were'} handed over" if handed else "",
        ".",
        f" A message was read within {delivered_within}." if delivered_within else "",
    ]
    return "".join(parts)
