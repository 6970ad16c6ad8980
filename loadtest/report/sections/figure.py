"""What stands around a picture: its words for those who do not see it, and its key?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis import timeline
from loadtest.report.subject import Subject


class KeyEntry(NamedTuple):
    """A swatch and what it means; ``style``: line, dotted, limit, drop or heat."""

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
