"""Did several trials together keep what they were asked to keep?

A statistic is taken of each trial, and the interval from how the trials differ: what a restart changes is part
of what is not known. Six trials are the fewest whose smallest and largest value bound a median at 95 %; of fewer,
the widest span of their own intervals is taken. Counts add up; a rate is also held against the interval of all
trials as one sample, because six trials without a loss do not show that nothing is ever lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

from loadtest.analysis.certainty import Ends, fan_out, independent
from loadtest.analysis.figures import say_share
from loadtest.analysis.intervals import ALPHA, needed_for_share
from loadtest.analysis.quantile_intervals import needed, share_interval
from loadtest.analysis.slo import (
    Evidence,
    Interval,
    by_interval,
    ends_of,
    gather,
    interval,
    is_empty,
    is_silent,
    missing,
    rounded,
    shares,
    state_of,
    unit_of,
)
from loadtest.analysis.steadiness import DRIFTING, UNSETTLED, steadiness
from loadtest.analysis.summary import Summary
from loadtest.analysis.trials import median_interval
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, MS_UNIT, PASS, SLO, Verdict
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run
from loadtest.measure.slo import Slo
from loadtest.measure.threshold import Tally


def verdicts(trials: Sequence[tuple[Run, Summary]], slos: Sequence[Slo]) -> list[Verdict]:
    """One per SLO; only trials that may be believed should be given, one at least."""
    return [_verdict(slo, trials) for slo in slos]


def _verdict(slo: Slo, trials: Sequence[tuple[Run, Summary]]) -> Verdict:
    seen = [
        gather(run, slo, fan_out(run.series), summary.steadiness or steadiness(run))
        for run, summary in trials
    ]
    threshold = seen[0].threshold

    def said(state: str, observed: float | None, why: str = "", ci95: Ends | None = None) -> Verdict:
        value = None if observed is None or math.isinf(observed) else rounded(observed, threshold)
        return Verdict(slo.name, SLO, state, value, threshold.limit, ci95, unit_of(threshold), why)

    empty = sum(is_empty(one.of) for one in seen)
    if empty:
        return said(
            FAIL, None, f"nothing was measured in {empty} of {len(seen)} trials: no {seen[0].selector}"
        )
    silent = sum(is_silent(threshold, one.of) for one in seen)
    if silent:
        return said(FAIL, None, f"nothing of it came in time in {silent} of {len(seen)} trials")
    stopped = sum(one.run.manifest.stopped_by == slo.name for one in seen)
    if stopped:
        return said(FAIL, None, f"it ended {stopped} of {len(seen)} trials")
    if not by_interval(threshold):
        whole = _whole(seen)
        observed = threshold.observe(whole)
        why = missing(seen[0]._replace(of=whole), observed)
        return said(PASS if threshold.holds(whole) else FAIL, observed, why)
    values = [_value(one) for one in seen]
    if any(value is None for value in values):
        return said(INCONCLUSIVE, None, _too_few_values(seen))
    known = [value for value in values if value is not None]
    ends = _ends(seen, known)
    state = state_of(threshold, *ends)
    why = _unsteady(seen) if state != INCONCLUSIVE else _what_it_takes(seen)
    return said(INCONCLUSIVE if why else state, median(known), why, ends_of(Interval(*ends, 0), threshold))


def _whole(seen: Sequence[Evidence]) -> Tally:
    whole = Tally()
    for one in seen:
        for row in one.rows:
            whole.add(row)
    return whole


def _value(evidence: Evidence) -> float | None:
    """Of one trial; infinite among what never came; None if its sample carries no such percentile."""
    threshold, of = evidence.threshold, evidence.of
    if threshold.quantile is not None and threshold.quantile**of.settled > ALPHA:
        return None
    observed = threshold.observe(of)
    return math.inf if observed is None else observed


def _too_few_values(seen: Sequence[Evidence]) -> str:
    quantile = seen[0].threshold.quantile or 0.5
    fewest = min(one.of.settled for one in seen)
    return f"n={fewest} in the smallest trial, {needed(quantile).low} needed: longer trials, or a higher rate"


def _ends(seen: Sequence[Evidence], values: Sequence[float]) -> tuple[float, float]:
    between = median_interval(values)
    if seen[0].threshold.aggregate == "rate":
        pooled = share_interval(*_pooled(seen))
        low, high = between or (pooled.low, pooled.high)
        return min(low, pooled.low), max(high, pooled.high)
    if between is None:
        # Fewer than six bound no median; they must not say less than one of them would, so all of theirs together.
        own = [interval(one, one.rows) for one in seen]
        return min(one.low for one in own), max(one.high for one in own)
    return between


def _pooled(seen: Sequence[Evidence]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """(wrong, owed) of all trials together, by the second, and how many of those owed are independent."""
    of_each = [shares(one.rows) for one in seen]
    wrong, owed = (np.concatenate([pair[index] for pair in of_each]) for index in (0, 1))
    units = [
        independent(one.selector.operation, int(pair[1].sum()), one.mean_fan_out)
        for one, pair in zip(seen, of_each, strict=True)
    ]
    return wrong, owed, sum(units)


def _unsteady(seen: Sequence[Evidence]) -> str:
    """Of most trials, one reason not to believe that a longer run would say the same of its times."""
    if unit_of(seen[0].threshold) != MS_UNIT or seen[0].selector.phase != Phase.MEASURE:
        return ""
    whys = [one.steady.why for one in seen if one.steady.state in (DRIFTING, UNSETTLED)]
    return (
        f"{len(whys)} of {len(seen)} trials were not steady: {whys[0]}" if 2 * len(whys) > len(seen) else ""
    )


def _what_it_takes(seen: Sequence[Evidence]) -> str:
    threshold = seen[0].threshold
    if threshold.aggregate == "rate":
        wrong, _, units = _pooled(seen)
        needed = needed_for_share(threshold.limit)
        if not wrong.any() and units < needed:
            return (
                f"n={units:,}; {needed:,} without a bad one would show less than {say_share(threshold.limit)}"
            )
    more = f"more than {len(seen)} of them, or a calmer machine, would decide"
    return f"the limit lies within their interval; {more}"
