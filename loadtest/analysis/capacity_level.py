"""What do the trials of one number of users say together?

Trials of a level are pooled into one sample: the level is asked once, and more trials make the answer surer. It
passes if every SLO is kept by its whole interval. It fails if one is broken by its whole interval, if less than
99 % of what was owed was delivered by the end, if not everybody got in, or if latency kept rising: a queue that
grows is no capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from loadtest.analysis.capacity_search import FAIL, GENERATOR, OPEN, PASS
from loadtest.analysis.certainty import seconds_of
from loadtest.analysis.figures import Lag, say_share
from loadtest.analysis.series import measured, measured_seconds
from loadtest.analysis.slo import verdicts
from loadtest.analysis.steadiness import DRIFTING, UNKNOWN, UNSETTLED, Steadiness
from loadtest.analysis.summary import Summary
from loadtest.analysis.validity import INVALID, VALID, Validity
from loadtest.analysis.verdict import FAIL as BROKEN
from loadtest.analysis.verdict import INCONCLUSIVE, Verdict
from loadtest.measure.operations import MAIN
from loadtest.measure.plan import Phase
from loadtest.measure.run import Edges, Run
from loadtest.measure.slo import Slo
from loadtest.measure.units import SECOND

DELIVERED = 0.99
"""The share of what was owed that must have come by the end of the run."""
Trial = tuple[Run, Summary]
_PHASES = (Phase.CONNECT, Phase.WARMUP, Phase.MEASURE, Phase.DRAIN)
_BELIEVED = Validity(VALID, [], Lag(), Lag(), None, None)


class Judged(NamedTuple):
    """What a level says. state: pass, fail, open or generator. why: what decided; empty if passed."""

    state: str
    why: str
    verdicts: list[Verdict]


def judge(trials: Sequence[Trial], slos: Sequence[Slo]) -> Judged:
    """The trials of one level, one at least, the newest last; earlier ones are taken to be believable.

    Of a newest one that may not be believed only that is said: state generator.
    """
    run, summary = trials[-1]
    if summary.validity.state == INVALID:
        if measured_seconds(run) < 1 and not run.manifest.harness_errors:
            return Judged(FAIL, f"not everybody got in: {summary.validity.reasons[0]}", [])
        return Judged(GENERATOR, summary.validity.reasons[0], [])
    found = _verdicts(trials, slos)
    broken = [one for one in found if one.state == BROKEN]
    if broken:
        return Judged(FAIL, f"broken: {broken[0].name}", found)
    share = delivered_share([run for run, _ in trials])
    if share is not None and share < DELIVERED:
        return Judged(FAIL, f"only {say_share(share)} of what was owed was delivered by the end", found)
    rising = [one.steadiness.why for _, one in trials if one.steadiness and _rises(one.steadiness)]
    if len(rising) > 1 and 2 * len(rising) > len(trials):
        return Judged(FAIL, f"not steady: {rising[-1]}", found)
    undecided = [one for one in found if one.state == INCONCLUSIVE]
    if undecided:
        return Judged(OPEN, f"not decided: {undecided[0].name}", found)
    if rising and 2 * len(rising) > len(trials):
        return Judged(OPEN, f"not steady: {rising[-1]}", found)
    return Judged(PASS, "", found)


def _verdicts(trials: Sequence[Trial], slos: Sequence[Slo]) -> list[Verdict]:
    run, summary = trials[0]
    if len(trials) == 1:
        return verdicts(run, slos, summary.validity, summary.steadiness)
    # Whether a trial was steady is asked of each: where two meet, nothing drifts.
    return verdicts(pool([run for run, _ in trials]), slos, _BELIEVED, Steadiness(UNKNOWN))


def _rises(steady: Steadiness) -> bool:
    """Latency that falls is a server still warming up; one that rises, or never settles, may be a queue."""
    if steady.state == DRIFTING:
        return (steady.drift_percent or 0.0) > 0
    return steady.state == UNSETTLED and steady.cut_s is None


def delivered_share(runs: Sequence[Run]) -> float | None:
    """How much of what was owed in measure came by the end; None if nothing was owed.

    What was still on its way then counts as not come: a queue that the drain did not empty is what is looked for.
    """
    series = [measured(run, *MAIN) for run in runs]
    came = sum(one.latency.n for one in series)
    owed = came + sum(one.counts[name] for one in series for name in ("late", "lost", "open"))
    return came / owed if owed else None


def pool(runs: Sequence[Run]) -> Run:
    """Runs as one: each phase of a later one follows, second by second, the same phase of the earlier ones.

    So the seconds of measure stand together, and blocks of them can be resampled as those of a single run.
    ``runs``: one at least. Facts that are no numbers are those of the first.
    """
    begins = dict.fromkeys((phase.value for phase in _PHASES), 0)
    lengths = [{phase.value: _length(run, phase) for phase in _PHASES} for run in runs]
    at = 0
    for name in begins:
        begins[name] = at
        at += sum(one[name] for one in lengths)
    warmup_ns, measure_ns, drain_ns = (begins[phase.value] * SECOND for phase in _PHASES[1:])
    edges = Edges(warmup_ns, measure_ns, drain_ns, at * SECOND)
    rows = []
    for run, length in zip(runs, lengths, strict=True):
        for row in run.series:
            first, last = seconds_of(run, row.phase)
            # A worker's clock may have begun a moment before the master's: its second is the nearest of the phase.
            place = min(max(row.second, first), last) - first
            rows.append(msgspec.structs.replace(row, second=begins.get(row.phase, 0) + place))
        for name in begins:
            begins[name] += length[name]
    stopped = next((run.manifest.stopped_by for run in runs if run.manifest.stopped_by), None)
    manifest = msgspec.structs.replace(runs[0].manifest, edges=edges, stopped_by=stopped)
    return Run(runs[0].path, manifest, rows, [], [])


def _length(run: Run, phase: Phase) -> int:
    first, last = seconds_of(run, phase)
    return last - first + 1
