"""How often did something end one way or another, and what share of the whole is that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtest.analysis.figures import say_share
from loadtest.report.subject import Subject
from loadtest.report.table import Cell, Row
from loadtest.report.words import count


class Kind(NamedTuple):
    """A way to end: ``key`` among the counts, and in words.

    part: a share of the whole. bad: more than none of it is a fault of the server. always: none of it is worth
    saying too.
    """

    key: str
    says: str
    part: bool = False
    bad: bool = False
    always: bool = False


def counted(
    subjects: Sequence[Subject], counts: Sequence[Mapping[str, int]], kinds: Sequence[Kind], whole: str
) -> list[Row]:
    """A row per kind and run; runs in neighbouring rows. ``whole``: the key of what shares are of."""
    shown = [kind for kind in kinds if kind.always or any(one.get(kind.key) for one in counts)]
    return [
        _row(kind, subject, of, whole)
        for kind in shown
        for subject, of in zip(subjects, counts, strict=True)
        if of
    ]


def _row(kind: Kind, subject: Subject, counts: Mapping[str, int], whole: str) -> Row:
    n, of = counts.get(kind.key, 0), counts.get(whole, 0)
    tone = "quiet" if not n else "bad" if kind.bad else ""
    share = say_share(n / of) if of and kind.part else ""
    return Row(
        [Cell(kind.says), *subject.who],
        [Cell(count(n), tone=tone), Cell(share, tone="quiet")],
    )
