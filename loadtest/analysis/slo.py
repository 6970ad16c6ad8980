"""Did a run keep what it was asked to keep?

Percentiles, means and rates are judged by their 95 % interval: kept if all of it lies on the right side of the
limit, broken if all of it lies on the wrong side, and otherwise not decided, with about how many it would take.
Counts and equalities are judged by the number itself. A metric of which the run has nothing is broken, not kept: a
test that measures nothing must not stay green.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest.analysis.certainty import Ends, fan_out, independent, said_to_all, seconds_of, windows_of
from loadtest.analysis.figures import say_share
from loadtest.analysis.intervals import needed_for_share
from loadtest.analysis.quantile_intervals import mean_interval, quantile_interval, share_interval
from loadtest.analysis.steadiness import DRIFTING, UNSETTLED, Steadiness, steadiness
from loadtest.analysis.validity import INVALID, Validity
from loadtest.analysis.verdict import COUNT, FAIL, INCONCLUSIVE, MS_UNIT, PASS, SHARE, SLO, Verdict
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.slo import Slo
from loadtest.measure.threshold import Selector, Tally, Threshold, tally
from loadtest.measure.units import MS, say_seconds

_TIMES = ("avg", "min", "max")
_OF_WHAT_CAME = ("avg", "min")
_UNBOUNDED = 0.025
"""While q**n is above it, n values have no upper end of a two-sided 95 % interval of their q-quantile."""


class Evidence(NamedTuple):
    """What a run has to say to one SLO. rows: the seconds that it is about; of: their sums."""

    run: Run
    rows: list[SeriesRow]
    of: Tally
    selector: Selector
    threshold: Threshold
    mean_fan_out: float
    steady: Steadiness


def verdicts(
    run: Run, slos: Sequence[Slo], validity: Validity, steady: Steadiness | None = None
) -> list[Verdict]:
    """One per SLO, in their order."""
    if not slos:
        return []
    known = steadiness(run) if steady is None else steady
    mean_fan_out = fan_out(run.series)
    return [_verdict(slo, gather(run, slo, mean_fan_out, known), validity) for slo in slos]


def gather(run: Run, slo: Slo, mean_fan_out: float, steady: Steadiness) -> Evidence:
    """What the run has to say to this SLO."""
    selector, threshold = slo.parsed()
    rows = [row for row in run.series if selector.selects(row)]
    return Evidence(run, rows, tally(rows, selector), selector, threshold, mean_fan_out, steady)


def unit_of(threshold: Threshold) -> str:
    """What a threshold compares: ms, share or count."""
    if threshold.quantile is not None or threshold.aggregate in _TIMES:
        return MS_UNIT
    return SHARE if threshold.aggregate == "rate" else COUNT


def rounded(value: float, threshold: Threshold) -> float:
    """Times to the microsecond, as wherever they are given: the same figure must not be worded in two ways."""
    return round(value, 3 if unit_of(threshold) == MS_UNIT else 6)


def _verdict(slo: Slo, evidence: Evidence, validity: Validity) -> Verdict:
    threshold = evidence.threshold
    observed = threshold.observe(evidence.of)

    def said(state: str, why: str = "", ci95: Ends | None = None) -> Verdict:
        value = None if observed is None else rounded(observed, threshold)
        return Verdict(slo.name, SLO, state, value, threshold.limit, ci95, unit_of(threshold), why)

    if validity.state == INVALID:
        return said(INCONCLUSIVE, f"the run is invalid: {validity.reasons[0]}")
    if is_empty(evidence.of):
        return said(FAIL, f"nothing was measured: the run has no {evidence.selector}")
    if evidence.run.manifest.stopped_by == slo.name:
        known = interval(evidence, evidence.rows) if by_interval(threshold) else None
        return said(FAIL, "it ended the run", None if known is None else ends_of(known, threshold))
    if is_silent(threshold, evidence.of):
        return said(FAIL, f"nothing of it came in time: {evidence.of.settled:,} late or lost")
    if not by_interval(threshold):
        return said(PASS if threshold.holds(evidence.of) else FAIL, missing(evidence, observed))
    found = interval(evidence, evidence.rows)
    state, why = _decide(evidence, found)
    if state == INCONCLUSIVE and not why:
        why = _what_it_takes(evidence, observed, found)
    return said(state, why or missing(evidence, observed), ends_of(found, threshold))


def is_empty(of: Tally) -> bool:
    """Whether there is nothing of it: then it cannot have been kept. What is still under way is nothing yet."""
    settled = any(n for name, n in of.counts.items() if name != "open")
    return not of.latency.n and not of.never_owed and not settled


def is_silent(threshold: Threshold, of: Tally) -> bool:
    """Whether it asks for a statistic of what came, and nothing did: that is kept by no limit."""
    return threshold.aggregate in _OF_WHAT_CAME and not of.latency.n


def by_interval(threshold: Threshold) -> bool:
    """Equalities and counts speak for themselves; so do the extremes, which no sample bounds."""
    if threshold.aggregate == "rate" and not 0 < threshold.limit < 1:
        return False  # an equality in other words: no sample shows that there are none
    sampled = threshold.quantile is not None or threshold.aggregate in ("avg", "rate")
    return sampled and threshold.compare not in ("==", "!=")


def missing(evidence: Evidence, observed: float | None) -> str:
    """What never came in time, where the observed number does not show it."""
    of, threshold = evidence.of, evidence.threshold
    gone = of.settled - of.latency.n
    if not gone:
        return ""
    if threshold.of_the_slowest and observed is None:
        return f"not reached: {say_share(gone / of.settled)} of {of.settled:,} did not come in time"
    if threshold.aggregate in _OF_WHAT_CAME:
        return f"of the {of.latency.n:,} that came; {gone:,} did not come in time"
    return ""


class Interval(NamedTuple):
    """A 95 % interval in the unit of its threshold, and how many independent ones it stands on."""

    low: float
    high: float
    n: int


def ends_of(found: Interval, threshold: Threshold) -> Ends:
    """As a summary has it."""
    low, high = (None if math.isinf(end) else rounded(end, threshold) for end in (found.low, found.high))
    return low, high


def interval(evidence: Evidence, rows: Sequence[SeriesRow], first: int | None = None) -> Interval:
    """Of these rows; ``first``: the second they begin at, if it is not that of their phase."""
    threshold, operation = evidence.threshold, evidence.selector.operation
    if threshold.aggregate == "rate":
        wrong, owed = shares(rows)
        n = independent(operation, int(owed.sum()), evidence.mean_fan_out)
        bounds = share_interval(wrong, owed, n)
        return Interval(bounds.low, bounds.high, n)
    fell = windows_of(evidence.run, rows, evidence.selector.phase, first=first)
    n = independent(operation, fell.expected, evidence.mean_fan_out)
    quantile = threshold.quantile
    bounds = mean_interval(fell, n) if quantile is None else quantile_interval(fell, quantile, n)
    return Interval(bounds.low / MS, bounds.high / MS, n)


def shares(rows: Sequence[SeriesRow]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(wrong, owed) by the second, as the threshold ``rate`` counts them."""
    first, last = min(row.second for row in rows), max(row.second for row in rows)
    wrong, owed = np.zeros(last - first + 1, np.int64), np.zeros(last - first + 1, np.int64)
    for row in rows:
        never_owed = 0 if Operation(row.operation).fans_out else row.failed
        wrong[row.second - first] += row.late + row.lost + never_owed
        owed[row.second - first] += row.expected + never_owed
    return wrong, owed


def state_of(threshold: Threshold, low: float, high: float) -> str:
    """Both ends on the right side, both on the wrong one, or one on each."""
    met = threshold.met_by(low), threshold.met_by(high)
    return INCONCLUSIVE if met[0] != met[1] else PASS if met[0] else FAIL


def _decide(evidence: Evidence, found: Interval) -> tuple[str, str]:
    """(state, why): what holds of the whole must also hold of what it was on the way to."""
    threshold, steady = evidence.threshold, evidence.steady
    state = state_of(threshold, found.low, found.high)
    timed = unit_of(threshold) == MS_UNIT and evidence.selector.phase == Phase.MEASURE
    if state == INCONCLUSIVE or not timed:
        return state, ""
    if steady.state == DRIFTING and steady.drift_ci95 is not None:
        fell, rose = (max(-100.0, min(0.0, steady.drift_ci95[0])), max(0.0, steady.drift_ci95[1]))
        if state_of(threshold, found.low * (1 + fell / 100), found.high * (1 + rose / 100)) != state:
            return (
                INCONCLUSIVE,
                f"{steady.why}; going on like that it would not stay on this side of the limit",
            )
    if steady.state == UNSETTLED:
        later = _settled_part(evidence)
        if later is None or state_of(threshold, later.low, later.high) != state:
            return (
                INCONCLUSIVE,
                f"{steady.why}; the rest alone does not say the same: use a longer --rt-warmup",
            )
    return state, ""


def _settled_part(evidence: Evidence) -> Interval | None:
    """The interval without the part that had not settled; of a run that never did, of its second half."""
    first, last = seconds_of(evidence.run, Phase.MEASURE)
    cut_s = evidence.steady.cut_s
    from_s = first + ((last - first) // 2 if cut_s is None else cut_s)
    rows = [row for row in evidence.rows if row.second >= from_s]
    return interval(evidence, rows, from_s) if rows else None


def _what_it_takes(evidence: Evidence, observed: float | None, found: Interval) -> str:
    """About how many would decide it: an interval shrinks with the root of their number."""
    needed = max(_needed(evidence.threshold, observed, found), found.n + 1)
    seconds = len({row.second for row in evidence.rows})
    longer = f", {say_seconds(math.ceil(seconds * needed / found.n))} at this rate" if found.n else ""
    # Copies of one message share its fate, so it is messages that count; the page beside it counts deliveries.
    noun = " messages" if said_to_all(evidence.selector.operation) else ""
    return f"n={found.n:,}{noun}; about {_two_digits(needed):,} would decide it{longer}"


def _needed(threshold: Threshold, observed: float | None, found: Interval) -> int:
    limit = threshold.limit
    if threshold.aggregate == "rate" and not observed:
        return needed_for_share(limit)
    if threshold.quantile is not None and threshold.quantile**found.n > _UNBOUNDED:
        return math.ceil(math.log(_UNBOUNDED) / math.log(threshold.quantile))
    if observed is None or observed == limit:
        return 4 * found.n
    reach = found.high - observed if observed < limit else observed - found.low
    if math.isinf(reach):  # the upper end lies among what never came
        return 4 * found.n
    times = reach / (limit - observed)
    return math.ceil(found.n * times * times)


def _two_digits(n: int) -> int:
    """Rounded up: more would be made up."""
    step: int = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step
