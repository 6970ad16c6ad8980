"""What does a history come to in a few lines of a terminal?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.analysis.history import Night, gaps, inconclusive_in_a_row, jobs
from loadtest.report import history_words as words
from loadtest.report.history_tables import Points, changes, say_change
from loadtest.report.words import plural


def outline_history(nights: Sequence[Night], points: Points, off: str = "") -> list[str]:
    """A line for each job, below it what is to be known: gaps, nights without a decision, changes."""
    lines = []
    for name, of_job in jobs(nights).items():
        newest = of_job[-1]
        when = words.span(of_job[0].at, newest.at)
        lines.append(f"{name}: {plural(len(of_job), 'night')}, {when}; the newest: {newest.state}")
        lines += [f"  - {said}" for said in _holes(of_job)]
        lines += [f"  - {say_change(one)}" for one in changes(of_job, points)]
    if off:
        lines.append(f"change points are off: {off}")
    elif not any(points.values()):
        lines.append(f"no change in {plural(len(points), 'series', 'series')}")
    return lines


def _holes(nights: Sequence[Night]) -> list[str]:
    found = gaps(nights)
    lost = sum(gap.nights for gap in found if gap.begin != gap.end)
    useless = sum(gap.nights for gap in found if gap.begin == gap.end)
    said = [f"{lost} missing"] if lost else []
    said += [f"{useless} without values"] if useless else []
    row = inconclusive_in_a_row(nights)
    return ([", ".join(said)] if said else []) + ([f"the last {row} inconclusive"] if row > 1 else [])
