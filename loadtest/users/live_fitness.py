"""May this run be believed, as far as it has come?

By the limits of the report, over the measured seconds so far, of the worst generator process. The report has the
last word: it knows the storms that faults made, and leaves them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from loadtest.measure.fitness import CPU_INVALID_PERCENT, CPU_PERCENT, LAG_MS, SEND_LAG_MS, SHARE
from loadtest.measure.plan import Phase
from loadtest.measure.rows import HealthRow
from loadtest.measure.units import MS, say_ms
from loadtest.users.live_cells import Cells

UNJUDGED, VALID, SUSPECT, INVALID = "unjudged", "valid", "suspect", "invalid"
_CERTAIN = {
    "ledger.overflow": "more messages than the ledger keeps",
    "fds.exhausted": "file descriptors ran out",
    "ports.exhausted": "local ports ran out",
    "harness.faults": "the generator failed",
}


class Judged(NamedTuple):
    """State, and a line for each reason against it, the worst first."""

    state: str
    reasons: list[str]


class _Vitals:
    """One generator process over the measured seconds so far."""

    def __init__(self) -> None:
        self.cpu_percent: list[float] = []
        self.lags = {name: Cells() for name in ("receive", "loop", "send")}

    def add(self, row: HealthRow) -> None:
        self.cpu_percent.append(row.cpu_percent)
        self.lags["receive"].add(row.receive_lag)
        self.lags["loop"].add(row.loop_lag)
        self.lags["send"].add(row.send_lag)

    def cpu_p95(self) -> float:
        ranked = sorted(self.cpu_percent)
        return ranked[max(1, math.ceil(0.95 * len(ranked))) - 1]

    def lag_p99_ms(self, name: str) -> float:
        return (self.lags[name].quantile_ns(0.99) or 0) / MS


class Fitness:
    """The generator processes of one run."""

    def __init__(self) -> None:
        self._of: dict[str, _Vitals] = {}

    def add(self, row: HealthRow) -> None:
        """Hear of one second of one process."""
        if row.phase == Phase.MEASURE:
            if row.worker not in self._of:
                self._of[row.worker] = _Vitals()
            self._of[row.worker].add(row)

    def judge(self, counters: Mapping[str, int], gaps: int, latency_p99_ns: int | None) -> Judged:
        """gaps: deltas that were lost on the way. latency_p99_ns: of what people mostly do, None: not known."""
        certain = [words for name, words in _CERTAIN.items() if counters.get(name)]
        certain += ["numbers were lost on the way to the master"] if gaps else []
        share_ms = SHARE * (latency_p99_ns or 0) / MS
        found = [(math.inf, INVALID, words) for words in certain]
        for worker, vitals in self._of.items():
            where = f" in worker {worker}" if len(self._of) > 1 else ""
            for sign in _signs(vitals, share_ms):
                if sign.value > sign.limit:
                    state = INVALID if sign.value > sign.invalid else SUSPECT
                    found.append((sign.value / sign.limit, state, sign.words.format(where=where)))
        if not found:
            return Judged(VALID if self._of else UNJUDGED, [])
        found.sort(key=lambda one: (one[1] != INVALID, -one[0]))
        return Judged(found[0][1], [words for _, _, words in found])


class _Sign(NamedTuple):
    """One sign: suspect past ``limit``, invalid past ``invalid``; ``words`` have a place for whose it is."""

    value: float
    limit: float
    invalid: float
    words: str


def _signs(vitals: _Vitals, share_ms: float) -> list[_Sign]:
    cpu = vitals.cpu_p95()
    words = f"generator CPU p95 {cpu:.0f} % of a core{{where}} (limit {CPU_PERCENT:g} %)"
    signs = [_Sign(cpu, CPU_PERCENT, CPU_INVALID_PERCENT, words)]
    for name, least_ms in (("receive", LAG_MS), ("loop", LAG_MS), ("send", SEND_LAG_MS)):
        value, limit = vitals.lag_p99_ms(name), max(least_ms, share_ms)
        words = f"{name} lag p99 {say_ms(value)}{{where}} (limit {say_ms(limit)})"
        signs.append(_Sign(value, limit, 2 * limit, words))
    return signs
