"""What did a user's other devices see, who saw whom come and go, and did sessions get to WebSocket?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.figures import say_share
from loadtest.measure.histogram import Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.units import MS, say_ms
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

OPERATIONS: dict[str, str] = {
    Operation.PRESENCE_DELIVER: "others hear that somebody came or went",
    Operation.RECEIPT_DELIVER: "others see how far somebody read",
    Operation.TYPING_DELIVER: "others see that somebody writes",
}
OWN = "own_device"
SEEN = {
    Operation.MESSAGE_DELIVER: "a message",
    Operation.MESSAGE_ECHO: "a message of their own",
    Operation.RECEIPT_DELIVER: "how far the user read",
    Operation.TYPING_DELIVER: "that the user writes",
    Operation.CALL_RING: "that a call rings",
    Operation.CALL_ANSWER: "that a call was answered",
    Operation.CALL_DECLINE: "that a call was declined",
    Operation.CALL_STATUS: "the status of a call",
    Operation.CHAT_DELIVER: "a live chat message",
}


class Devices(NamedTuple):
    """The section."""

    title: str
    sentences: list[str]
    own: Table
    others: Table
    upgrades: Table


def devices(subjects: Sequence[Subject]) -> Devices | None:
    """Own devices, presence, upgrades and fallbacks; None if the runs had none of these."""
    several = [one for one in subjects if _number(one) > 1]
    present = [one for one in subjects if _heard(one, Operation.PRESENCE_DELIVER)]
    moved = [one for one in subjects if one.summary.upgrade]
    fell = [one for one in subjects if any(_fallbacks(one))]
    if not (several or present or moved or fell):
        return None
    topics = [
        word
        for word, shown in (
            ("presence", present),
            ("devices", several),
            ("upgrades", moved),
            ("fallbacks", fell),
        )
        if shown
    ]
    return Devices(
        _listed(topics).capitalize(),
        [
            sentence
            for one in subjects
            for sentence in (_of_devices(one), _of_presence(one), _of_upgrades(one), _of_fallbacks(one))
            if sentence
        ],
        table(
            "Until a user's other device has it, measured phase",
            ["the other device has", *whose(subjects)],
            ["n", *COLUMNS],
            [
                Row([Cell(says), *one.who], of_histogram(seen))
                for operation, says in SEEN.items()
                for one in several
                if (seen := _phase(one, operation, OWN)).n
            ],
        ),
        table(
            "Until others hear of it, measured phase",
            DELIVERED_HEADS,
            DELIVERED_COLUMNS,
            delivered([one for one in subjects if one in present or one in several], OPERATIONS),
        ),
        table(
            "Sessions that began with polling, and moved to WebSocket",
            ["transport"],
            ["moved", "stayed", "share moved", *COLUMNS],
            [_upgrade_row(one) for one in moved],
        ),
    )


def _listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _number(subject: Subject) -> int:
    told = subject.summary.run.parameters.get("devices")
    return told if isinstance(told, int) else 1


def _heard(subject: Subject, operation: str) -> bool:
    return any(
        row.name == operation and row.phase == Phase.MEASURE and row.expected
        for row in subject.summary.operations
    )


def _fallbacks(subject: Subject) -> tuple[int, int]:
    """How often a device took a lesser transport, and how often it got back to a better one."""
    counters = subject.run.manifest.counters
    return counters.get("fallbacks", 0), counters.get("climbs", 0)


def _phase(subject: Subject, operation: str, part: str, phase: str | None = Phase.MEASURE) -> Histogram:
    whole = Histogram()
    for row in subject.run.series:
        if row.operation == operation and part in row.phases and phase in (None, row.phase):
            whole.merge(row.phases[part])
    return whole


def _of_devices(subject: Subject) -> str:
    number = _number(subject)
    if number < 2:
        return ""
    whole = Histogram()
    for operation in SEEN:
        whole.merge(_phase(subject, operation, OWN).counts())
    middle = whole.quantile(0.5)
    if middle is None:
        return f"{subject.intro}Every user was connected with {number} devices."
    return (
        f"{subject.intro}Every user was connected with {number} devices; what happened on one, another had "
        f"within {say_ms(middle / MS)} in the median, {say_ms(whole.max_ns / MS)} at most."
    )


def _of_presence(subject: Subject) -> str:
    within = median(subject, Operation.PRESENCE_DELIVER)
    return f"{subject.intro}That somebody came or went others heard within {within}." if within else ""


def _of_upgrades(subject: Subject) -> str:
    moved, stayed = _upgrades(subject)
    whole = moved + stayed
    if not whole:
        return ""
    took = _phase(subject, Operation.SESSION_CONNECT, "upgrade", None).quantile(0.5)
    within = f", half of them within {say_ms(took / MS)} of asking" if took is not None else ""
    return (
        f"{subject.intro}{count(moved)} of {plural(whole, 'session')} that began with polling "
        f"({say_share(moved / whole)}) moved to WebSocket{within}."
    )


def _of_fallbacks(subject: Subject) -> str:
    fell, climbed = _fallbacks(subject)
    failed = subject.run.manifest.counters.get("climbs.failed", 0)
    if not (fell or climbed):
        return ""
    return (
        f"{subject.intro}Devices fell back to a lesser transport {plural(fell, 'time')}, and got back to a "
        f"better one {plural(climbed, 'time')}, in {plural(climbed + failed, 'attempt')}."
    )


def _upgrades(subject: Subject) -> tuple[int, int]:
    known = subject.summary.upgrade
    return known.get("ok", 0), known.get("failed", 0)


def _upgrade_row(subject: Subject) -> Row:
    moved, stayed = _upgrades(subject)
    took = of_histogram(_phase(subject, Operation.SESSION_CONNECT, "upgrade", None))
    share = say_share(moved / (moved + stayed)) if moved + stayed else "–"
    return Row(
        [Cell(subject.label, accent="" if subject.alone else subject.accent)],
        [Cell(count(moved)), Cell(count(stayed), tone="bad" if stayed else "quiet"), Cell(share), *took[1:]],
    )
