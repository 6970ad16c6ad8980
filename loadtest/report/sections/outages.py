"""What did the ways back look like, one beside another?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loadtest.analysis import backoff, staircase, storm, timeline, waterfall
from loadtest.analysis.storm import GENERATOR_BOUND, Gathering, Storm
from loadtest.analysis.waterfall import Outage
from loadtest.measure.units import SECOND, say_ms, say_seconds
from loadtest.report import charts, outage_charts
from loadtest.report.sections.figure import KeyEntry, Picture, fault_key, fault_words
from loadtest.report.subject import Subject
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import UNKNOWN, count, plural

CROWDS = 4
"""So many storms are drawn over one another; the table has them all."""
APART_S = 0.5
"""Outages that differ by less are one length: there is nothing to set against the policy's stairs."""


def pictures(subject: Subject) -> list[Picture]:
    """Who was there, the crowds coming back, the waits, one outage under another; those there is data for."""
    found = (_there(subject), _storms(subject), _waits(subject), _stairs(subject), _waterfall(subject))
    return [one for one in found if one is not None]


def _there(subject: Subject) -> Picture | None:
    track = timeline.connected_users(subject.run)
    if track is None or not track.values.size:
        return None
    spans, struck = timeline.spans(subject.run), timeline.fault_marks(subject.run)
    lowest, highest = int(track.values.min()), int(track.values.max())
    return Picture(
        f"In their rooms{subject.of}",
        charts.time_chart(
            [charts.Line(subject.accent, track, steps=True, width=2)],
            spans,
            f"there-{subject.slug}",
            marks=struck,
        ),
        f"{subject.label}: connections that were in their rooms, from {count(lowest)} to {count(highest)}.",
        " ".join(
            one
            for one in (
                "Connections that were in all of their rooms, from the start of measure.",
                fault_words(struck),
            )
            if one
        ),
        fault_key(struck),
    )


def _storms(subject: Subject) -> Picture | None:
    told = {one.fault: one for one in subject.summary.reconnection.storms}
    found = [
        (one, told[one.fault]) for one in storm.gatherings(subject.run) if one.times_ns and one.fault in told
    ]
    if not found:
        return None
    shown = found[:CROWDS]
    crowds = [_crowd(subject, gathering, row) for gathering, row in shown]
    bound = [row.fault for _, row in shown if row.verdict == GENERATOR_BOUND]
    verdict = (
        f"Generator-bound: {', '.join(bound)}; how fast the server could have taken them back is not shown."
        if bound
        else "The generator kept pace: these are the server's times and the policy's waits."
    )
    beyond = f" {CROWDS} of {len(found)} are drawn, the first ones." if len(found) > CROWDS else ""
    fainter = " Later ones are fainter." if len(shown) > 1 else ""
    return Picture(
        f"Coming back at once{subject.of}",
        outage_charts.storm_chart(crowds, f"storm-{subject.slug}"),
        f"{subject.label}: " + "; ".join(_storm_words(row) for _, row in shown) + ".",
        f"The share of those who set out to come back that was in its rooms again, over the time since the fault."
        f"{fainter}{beyond} {verdict}",
        [
            KeyEntry(shown[0][1].fault if len(shown) == 1 else "a fault each", subject.accent),
            KeyEntry(_marked(shown[0][1]) if len(shown) == 1 else "T50, T95, T99", subject.accent, "dot"),
        ],
    )


def _crowd(subject: Subject, gathering: Gathering, row: Storm) -> outage_charts.Crowd:
    seconds = np.array(gathering.times_ns, float) / SECOND
    shares = np.arange(1, seconds.size + 1) / max(gathering.returning, 1)
    marks = [
        (at, share)
        for at, share in ((row.t50_s, 0.5), (row.t95_s, 0.95), (row.t99_s, 0.99))
        if at is not None
    ]
    return outage_charts.Crowd(subject.accent, seconds, shares, marks)


def _marked(row: Storm) -> str:
    """``T50 1.02 s, T95 1.09 s``: what the dots on a curve stand for."""
    times = {"T50": row.t50_s, "T95": row.t95_s, "T99": row.t99_s}
    said = [f"{name} {say_ms(at * 1000)}" for name, at in times.items() if at is not None]
    return ", ".join(said) or "not half of them"


def _storm_words(row: Storm) -> str:
    reached = [
        f"{name} % within {say_ms(value * 1000)}"
        for name, value in (("50", row.t50_s), ("95", row.t95_s), ("99", row.t99_s))
        if value is not None
    ]
    back = f"{row.fault}: {count(row.back)} of {count(row.returning)} back"
    return f"{back}, {', '.join(reached) or 'fewer than half'}"


def _waits(subject: Subject) -> Picture | None:
    dots, bands = backoff.attempt_dots(subject.run), backoff.bands(subject.run)
    if not dots.attempt.size:
        return None
    rows = [one for one in subject.summary.reconnection.backoff if one.p50_s is not None]
    entries = [KeyEntry("an attempt", subject.accent, "dot")]
    if dots.late.any():
        entries.append(KeyEntry("began late: the generator's doing", "warn", "dot"))
    if bands is not None:
        entries.append(KeyEntry("as the policy says", "muted", "band"))
    kept = _kept(dots.attempt.size, dots.of, "attempts")
    return Picture(
        f"Waits before attempts{subject.of}",
        outage_charts.backoff_chart(dots, bands, subject.accent, f"backoff-{subject.slug}"),
        f"{subject.label}: "
        + ", ".join(
            f"attempt {one.attempt} after {say_ms((one.p50_s or 0) * 1000)} in the median" for one in rows
        )
        + ".",
        "From the failure before it, or the loss, to the start of an attempt; connecting itself is not in it."
        f"{kept}",
        entries,
    )


def _stairs(subject: Subject) -> Picture | None:
    """Only where outages were of several lengths; one length is one dot on the stairs."""
    found = staircase.ttj_vs_outage(subject.run)
    if not found.outage_s.size or float(found.outage_s.max() - found.outage_s.min()) < APART_S:
        return None
    entries = [KeyEntry("a connection", subject.accent, "dot")]
    if found.stairs is not None:
        entries.append(KeyEntry("what the policy's waits lead to", "muted", "band"))
    return Picture(
        f"Time to rejoin, by length of outage{subject.of}",
        outage_charts.rejoining_chart(found, subject.accent, f"stairs-{subject.slug}"),
        f"{subject.label}: {plural(found.of, 'connection')} out of reach for {_range(found.outage_s)}, back in "
        f"their rooms after {_range(found.ttj_s)}.",
        "Across: how long the server stayed out of reach after the loss was found out. Upwards: when the "
        "connection was back in its rooms. What lies above the stairs was not the policy's wait."
        f"{_kept(found.outage_s.size, found.of, 'connections')}",
        entries,
    )


def _kept(size: int, of: int, what: str) -> str:
    """Said where not all are drawn."""
    drawn = min(size, outage_charts.DOTS)
    return f" {count(drawn)} of {count(of)} {what} are drawn." if drawn < of else ""


def _range(seconds: npt.NDArray[np.float64]) -> str:
    return f"{say_seconds(float(seconds.min()))} to {say_seconds(float(seconds.max()))}"


def _waterfall(subject: Subject) -> Picture | None:
    found = waterfall.outages(subject.run)
    if not found.shown:
        return None
    entries = [
        KeyEntry("not found out yet", "muted", "dotted"),
        KeyEntry("waiting", "muted"),
        KeyEntry("attempt failed", "bad", "thick"),
        KeyEntry("connecting", subject.accent, "thick"),
        KeyEntry("rejoining", subject.accent),
        KeyEntry("probe heard", "ink", "dot"),
        KeyEntry("never came back", "bad"),
    ]
    there = {
        "not found out yet": any(one.fault_s is not None and one.fault_s < one.at_s for one in found.shown),
        "attempt failed": any(attempt.cause for one in found.shown for attempt in one.tries),
        "probe heard": any(one.heard_s is not None for one in found.shown),
        "never came back": any(not one.restored for one in found.shown),
    }
    longest = max(_length_s(one) for one in found.shown)
    beyond = " Lines that leave the picture go on." if longest > outage_charts.reach_s(found.shown) else ""
    return Picture(
        f"From the fault to the first probe{subject.of}",
        outage_charts.waterfall_chart(found.shown, subject.accent, f"outages-{subject.slug}"),
        f"{subject.label}: {plural(len(found.shown), 'outage')} of {count(found.of)}, the longest took "
        f"{say_seconds(longest)}.",
        f"A line per outage: {found.how}. From the fault, or where nobody provoked it, from the loss.{beyond}",
        [entry for entry in entries if there.get(entry.label, True)],
    )


def _length_s(one: Outage) -> float:
    return one.end_s - outage_charts.begin_s(one)


def each_table(subject: Subject) -> Table:
    """The outages of the waterfall in figures."""
    found = waterfall.outages(subject.run)
    columns = ["lost at", "+ found out", "attempts", "+ connected", "+ rejoined", "+ probe heard", "outage"]
    rows = [
        Row(
            [Cell(one.user), Cell(one.fault or "unprovoked"), Cell(one.cause)],
            [
                Cell(f"{one.at_s:.3f} s"),
                _after(one.at_s, one.fault_s),
                Cell(count(len(one.tries))),
                _after(one.back_s, one.at_s),
                _after(one.rejoined_s, one.back_s),
                _after(one.heard_s, one.rejoined_s),
                Cell(say_ms(_length_s(one) * 1000)),
            ],
        )
        for one in found.shown
    ]
    caption = f"Each outage{subject.of} ({plural(len(rows), 'shown', 'shown')} of {count(found.of)})"
    return table(caption, ["user", "fault", "cause"], columns, rows)


def _after(moment_s: float | None, before_s: float | None) -> Cell:
    if moment_s is None or before_s is None:
        return Cell(UNKNOWN, tone="quiet")
    return Cell(say_ms((moment_s - before_s) * 1000))
