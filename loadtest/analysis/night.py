"""What did a job of a night come to, over its trials?

Pure: what was run, and why a trial does not count, is given; what follows from it is worked out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

from loadtest.analysis import slo, slo_trials
from loadtest.analysis.comparable import differences
from loadtest.analysis.gauges import together
from loadtest.analysis.regression import FEWEST, TOLERANCE, Change, changes
from loadtest.analysis.summary import Summary, summarise
from loadtest.analysis.trials import median_interval
from loadtest.analysis.validity import INVALID
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, REGRESSION, SHARE, SLO, Verdict
from loadtest.measure.run import Run
from loadtest.measure.slo import Slo

INCOMPLETE = "incomplete"
MOST_DROPPED = 0.3
"""If more of the trials do not count, what is left was chosen by the noise."""


class Figure(msgspec.Struct, frozen=True):
    """The median over the trials that count, and its 95 % interval; None where so few have none."""

    value: float
    low: float | None
    high: float | None
    n: int


class Told(msgspec.Struct, frozen=True):
    """One trial as it was run. noise: what speaks against it; counts: whether it is judged all the same."""

    arm: str
    seed: int
    path: str
    repeat: int
    noise: str
    counts: bool
    validity: str
    failures: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One job. state: pass, fail, inconclusive, invalid or incomplete; why: of what is not plain from the
    verdicts.
    """

    job: str
    state: str
    why: str
    verdicts: list[Verdict]
    figures: dict[str, Figure]
    trials: list[Told]
    used: int
    failures: int
    facts: dict[str, Any] = {}


class Judged(msgspec.Struct, frozen=True):
    """An outcome, and what a page shows beside it; never written down as it is."""

    outcome: Outcome
    changes: list[Change]
    candidate: list[tuple[Run, Summary]]
    baseline: list[tuple[Run, Summary]]


class Taken(msgspec.Struct, frozen=True):
    """One trial, read back: what is told of it, and its run."""

    told: Told
    run: Run


class Asked(msgspec.Struct, frozen=True):
    """What a job asks: SLOs, whether there is a baseline, how much dearer a build may be, how much memory may
    grow.
    """

    job: str
    slos: Sequence[Slo]
    with_baseline: bool
    tolerance: float = TOLERANCE
    memory_percent_per_hour: float | None = None


def judge(asked: Asked, taken: Sequence[Taken], cut: str = "") -> Judged:
    """Judge a job. ``cut``: why not all of its trials could be run."""
    counting = [one for one in taken if one.told.counts]
    ours, theirs = (
        [(one.run, summarise(one.run)) for one in counting if one.told.arm == arm]
        for arm in ("candidate", "baseline")
    )
    verdicts: list[Verdict] = []
    found: list[Change] = []
    if ours:
        verdicts = _slo_verdicts(asked, ours)
        if asked.with_baseline:
            found, said = _against(asked, ours, theirs, taken)
            verdicts += said
    state, why = _state(verdicts, bool(ours), taken, cut)
    outcome = Outcome(
        job=asked.job,
        state=state,
        why=why,
        verdicts=verdicts,
        figures=figures([summary for _, summary in ours]),
        trials=[one.told for one in taken],
        used=len(ours),
        failures=sum(run.manifest.locust_failures for run, _ in ours),
        facts=_facts(taken),
    )
    return Judged(outcome, found, ours, theirs)


def figures(summaries: Sequence[Summary]) -> dict[str, Figure]:
    """Median and interval of everything that is worth following."""
    found = {}
    for name, values in together(summaries).items():
        ends = median_interval(values)
        low, high = (None, None) if ends is None else ends
        found[name] = Figure(round(median(values), 6), low, high, len(values))
    return found


def _slo_verdicts(asked: Asked, ours: Sequence[tuple[Run, Summary]]) -> list[Verdict]:
    if len(ours) > 1:
        found = slo_trials.verdicts(ours, asked.slos)
    else:
        run, summary = ours[0]
        found = slo.verdicts(run, asked.slos, summary.validity, summary.steadiness)
    if asked.memory_percent_per_hour is not None:
        found.append(_memory(asked.memory_percent_per_hour, ours))
    return found


def _memory(limit: float, ours: Sequence[tuple[Run, Summary]]) -> Verdict:
    """Whether the server's memory grows faster than it may: by the slope of the longest trial."""
    name = f"server memory: growth<{limit:g} % per hour"
    _, summary = max(ours, key=lambda one: one[1].run.measured_s)
    server = summary.server
    bounds = None if server is None else server.ci95.get("rss_percent_per_hour")
    if server is None or server.rss_percent_per_hour is None or bounds is None:
        why = "the server tells no memory" if server is None else server.why.get("rss_percent_per_hour", "")
        return Verdict(name, SLO, FAIL, None, limit / 100, None, SHARE, f"nothing was measured: {why}")
    low, high = (end / 100 for end in bounds)
    state = PASS if high < limit / 100 else FAIL if low >= limit / 100 else INCONCLUSIVE
    why = "a longer soak would decide it" if state == INCONCLUSIVE else ""
    ends = (round(low, 6), round(high, 6))
    return Verdict(
        name, SLO, state, round(server.rss_percent_per_hour / 100, 6), limit / 100, ends, SHARE, why
    )


def _against(
    asked: Asked,
    ours: Sequence[tuple[Run, Summary]],
    theirs: Sequence[tuple[Run, Summary]],
    taken: Sequence[Taken],
) -> tuple[list[Change], list[Verdict]]:
    """Changes from the baseline to the candidate, of trials with the same seeds on either side."""
    seeds = {run.manifest.seed for run, _ in ours} & {run.manifest.seed for run, _ in theirs}
    before, after = ([one for one in some if one[0].manifest.seed in seeds] for some in (theirs, ours))
    reason = _no_comparison(before, after, taken)
    if reason:
        return [], [Verdict(f"{asked.job} against the baseline", REGRESSION, INCONCLUSIVE, why=reason)]
    found = changes([summary for _, summary in before], [summary for _, summary in after], asked.tolerance)
    return found, [one.verdict for one in found]


def _no_comparison(
    before: Sequence[tuple[Run, Summary]], after: Sequence[tuple[Run, Summary]], taken: Sequence[Taken]
) -> str:
    if min(len(before), len(after)) < FEWEST:
        pairs = min(len(before), len(after))
        return f"{pairs} pairs of trials count; {FEWEST} are the fewest that can be compared"
    dropped = sum(not one.told.counts for one in taken)
    if dropped > MOST_DROPPED * len(taken):
        return f"{dropped} of {len(taken)} trials do not count: the machine was not quiet enough"
    return "; ".join(differences([run for run, _ in before], [run for run, _ in after]))


def _state(
    verdicts: Sequence[Verdict], any_counts: bool, taken: Sequence[Taken], cut: str
) -> tuple[str, str]:
    if cut:
        return INCOMPLETE, cut
    if not any_counts:
        states = {one.told.validity for one in taken}
        why = taken[0].told.noise if taken else "no trial was run"
        return (INVALID if INVALID in states else INCONCLUSIVE), f"no trial counts: {why}"
    states = {one.state for one in verdicts}
    state = FAIL if FAIL in states else INCONCLUSIVE if INCONCLUSIVE in states else PASS
    first = next((one for one in verdicts if one.state == state and state != PASS), None)
    return state, "" if first is None else f"{first.name}{': ' + first.why if first.why else ''}"


def _facts(taken: Sequence[Taken]) -> dict[str, Any]:
    """What all trials have in common, for the record."""
    if not taken:
        return {}
    manifest = taken[0].run.manifest
    return {
        "scenario": manifest.scenario,
        "transport": manifest.transport,
        "users": manifest.users,
        "commit": manifest.commit,
        "fingerprint": manifest.environment.get("fingerprint", ""),
        "parameters": manifest.parameters,
    }
