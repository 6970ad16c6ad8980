"""What did a storm cost those whom it did not strike?

Deliveries while it went on, against as many seconds before it. A copy owed to somebody who was known to be away
is a ``message.resync``, so ``message.deliver`` has only receivers who were connected, as far as anybody knew.
Its latency also has what dropped *senders* kept until they were back; the service time, from the moment that a
message really left, has not, and is the one that tells what the others felt.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from loadtest.analysis.figures import Figures, figures, prefixed
from loadtest.analysis.series import Series
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND, ms

TOLERANCE = 1.1
SLACK_MS = 1.0
"""A p95 up to this many times the one before counts as no different from it, and neither does one that is a
millisecond longer: the p95 of single seconds of a fast server differ by that much on any day."""
ENOUGH = 20
"""Deliveries that a second must have for its p95 to be looked at."""
_LOADED = (Phase.WARMUP, Phase.MEASURE)


class Effect(msgspec.Struct, frozen=True):
    """``message.deliver`` planned within some whole seconds."""

    seconds: int
    expected: int
    n: int
    latency_ms: Figures
    service_ms: Figures
    why: dict[str, str] = {}


class Bystanders(msgspec.Struct, frozen=True):
    """Before and during; ``settled_s``: from the injection until the p95 of a second's service time was back."""

    before: Effect | None
    during: Effect
    settled_s: float | None
    why: dict[str, str] = {}


class Deliveries:
    """``message.deliver`` by the second while the load was on; ``storms``: the seconds of every storm."""

    def __init__(self, run: Run, storms: Sequence[range]) -> None:
        edges = run.manifest.edges
        self._storms = storms
        # A second that the load was on only for a part of is not compared with whole ones.
        self._first = -(-(edges.warmup_ns or 0) // SECOND)
        self._stop = -(-(edges.ended_ns if edges.drain_ns is None else edges.drain_ns) // SECOND)
        self._of: dict[int, Series] = {}
        for row in run.series if storms else ():
            if row.operation == Operation.MESSAGE_DELIVER and row.phase in _LOADED:
                self._of.setdefault(row.second, Series()).add(row)

    def around(self, at_ns: int, storm: range) -> Bystanders:
        """The effect of the storm that began at ``at_ns`` and went on in these seconds."""
        others = {second for other in self._storms if other != storm for second in other}
        during = [second for second in storm if second < self._stop]
        calm = [second for second in range(storm.start - 1, self._first - 1, -1) if second not in others]
        before = self._effect(calm[: len(storm)]) if calm else None
        settled_s, reason = None, ""
        if before is None:
            reason = "the load had not been on for a second before it"
        elif before.service_ms.p95 is None:
            reason = f"no p95 before it: {before.why['service_ms.p95']}"
        else:
            stop = min([self._stop, *(other.start for other in self._storms if other.start > storm.start)])
            settled_s, reason = self._settled(at_ns, during, stop, _limit_ms(before.service_ms.p95))
        why = {"settled_s": reason} if reason else {}
        if before is None:
            why["before"] = reason
        return Bystanders(before, self._effect(during), settled_s, why)

    def _effect(self, seconds: Collection[int]) -> Effect:
        whole = Series()
        for second in seconds:
            if second in self._of:
                whole.merge(self._of[second])
        latency, why = figures(whole.latency, whole.expected)
        # What never left, or never came, has no service time: it stands in the latency.
        service, why_service = figures(whole.service, whole.service.n)
        reasons = prefixed(why, "latency_ms") | prefixed(why_service, "service_ms")
        return Effect(len(seconds), whole.expected, whole.latency.n, latency, service, reasons)

    def _settled(self, at_ns: int, during: list[int], stop: int, limit_ms: float) -> tuple[float | None, str]:
        """(seconds from the injection, why not): the first good second after the last bad one of the storm."""
        left = [second for second in during if self._p95_ms(second) > limit_ms]
        if not left:
            return None, "it never left it: in no second was the p95 more than 10 % and 1 ms higher"
        for second in range(left[-1] + 1, stop):
            if 0 <= self._p95_ms(second) <= limit_ms:
                return round((second * SECOND - at_ns) / SECOND, 6), ""
        return None, "not before the load ended, or the next storm began"

    def _p95_ms(self, second: int) -> float:
        """-1 where too little was delivered to tell."""
        service = self._of[second].service if second in self._of else None
        if service is None or service.n < ENOUGH:
            return -1.0
        return ms(service.quantile(0.95) or 0)


def _limit_ms(before_ms: float) -> float:
    return max(before_ms * TOLERANCE, before_ms + SLACK_MS)
