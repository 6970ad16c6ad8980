"""How long did people wait in one arm, and how many times as long in another?

The same statistic stands on both sides of every ratio. Of four trials a side and more the ratio is Hodges and
Lehmann's with its exact interval; of fewer, each trial is held against the one with the same seed, and how sure
that is comes from within the two runs, block by block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from loadtest.analysis.certainty import fan_out, independent, windows_of
from loadtest.analysis.claim_estimates import (
    Arms,
    Asked,
    Each,
    Estimate,
    all_together,
    drawn,
    nothing,
    of_trials,
    two_sided,
)
from loadtest.analysis.figures import NEEDED, QUANTILES
from loadtest.analysis.intervals import TAIL
from loadtest.analysis.quantile_intervals import draws, mean_interval, quantile_interval
from loadtest.analysis.trials import ratio
from loadtest.analysis.verdict import MS_UNIT, RATIO
from loadtest.analysis.windows import FloatArray, Windows, at_ranks, quantile_ranks
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import MS, ms

EXACT_FROM = 4
"""Trials a side from which a ratio of trials has an interval at all."""
OWN = "own_device"


class Sample(NamedTuple):
    """An operation in the measured phase of a run. units: how many of it are independent."""

    run: str
    seed: int
    fell: Windows
    units: int


def sample(run: Run, of: str) -> Sample:
    """What came of an operation, over all transports."""
    rows = [row for row in run.series if row.operation == of and row.phase == Phase.MEASURE]
    fell = windows_of(run, rows, Phase.MEASURE)
    return Sample(run.path.name, run.manifest.seed, fell, independent(of, fell.expected, fan_out(run.series)))


def own_device(run: Run) -> Sample:
    """Until another device of the same user has a message that it said, or that one of its devices said."""
    rows = [
        SeriesRow(row.operation, row.transport, row.phase, row.second, latency=row.phases[OWN])
        for row in run.series
        if row.operation == Operation.MESSAGE_DELIVER and row.phase == Phase.MEASURE and OWN in row.phases
    ]
    fell = windows_of(run, rows, Phase.MEASURE)
    return Sample(run.path.name, run.manifest.seed, fell, max(1, fell.expected))


def value_ms(one: Sample, name: str) -> float | None:
    """mean, p50, p95, p99 in ms; inf among what never came; None if the sample carries no such figure."""
    fell = one.fell
    if not fell.expected or (name in NEEDED and fell.expected < NEEDED[name]):
        return None
    if name == "mean":
        return ms(int(fell.sums_ns.sum()) / fell.n) if fell.n else math.inf
    cumulated = np.cumsum(fell.counts.sum(axis=0))[np.newaxis, :]
    ns = float(
        at_ranks(fell.edges_ns, cumulated, quantile_ranks(np.array([fell.expected]), QUANTILES[name]))[0]
    )
    return ms(ns) if math.isfinite(ns) else math.inf


def latency(name: str, asked: Asked, arms: Arms) -> Estimate:
    """A statistic of an operation, in ms."""
    assert asked.of is not None
    return _latency(name, asked, [sample(run, asked.of) for arm in asked.arms for run in arms[arm]], asked.of)


def own_latency(asked: Asked, arms: Arms) -> Estimate:
    """p95 until another device of the same user has a message, in ms."""
    return _latency(
        "p95", asked, [own_device(run) for arm in asked.arms for run in arms[arm]], "other device"
    )


def _latency(name: str, asked: Asked, samples: Sequence[Sample], of: str) -> Estimate:
    values = [value_ms(one, name) for one in samples]
    each = _each(samples, values, f"{name} {of}")
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return nothing(MS_UNIT, *_too_few(name, samples, each))
    return of_trials(asked, known, MS_UNIT, each) or all_together(
        asked, [_within(name, asked, one, value) for one, value in zip(samples, known, strict=True)], each
    )


def _each(samples: Sequence[Sample], values: Sequence[float | None], column: str) -> tuple[Each, ...]:
    return tuple(
        Each(one.run, column, None if value is None or math.isinf(value) else value, MS_UNIT)
        for one, value in zip(samples, values, strict=True)
    )


def _too_few(
    name: str, samples: Sequence[Sample], each: tuple[Each, ...]
) -> tuple[str, tuple[Each, ...], str]:
    fewest = min(one.fell.expected for one in samples)
    needed = NEEDED.get(name, 1)
    why = f"n={fewest} in the smallest trial" if fewest else "nothing was measured in a trial"
    return why, each, f"{needed:,} values in each would give a {name}: longer trials, or a higher rate"


def _within(name: str, asked: Asked, one: Sample, value: float) -> Estimate:
    """From one run alone: as many independent values, and blocks; the wider of the two, the larger p."""
    q = QUANTILES.get(name)
    bounds = mean_interval(one.fell, one.units) if q is None else quantile_interval(one.fell, q, one.units)
    resampled = draws(one.fell, q)
    if resampled is None:
        return nothing(MS_UNIT, "runs of less than ten seconds have no interval")
    below, above = drawn(resampled, asked.limit * MS)
    needed = ""
    if q is not None:
        under = int(one.fell.counts[:, one.fell.edges_ns <= asked.limit * MS].sum())
        hits = under * one.units // one.fell.expected
        below = max(below, float(special.bdtrc(hits - 1, one.units, q)) if hits else 1.0)
        above = max(above, float(special.bdtr(hits, one.units, q)))
        least = math.ceil(math.log(TAIL) / math.log(q))
        if one.units < least:
            needed = f"{least} independent values in a trial would bound its {name}; there were {one.units}"
    ends = (bounds.low / MS, bounds.high / MS)
    known = value if math.isfinite(value) else None
    return Estimate(known, *ends, two_sided(below, above), MS_UNIT, needed=needed)


def ratio_of(name: str, asked: Asked, arms: Arms) -> Estimate:
    """How many times as long the arm ``against`` takes: a statistic of it over the same of the arms."""
    assert asked.of is not None and asked.against is not None
    fast = [sample(run, asked.of) for arm in asked.arms for run in arms[arm]]
    slow = [sample(run, asked.of) for run in arms[asked.against]]
    values = [[value_ms(one, name) for one in side] for side in (fast, slow)]
    column = f"{name} {asked.of}"
    each = (*_each(fast, values[0], column), *_each(slow, values[1], column))
    known = [[value for value in side if value] for side in values]
    if [len(side) for side in known] != [len(side) for side in values]:
        return nothing(RATIO, *_too_few(name, [*fast, *slow], each))
    if not all(math.isfinite(value) for side in known for value in side):
        return nothing(RATIO, f"the {name} of a trial lies among what never came", each)
    if min(len(fast), len(slow)) >= EXACT_FROM:
        return _of_trials(asked, known[0], known[1], each)
    of_seed = {one.seed: (one, value) for one, value in zip(slow, known[1], strict=True)}
    pairs = [
        _pair(name, asked, one, of_seed[one.seed][0], of_seed[one.seed][1] / value)
        for one, value in zip(fast, known[0], strict=True)
        if one.seed in of_seed
    ]
    if not pairs:
        return nothing(RATIO, "no trial of one arm has the seed of one of the other", each)
    return all_together(asked, pairs, each)


def _of_trials(
    asked: Asked, fast: Sequence[float], slow: Sequence[float], each: tuple[Each, ...]
) -> Estimate:
    from scipy.stats import mannwhitneyu  # takes half a second to import

    effect = ratio(fast, slow)
    scaled = np.asarray(fast) * asked.limit
    p = float(mannwhitneyu(scaled, slow, alternative="two-sided", method="exact").pvalue)
    detail = f"{len(slow)} and {len(fast)} trials"
    return Estimate(effect.estimate, effect.low, effect.high, p, RATIO, each, detail,
                    needed=f"more than {min(len(fast), len(slow))} trials a side would decide it")  # fmt: skip


def _pair(name: str, asked: Asked, fast: Sample, slow: Sample, value: float) -> Estimate:
    """Two single runs: blocks of each resampled, and the ratio of every pair of draws."""
    q = QUANTILES.get(name)
    below, above = draws(fast.fell, q), draws(slow.fell, q)
    if below is None or above is None or not (below.size and above.size):
        return nothing(RATIO, "runs of less than ten seconds have no interval")
    size = min(below.size, above.size)
    # Runs of equal length draw the same blocks, so each draw is paired with the next one of the other run.
    ratios: FloatArray = above[:size] / np.roll(below[:size], 1)
    low, high = np.quantile(ratios, 0.025, method="lower"), np.quantile(ratios, 0.975, method="higher")
    return Estimate(value, float(low), float(high), two_sided(*drawn(ratios, asked.limit)), RATIO)


def headroom_ms(asked: Asked, estimate: Estimate, arms: Arms) -> float | None:
    """How much longer a round trip would take the estimate to its limit; None if it does not say, or is past it.

    A round trip adds the same to both arms: r = (slow - limit * fast) / (limit - 1), and limit - value of one
    arm.
    """
    if estimate.value is None:
        return None
    if asked.against is None:
        left = asked.limit - estimate.value
        return left if left > 0 and asked.compare == "<=" else None
    fast, slow = (
        [one.value for one in estimate.each if one.run in names and one.value is not None]
        for names in (
            {run.path.name for arm in asked.arms for run in arms[arm]},
            {run.path.name for run in arms[asked.against]},
        )
    )
    if not fast or not slow or asked.limit <= 1:
        return None
    left = (float(np.median(slow)) - asked.limit * float(np.median(fast))) / (asked.limit - 1)
    return left if left > 0 and asked.compare == ">=" else None
