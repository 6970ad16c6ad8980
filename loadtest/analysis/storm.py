"""What did it come to when many lost their connection at once, and all came back at once?

A storm is an occurrence of a fault that cost at least LEAST connections. It is a census, not a sample: all
statistics of it are nearest ranks of what happened, whatever their number.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from loadtest.analysis.bystanders import Bystanders, Deliveries
from loadtest.analysis.drops import Loss, known_until_ns, losses
from loadtest.analysis.figures import nearest_rank, rank
from loadtest.measure.rows import LEFT, STAYED, Try
from loadtest.measure.run import Run
from loadtest.measure.units import SECOND, ms, say_ms, say_seconds

LEAST = 20
"""Connections that an occurrence of a fault must have cost to count as a storm."""
BOUND_SHARE = 0.1
"""The generator's own lateness must stay below this part of the time until 99 % were back."""
OK, GENERATOR_BOUND = "ok", "generator-bound"
_WINDOW_QUANTILE = 0.99


class Storm(msgspec.Struct, frozen=True):
    """One occurrence of a fault and the return of those whom it struck.

    until_s: when 99 % of them were back, or if it never came to that, when the last of them was heard of; both
    moments are seconds of the run. n: losses; returning: those of them who set out to come back, neither
    ``stayed`` nor gone of their own will; back: those of these who did. t50_s ...: from the injection until that
    share of the returning was back in its rooms. attempts: connections tried;
    amplification: of them for each loss. took: one attempt. late: how much later than its policy said an
    attempt began, for reasons of the generator's own.
    """

    fault: str
    at_s: float
    until_s: float
    n: int
    returning: int
    stayed: int
    back: int
    t50_s: float | None
    t95_s: float | None
    t99_s: float | None
    t100_s: float | None
    attempts: int
    peak_per_s: int
    amplification: float
    failed_share: float | None
    took_p99_ms: float | None
    late_p99_ms: float | None
    verdict: str | None
    words: str
    bystanders: Bystanders
    why: dict[str, str] = {}


class Gathering(NamedTuple):
    """The losses of one storm. Moments are ns from the start of the run; ``times_ns``: of the restored, sorted."""

    fault: str
    at_ns: int
    until_ns: int
    losses: list[Loss]
    returning: int
    times_ns: list[int]
    tries: list[Try]

    def back_after_ns(self, q: float) -> int | None:
        """How long until this share was back; None if it never came to that."""
        wanted = rank(q, self.returning)
        return self.times_ns[wanted - 1] if self.returning and wanted <= len(self.times_ns) else None

    @property
    def seconds(self) -> range:
        """The seconds of the run that it touches."""
        return range(self.at_ns // SECOND, self.until_ns // SECOND + 1)


def gatherings(run: Run) -> list[Gathering]:
    """Every storm of a run, in order of time."""
    of: dict[str, list[Loss]] = {}
    for loss in losses(run).counted:
        if loss.drop.fault:
            of.setdefault(loss.drop.fault, []).append(loss)
    found = [_gathering(run, fault, some) for fault, some in of.items() if len(some) >= LEAST]
    return sorted(found, key=lambda one: (one.at_ns, one.fault))


def _gathering(run: Run, fault: str, some: list[Loss]) -> Gathering:
    returning = [loss for loss in some if loss.drop.outcome not in (STAYED, LEFT)]
    times = sorted(loss.restored_ns - loss.began_ns for loss in returning if loss.restored_ns is not None)
    tries = [one for loss in some for one in loss.drop.tries]
    at_ns = min(loss.began_ns for loss in some)
    found = Gathering(fault, at_ns, at_ns, some, len(returning), times, tries)
    reached = found.back_after_ns(_WINDOW_QUANTILE)
    until_ns = max(map(known_until_ns, some)) if reached is None else at_ns + reached
    return found._replace(until_ns=max(at_ns, min(until_ns, run.manifest.edges.ended_ns)))


def seconds(run: Run) -> frozenset[int]:
    """Seconds of the run in which a storm was under way."""
    return frozenset(second for one in gatherings(run) for second in one.seconds)


def unwell(run: Run) -> frozenset[int]:
    """Seconds whose row of health may tell of a storm: a row begins in its second and ends in the next."""
    stormy = seconds(run)
    return stormy | {second - 1 for second in stormy}


def storms(run: Run) -> list[Storm]:
    """Every storm of a run, in order of time."""
    found = gatherings(run)
    deliveries = Deliveries(run, [one.seconds for one in found])
    return [_storm(one, deliveries.around(one.at_ns, one.seconds)) for one in found]


def _storm(one: Gathering, effect: Bystanders) -> Storm:
    verdict, words = judge(one)
    why: dict[str, str] = {}
    times: dict[str, float | None] = {}
    for name, q in (("t50_s", 0.5), ("t95_s", 0.95), ("t99_s", _WINDOW_QUANTILE), ("t100_s", 1.0)):
        reached = one.back_after_ns(q)
        times[name] = None if reached is None else _seconds(reached)
        if reached is None:
            why[name] = _not_back(one)
    attempts = len(one.tries)
    if not attempts:
        why |= dict.fromkeys(("failed_share", "took_p99_ms", "late_p99_ms", "verdict"), words)
    return Storm(
        fault=one.fault,
        at_s=_seconds(one.at_ns),
        until_s=_seconds(one.until_ns),
        n=len(one.losses),
        returning=one.returning,
        stayed=sum(loss.drop.outcome == STAYED for loss in one.losses),
        back=len(one.times_ns),
        **times,
        attempts=attempts,
        peak_per_s=peak(one.tries),
        amplification=round(attempts / len(one.losses), 4),
        failed_share=round(sum(bool(t.cause) for t in one.tries) / attempts, 6) if attempts else None,
        took_p99_ms=_p99_ms([t.took_ns for t in one.tries]),
        late_p99_ms=_p99_ms([t.late_ns for t in one.tries]),
        verdict=verdict,
        words=words,
        bystanders=effect,
        why=why,
    )


def judge(one: Gathering) -> tuple[str | None, str]:
    """(verdict, sentence): whether the generator was quick enough to show what the server can do."""
    if not one.tries:
        return None, "nobody tried to come back"
    late_ns = nearest_rank([t.late_ns for t in one.tries], 0.99)
    took_ns = one.until_ns - one.at_ns
    reached = one.back_after_ns(_WINDOW_QUANTILE) is not None
    until = "until 99 % were back" if reached else "until the last of them was heard of"
    said = f"{say_ms(ms(late_ns))} late (p99), against {say_seconds(took_ns / SECOND)} {until}"
    if late_ns > BOUND_SHARE * took_ns:
        much = f"more than {BOUND_SHARE * 100:g} % of it"
        return (
            GENERATOR_BOUND,
            f"attempts began {said}: {much}, so the generator set the pace; use more processes",
        )
    return OK, f"attempts began {said}"


def peak(tries: list[Try], window_ns: int = SECOND) -> int:
    """The most attempts that began within any second, wherever that second begins."""
    began = sorted(one.began_ns for one in tries)
    most = first = 0
    for last, moment_ns in enumerate(began):
        while moment_ns - began[first] >= window_ns:
            first += 1
        most = max(most, last - first + 1)
    return most


def _not_back(one: Gathering) -> str:
    if not one.returning:
        return "nobody set out to come back"
    return f"{len(one.times_ns)} of {one.returning} came back"


def _p99_ms(values_ns: list[int]) -> float | None:
    return ms(nearest_rank(values_ns, 0.99)) if values_ns else None


def _seconds(ns: int) -> float:
    return round(ns / SECOND, 6)
