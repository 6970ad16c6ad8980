"""What does a run come to in five lines of a terminal?"""

from __future__ import annotations

from loadtest.analysis.bandwidth import ACTIVE, IDLE
from loadtest.analysis.compare import Ratio, compare, main_row, traffic_row
from loadtest.analysis.summary import Summary
from loadtest.measure.operations import Operation
from loadtest.measure.units import say_bytes, say_ms, say_seconds
from loadtest.report.words import count, plural, times, transport_name


def outline(summary: Summary) -> list[str]:
    """Validity first, with its reasons (a line each); then deliveries, latency, connections, bytes."""
    run, validity = summary.run, summary.validity
    length = f"{say_seconds(run.measured_s)} measured" + ("" if run.complete else ", cut short")
    what = f"{run.scenario} over {run.transport}, {plural(run.users, 'user')}"
    return [
        f"{validity.state.upper()}: {what}, {length}",
        *(f"  - {reason}" for reason in validity.reasons),
        _deliveries(summary),
        _latency(summary),
        _connections(summary),
        _bytes(summary),
    ]


def outline_versus(first: Summary, second: Summary) -> list[str]:
    """Two runs in five lines: validity (reasons below it), then what was delivered, how fast, for how much.

    The same statistic stands on both sides, the slower run first, the ratio behind.
    """
    pair = (first, second)
    comparison = compare(first, second)
    if comparison is not None:
        pair = (pair[comparison.slower], pair[comparison.faster])
    names = [transport_name(one.run.transport) for one in pair]
    states = [f"{name} {one.validity.state.upper()}" for name, one in zip(names, pair, strict=True)]
    lines = [f"validity:  {', '.join(states)}; {plural(first.run.users, 'user')} each"]
    lines += [
        f"  - {name}: {reason}"
        for name, one in zip(names, pair, strict=True)
        for reason in one.validity.reasons
    ]
    lines.append(f"delivered: {' | '.join(_owed(one) for one in pair)}")
    if comparison is None:
        return [*lines, "latency:   not measured in both, so there is nothing to compare"]
    ratios = {row.what: row for row in (*comparison.latency, *comparison.bandwidth)}
    shown = ", ".join(f"{name} {_versus(ratios[name])}" for name in ("mean", "p95"))
    return [
        *lines,
        f"latency:   {shown}",
        f"bytes:     {_versus(ratios['bytes_per_delivery'])} per delivered message",
        f"idle:      {_versus(ratios['bytes_per_user_hour'])} per idle user and hour",
    ]


def _versus(row: Ratio) -> str:
    say = say_ms if row.unit == "ms" else say_bytes
    ratio = "" if row.ratio is None else f" ({times(row.ratio)})"
    return f"{say(row.more)} | {say(row.less)}{ratio}"


def _owed(summary: Summary) -> str:
    row = main_row(summary, Operation.MESSAGE_DELIVER)
    if row is None or not row.expected:
        return "nothing was expected"
    missing = row.lost + row.late
    return f"{count(row.n)} of {count(row.expected)}" + (f", {count(missing)} missing" if missing else "")


def _deliveries(summary: Summary) -> str:
    row = main_row(summary, Operation.MESSAGE_DELIVER)
    if row is None or not row.expected:
        return "delivered: nothing was expected"
    return (
        f"delivered: {count(row.n)} of {count(row.expected)}, {count(row.lost)} lost, {count(row.late)} late"
    )


def _latency(summary: Summary) -> str:
    row = main_row(summary, Operation.MESSAGE_DELIVER)
    if row is None or not row.n:
        return "latency:   not measured"
    said = [
        f"{name} {say_ms(value)}"
        if (value := getattr(row.latency_ms, name)) is not None
        else f"{name} – ({row.why[name]})"
        for name in ("p50", "p95", "p99")
    ]
    return f"latency:   {', '.join(said)}, max {say_ms(row.latency_ms.max)}"


def _connections(summary: Summary) -> str:
    known = summary.connections
    return (
        f"connected: {count(known.peak)} at once, {count(known.established)} in all, "
        f"{count(known.failed)} failed, {count(summary.reconnection.drops)} lost"
    )


def _bytes(summary: Summary) -> str:
    active, idle = traffic_row(summary, ACTIVE), traffic_row(summary, IDLE)
    message = say_bytes(active.bytes_per_delivery if active else None)
    hour = say_bytes(idle.bytes_per_user_hour if idle else None)
    return f"bytes:     {message} per delivered message, {hour} per idle user and hour"
