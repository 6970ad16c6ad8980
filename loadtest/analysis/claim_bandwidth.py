"""How much of the bytes of one arm does another save, on the wire?

Bytes per user and second, TCP/IP headers included. Of four trials a side the ratio is that of Hodges and
Lehmann; of fewer, the sum of all, with an interval for what chance decides within a run: how many messages were
said, and whether a heartbeat or a poll more fell into the window. The first is carried through as if all bytes
went with the messages, which makes the interval too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from loadtest.analysis.bandwidth import ACTIVE, IDLE
from loadtest.analysis.bandwidth_cost import Arm, costs
from loadtest.analysis.bandwidth_model import BEAT, WIRE
from loadtest.analysis.claim_estimates import Arms, Asked, Each, Estimate, nothing
from loadtest.analysis.intervals import Z95, poisson_rate
from loadtest.analysis.trials import ratio
from loadtest.analysis.verdict import SHARE
from loadtest.analysis.windows import FloatArray
from loadtest.measure.run import Run

ENOUGH = 4
"""Trials a side from which their ratio has an interval."""
BYTES = "B/s"
_POLL_S = 1.5
_PING_S = 25.0
"""Of the application's server."""


class Spent(NamedTuple):
    """One run: wire bytes per user and second, over how many seconds of how many users, messages said."""

    run: str
    rate: float
    seconds: float
    users: int
    said: int
    period_s: float


def saving(asked: Asked, arms: Arms) -> Estimate:
    """While people talk."""
    return _saving(asked, arms, ACTIVE)


def idle_saving(asked: Asked, arms: Arms) -> Estimate:
    """While nobody says anything."""
    return _saving(asked, arms, IDLE)


def _saving(asked: Asked, arms: Arms, regime: str) -> Estimate:
    assert asked.against is not None
    less = [_spent(run, regime) for arm in asked.arms for run in arms[arm]]
    more = [_spent(run, regime) for run in arms[asked.against]]
    known = [one for one in (*less, *more) if one is not None]
    column = f"{regime} {BYTES} per user"
    each = tuple(Each(one.run, column, one.rate, BYTES) for one in known)
    if len(known) < len(less) + len(more):
        return nothing(SHARE, f"the kernel did not count the {regime} bytes of a run", each)
    pushes, polls = known[: len(less)], known[len(less) :]
    if not all(one.rate > 0 for one in known):
        return nothing(SHARE, f"a run has no {regime} bytes", each)
    return (
        _of_trials(asked, pushes, polls, each)
        if min(len(less), len(more)) >= ENOUGH
        else _within(asked, pushes, polls, regime, each)
    )


def _spent(run: Run, regime: str) -> Spent | None:
    # A server of this machine may have been made to ping more often, so that an idle window holds enough of it.
    period_s = _PING_S if run.manifest.environment.get("same_host_as_target") else None
    rate = 1.0 if regime == ACTIVE else 0.0
    found = costs(run, Arm(run.manifest.transport), rate, run.manifest.seed, period_s)
    for one in found:
        if one.regime == regime and one.wire is not None:
            period_s = float(run.manifest.target.get("ping_interval_s") or _PING_S)
            return Spent(run.path.name, one.wire, one.seconds, one.users, one.said, period_s)
    return None


def _of_trials(
    asked: Asked, pushes: Sequence[Spent], polls: Sequence[Spent], each: tuple[Each, ...]
) -> Estimate:
    a, b = [one.rate for one in polls], [one.rate for one in pushes]
    effect = ratio(a, b)
    p = 0.0 if asked.limit >= 1 else _by_chance(np.log(a) + math.log(1 - asked.limit), np.log(b))
    detail = f"{len(polls)} and {len(pushes)} trials"
    return Estimate(
        1 - effect.estimate, 1 - effect.high, 1 - effect.low, p, SHARE, each, detail, needed=_NEEDED
    )


def _by_chance(a: FloatArray, b: FloatArray) -> float:
    """p of Welch's two-sided test of one mean (B. L. Welch, Biometrika 34 (1947), 28-35).

    By their order alone four trials a side can never have less than 1/35, and so could decide nothing where Holm's
    rule asks for more.
    """
    from scipy.stats import ttest_ind  # takes half a second to import

    if np.ptp(a) == np.ptp(b) == 0:  # bytes may come out the same to the last one
        return float(a[0] == b[0])
    return float(ttest_ind(a, b, equal_var=False).pvalue)


_NEEDED = "more trials would decide it, or a rate further from where the claim ends"


def _within(
    asked: Asked, pushes: Sequence[Spent], polls: Sequence[Spent], regime: str, each: tuple[Each, ...]
) -> Estimate:
    push, poll = _together(pushes), _together(polls)
    part = push.rate / poll.rate
    low = high = part
    said = min(push.said, poll.said)
    if regime == ACTIVE:
        if not said:
            return nothing(SHARE, "nothing was said", each)
        fewer, more = (end / said for end in poisson_rate(said, 1.0))
        low, high = low * fewer, high * more
    beats = min(1.0, BEAT.at(WIRE) / push.period_s / push.rate) * push.period_s / push.seconds
    asks = _POLL_S / poll.seconds / math.sqrt(poll.users)
    low, high = low * max(0.0, 1 - beats) / (1 + asks), high * (1 + beats) / (1 - min(asks, 0.5))
    detail = f"{said:,} messages" if regime == ACTIVE else f"{push.seconds:.0f} s of {push.users} idle users"
    p = 0.0 if asked.limit >= 1 else _p(part / (1 - asked.limit), low / part, high / part)
    return Estimate(1 - part, 1 - high, 1 - low, p, SHARE, each, detail, needed=_NEEDED)


def _together(some: Sequence[Spent]) -> Spent:
    """Bytes and user-time of all trials added up."""
    weights = [one.seconds * one.users for one in some]
    rate = sum(weight * one.rate for weight, one in zip(weights, some, strict=True)) / sum(weights)
    return some[0]._replace(
        rate=rate, seconds=sum(one.seconds for one in some), said=sum(one.said for one in some)
    )


def _p(times: float, low: float, high: float) -> float:
    """Two-sided, of being ``times`` the limit by chance, from the ends of the interval around 1 on that side."""
    end = low if times > 1 else high
    if end <= 0:
        return 1.0
    spread = abs(math.log(end)) / Z95
    return 1.0 if not spread else float(2 * special.ndtr(-abs(math.log(times)) / spread))
