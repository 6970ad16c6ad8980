"""How sure are the figures of a series?

Every percentile and mean gets a 95 % interval, the wider of two: one that takes messages as independent, and one
from resampling blocks of five seconds, because what waits in the same stall shares its fate. And it gets a tier,
by how many values carry it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from loadtest.analysis.figures import QUANTILES, Figures
from loadtest.analysis.quantile_intervals import Bounds, mean_interval, quantile_intervals, tail_windows, tier
from loadtest.analysis.series import Name
from loadtest.analysis.windows import Windows, windows
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND, ms

Ends = tuple[float | None, float | None]
"""A 95 % interval. An upper end of None is not bounded by the sample; a lower one of None lies, as the upper one
does, among what never came."""

_SAID_TO_ALL = frozenset({
    Operation.MESSAGE_DELIVER, Operation.MESSAGE_RESYNC, Operation.TYPING_DELIVER, Operation.RECEIPT_DELIVER,
})  # fmt: skip
"""What goes to everybody in a room: one message, as many deliveries as there are others."""


def seconds_of(run: Run, phase: str) -> tuple[int, int]:
    """(first, last) second of a phase, those it shares with its neighbours included."""
    edges = run.manifest.edges
    end_ns = edges.ended_ns
    drain_ns = end_ns if edges.drain_ns is None else edges.drain_ns
    warmup_ns = end_ns if edges.warmup_ns is None else edges.warmup_ns
    measure_ns = drain_ns if edges.measure_ns is None else edges.measure_ns
    spans: dict[str, tuple[int, int]] = {
        Phase.CONNECT: (0, warmup_ns),
        Phase.WARMUP: (warmup_ns, measure_ns),
        Phase.MEASURE: (measure_ns, drain_ns),
        Phase.DRAIN: (drain_ns, end_ns),
    }
    # What is no phase, such as the queue of a live chat, may happen at any time.
    begin_ns, until_ns = spans.get(phase, (0, end_ns))
    return begin_ns // SECOND, max(begin_ns, until_ns - 1) // SECOND


def windows_of(run: Run, rows: Sequence[SeriesRow], phase: str, first: int | None = None) -> Windows:
    """Rows of one phase by the second, from its begin (or ``first``) to its end, empty seconds too."""
    begin, end = seconds_of(run, phase)
    begin = begin if first is None else first
    return windows(
        rows, min([begin, *(row.second for row in rows)]), max([end, *(row.second for row in rows)])
    )


def fan_out(rows: Iterable[SeriesRow]) -> float:
    """Deliveries that one message is owed in the measured phase, in the mean; 1 where nobody acknowledges."""
    owed = said = 0
    for row in rows:
        if row.phase == Phase.MEASURE:
            owed += row.expected if row.operation == Operation.MESSAGE_DELIVER else 0
            said += row.expected if row.operation == Operation.MESSAGE_ACK else 0
    return max(1.0, owed / said) if said else 1.0


def said_to_all(operation: str) -> bool:
    """Whether one message is owed to everybody in a room: then its copies share its fate."""
    return operation in _SAID_TO_ALL


def independent(operation: str, expected: int, mean_fan_out: float) -> int:
    """How many of ``expected`` deliveries have a fate of their own: those of one message share theirs."""
    share = mean_fan_out if said_to_all(operation) else 1.0
    return max(1, round(expected / share)) if expected else 0


def ends_ms(bounds: Bounds) -> Ends:
    """Nanoseconds as the ends of an interval in milliseconds."""
    low, high = (None if math.isinf(end) else ms(end) for end in (bounds.low, bounds.high))
    return low, high


def certainty(
    run: Run, name: Name, rows: Sequence[SeriesRow], given: Figures, mean_fan_out: float
) -> tuple[dict[str, Ends], dict[str, str]]:
    """(ci95 in ms, tier) of each latency figure that is ``given``."""
    fell = windows_of(run, rows, name.phase)
    units = independent(name.operation, fell.expected, mean_fan_out)
    ci95 = {} if given.mean is None else {"mean": ends_ms(mean_interval(fell, units))}
    shown = {name: q for name, q in QUANTILES.items() if getattr(given, name) is not None}
    bounds = quantile_intervals(fell, list(shown.values()), units)
    ci95 |= {name: ends_ms(one) for name, one in zip(shown, bounds, strict=True)}
    tiers = {name: tier(q, fell.expected, tail_windows(fell, q)) for name, q in shown.items()}
    return ci95, tiers
