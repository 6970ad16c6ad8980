"""What does a run come to in five lines of a terminal?"""

from __future__ import annotations

from loadtest.analysis.bandwidth import ACTIVE, IDLE
from loadtest.analysis.compare import ACTIVE_HOUR, Ratio, compare, main_row, traffic_row
from loadtest.analysis.summary import OperationRow, Summary
from loadtest.analysis.verdict import PASS
from loadtest.measure.operations import Operation
from loadtest.measure.units import say_bytes, say_ms, say_seconds
from loadtest.report.sections.verdicts import tally, word
from loadtest.report.subject import main_operation
from loadtest.report.verdict_words import say
from loadtest.report.words import count, plural, times, transport_name


def outline(summary: Summary) -> list[str]:
    """Validity first, with its reasons (a line each); then deliveries, latency, connections, bytes.

    What only some runs have, lost connections, calls and live chats, gets a line more.
    """
    run, validity = summary.run, summary.validity
    length = f"{say_seconds(run.measured_s)} measured" + ("" if run.complete else ", cut short")
    what = f"{run.scenario} over {run.transport}, {plural(run.users, 'user')}"
    return [
        f"{validity.state.upper()}: {what}, {length}",
        *(f"  - {reason}" for reason in validity.reasons),
        *_asked(summary),
        _deliveries(summary),
        _latency(summary),
        _connections(summary),
        *_reconnection(summary),
        *_calls(summary),
        *_chats(summary),
        _bytes(summary),
    ]


def outline_verdicts(summary: Summary) -> list[str]:
    """What a run is believed to be worth, and a line for each thing asked of it."""
    width = max((len(word(one)) for one in summary.verdicts), default=0)
    said = [f"  {word(one):<{width}}  {one.name}\n  {'':<{width}}  {say(one)}" for one in summary.verdicts]
    return [
        *outline(summary)[: 1 + len(summary.validity.reasons)],
        *said,
        f"slo:       {tally(summary.verdicts)}",
    ]


def _asked(summary: Summary) -> list[str]:
    """``slo:       3 of 4 SLOs kept, 1 broken``, and a line for each that was not kept."""
    if not summary.verdicts:
        return []
    open_ones = [one for one in summary.verdicts if one.state != PASS]
    return [
        f"slo:       {tally(summary.verdicts)}",
        *(f"  - {word(one)}: {one.name}: {say(one)}" for one in open_ones),
    ]


def outline_versus(first: Summary, second: Summary) -> list[str]:
    """Two runs in five lines: validity (reasons below it), then what was delivered, how fast, for how much.

    The same statistic stands on both sides, the slower run first, the ratio behind.
    """
    pair = (first, second)
    main = main_operation(pair)
    comparison = compare(first, second, main)
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
    lines.append(f"delivered: {' | '.join(_owed(one, main) for one in pair)}")
    if comparison is None:
        return [*lines, "latency:   not measured in both, so there is nothing to compare"]
    ratios = {row.what: row for row in (*comparison.latency, *comparison.bandwidth)}
    shown = ", ".join(f"{name} {_versus(ratios[name])}" for name in ("mean", "p95"))
    hourly = ratios.get(ACTIVE_HOUR)
    if hourly is None:
        talking = f"{_versus(ratios['bytes_per_delivery'])} per delivered message"
    else:
        talking = f"{_versus(hourly)} per active user and hour"
    return [
        *lines,
        f"latency:   {shown}",
        f"bytes:     {talking}",
        f"idle:      {_versus(ratios['bytes_per_user_hour'])} per idle user and hour",
    ]


def _versus(row: Ratio) -> str:
    say = say_ms if row.unit == "ms" else say_bytes
    ratio = "" if row.ratio is None else f" ({times(row.ratio)})"
    return f"{say(row.more)} | {say(row.less)}{ratio}"


def _owed(summary: Summary, operation: Operation) -> str:
    row = main_row(summary, operation)
    if row is None or not row.expected:
        return "nothing was expected"
    missing = row.lost + row.late
    lost = f", {count(missing)} missing" if missing else ""
    return f"{count(row.n)} of {count(row.expected)}{_named(operation)}{lost}"


def _main(summary: Summary) -> tuple[str, OperationRow | None]:
    """(how it is called, if it is not the delivery of messages; the row) of what the run is there for."""
    operation = main_operation([summary])
    return _named(operation), main_row(summary, operation)


def _named(operation: Operation) -> str:
    return "" if operation == Operation.MESSAGE_DELIVER else f" {operation}"


def _deliveries(summary: Summary) -> str:
    main, row = _main(summary)
    if row is None or not row.expected:
        return "delivered: nothing was expected"
    fate = f"{count(row.lost)} lost, {count(row.late)} late"
    return f"delivered: {count(row.n)} of {count(row.expected)}{main}, {fate}"


def _latency(summary: Summary) -> str:
    main, row = _main(summary)
    if row is None or not row.n:
        return "latency:   not measured"
    said = [
        f"{name} {say_ms(value)}"
        if (value := getattr(row.latency_ms, name)) is not None
        else f"{name} – ({row.why[name]})"
        for name in ("p50", "p95", "p99")
    ]
    return f"latency:   {f'{main} '.lstrip()}{', '.join(said)}, max {say_ms(row.latency_ms.max)}"


def _reconnection(summary: Summary) -> list[str]:
    """``reconnect: 300 dropped, 300 back, p50 1.20 s, p99 3.40 s, 412 missed, 412 resynced``."""
    found = summary.reconnection
    if not found.drops or found.recovered is None or found.rejoin_ms is None:
        return []
    said = [f"{count(found.drops)} dropped", f"{count(found.recovered)} back"]
    said += [f"{count(found.gave_up)} gave up"] if found.gave_up else []
    for name in ("p50", "p99"):
        value = getattr(found.rejoin_ms, name)
        if value is not None:
            said.append(f"{name} {say_ms(value)}")
    if found.rejoin_ms.p99 is None and found.rejoin_ms.max is not None:
        said.append(f"max {say_ms(found.rejoin_ms.max)}")
    said += [f"{count(found.missed)} missed", f"{count(found.resynced)} resynced"]
    return [f"reconnect: {', '.join(said)}"]


def _calls(summary: Summary) -> list[str]:
    """``calls:     ring p95 3.10 ms, 120 answered, 31 declined, 4 missed``; bad ends only where there were any."""
    return _outcomes(
        "calls:", summary.calls, "dialled", _p95(summary, "ring", Operation.CALL_RING), CALL_ENDS
    )


def _chats(summary: Summary) -> list[str]:
    """``chats:     message p95 2.10 ms, 78 asked, 62 assigned, 48 queued``."""
    return _outcomes(
        "chats:", summary.chats, "asked", _p95(summary, "message", Operation.CHAT_DELIVER), CHAT_ENDS
    )


CALL_ENDS = {
    "answered": "answered", "declined": "declined", "hung_up": "hung up", "missed": "missed", "busy": "busy",
    "offline": "offline", "ghost_rings": "ghost", "stale_rings": "stale", "two_winners": "won twice",
}  # fmt: skip
CHAT_ENDS = {"assigned": "assigned", "queued": "queued", "handed_over": "handed over"}


def _p95(summary: Summary, what: str, operation: Operation) -> str:
    row = main_row(summary, operation)
    if row is None or row.latency_ms.p50 is None:
        return ""
    name = "p50" if row.latency_ms.p95 is None else "p95"
    return f"{what} {name} {say_ms(getattr(row.latency_ms, name))}"


def _outcomes(head: str, counts: dict[str, int], whole: str, latency: str, ends: dict[str, str]) -> list[str]:
    if not counts:
        return []
    said = [f"{count(counts.get(whole, 0))} {whole}"]
    said += [f"{count(counts[key])} {words}" for key, words in ends.items() if counts.get(key)]
    return [f"{head:<11}{', '.join([latency, *said] if latency else said)}"]


def _connections(summary: Summary) -> str:
    known, found = summary.connections, summary.reconnection
    lost = found.drops + found.early + found.stalled
    return (
        f"connected: {count(known.peak)} at once, {count(known.established)} in all, "
        f"{count(known.failed)} failed, {count(lost)} lost"
    )


def _bytes(summary: Summary) -> str:
    active, idle = traffic_row(summary, ACTIVE), traffic_row(summary, IDLE)
    hour = say_bytes(idle.bytes_per_user_hour if idle else None)
    if active is not None and active.bytes_per_delivery is None and active.bytes_per_user_hour is not None:
        load = f"{say_bytes(active.bytes_per_user_hour)} per active user and hour"
    else:
        load = f"{say_bytes(active.bytes_per_delivery if active else None)} per delivered message"
    return f"bytes:     {load}, {hour} per idle user and hour"
