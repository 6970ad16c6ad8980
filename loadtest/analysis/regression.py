"""Has a build become dearer than the one before it?

The unit is the trial: a run of its own, with fresh processes. Runs of one build differ among themselves, by
more than the intervals inside each would allow; only several of each tell a difference between builds from
that. Each figure is compared by the Hodges-Lehmann estimate of its ratio with the exact interval (see
loadtest.analysis.trials); several figures at once are held to Holm's rule, so that the more is looked at, the
less is not found by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.gauges import LOSS, together
from loadtest.analysis.summary import Summary
from loadtest.analysis.trials import Effect, detectable, difference, holm, ratio, variation
from loadtest.analysis.verdict import FAIL, INCONCLUSIVE, PASS, RATIO, REGRESSION, SHARE, Verdict

TOLERANCE = 0.05
"""A change of less is nobody's regression; with this the rule finds +10 % in 8 of 10 comparisons of 5 trials
each, at a variation of 5 % between trials, and blocks 3 of 100 that changed nothing.
"""
LOST_MORE = 0.001
"""The tolerance of a share that may be 0: so much more of everything lost, in absolute terms."""
FEWEST = 4
"""Trials of each build below which no difference whatever could be significant."""
ALPHA = 0.05


class Change(NamedTuple):
    """One figure of two builds, a value for each trial. detectable: the smallest ratio - 1 that so many trials
    would find in four of five comparisons; None where it cannot be told."""

    name: str
    before: list[float]
    after: list[float]
    effect: Effect
    detectable: float | None
    verdict: Verdict


def changes(
    first: Sequence[Summary], second: Sequence[Summary], tolerance: float = TOLERANCE
) -> list[Change]:
    """From ``first`` to ``second``, of what both have; only runs that may be believed should be given."""
    before, after = together(first), together(second)
    names = [name for name in before if name in after and _can_be(name, before[name], after[name])]
    effects = {name: _effect(name, before[name], after[name]) for name in names}
    adjusted = dict(zip(names, holm([_dearer_by_chance(name, effects[name]) for name in names]), strict=True))
    return [
        _change(name, before[name], after[name], effects[name], adjusted[name], tolerance) for name in names
    ]


def _can_be(name: str, before: list[float], after: list[float]) -> bool:
    """A ratio needs something on both sides."""
    return name == LOSS or min(*before, *after) > 0


def _effect(name: str, before: list[float], after: list[float]) -> Effect:
    return difference(before, after) if name == LOSS else ratio(before, after)


def _dearer_by_chance(name: str, effect: Effect) -> float:
    """One-sided p of "it has become dearer"."""
    neutral = 0.0 if name == LOSS else 1.0
    return effect.p / 2 if effect.estimate > neutral else 1 - effect.p / 2


def _change(
    name: str, before: list[float], after: list[float], effect: Effect, p: float, tolerance: float
) -> Change:
    trials = min(len(before), len(after))
    seen = None
    if name != LOSS and trials > 1:
        seen = detectable(variation(before, after), trials)
    limit = LOST_MORE if name == LOSS else 1 + tolerance
    state, why = _state(effect, p, limit, trials, seen)
    ends = (round(effect.low, 6), None if effect.high == float("inf") else round(effect.high, 6))
    verdict = Verdict(
        name,
        REGRESSION,
        state,
        round(effect.estimate, 6),
        round(limit, 6),
        ends if trials >= FEWEST else None,
        SHARE if name == LOSS else RATIO,
        why,
    )
    return Change(name, before, after, effect, seen, verdict)


def _state(effect: Effect, p: float, limit: float, trials: int, seen: float | None) -> tuple[str, str]:
    if trials < FEWEST:
        return (
            INCONCLUSIVE,
            f"{trials} trials of each cannot tell a change from chance; {FEWEST} are the fewest",
        )
    if p <= ALPHA and effect.estimate > limit:
        return FAIL, ""
    if effect.high_one_sided <= limit:
        return PASS, ""
    visible = "" if seen is None else f"; {trials} trials of each find a change of {seen * 100:.0f} % or more"
    if effect.estimate > limit:
        return INCONCLUSIVE, f"more than the tolerance, but that may be chance{visible}"
    return INCONCLUSIVE, f"a change beyond the tolerance is not ruled out{visible}"
