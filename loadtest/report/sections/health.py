"""Did the generator keep up, and how far was it from its limits?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis import generator, timeline, validity
from loadtest.analysis.figures import lag
from loadtest.analysis.generator import Vitals
from loadtest.analysis.hosts import HostRow
from loadtest.measure.histogram import Histogram
from loadtest.measure.units import MS, say_ms
from loadtest.report import charts
from loadtest.report.sections.figure import (
    KeyEntry,
    Picture,
    fault_key,
    key,
    shared_marks,
    shared_spans,
)
from loadtest.report.subject import Subject, whose
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN, count, percent, plural

STATES = {"valid": ("ok", "good"), "suspect": ("suspect", "warn"), "invalid": ("invalid", "bad")}
LAGS = {"send_lag": "send lag", "receive_lag": "receive lag", "loop_lag": "loop lag"}
LAG_COLUMNS = [f"{name} {what}" for name in LAGS.values() for what in ("p99", "max")]
CPU_LIMIT = next(rule.limit for rule in validity.RULES if rule.name == "generator CPU p95")


class Health(NamedTuple):
    """The section."""

    pictures: list[Picture]
    rules: Table
    workers: Table
    hosts: Table


def health(subjects: Sequence[Subject]) -> Health:
    """Every rule with its figure and limit, every worker, CPU and lags over time."""
    return Health(
        [*_cpu(subjects), *(_lags(one) for one in subjects if one.run.health)],
        table(
            "Signs of a generator at its limit: the worst worker in the measured phase",
            ["sign", *whose(subjects)],
            ["measured", "suspect past", "invalid past", "state"],
            _rules(subjects),
        ),
        table(
            "Generator processes in the measured phase",
            ["process", *whose(subjects)],
            ["CPU p95", "longest GC", "planned", "sent", *LAG_COLUMNS],
            [row for one in subjects for row in _workers(one)],
        ),
        table(
            "Machines that the users ran on, and their clocks by the master's",
            ["machine", *whose(subjects)],
            ["processes", "ahead by", "known to", "drift", "seconds agree to"],
            [_host(one, host) for one in subjects if _several(one) for host in one.summary.hosts],
        ),
    )


def _cpu(subjects: Sequence[Subject]) -> list[Picture]:
    tracks = [(one, track) for one in subjects for track in timeline.cpu(one.run).values()]
    if not tracks:
        return []
    highest = max(float(track.values.max()) for _, track in tracks)
    # A limit far above everything would press the lines flat.
    limits = [CPU_LIMIT] if highest > CPU_LIMIT / 3 else []
    limit_key = [KeyEntry("limit of p95", "bad", "limit")] if limits else []
    struck = shared_marks(subjects)
    return [
        Picture(
            "CPU of the generator",
            charts.time_chart(
                [charts.Line(one.accent, track) for one, track in tracks],
                shared_spans(subjects),
                "cpu",
                limits=limits,
                marks=struck,
            ),
            f"CPU of {plural(len(tracks), 'process', 'processes')}, at most {percent(highest)} of a core.",
            f"Percent of one core, a line per process; p95 over the measured phase may be {CPU_LIMIT:g} %.",
            [*key(subjects), *limit_key, *fault_key(struck)],
        )
    ]


def _lags(subject: Subject) -> Picture:
    tracks = {name: timeline.lag_p99(subject.run, name) for name in LAGS}
    struck = timeline.fault_marks(subject.run)
    styles = {
        "send_lag": ("ink", "solid"),
        "receive_lag": (subject.accent, "solid"),
        "loop_lag": ("muted", "dotted"),
    }
    return Picture(
        f"Lags of the generator{subject.of}",
        charts.time_chart(
            [charts.Line(styles[name][0], track, styles[name][1]) for name, track in tracks.items()],
            timeline.spans(subject.run),
            f"lags-{subject.slug}",
            marks=struck,
        ),
        f"{subject.label}: p99 per second of send lag, receive lag and loop lag.",
        "p99 of every second, in milliseconds, of the process that was worst in it.",
        [
            *(
                KeyEntry(LAGS[name], accent, "dotted" if style == "dotted" else "line")
                for name, (accent, style) in styles.items()
            ),
            *fault_key(struck),
        ],
    )


def _rules(subjects: Sequence[Subject]) -> list[Row]:
    """A row per rule and run, runs in neighbouring rows."""
    read = [
        (one, validity.readings(generator.vitals(one.run), validity.scale_of(one.run))) for one in subjects
    ]
    return [_rule(one, readings[index]) for index in range(len(validity.RULES)) for one, readings in read]


def _rule(subject: Subject, reading: validity.Reading) -> Row:
    unit = reading.rule.unit
    word, tone = STATES[reading.state] if reading.value is not None else ("not measured", "quiet")
    past = reading.invalid_past
    return Row(
        [Cell(reading.rule.name), *subject.who],
        [
            known(UNKNOWN if reading.value is None else validity.say(reading.value, unit.split(" ")[0])),
            Cell(validity.say_limit(reading.limit, unit)),
            known(UNKNOWN if math.isinf(past) else validity.say_limit(past, unit)),
            Cell(word, tone=tone),
        ],
    )


def _workers(subject: Subject) -> list[Row]:
    return [_worker(subject, one) for one in generator.vitals(subject.run)]


def _worker(subject: Subject, one: Vitals) -> Row:
    return Row(
        [Cell(one.worker), *subject.who],
        [
            Cell(percent(one.cpu_p95)),
            Cell(say_ms(one.gc_pause_ns / MS)),
            Cell(count(one.planned)),
            Cell(count(one.sent)),
            *(cell for name in LAGS for cell in _lag(getattr(one, name))),
        ],
    )


def _several(subject: Subject) -> bool:
    """Whether there is more to say than where the master was."""
    hosts = subject.summary.hosts
    return len(hosts) > 1 or any(not one.same_clock for one in hosts)


def _host(subject: Subject, host: HostRow) -> Row:
    clock = [Cell("the master's clock"), *(known(UNKNOWN) for _ in range(3))]
    if not host.same_clock:
        drift = UNKNOWN
        if host.drift_ppm is not None:
            drift = f"{host.drift_ppm:.0f} ± {host.drift_bound_ppm or 0:.0f} ppm"
        clock = [
            Cell(_ahead(host.offset_ms or 0.0)),
            Cell(f"± {say_ms(host.bound_ms)}"),
            known(drift),
            known(UNKNOWN if host.axis_ms is None else f"± {say_ms(host.axis_ms)}"),
        ]
    return Row([Cell(host.host), *subject.who], [Cell(", ".join(host.workers)), *clock])


def _ahead(offset_ms: float) -> str:
    """With its sign: a clock that counts from another boot may be days behind."""
    return f"{'−' if offset_ms < 0 else ''}{say_ms(abs(offset_ms))}"


def _lag(histogram: Histogram) -> list[Cell]:
    figures = lag(histogram)
    return [known(say_ms(figures.p99)), known(say_ms(figures.max))]
