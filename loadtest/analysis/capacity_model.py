"""What does a user cost the server, and how far may that be carried beyond what was measured?

Work is linear until a server saturates: its CPU is what it spends on nothing, and so much more for each user and
each delivery (the utilisation law; P. J. Denning and J. P. Buzen, "The operational analysis of queueing network
models", ACM Computing Surveys 10 (1978), 225-261). Nothing has a negative cost, hence least squares with
coefficients that are not. A line says nothing of what it was not fitted to, so there are rules for beyond: up to
half as many again with an interval, up to twice as many as a line without a number, and nothing after that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from loadtest.analysis.windows import FloatArray

INTERPOLATED, EXTRAPOLATED, DASHED, REFUSED = "interpolated", "extrapolated", "dashed", "refused"
WITH_INTERVAL, AS_LINE = 1.5, 2.0
"""How many times the largest measured level a number, and a line, may reach."""
SATURATED = 100.0
"""Percent of one core: what runs in one thread has no more."""
_TOGETHER = 1.5
"""Deliveries per user that differ by less than this factor go with the users: what each costs cannot be told."""


class Point(NamedTuple):
    """One trial: users, deliveries per second, and percent of one core."""

    users: int
    deliveries_per_s: float
    cpu_percent: float


class Model(msgspec.Struct, frozen=True):
    """A fitted line. idle_percent: of no user; per_user_percent, per_delivery_percent: of one more, and of one
    more per second; the last is None where deliveries went with users, so that a user's cost has theirs in it.

    most_users: the largest level it was fitted to. freedom: points less coefficients above zero. spread: s, the
    standard deviation of a point around the line, percent. spread_of: (k, k) what that makes of the coefficients,
    (X'X)^-1, of those above zero; used: which those are.
    """

    idle_percent: float
    per_user_percent: float
    per_delivery_percent: float | None
    deliveries_per_user: float
    most_users: int
    points: int
    freedom: int
    spread: float
    used: list[bool]
    spread_of: list[list[float]]


class Prediction(NamedTuple):
    """CPU at so many users, percent of a core. how: interpolated, extrapolated, dashed or refused.

    low, high: the 95 % interval of a trial there. All None where no number may be given.
    """

    how: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


def fit(points: Sequence[Point]) -> Model | str:
    """The line through ``points``, or why there is none: it takes three levels, and one trial more than costs."""
    from scipy.optimize import nnls

    if len({point.users for point in points}) < 3:
        return "it takes trials at three levels of users that passed, with the server's CPU, to fit a line"
    users, deliveries, cpu = (np.array(column, float) for column in zip(*points, strict=True))
    apart = not _go_together(users, deliveries)
    columns = [np.ones_like(users), users, *([deliveries] if apart else [])]
    design = np.column_stack(columns)
    costs, residual = nnls(design, cpu)
    used = costs > 0
    freedom = len(points) - int(used.sum())
    if freedom < 1 or not used.any():
        return f"{len(points)} trials are too few for the spread around a line"
    inverse = np.linalg.pinv(design[:, used].T @ design[:, used])
    return Model(
        idle_percent=float(costs[0]),
        per_user_percent=float(costs[1]),
        per_delivery_percent=float(costs[2]) if apart else None,
        deliveries_per_user=float(deliveries.sum() / users.sum()),
        most_users=int(users.max()),
        points=len(points),
        freedom=freedom,
        spread=float(residual) / math.sqrt(freedom),
        used=[bool(one) for one in used],
        spread_of=inverse.tolist(),
    )


def _go_together(users: FloatArray, deliveries: FloatArray) -> bool:
    """One search has one rate: then its deliveries are a multiple of its users, but for chance.

    Fitted to chance alone, all of the cost might be put down to either.
    """
    of_each = deliveries / users
    return float(of_each.max()) < _TOGETHER * float(of_each.min())


def reach(users: float, most_measured: float) -> str:
    """What may be said of so many users, where ``most_measured`` were the most that were measured."""
    if users <= most_measured:
        return INTERPOLATED
    if users <= WITH_INTERVAL * most_measured:
        return EXTRAPOLATED
    return DASHED if users <= AS_LINE * most_measured else REFUSED


def predict(model: Model, users: float, deliveries_per_s: float | None = None) -> Prediction:
    """CPU at so many users, who cause ``deliveries_per_s``; left out: as many each as those measured did.

    The interval is that of a new trial: y ± t · s · sqrt(1 + x'(X'X)^-1 x), with t of 97.5 %.
    """
    how = reach(users, model.most_users)
    if how in (DASHED, REFUSED):
        return Prediction(how)
    return Prediction(how, *band(model, users, deliveries_per_s))


def band(model: Model, users: float, deliveries_per_s: float | None = None) -> tuple[float, float, float]:
    """(value, low, high) of the line, wherever; ``predict`` is what says whether it may be told."""
    from scipy.special import stdtrit

    if deliveries_per_s is None:
        deliveries_per_s = users * model.deliveries_per_user
    at = [1.0, users] + ([] if model.per_delivery_percent is None else [deliveries_per_s])
    costs = [model.idle_percent, model.per_user_percent, model.per_delivery_percent or 0.0][: len(at)]
    value = float(np.dot(at, costs))
    x = np.array([one for one, is_used in zip(at, model.used, strict=True) if is_used])
    share = float(x @ np.array(model.spread_of) @ x)
    half = float(stdtrit(model.freedom, 0.975)) * model.spread * math.sqrt(1 + share)
    return value, max(0.0, value - half), value + half


def saturates_at(model: Model, percent: float = SATURATED) -> float | None:
    """How many users fill a core by the line alone; None if none do. ``reach`` says whether it may be told."""
    each = model.per_user_percent + (model.per_delivery_percent or 0.0) * model.deliveries_per_user
    return (percent - model.idle_percent) / each if each > 0 and percent > model.idle_percent else None
