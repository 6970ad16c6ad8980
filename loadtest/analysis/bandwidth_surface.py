"""What does push save of the bytes of polling, at which rate of messages, and from which rate on does it not?

A point is one way of polling against one socket at one rate. With four trials or more on either side the ratio is
that of Hodges and Lehmann with its exact interval. Fewer trials are added up, and the interval comes from within:
the number of messages said is Poisson, and every heartbeat or poll may have fallen one time more or less into the
window; the closed form says what that is worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET, Arm, Cost
from loadtest.analysis.bandwidth_model import DEFLATE, LEVELS, PLAIN, Pair, Polling, Pushing, crossing
from loadtest.analysis.intervals import Interval, poisson_rate
from loadtest.analysis.trials import ratio

ENOUGH = 4
"""Trials a side, below which the exact interval of their ratio has no ends."""
TRIALS, WITHIN = "trials", "within"
CLOSE = 0.05
"""What was measured and the closed form may differ by so much."""
_MOST_OF_IT = 0.95
"""Of what was counted, that one heartbeat may have been: a window of one says little."""
BEYOND = 1.5
"""A rate is named up to so many times the highest one measured, and called extrapolated past that one."""

Models = Mapping[tuple[str, int, str], Pair]


class Point(msgspec.Struct, frozen=True):
    """One way of polling against one socket, at one rate, on one level.

    push, poll: bytes per user and second (of connecting, per user). saving: of the bytes of polling; low, high:
    its 95 % interval, None where there is none. delivered: the rate really heard. modelled: the saving by the
    closed form at that rate; None where there is no form.
    """

    polling: Arm
    compression: bool
    level: str
    regime: str
    rate: float
    delivered: float
    push: float
    poll: float
    saving: float
    low: float | None
    high: float | None
    method: str
    trials: int
    modelled: float | None = None


class Crossing(msgspec.Struct, frozen=True):
    """The rate up to which push saves ``saving``, messages per second and user; None: none found below ``most``.

    low, high: its 95 % interval; None: not bounded by what was measured. extrapolated: past the highest rate.
    """

    polling: Arm
    compression: bool
    level: str
    saving: float
    rate: float | None
    low: float | None
    high: float | None
    most: float
    extrapolated: bool = False


class Check(msgspec.Struct, frozen=True):
    """An arm beside the closed form, bytes per user and second. off: measured over modelled, less one."""

    arm: Arm
    rate: float
    level: str
    measured: float
    modelled: float
    off: float

    @property
    def close(self) -> bool:
        """Whether the two agree."""
        return abs(self.off) <= CLOSE


class Surface(msgspec.Struct, frozen=True):
    """All that a grid says."""

    points: list[Point]
    crossings: list[Crossing]
    checks: list[Check]


class _Sum(NamedTuple):
    """Runs of one arm in one regime at one rate, added up."""

    cost: float
    delivered: float
    said: int
    user_s: float
    users: float
    seconds: float
    period_s: float | None


def surface(found: Sequence[Cost], models: Models, claim: float = 0.9) -> Surface:
    """The points, the rates where the claim and break-even end, and how well the closed form holds."""
    sides: dict[tuple[Arm, str, float], list[Cost]] = {}
    for cost in found:
        sides.setdefault((cost.arm, cost.regime, cost.rate), []).append(cost)
    points = [
        point
        for (arm, regime, rate), polls in sorted(sides.items())
        if arm.transport != WEBSOCKET
        for compression in (False, True)
        for level in LEVELS
        for pushes in [sides.get((Arm(WEBSOCKET, compression=compression), regime, rate), [])]
        for point in _point(polls, pushes, level, _pair(models, arm, compression))
    ]
    return Surface(points, _crossings(points, models, claim), _checks(sides, models))


def _pair(models: Models, arm: Arm, compression: bool) -> Pair | None:
    if arm.transport != INTERVAL_POLLING:
        return None
    return models.get((arm.headers, arm.feeds, DEFLATE if compression else PLAIN))


def _point(polls: Sequence[Cost], pushes: Sequence[Cost], level: str, pair: Pair | None) -> Iterable[Point]:
    poll_costs = [one for cost in polls if (one := cost.at(level)) is not None]
    push_costs = [one for cost in pushes if (one := cost.at(level)) is not None]
    if not poll_costs or not push_costs or len(poll_costs) < len(polls) or len(push_costs) < len(pushes):
        return
    first = polls[0]
    poll, push = _sum(polls, level), _sum(pushes, level)
    connecting = first.regime == CONNECT
    modelled = None if pair is None or connecting else pair.saving(push.delivered, level)
    ends: Interval | None = None
    if min(len(polls), len(pushes)) >= ENOUGH:
        effect = ratio(poll_costs, push_costs)
        middle, ends, method = effect.estimate, (effect.low, effect.high), TRIALS
    else:
        middle, method = push.cost / poll.cost, WITHIN
        if pair is not None and not connecting:
            ends = within_run(poll, push, pair, level, first.regime)
    low, high = (None, None) if ends is None else (1 - ends[1], 1 - ends[0])
    yield Point(
        first.arm,
        pushes[0].arm.compression,
        level,
        first.regime,
        first.rate,
        push.delivered,
        push.cost,
        poll.cost,
        1 - middle,
        low,
        high,
        method,
        min(len(polls), len(pushes)),
        modelled,
    )


def _sum(parts: Sequence[Cost], level: str) -> _Sum:
    weights = [part.users if part.regime == CONNECT else part.users * part.seconds for part in parts]
    whole = sum(weights)
    return _Sum(
        sum(weight * (part.at(level) or 0.0) for weight, part in zip(weights, parts, strict=True)) / whole,
        sum(weight * part.delivered for weight, part in zip(weights, parts, strict=True)) / whole,
        sum(part.said for part in parts),
        sum(part.users * part.seconds for part in parts),
        sum(part.users for part in parts) / len(parts),
        sum(part.seconds for part in parts) / len(parts),
        parts[0].period_s,
    )


def within_run(poll: _Sum, push: _Sum, pair: Pair, level: str, regime: str) -> Interval:
    """The 95 % interval of push over polling from few runs of one seed each, which share their messages.

    The messages by F. Garwood's interval for a Poisson count, carried through the closed form; and on top, for
    what comes at fixed times, one more or less in the window: of heartbeats for all users at once, as they
    connected together, of polls for each by itself, as their phases differ.
    """
    measured = push.cost / poll.cost
    factors = [1.0]
    if regime == ACTIVE:
        here = pair.ratio(push.delivered, level)
        per_message = push.delivered / push.said if push.said else (pair.members - 1) / push.user_s
        ends = poisson_rate(min(poll.said, push.said), 1.0)
        factors = [pair.ratio(end * per_message, level) / here for end in ends]
    beating = _idle_share(pair.pushing, push.delivered, pair.members, level)
    asking = _idle_share(pair.polling, poll.delivered, pair.members, level)
    period_s, interval_s = push.period_s or pair.pushing.period_s, pair.polling.feeds[0].interval_s
    beats = beating * period_s / push.seconds
    polls = asking * interval_s / poll.seconds / math.sqrt(poll.users)
    low = measured * min(factors) * (1 - polls) / (1 + beats)
    return low, measured * max(factors) * (1 + polls) / (1 - min(beats, _MOST_OF_IT))


def _idle_share(side: Polling | Pushing, delivered: float, members: float, level: str) -> float:
    """The part of the bytes that flows whether anything is said or not."""
    return side.cost(0, members, level) / side.cost(delivered, members, level)


# -- the rates at which a saving ends ----------------------------------------------------------------------


def _crossings(points: Sequence[Point], models: Models, claim: float) -> list[Crossing]:
    curves: dict[tuple[Arm, bool, str], list[Point]] = {}
    for point in points:
        if point.regime in (ACTIVE, IDLE) and point.polling.transport == INTERVAL_POLLING:
            curves.setdefault((point.polling, point.compression, point.level), []).append(point)
    found = []
    for (arm, compression, _), curve in curves.items():
        pair = _pair(models, arm, compression)
        if pair is not None and any(point.rate for point in curve):
            found += [_crossing(curve, pair, saving) for saving in (claim, 0.0)]
    return found


def _crossing(curve: Sequence[Point], pair: Pair, saving: float) -> Crossing:
    """Where the measured curve passes a saving.

    Between two rates that were measured the curve has the shape of the closed form, bent to go through both.
    """
    ordered = sorted(curve, key=lambda point: point.rate)
    level, highest = ordered[0].level, ordered[-1].rate

    def where(ends: Sequence[float | None]) -> float | None:
        known = [
            (point.rate, (1 - end) / pair.ratio(point.delivered, level))
            for point, end in zip(ordered, ends, strict=True)
            if end is not None and math.isfinite(end)
        ]
        if not known:
            return None
        rates, factors = zip(*known, strict=True)
        return crossing(
            lambda rate: pair.ratio(rate, level) * float(np.interp(rate, rates, factors)), 1 - saving
        )

    rate = where([point.saving for point in ordered])
    low, high = where([point.low for point in ordered]), where([point.high for point in ordered])
    most = BEYOND * highest
    if rate is not None and rate > most:
        rate = None
    return Crossing(
        ordered[0].polling,
        ordered[0].compression,
        level,
        saving,
        rate,
        low if low is not None and low <= most else (None if rate is None else low),
        high if high is not None and high <= most else None,
        most,
        rate is not None and rate > highest,
    )


# -- the closed form ---------------------------------------------------------------------------------------


def _checks(sides: Mapping[tuple[Arm, str, float], Sequence[Cost]], models: Models) -> list[Check]:
    found = []
    for (arm, regime, rate), parts in sorted(sides.items()):
        # A compressor learns from message to message, so what is compressed has no one size.
        if regime == CONNECT or arm.transport == LONG_POLLING or arm.compression:
            continue
        pushes = arm.transport == WEBSOCKET
        pair = _pair(models, Arm(INTERVAL_POLLING), arm.compression) if pushes else _pair(models, arm, False)
        if pair is None:
            continue
        side = pair.pushing if pushes else pair.polling
        for level in LEVELS:
            if all(part.at(level) is not None for part in parts):
                whole = _sum(parts, level)
                modelled = side.cost(whole.delivered, pair.members, level)
                found.append(Check(arm, rate, level, whole.cost, modelled, whole.cost / modelled - 1))
    return found
