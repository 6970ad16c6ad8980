"""Was the harness fit to measure what it measured?

A generator that is short of CPU, or whose loop is late, measures itself. Each sign of that is a Rule with a
limit: past it a run is suspect, past ``invalid_past`` (twice the limit unless said otherwise) it is invalid.
Other things leave no doubt: a worker that vanished took its users with it. The worst worker decides.

The limits come from pacing experiments on one event loop: at 60 % of a core send lateness p99 is below
10 ms, at 74 % it is 54 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from loadtest.analysis import generator, hosts, storm
from loadtest.analysis.drops import STALL
from loadtest.analysis.figures import Lag, lag
from loadtest.analysis.generator import Vitals
from loadtest.analysis.series import measured, measured_ns
from loadtest.measure.fitness import CPU_INVALID_PERCENT, CPU_PERCENT, LAG_MS, SEND_LAG_MS, SHARE
from loadtest.measure.operations import MAIN
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run
from loadtest.measure.units import MS, SECOND, ms, say_ms, say_seconds

VALID, SUSPECT, INVALID = "valid", "suspect", "invalid"


class Validity(msgspec.Struct, frozen=True):
    """Whether to believe a run; figures are the worst worker's, outside of storms.

    ``reasons`` speak against it, worst first; ``notes`` are what else to know.
    """

    state: str
    reasons: list[str]
    receive_lag_ms: Lag
    loop_lag_ms: Lag
    cpu_percent_p95: float | None
    late_ratio: float | None
    notes: list[str] = []


class Scale(NamedTuple):
    """What lateness is measured against: the system's own times (ns), None where unknown."""

    latency_p99_ns: int | None
    service_p50_ns: int | None


class Rule(NamedTuple):
    """One sign that the generator is at its limit.

    how: the worker's figure in ``unit``, None if it cannot be told. share: the limit is at least this part of
    the latency p99: lateness of 20 ms spoils a latency of 2 ms, not one of 1.5 s.
    """

    name: str
    limit: float
    unit: str
    how: Callable[[Vitals, Scale], float | None]
    remedy: str
    share: float = 0.0
    invalid_past: float | None = None

    def limits(self, scale: Scale) -> tuple[float, float]:
        """(suspect past, invalid past)."""
        limit = self.limit
        if self.share and scale.latency_p99_ns is not None:
            limit = max(limit, self.share * scale.latency_p99_ns / MS)
        return limit, 2 * limit if self.invalid_past is None else self.invalid_past


def late_past_ns(scale: Scale) -> float:
    """A send counts as late past this: 5 ms, or 10 % of the median service time if that is more."""
    return max(5 * MS, 0.1 * (scale.service_p50_ns or 0))


def late_percent(vitals: Vitals, scale: Scale) -> float | None:
    """Share of sends that left late for reasons of our own, in percent; None if nothing was sent."""
    return generator.percent_above(vitals.send_lag, late_past_ns(scale))


def _p99_ms(name: str) -> Callable[[Vitals, Scale], float | None]:
    return lambda vitals, scale: lag(getattr(vitals, name)).p99


MORE = "use {more}"
FEWER_USERS = "use {more}, or fewer users"
LOWER_RATE = "use {more}, or a lower --rt-rate"
FREE = "leave the generator's cores alone while it runs, or use fewer users"

RULES = (
    Rule("generator CPU p95", CPU_PERCENT, "% of a core", lambda v, s: v.cpu_p95, MORE,
         invalid_past=CPU_INVALID_PERCENT),
    Rule("generator CPU over 5 s", 75, "% of a core", lambda v, s: v.cpu_5s, MORE, invalid_past=math.inf),
    Rule("receive lag p99", LAG_MS, "ms", _p99_ms("receive_lag"), FEWER_USERS, share=SHARE),
    Rule("loop lag p99", LAG_MS, "ms", _p99_ms("loop_lag"), FEWER_USERS, share=SHARE),
    Rule("longest loop lag", 100, "ms", lambda v, s: lag(v.loop_lag).max, FREE),
    Rule("send lag p99", SEND_LAG_MS, "ms", _p99_ms("send_lag"), FEWER_USERS, share=SHARE),
    Rule("messages sent late", 1, "%", late_percent, LOWER_RATE),
    Rule("sent and planned differ by", 1, "%", lambda v, s: v.off_plan_percent, LOWER_RATE),
    Rule("longest garbage collection", 50, "ms", lambda v, s: ms(v.gc_pause_ns), MORE),
    Rule("CPU stolen by other guests, p95", 2, "%", lambda v, s: v.steal_p95, "use a quieter machine",
         invalid_past=math.inf),
)  # fmt: skip


class Reading(NamedTuple):
    """What a Rule says of a run: the worst worker's figure and the limits that hold for it."""

    rule: Rule
    value: float | None
    worker: str
    limit: float
    invalid_past: float

    @property
    def state(self) -> str:
        """valid (also when there is no figure), suspect or invalid."""
        if self.value is None or self.value <= self.limit:
            return VALID
        return INVALID if self.value > self.invalid_past else SUSPECT


class Finding(NamedTuple):
    """One reason, and how bad: ``times`` is how many times the limit."""

    invalid: bool
    times: float
    text: str


def judge(run: Run) -> Validity:
    """Judge a run by its worst worker in the measured phase."""
    workers = generator.vitals(run)
    scale = scale_of(run)
    findings = [*_certain(run), *(Finding(*doubt) for doubt in hosts.doubts(run))]
    if measured_ns(run) < SECOND:
        findings.insert(0, Finding(True, math.inf, _no_measured_second(run)))
    elif not workers:
        findings.append(Finding(False, 1, ALL_STORM if run.health and storm.unwell(run) else NO_HEALTH))
    more = _more(workers, run)
    findings += [
        _finding(reading, len(workers) > 1, more)
        for reading in readings(workers, scale)
        if reading.state != VALID
    ]
    findings.sort(key=lambda one: (not one.invalid, -one.times))
    state = VALID if not findings else INVALID if findings[0].invalid else SUSPECT
    return Validity(
        state,
        [one.text for one in findings],
        _worst_lag([lag(one.receive_lag) for one in workers]),
        _worst_lag([lag(one.loop_lag) for one in workers]),
        max((round(one.cpu_p95, 1) for one in workers), default=None),
        _late_ratio(workers, scale),
        _notes(run),
    )


def _notes(run: Run) -> list[str]:
    """What the rules did not look at, and what that says."""
    found = storm.gatherings(run)
    within = {row.second for row in run.health if row.phase == Phase.MEASURE} & storm.unwell(run)
    notes = []
    if within:
        notes.append(
            f"{say_n(len(within), 'measured second')} in {say_n(len(found), 'storm')} left out of these rules: "
            "the generator is judged there by how late its attempts to come back began"
        )
    for one in found:
        verdict, words = storm.judge(one)
        if verdict == storm.GENERATOR_BOUND:
            notes.append(f"the figures of storm {one.fault} are the generator's, not the server's: {words}")
    return notes + hosts.notes(run)


def say_n(n: int, noun: str) -> str:
    """``1 storm``, ``3 storms``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def readings(workers: list[Vitals], scale: Scale) -> list[Reading]:
    """One per Rule, in the order of RULES."""
    found = []
    for rule in RULES:
        known = [(value, one.worker) for one in workers if (value := rule.how(one, scale)) is not None]
        value, worker = max(known, default=(None, ""))
        found.append(Reading(rule, value, worker, *rule.limits(scale)))
    return found


def scale_of(run: Run) -> Scale:
    """The system's own times in the measured phase, outside of storms: of what its people mostly do."""
    stormy = storm.seconds(run)
    all_of = [measured(run, operation, without=stormy) for operation in MAIN]
    deliver = next((one for one in all_of if one.latency.n), all_of[0])
    return Scale(
        deliver.latency.quantile(0.99, of=deliver.expected) if deliver.latency.n else None,
        deliver.service.quantile(0.5) if deliver.service.n else None,
    )


def _finding(reading: Reading, several: bool, more: str) -> Finding:
    rule, value = reading.rule, reading.value or 0.0
    where = f" in worker {reading.worker}" if several else ""
    said = f"{rule.name} {say(value, rule.unit)}{where} (limit {say_limit(reading.limit, rule.unit)})"
    remedy = rule.remedy.format(more=more)
    return Finding(reading.state == INVALID, value / reading.limit, f"{said}: {remedy}")


def say(value: float, unit: str) -> str:
    """A figure with its unit: ``91 % of a core``, ``6.20 ms``."""
    if unit == "ms":
        return say_ms(value)
    digits = 0 if value >= 10 else 1 if value >= 1 else 2
    return f"{value:.{digits}f} {unit}"


def say_limit(value: float, unit: str) -> str:
    """A limit: ``60 %``, ``5 ms``."""
    if unit != "ms":
        return f"{value:g} %"
    return f"{value:.3g} ms" if value < 1000 else say_ms(value)


def _more(workers: list[Vitals], run: Run) -> str:
    """How many processes would do: each at half a core, and at least one more than there were."""
    load = sum(one.cpu_p95 for one in workers)
    wanted = max(len(workers) + 1, math.ceil(load / 50))
    cores = run.manifest.environment.get("cores")
    if isinstance(cores, int) and wanted > cores:
        return f"a machine with more cores than {cores} (--processes {wanted})"
    return f"--processes {wanted}"


NO_HEALTH = "no second of the generator's health was recorded: nothing shows that it kept up"

ALL_STORM = "every measured second was part of a storm: nothing shows that the generator kept up otherwise"

EXHAUSTED = {
    "ledger.overflow": "{n} messages were more than the ledger keeps: lower --rt-rate, or use fewer users",
    "fds.exhausted": "file descriptors ran out ({n} times): raise ulimit -n, or use --processes",
    "ports.exhausted": "local ports ran out ({n} times): use fewer users, or a second address",
}


def _certain(run: Run) -> list[Finding]:
    """What leaves no doubt."""
    manifest = run.manifest
    said = [f"the generator failed: {error}" for error in manifest.harness_errors]
    said += [
        f"worker {one.name} ended without its last word: what it measured last, and its users, are missing"
        for one in manifest.workers
        if not one.final
    ]
    said += [f"numbers were lost on the way to the master ({gap})" for gap in manifest.gaps]
    negative = sum(row.service.negative for row in run.series)
    if negative:
        said.append(f"deliveries that came before they were sent: {negative}; the clocks were not one clock")
    stalled = sum(drop.cause == STALL for drop in run.drops)
    if stalled:
        said.append(
            f"the generator stood still for so long that connections were lost by it: {stalled}; "
            "use --processes, or fewer users"
        )
    for name, text in EXHAUSTED.items():
        if manifest.counters.get(name):
            said.append(text.format(n=manifest.counters[name]))
    return [Finding(True, math.inf, text) for text in said]


def _no_measured_second(run: Run) -> str:
    edges = run.manifest.edges
    ended = say_seconds(edges.ended_ns / SECOND)
    if edges.warmup_ns is None:
        return (
            f"no measured second: not every user had joined when the run ended after {ended}: "
            "look at the connect failures, or use a longer -t or a higher -r"
        )
    connecting = say_seconds(edges.warmup_ns / SECOND)
    return f"no measured second: connecting took {connecting} of {ended}: use a longer -t or a higher -r"


def _worst_lag(lags: list[Lag]) -> Lag:
    return max(lags, key=lambda one: (one.p99 or -1.0, one.max or -1.0), default=Lag())


def _late_ratio(workers: list[Vitals], scale: Scale) -> float | None:
    shares = [share for one in workers if (share := late_percent(one, scale)) is not None]
    return round(max(shares) / 100, 6) if shares else None
