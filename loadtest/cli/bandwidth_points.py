"""Which runs does the comparison of bytes need, and how long is each?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loadtest.analysis.bandwidth_cost import Arm

USERS, ROOM, PAYLOAD_BYTES = 40, 10, 150
CONNECT_S, DRAIN_S, IDLE_AFTER_S, WRITING_S = 2.0, 2.0, 6.0, 6.0
"""What goes before and after a window; IDLE_AFTER_S: into the drain, from where on a run counts as idle."""
SETTLED_S = 2.0
"""After the first heartbeat. A fresh connection acknowledges it before it answers, a segment more than all later
ones: it belongs to connecting, and a short window would be billed for it."""
BEATS = 5
"""Heartbeats that an idle window must hold, or they are under-sampled."""
NEVER = "0.000001/h"
"""A rate at which nobody says anything."""
QUICK_PERIOD_S = 5.0
"""The heartbeat of the server that the quick grid idles at."""
CLASSES = {1: "SayingUser", 3: "ThreeFeedsUser"}


class Plan(NamedTuple):
    """What is asked for. host: the server under test; None: one of our own for each trial.

    window_s: over about how long the bytes of talking are counted; low rates of a full grid twice as long.
    """

    quick: bool
    trials: int
    host: str | None = None
    flags: tuple[str, ...] = ()
    window_s: float = 25.0

    @property
    def kept(self) -> dict[str, object]:
        """What two runs of one grid must have in common."""
        return {"quick": self.quick, "host": self.host}


class Spot(NamedTuple):
    """One run: an arm at a rate of delivered messages per second and user (0: idle), by a seed."""

    arm: Arm
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """``websocket-idle-1``, ``interval-polling-browser-3-0.1-2``."""
        return f"{self.arm.name}-{f'{self.rate:g}' if self.rate else 'idle'}-{self.seed}"


def spots(plan: Plan) -> list[Spot]:
    """Every run of the grid; of a trial, the long ones first, or they would be waited for at its end."""
    from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET, Arm
    from loadtest.analysis.bandwidth_model import BROWSER, LIBRARY

    headers = (LIBRARY, BROWSER)
    arms = [Arm(WEBSOCKET), *(Arm(INTERVAL_POLLING, one) for one in headers)]
    rates: Sequence[float] = (0, 0.1, 1)
    if not plan.quick:
        arms += [Arm(WEBSOCKET, compression=True), *(Arm(INTERVAL_POLLING, one, 3) for one in headers)]
        arms += [Arm(LONG_POLLING, one) for one in headers]
        rates = (0, 0.01, 0.1, 1, 5)
    return [Spot(arm, rate, seed) for seed in range(1, plan.trials + 1) for rate in rates for arm in arms]


def window_s(spot: Spot, plan: Plan, period_s: float) -> float:
    """How long bytes are counted: a whole number of heartbeats, so that none is counted by half."""
    if not spot.rate:
        return BEATS * _idle_period_s(plan, period_s) + 0.5
    slow = spot.rate < 1 and not plan.quick
    return period_s * max(1, round(plan.window_s * (2 if slow else 1) / period_s))


def before_s(spot: Spot, plan: Plan, period_s: float) -> float:
    """How long a connection must have been there before the window: its first heartbeat is over."""
    return SETTLED_S + (period_s if spot.rate else _idle_period_s(plan, period_s))


def _idle_period_s(plan: Plan, period_s: float) -> float:
    """A server of ours can be made to ping more often; one that is only visited cannot."""
    return min(QUICK_PERIOD_S, period_s) if plan.quick and plan.host is None else period_s


def run_time_s(spot: Spot, plan: Plan, period_s: float = 25.0) -> float:
    """The whole life of a run, from its first user on."""
    around = CONNECT_S + before_s(spot, plan, period_s) + (DRAIN_S if spot.rate else 0)
    # The plan has room for a moment of measure at least, and locust takes whole seconds.
    return float(math.ceil(max(around, IDLE_AFTER_S + 2) + window_s(spot, plan, period_s)))


def flags_of(spot: Spot, plan: Plan, host: str, period_s: float) -> list[str]:
    """What locust is told of a run."""
    arm = spot.arm
    drain_s = DRAIN_S if spot.rate else IDLE_AFTER_S + window_s(spot, plan, period_s)
    warmup_s = before_s(spot, plan, period_s) if spot.rate else 0.0
    rate = f"{spot.rate / (ROOM - 1) * 60:.6f}/m" if spot.rate else NEVER
    told = {
        "transport": arm.transport, "headers": arm.headers, "compression": "on" if arm.compression else "off",
        "rate": rate, "room-size": ROOM, "payload-bytes": PAYLOAD_BYTES, "seed": spot.seed,
        "warmup": f"{warmup_s:g}s", "drain": f"{drain_s:g}s",
    }  # fmt: skip
    flags = [CLASSES[arm.feeds], "-H", host, "-u", str(USERS), "-r", str(USERS)]
    for name, value in told.items():
        flags += [f"--rt-{name}", str(value)]
    return [*flags, *plan.flags]
