"""How are the figures of a history worded? The end of a metric's name says its unit."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from loadtest.analysis.figures import say_share
from loadtest.analysis.history import Gap
from loadtest.measure.units import say_bytes, say_ms
from loadtest.report.words import MONTHS, percent

Unit = Literal["ms", "s", "share", "percent", "bytes", ""]

_UNITS: tuple[tuple[str, Unit], ...] = (
    (r"_ms$", "ms"),
    (r"_s(?=_per_|$)", "s"),
    (r"_(?:share|ratio)$", "share"),
    (r"_percent$", "percent"),
    (r"(?:^|_)bytes(?=_|$)", "bytes"),
)
_SILENT = ("ms", "s", "percent")
"""Units that a figure says itself; the others are words that the name needs."""


class Scale(NamedTuple):
    """What the ticks of an axis are divided by, and the unit behind them."""

    factor: float
    unit: str


def unit(metric: str) -> Unit:
    """Of ``message.deliver p95_ms``, ``server_cpu_s_per_1000``, ``loss_share``, ``bytes_per_delivery``."""
    last = metric.split(" ")[-1]
    return next((unit for pattern, unit in _UNITS if re.search(pattern, last)), "")


def name(metric: str) -> str:
    """``message.deliver p95``, ``server CPU per 1,000 deliveries``, ``loss share``, ``bytes per delivery``."""
    *before, last = metric.split(" ")
    for pattern, of_it in _UNITS:
        if of_it in _SILENT:
            last = re.sub(pattern, "", last)
    words = re.sub(r"_per_1000$", " per 1,000 deliveries", last).replace("_", " ")
    for written, meant in (("cpu", "CPU"), ("p999", "p99.9")):
        words = re.sub(rf"\b{written}\b", meant, words)
    return " ".join([*before, words])


def say(metric: str, value: float) -> str:
    """The value with its unit."""
    match unit(metric):
        case "ms":
            return say_ms(value)
        case "s":
            return say_ms(value * 1000)
        case "share":
            return say_share(value)
        case "percent":
            return percent(value, 1)
        case "bytes":
            return say_bytes(value)
    return f"{value:,.4g}"


def scale(metric: str, highest: float) -> Scale:
    """One for a whole axis: ticks that lie close together must not read alike."""
    match unit(metric):
        case "ms":
            return Scale(1000, " s") if highest >= 1000 else Scale(1, " ms")
        case "s":
            return Scale(1, " s") if highest >= 1 else Scale(0.001, " ms")
        case "share":
            return Scale(0.01, " %")
        case "percent":
            return Scale(1, " %")
        case "bytes":
            steps = ((1e9, " GB"), (1e6, " MB"), (1e3, " KB"))
            return next((Scale(*step) for step in steps if highest >= 2 * step[0]), Scale(1, " B"))
    return Scale(1, "")


def tick(value: float, of_axis: Scale) -> str:
    """``42.5 ms``, ``0.002 %``."""
    return f"{round(value / of_axis.factor, 10):,.6g}{of_axis.unit}"


def change(of_it: float | None) -> str:
    """``+21 %``, ``−3.2 %``; from nothing there is no percentage."""
    if of_it is None:
        return "from none"
    digits = 0 if abs(of_it) >= 9.95 else 1
    return f"{'+' if of_it > 0 else '−'}{abs(of_it):.{digits}f} %"


def probability(p: float) -> str:
    """``0.0004``; Apache Otava gives six decimals."""
    return f"{p:.6f}".rstrip("0") if p >= 1e-6 else "under 0.000001"


def day(at: str) -> str:
    """``12 October 2026`` of a moment in ISO 8601."""
    year, month, date = at[:10].split("-")
    return f"{int(date)} {MONTHS[int(month) - 1]} {year}"


def short_day(at: str) -> str:
    """``12 Oct``."""
    _, month, date = at[:10].split("-")
    return f"{int(date)} {MONTHS[int(month) - 1][:3]}"


def span(first: str, last: str) -> str:
    """``1 September to 30 October 2026``; a year that is the same is said once."""
    if first[:10] == last[:10]:
        return day(first)
    begin = day(first).removesuffix(f" {last[:4]}")
    return f"{begin} to {day(last)}"


def gap(of_it: Gap) -> str:
    """When a gap was."""
    if of_it.begin == of_it.end:
        return day(of_it.begin)
    return f"between {span(of_it.begin, of_it.end).replace(' to ', ' and ')}"


def machine(fingerprint: str) -> str:
    """Eight of its digits tell machines apart."""
    return fingerprint[:8]
