"""What became of the calls, and how soon did it ring?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtest.measure.operations import Operation
from loadtest.report.sections.counted import Kind, counted
from loadtest.report.sections.durations import DELIVERED_COLUMNS, DELIVERED_HEADS, delivered, median
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Table, table
from loadtest.report.words import count, plural

DIALLED = "dialled"
KINDS = (
    Kind(DIALLED, "dialled", part=True, always=True),
    Kind("answered", "answered", part=True, always=True),
    Kind("declined", "declined", part=True, always=True),
    Kind("hung_up", "hung up by the caller before an answer", part=True, always=True),
    Kind("missed", "missed: it rang until the server's timeout", part=True, always=True),
    Kind("busy", "refused: the callee was busy", part=True, always=True),
    Kind("offline", "refused: the callee was offline", part=True, always=True),
    Kind("engaged", "not dialled: the caller was on the phone"),
    Kind("raced", "second answers, on another device, refused"),
    Kind("too_late", "answers after the end, refused"),
    Kind("over_already", "hung up or declined after the end"),
    Kind("unsaid", "hung up or declined while not connected"),
    Kind("resumed", "still going on after a reconnection"),
    Kind("gone", "over after a reconnection"),
    Kind("status_unknown", "unknown after a reconnection", bad=True),
    Kind("stale_rings", "rings that came after the end", bad=True, always=True),
    Kind("ghost_rings", "devices that rang on after the end", bad=True, always=True),
    Kind("two_winners", "calls won by two devices", bad=True, always=True),
)
OPERATIONS: dict[str, str] = {
    Operation.CALL_RING: "a device of the callee rings",
    Operation.CALL_CONNECTED: "the caller is connected",
    Operation.CALL_ANSWER: "the others hear of the answer",
    Operation.CALL_DECLINE: "the others hear that it was declined",
    Operation.CALL_STATUS: "the others hear of the new status",
}


class Calls(NamedTuple):
    """The section."""

    sentences: list[str]
    times: Table
    outcomes: Table


def calls(subjects: Sequence[Subject]) -> Calls | None:
    """Outcomes and latency of calls; None if nobody called."""
    shown = [one for one in subjects if one.summary.calls]
    if not shown:
        return None
    counts = [one.summary.calls for one in shown]
    return Calls(
        [_sentence(one) for one in shown],
        table(
            "Until it is heard, measured phase",
            DELIVERED_HEADS,
            DELIVERED_COLUMNS,
            delivered(shown, OPERATIONS),
        ),
        table(
            "What became of the calls of the whole run, warmup included",
            ["calls", *whose(subjects)],
            ["number", "of those dialled"],
            counted(shown, counts, KINDS, DIALLED),
        ),
    )


def _sentence(subject: Subject) -> str:
    known = subject.summary.calls
    said = [f"{count(known[key])} {words}" for key, words in BRIEF.items() if known.get(key)]
    rings = median(subject, Operation.CALL_RING)
    connected = median(subject, Operation.CALL_CONNECTED)
    return (
        f"{subject.intro}Of {plural(known.get(DIALLED, 0), 'call')} {', '.join(said) or 'none was answered'}."
        + (f" It rang within {rings}." if rings else "")
        + (
            f" From dialling to being connected, without the time a person took to pick up: {connected}."
            if connected
            else ""
        )
        + _wrong(known)
    )


BRIEF = {
    "answered": "were answered",
    "declined": "declined",
    "hung_up": "given up by the caller",
    "missed": "missed",
    "busy": "found the callee busy",
    "offline": "found the callee offline",
}


def _wrong(known: Mapping[str, int]) -> str:
    wrong = [f"{kind.says} ({count(known[kind.key])})" for kind in KINDS if kind.bad and known.get(kind.key)]
    return f" Wrong: {', '.join(wrong)}." if wrong else ""
