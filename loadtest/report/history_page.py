"""What does the page of all nights say? Each job in pictures, then its changes, gaps and nights in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.history import (
    NIGHTS_AFTER,
    NIGHTS_BEFORE_USE,
    STATES,
    ChangePoint,
    Night,
    breaks,
    gaps,
    inconclusive_in_a_row,
    jobs,
    metrics,
    series,
)
from loadtest.report import history_words as words
from loadtest.report.history_chart import Calendar, Drawn, history_chart
from loadtest.report.history_tables import (
    Points,
    changes,
    changes_table,
    gaps_table,
    nights_table,
    say_change,
)
from loadtest.report.sections.figure import KeyEntry, Picture
from loadtest.report.subject import OTHERS
from loadtest.report.table import Table
from loadtest.report.template import fill, sentence
from loadtest.report.words import plural

ACCENTS = ("websocket", *OTHERS, "upgrade", "long-polling")
UNFOLDED = 31
"""A table of more nights than in a month is folded up."""

CHANGES_SAID = 6
"""So many changes are said above; the tables of the jobs have them all."""


class Job(NamedTuple):
    """One job: ``slug`` is its place on the page, ``machines`` a swatch each if there is more than one."""

    name: str
    slug: str
    sentences: list[str]
    machines: list[KeyEntry]
    pictures: list[Picture]
    changes: Table
    gaps: Table
    nights: Table
    unfolded: bool


class Page(NamedTuple):
    """The whole page; ``state``: what is known of changes (``worse``, ``better``, ``steady``, ``off``)."""

    subtitle: list[str]
    state: str
    badge: str
    says: list[str]
    jobs: list[Job]


def render_history(nights: Sequence[Night], points: Points, off: str = "") -> str:
    """One self-contained HTML page. ``off``: why there are no change points, and how to get them.

    The same nights and points give the same bytes. Raises ValueError if there is no night.
    """
    if not nights:
        raise ValueError("no nights: there is no page of none")
    return fill("history.html.j2", page=view(nights, points, off))


def view(nights: Sequence[Night], points: Points, off: str) -> Page:
    """The page in words and pictures."""
    of_each = jobs(nights)
    first, last = (pick(night.at for night in nights) for pick in (min, max))
    subtitle = [plural(len(nights), "night"), plural(len(of_each), "job"), words.span(first, last)]
    shown = [
        _job(name, f"j{number}", of_job, points) for number, (name, of_job) in enumerate(of_each.items(), 1)
    ]
    if off:
        return Page(subtitle, "off", "Change points are off", [sentence(off.replace("`", ""))], shown)
    found = changes(nights, points)
    if found:
        says = [
            f"{one.series.job}: {say_change(one)}" if len(of_each) > 1 else say_change(one) for one in found
        ]
        if len(says) > CHANGES_SAID:
            says[CHANGES_SAID:] = [f"and {len(says) - CHANGES_SAID} more, below"]
        state = "worse" if any(one.point.after > one.point.before for one in found) else "better"
        return Page(subtitle, state, plural(len(found), "change"), says, shown)
    return Page(subtitle, "steady", "No change", [_looked_at(points)], shown)


def _looked_at(points: Points) -> str:
    looked_at = plural(len(points), "series", "series")
    return (
        f"Apache Otava looked at {looked_at} of {NIGHTS_BEFORE_USE} nights and more; "
        f"a change is shown once {NIGHTS_AFTER} nights lie after it."
    )


def _job(name: str, slug: str, nights: list[Night], points: Points) -> Job:
    accents = _accents(nights)
    calendar = Calendar(nights, gaps(nights))
    of_job = series(nights)
    pictures = []
    for number, metric in enumerate(metrics(nights), 1):
        drawn = [
            Drawn(one, accents[one.fingerprint], points.get((name, one.fingerprint, metric), ()))
            for one in of_job
            if one.metric == metric
        ]
        pictures.append(_picture(metric, drawn, calendar, f"{slug}m{number}"))
    machines = [KeyEntry(words.machine(one), accent, "dot") for one, accent in accents.items()]
    return Job(
        name,
        slug,
        sentences(nights),
        machines if len(machines) > 1 else [],
        pictures,
        changes_table(changes(nights, points)),
        gaps_table(calendar.gaps),
        nights_table(nights, accents),
        len(nights) <= UNFOLDED,
    )


def sentences(nights: Sequence[Night]) -> list[str]:
    """How many nights of one job there were, how they ended, which are missing, on which machines."""
    ended = {state: sum(night.state == state for night in nights) for state in STATES}
    how = ", ".join(f"{number} {state}" for state, number in ended.items() if number)
    said = [f"{plural(len(nights), 'night')}: {how}."]
    missing = [gap for gap in gaps(nights) if gap.begin != gap.end]
    if lost := sum(gap.nights for gap in missing):
        said.append(f"{plural(lost, 'night')} missing, in {plural(len(missing), 'gap')}.")
    row = inconclusive_in_a_row(nights)
    if row > 1:
        said.append(f"The last {row} were inconclusive.")
    machines = len({night.fingerprint for night in nights})
    if machines > 1:
        said.append(f"They ran on {machines} machines; only nights on the same one are compared.")
    return said


def _accents(nights: Sequence[Night]) -> dict[str, str]:
    """A colour for each machine, in the order of their first nights; the last is shared by all that follow."""
    machines = dict.fromkeys(night.fingerprint for night in nights)
    return {one: ACCENTS[min(index, len(ACCENTS) - 1)] for index, one in enumerate(machines)}


def _picture(metric: str, drawn: list[Drawn], calendar: Calendar, slug: str) -> Picture:
    points = [point for one in drawn for point in one.points]
    return Picture(
        words.name(metric),
        history_chart(drawn, calendar, slug),
        _alt(metric, drawn, points),
        "",
        _key(calendar, points),
    )


def _alt(metric: str, drawn: Sequence[Drawn], points: Sequence[ChangePoint]) -> str:
    values = [value for one in drawn for value in one.series.values]
    low, high = (words.say(metric, pick(values)) for pick in (min, max))
    said = f"{words.name(metric)} of {plural(len(values), 'night')}, between {low} and {high}"
    changed = [f"{words.change(point.percent)} on {words.day(point.at)}" for point in points]
    return f"{said}; changes: {', '.join(changed)}." if changed else f"{said}."


def _key(calendar: Calendar, points: Sequence[ChangePoint]) -> list[KeyEntry]:
    """What is to be seen beside the values, as far as it is there."""
    found = []
    if any(gap.begin != gap.end for gap in calendar.gaps):
        found.append(KeyEntry("nights missing", "warn", "band"))
    if any(gap.begin == gap.end for gap in calendar.gaps):
        found.append(KeyEntry("night without values", "warn", "cross"))
    if breaks(calendar.nights):
        found.append(KeyEntry("another machine", "muted", "edge"))
    if any(point.after > point.before for point in points):
        found.append(KeyEntry("got worse", "bad", "strike"))
    if any(point.after < point.before for point in points):
        found.append(KeyEntry("got better", "ink", "strike"))
    return found
