"""What did the target spend, and did its memory grow?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from loadtest.analysis.server import ONE_PROCESS, UNTOLD, ServerFigures
from loadtest.analysis.timeline import Track
from loadtest.measure.rows import ServerRow
from loadtest.measure.units import say_bytes, say_ms
from loadtest.report import charts
from loadtest.report.sections.figure import Picture, fault_key, fault_words, key, shared_marks, shared_spans
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import count, percent

MEGABYTE = 1_000_000
LEAST_MB = 0.1
"""A change of less is none: pages of memory come and go."""
Say = Callable[[ServerFigures], str]


def _cpu_s(of: ServerFigures) -> str:
    seconds = of.cpu_s_per_1000_deliveries
    return say_ms(None if seconds is None else seconds * 1000)


FIGURES: Mapping[str, tuple[str, Say]] = {
    "cpu_percent_mean": ("CPU, mean", lambda of: percent(of.cpu_percent_mean, 1)),
    "cpu_percent_p95": ("CPU, p95 of the seconds", lambda of: percent(of.cpu_percent_p95, 1)),
    "cpu_percent_busiest": (
        "CPU of its busiest process, mean",
        lambda of: percent(of.cpu_percent_busiest, 1),
    ),
    "cpu_s_per_1000_deliveries": ("CPU time for 1,000 deliveries", _cpu_s),
    "rss_bytes_max": ("memory, at most", lambda of: say_bytes(of.rss_bytes_max)),
    "rss_bytes_per_hour": ("memory, growth per hour", lambda of: _signed(of.rss_bytes_per_hour)),
    "loop_lag_ms_p99_median": (
        "lag of its loop, p99: median of what it told",
        lambda of: say_ms(of.loop_lag_ms_p99_median),
    ),
    "loop_lag_ms_p99_max": (
        "lag of its loop, p99: worst that it told",
        lambda of: say_ms(of.loop_lag_ms_p99_max),
    ),
    "descriptors_max": ("open files and sockets, at most", lambda of: count(of.descriptors_max)),
}
_NOTHING_TO_SAY = (UNTOLD, ONE_PROCESS)


class Server(NamedTuple):
    """The section."""

    sentences: list[str]
    pictures: list[Picture]
    table: Table


def server(subjects: Sequence[Subject]) -> Server | None:
    """CPU, memory and loop lag of the target; None where no target told any of them."""
    shown = [(one, one.summary.server) for one in subjects if one.summary.server is not None]
    if not shown:
        return None
    told = [one for one, _ in shown]
    return Server(
        [
            *(said for one, figures in shown if (said := _sentence(one, figures))),
            *(f"{one.intro}These figures are from {named}." for one in told if (named := _source(one))),
        ],
        [*_cpu(told), *_memory(told), *_lag(told), *_sockets(told)],
        table(
            "The server in the measured phase"
            + ("" if any(map(_source, told)) else ", by what it says of itself"),
            ["figure", *whose(subjects)],
            ["value"],
            [
                _row(one, figures, name)
                for name in FIGURES
                if any(figures.why.get(name) not in _NOTHING_TO_SAY for _, figures in shown)
                for one, figures in shown
            ],
        ),
    )


def _row(subject: Subject, figures: ServerFigures, name: str) -> Row:
    label, say = FIGURES[name]
    return Row([Cell(label), *subject.who], [known(say(figures), figures.why.get(name, ""))])


def _source(subject: Subject) -> str:
    """Who told all this; empty: a run of older days, in which nobody but the server itself could."""
    return str(subject.run.manifest.parameters.get("server_metrics") or "")


def _sentence(subject: Subject, figures: ServerFigures) -> str:
    """How memory went, and how sure that is."""
    slope, ends = figures.rss_percent_per_hour, figures.ci95.get("rss_percent_per_hour")
    if slope is None or ends is None:
        return ""
    low, high = ends
    where = "the longest stage" if subject.summary.stages else "measure"
    if low <= 0 <= high:
        said = f"Memory neither grew nor shrank for sure over {where}"
    else:
        said = f"Memory {'grew' if slope > 0 else 'shrank'} over {where}"
    short = figures.why.get("rss_percent_per_hour", "")
    return (
        f"{subject.intro}{said}: {slope:+.2g} % per hour, with 95 % between {low:+.2g} and {high:+.2g} %"
        + (f"; {short}." if short else ".")
    )


def _signed(value: float | None) -> str:
    return say_bytes(value) if value is None or value < 0 else f"+{say_bytes(value)}"


def _cpu(subjects: Sequence[Subject]) -> list[Picture]:
    tracks = _tracks(subjects, lambda row: row.cpu_percent)
    highest = max((float(track.values.max()) for _, track in tracks), default=0.0)
    said = f"CPU of the server, at most {percent(highest)} of a core."
    return _picture(subjects, tracks, "CPU of the server", "server-cpu", said, "Percent of one core.")


def _memory(subjects: Sequence[Subject]) -> list[Picture]:
    """What it had beyond its least: on a scale from nothing, a leak of a percent an hour is a flat line."""
    tracks = _tracks(subjects, lambda row: row.rss_bytes / MEGABYTE)
    least = [float(track.values.min()) for _, track in tracks]
    above = [track._replace(values=track.values - low) for (_, track), low in zip(tracks, least, strict=True)]
    if max((float(track.values.max()) for track in above), default=0.0) < LEAST_MB:
        said = "; ".join(f"{one.intro}{say_bytes(track.values.max() * MEGABYTE)}" for one, track in tracks)
        title, drawn = "Memory of the server", tracks
        caption = "Resident memory in MB; it did not change."
    else:
        said = "; ".join(
            f"{one.intro}{say_bytes(low * MEGABYTE)} at least, {say_bytes(track.values.max() * MEGABYTE)} more "
            "at most"
            for (one, _), low, track in zip(tracks, least, above, strict=True)
        )
        title = "Memory of the server above its least"
        drawn = [(one, track) for (one, _), track in zip(tracks, above, strict=True)]
        caption = f"Resident memory in MB beyond the least that it had: {said}."
    return _picture(
        subjects, drawn, title, "server-memory", f"Resident memory of the server: {said}.", caption
    )


def _lag(subjects: Sequence[Subject]) -> list[Picture]:
    tracks = _tracks(subjects, lambda row: row.loop_lag_ms)
    highest = max((float(track.values.max()) for _, track in tracks), default=0.0)
    said = f"Lag of the server's event loop, at most {say_ms(highest)}."
    return _picture(
        subjects, tracks, "Lag of the server's event loop", "server-lag", said, "Milliseconds, p99."
    )


def _sockets(subjects: Sequence[Subject]) -> list[Picture]:
    """By its own count of connections, or, of who has none, by all that it has open."""
    tracks = _tracks(subjects, lambda row: row.sockets if row.sockets >= 0 else row.descriptors)
    highest = max((float(track.values.max()) for _, track in tracks), default=0.0)
    counted = any(row.sockets >= 0 for one in subjects for row in one.run.server)
    what = "connections, by its own count" if counted else "files and sockets that it has open"
    said = f"Open sockets of the server: {what}, at most {count(round(highest))}."
    caption = f"{what[0].upper()}{what[1:]}."
    return _picture(subjects, tracks, "Open sockets of the server", "server-sockets", said, caption)


def _tracks(subjects: Sequence[Subject], of: Callable[[ServerRow], float]) -> list[tuple[Subject, Track]]:
    """What each told, with the seconds in which it did; runs that told nothing of it are left out."""
    found = []
    for one in subjects:
        told = [(row.second, of(row)) for row in one.run.server if of(row) >= 0]
        if told:
            seconds, values = zip(*told, strict=True)
            found.append((one, Track(np.array(seconds, float), np.array(values, float))))
    return found


def _picture(
    subjects: Sequence[Subject],
    tracks: Sequence[tuple[Subject, Track]],
    title: str,
    name: str,
    alt: str,
    caption: str,
) -> list[Picture]:
    if not tracks:
        return []
    struck = shared_marks(subjects)
    return [
        Picture(
            title,
            charts.time_chart(
                [charts.Line(one.accent, track) for one, track in tracks],
                shared_spans(subjects),
                name,
                marks=struck,
            ),
            alt,
            " ".join(part for part in (caption, fault_words(struck)) if part),
            [*key([one for one, _ in tracks]), *fault_key(struck)],
        )
    ]
