"""How long did deliveries take, at every percentile and over time?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis import timeline
from loadtest.analysis.figures import NEEDED, STATISTICS
from loadtest.analysis.series import Series, measured
from loadtest.analysis.spectrum import spectrum
from loadtest.analysis.summary import OperationRow
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.units import SECOND, say_between_ms, say_ms
from loadtest.report import charts
from loadtest.report.sections.durations import cells
from loadtest.report.sections.figure import KeyEntry, Picture, fault_key, fault_words, key
from loadtest.report.subject import MAIN, Subject, by_operation, measured_operations, whose
from loadtest.report.table import Cell, Row, Table, table
from loadtest.report.words import STATISTIC_NAMES, count, plural, tick_percentile

COLUMNS = ["n", *(STATISTIC_NAMES[name] for name in STATISTICS)]

FEW = "carried by few values, or by few seconds of the run: see its interval"


class Latency(NamedTuple):
    """The section."""

    title: str
    pictures: list[Picture]
    table: Table
    receive_lag: list[str]


def latency(subjects: Sequence[Subject]) -> Latency:
    """Spectrum and heat maps of what the runs are there for, figures of everything, receive lag."""
    main, *others = measured_operations([one.summary for one in subjects]) or [Operation.MESSAGE_DELIVER]
    drawn = [main, *(one for one in others if _worth_drawing(subjects, one))]
    rows = [
        line
        for one, row in by_operation(subjects, [Phase.MEASURE])
        if row.expected
        for line in _rows(one, row)
    ]
    return Latency(
        MAIN[main],
        [picture for one in drawn for picture in (*_spectrum(subjects, one), *_heat_maps(subjects, one))],
        table(
            "Response and service times of the measured phase",
            ["operation", *whose(subjects), "counted from"],
            COLUMNS,
            rows,
        ),
        [_receive_lag(one) for one in subjects],
    )


def _worth_drawing(subjects: Sequence[Subject], operation: Operation) -> bool:
    """Whether there are enough for a p95; of a handful, the table says all there is to say."""
    return any(measured(one.run, operation).expected >= NEEDED["p95"] for one in subjects)


def _spectrum(subjects: Sequence[Subject], operation: Operation) -> list[Picture]:
    series = [(one, measured(one.run, operation)) for one in subjects]
    shown = [(one, of) for one, of in series if of.latency.n]
    if not shown:
        return []
    spectra = [(one, of, spectrum(of)) for one, of in shown]
    curves = [charts.Curve(one.accent, it) for one, _, it in spectra]
    svg = charts.spectrum_chart(curves, f"spectrum{_slug(operation)}")
    entries = key([one for one, _ in shown])
    entries.append(KeyEntry("beyond what n supports", "ink", "dotted"))
    if any(of.expected > of.latency.n for _, of in shown):
        entries.append(KeyEntry("the rest never came in time", "bad", "end"))
    return [
        Picture(
            f"{MAIN[operation]} at every percentile",
            svg,
            " ".join(_spectrum_words(one, of) for one, of in shown),
            f"{operation}, from the planned moment to receipt, over all expected deliveries. "
            "Both axes are logarithmic: every step to the right looks at ten times rarer deliveries. "
            + " ".join(
                f"{one.intro}n = {count(of.expected)} carries up to {_last_carried(it.supported)}."
                for one, of, it in spectra
            ),
            entries,
        )
    ]


def _slug(operation: Operation) -> str:
    """Part of an id: the pictures of messages have the plain ones."""
    return "" if operation == Operation.MESSAGE_DELIVER else f"-{operation.replace('.', '-')}"


def _last_carried(inverse: float) -> str:
    """Rounded down to a percentile people name: p99 rather than p99.0163."""
    nines = [2.0, 4.0, *(step * 10.0**k for k in range(1, 8) for step in (1, 2, 5))]
    return tick_percentile(max((one for one in nines if one <= inverse), default=2.0))


def _spectrum_words(subject: Subject, of: Series) -> str:
    said = [
        f"{name} {say_ms(None if ns is None else ns / 1e6)}"
        for name, q in (("median", 0.5), ("p95", 0.95))
        if (ns := of.latency.quantile(q, of=of.expected)) is not None
    ]
    slowest = say_ms(of.latency.max_ns / 1e6)
    return f"{subject.label}: {', '.join([*said, f'slowest {slowest}'])}."


def _heat_maps(subjects: Sequence[Subject], operation: Operation) -> list[Picture]:
    scale = timeline.latency_range([one.run for one in subjects], operation)
    if scale is None:
        return []
    return [_heat_map(one, operation, *scale) for one in subjects]


def _heat_map(subject: Subject, operation: Operation, low_ms: float, high_ms: float) -> Picture:
    run = subject.run
    heat = timeline.heat_map(run, operation, low_ms, high_ms)
    drops_s = sorted(drop.at_ns / SECOND for drop in run.drops)
    spans, struck = timeline.spans(run), timeline.fault_marks(run)
    name = f"heat{_slug(operation)}-{subject.slug}"
    svg = charts.heat_chart(heat, spans, drops_s, subject.accent, name, struck)
    entries = [KeyEntry("stronger: more deliveries", subject.accent, "heat"), *fault_key(struck)]
    if drops_s:
        entries.append(KeyEntry("a connection was lost", "bad", "drop"))
    per = "second" if heat.column_s == 1 else f"{heat.column_s} seconds"
    total = int(heat.counts.sum())
    what = "Latency" if operation == Operation.MESSAGE_DELIVER else MAIN[operation]
    said = [
        f"A column per {per} of planned time. Lines mark the phases: {_phases(spans)}.",
        fault_words(struck),
    ]
    return Picture(
        f"{what} over time{subject.of}",
        svg,
        f"{subject.label}: {plural(total, 'delivery', 'deliveries')} by the second they were planned for, "
        f"between {say_ms(low_ms)} and {say_ms(high_ms)}; {plural(len(drops_s), 'connection')} lost.",
        " ".join(one for one in said if one),
        entries,
    )


def _phases(spans: Sequence[timeline.Span]) -> str:
    """``connect to 2 s, warmup to 5 s, measure to 27 s``."""
    return ", ".join(f"{span.phase} to {round(span.end_s, 1):g} s" for span in spans)


def _rows(subject: Subject, row: OperationRow) -> list[Row]:
    """From the planned moment, and below it from the sending."""
    heads = [Cell(row.name), *subject.who]
    why = {name: FEW for name, tier in row.tiers.items() if tier == "low"} | row.why
    found = [
        Row(
            [*heads, Cell("planned moment")],
            [Cell(count(row.n)), *cells(row.latency_ms, why, "", STATISTICS)],
            True,
        )
    ]
    again = [cell._replace(tone="again") for cell in heads]
    if row.ci95:
        ends = [row.ci95.get(name) for name in STATISTICS]
        intervals = [Cell("" if one is None else say_between_ms(*one), tone="quiet") for one in ends]
        found.append(Row([*again, Cell("its 95 % interval", tone="quiet")], [Cell(""), *intervals]))
    # A poll is sent when it is due: its service time would repeat the row above.
    if row.service_ms.mean is not None and row.name != Operation.POLL_REQUEST:
        after = [Cell(""), *cells(row.service_ms, row.why, "service_ms.", STATISTICS)]
        found.append(Row([*again, Cell("sending", tone="quiet")], after))
    return found


def _receive_lag(subject: Subject) -> str:
    lag = subject.summary.validity.receive_lag_ms
    if lag.p50 is None:
        return f"{subject.intro}Receive lag is not known: no arrival times of the kernel were recorded."
    figures = f"median {say_ms(lag.p50)}, p99 {say_ms(lag.p99)}, longest {say_ms(lag.max)}"
    return (
        f"{subject.intro}Receive lag, from the kernel's arrival stamp to our read, is part of these numbers "
        f"and is the generator's own: {figures}."
    )
