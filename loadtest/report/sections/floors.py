"""How much of what was measured is the harness itself?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtest.analysis.compare import main_row
from loadtest.analysis.figures import Figures, figures
from loadtest.analysis.floors import (
    C0,
    C1,
    C2,
    LIMITED,
    OF_LIMIT,
    OF_RESULT,
    Floor,
    Floors,
    beside,
    tightest_ms,
)
from loadtest.analysis.series import Series, measured
from loadtest.analysis.spectrum import spectrum
from loadtest.measure.units import say_ms, say_rate
from loadtest.report import charts
from loadtest.report.sections.figure import KeyEntry, Picture
from loadtest.report.subject import MAIN, Subject, main_operation
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.template import sentence
from loadtest.report.words import STATISTIC_NAMES, count, plural, transport_name

NAMES = {
    C0: "C0: kernel and loop",
    C1: "C1: null server, hardly anybody there",
    C2: "C2: null server, this load",
}
ACCENTS = {C0: "other-3", C1: "other-2", C2: "other-1"}
SHOWN = ("p50", "p95", "p99")
WHAT_THEY_ARE = (
    "C0 is a message that a bare process sends back: from before it is written until all of it was read again. It "
    "is not halved, since a delivery too goes to a server and from there to its reader. C1 and C2 are runs like "
    "any other, against a server that only passes on what is said; C1 with ten users, C2 with the load named here."
)
RULE = (
    f"A result may be taken for the server's if C2 has a p99 of at most {100 * OF_RESULT:.0f} % of it, or of at "
    f"most {100 * OF_LIMIT:.0f} % of what was asked for. Floors are never subtracted."
)


class Result(NamedTuple):
    """What was measured: how it is called, its accent, all of it, and what is given of that (ms, reasons)."""

    name: str
    accent: str
    series: Series
    values: Figures
    why: dict[str, str]

    @property
    def expected(self) -> int:
        """Deliveries that its percentiles are of."""
        return self.series.expected


class Pooled(NamedTuple):
    """What several runs came to together, and the time (ms) that was asked of it, if any."""

    series: Series
    limit_ms: float | None = None


class Beneath(NamedTuple):
    """The section of one run: ``leads`` before the picture, ``sentences`` after the table."""

    leads: list[str]
    pictures: list[Picture]
    table: Table
    sentences: list[str]


def beneath(subjects: Sequence[Subject], found: Sequence[Floors | None]) -> list[Beneath]:
    """One for each run whose floors were measured."""
    pairs = [(one, floors) for one, floors in zip(subjects, found or [None] * len(subjects), strict=True)]
    return [_beneath(one, floors) for one, floors in pairs if floors is not None]


def _beneath(subject: Subject, floors: Floors) -> Beneath:
    operation = main_operation([subject.summary])
    row, series = main_row(subject.summary, operation), measured(subject.run, operation)
    p99_ms = None if row is None else row.latency_ms.p99
    said = beside(floors.floors, p99_ms, tightest_ms(subject.run, operation))
    name = f"{MAIN[operation]}, this run"
    result = [] if row is None else [Result(name, subject.accent, series, row.latency_ms, row.why)]
    return Beneath(
        [subject.intro + (sentence(said.says) if not subject.intro else said.says + ".")],
        _pictures(floors, result, f"floors-{subject.slug}"),
        _table(floors, result, {name} if said.state == LIMITED else set()),
        [f"{at(floors)} {WHAT_THEY_ARE}", RULE],
    )


def alone(floors: Floors) -> Beneath:
    """The same without a run."""
    return Beneath([], _pictures(floors, [], "floors"), _table(floors, [], set()), [WHAT_THEY_ARE, RULE])


def under(floors: Floors, results: Mapping[str, Pooled]) -> Beneath:
    """The same beneath what several runs came to, by what each is called."""
    spare = iter(("websocket", "upgrade", "long-polling", "interval-polling"))
    shown, leads, limited = [], [], set()
    for name, (series, limit_ms) in results.items():
        values, why = figures(series.latency, series.expected)
        shown.append(Result(name, next(spare, "ink"), series, values, why))
        said = beside(floors.floors, values.p99, limit_ms)
        leads.append(f"{name}: {said.says}.")
        limited |= {name} if said.state == LIMITED else set()
    return Beneath(
        leads,
        _pictures(floors, shown, "floors"),
        _table(floors, shown, limited),
        [f"{at(floors)} {WHAT_THEY_ARE}", RULE],
    )


def at(floors: Floors) -> str:
    """``Measured with 100 users over WebSocket, 6 per minute each, in rooms of 10.``"""
    return f"Measured with {load_words(floors)}."


def load_words(floors: Floors) -> str:
    """``100 users over WebSocket, 6 per minute each, in rooms of 10``."""
    load = floors.load
    rooms = f"rooms of {load.room_size}" if load.room_size.isdigit() else f"rooms {load.room_size}"
    said = f"{plural(load.users, 'user')} over {transport_name(load.transport)}"
    if load.devices > 1:
        said += f" with {load.devices} devices each"
    said += f", {say_rate(load.rate_per_s)} each, in {rooms}"
    if load.client != "native":
        said += f", by the {load.client} client"
    return said + (f", from {load.processes} processes" if load.processes > 1 else "")


def _pictures(floors: Floors, results: Sequence[Result], name: str) -> list[Picture]:
    shown = [(NAMES[one.name], ACCENTS[one.name], one.series) for one in floors.floors]
    shown += [(one.name.removesuffix(", this run"), one.accent, one.series) for one in results]
    shown = [one for one in shown if one[2].latency.n]
    if not shown:
        return []
    curves = [charts.Curve(accent, spectrum(series)) for _, accent, series in shown]
    entries = [KeyEntry(label, accent) for label, accent, _ in shown]
    entries.append(KeyEntry("beyond what n supports", "ink", "dotted"))
    title = "The floors beneath the result" if results else "The floors at every percentile"
    said = [
        f"{label}: median {say_ms(ns / 1e6)}."
        for label, _, series in shown
        if (ns := series.latency.quantile(0.5, of=series.expected)) is not None
    ]
    return [
        Picture(
            title,
            charts.spectrum_chart(curves, name),
            " ".join(said),
            "Both axes are logarithmic. C1, C2 and the result count from the planned moment to receipt.",
            entries,
        )
    ]


def _table(floors: Floors, results: Sequence[Result], limited: set[str]) -> Table:
    rows = [_floor(one) for one in floors.floors]
    for one in results:
        tone = "bad" if one.name in limited else "strong"
        cells = [known(say_ms(getattr(one.values, name)), one.why.get(name, ""), tone) for name in SHOWN]
        rows.append(Row([Cell(one.name, accent=one.accent)], [Cell(count(one.expected)), *cells, Cell("")]))
    columns = ["n", *(STATISTIC_NAMES[name] for name in SHOWN), "its generator"]
    return table("Floors of the harness", ["floor"], columns, rows)


TONES = {"valid": "good", "suspect": "warn", "invalid": "bad"}


def _floor(one: Floor) -> Row:
    cells = [known(say_ms(getattr(one, f"{name}_ms")), one.why.get(f"{name}_ms", "")) for name in SHOWN]
    kept_up = Cell(one.validity, one.reason, TONES.get(one.validity, ""))
    return Row([Cell(NAMES[one.name], accent=ACCENTS[one.name])], [Cell(count(one.n)), *cells, kept_up])
