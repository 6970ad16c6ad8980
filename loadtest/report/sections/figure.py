"""What stands around a picture: its words for those who do not see it, and its key?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis import timeline
from loadtest.analysis.timeline import FaultMark
from loadtest.report.subject import Subject


class KeyEntry(NamedTuple):
    """A swatch and what it means; ``style``: line, dotted, limit, drop, heat, strike, band or dot."""

    label: str
    accent: str
    style: str = "line"


class Picture(NamedTuple):
    """A chart: ``svg`` is inline, ``alt`` says in words what is to be seen."""

    title: str
    svg: str
    alt: str
    caption: str
    key: list[KeyEntry]


def shared_spans(subjects: Sequence[Subject]) -> list[timeline.Span]:
    """The phases of runs that share a chart, if they are the same to the second; else one nameless span."""
    of_each = [timeline.spans(one.run) for one in subjects]
    whole = max((span.end_s for spans in of_each for span in spans), default=1.0)
    rounded = [[(span.phase, round(span.end_s)) for span in spans] for spans in of_each]
    return of_each[0] if all(one == rounded[0] for one in rounded) else [timeline.Span("", 0.0, whole)]


def key(subjects: Sequence[Subject], style: str = "line") -> list[KeyEntry]:
    """An entry per run."""
    return [KeyEntry(one.label, one.accent, style) for one in subjects]


NAMED = 6
"""So many faults are named below a chart; the table of faults has them all."""


def shared_marks(subjects: Sequence[Subject]) -> list[FaultMark]:
    """The faults of runs that share a chart; of those that struck in the same second of each, one."""
    found: dict[tuple[str, int], FaultMark] = {}
    for one in subjects:
        for mark in timeline.fault_marks(one.run):
            found.setdefault((mark.label, round(mark.at_s)), mark)
    return sorted(found.values(), key=lambda mark: (mark.at_s, mark.label))


def fault_key(shown: Sequence[FaultMark]) -> list[KeyEntry]:
    """What the lines and bands of faults mean."""
    found = []
    if any(mark.until_s is None for mark in shown):
        found.append(KeyEntry("a fault struck", "warn", "strike"))
    if any(mark.until_s is not None for mark in shown):
        found.append(KeyEntry("a fault lasted", "warn", "band"))
    return found


def fault_words(shown: Sequence[FaultMark]) -> str:
    """``Faults: abort#0 at 12 s, blackhole#1 from 30 s to 40 s.``; empty without any."""
    if not shown:
        return ""
    said = [_said(mark) for mark in shown[:NAMED]]
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return f"Faults: {', '.join(said)}{more}."


def _said(mark: FaultMark) -> str:
    begin = f"{round(mark.at_s, 1):g} s"
    return (
        f"{mark.label} at {begin}"
        if mark.until_s is None
        else f"{mark.label} from {begin} to {round(mark.until_s, 1):g} s"
    )
