"""Costs for tests: what a grid would come to if the closed form were the truth, and what would be weighed then."""

from __future__ import annotations

import random

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET, Arm, Cost
from loadtest.analysis.bandwidth_model import (
    BROWSER,
    DEFLATE,
    LIBRARY,
    PLAIN,
    SOCKET,
    WIRE,
    Pair,
    Weighed,
    Weight,
    models,
)

MEMBERS, USERS = 10, 40
POLL_S = {"messages": 1.5, "calls": 3.0, "live_chat": 2.0}
SIZES = {LIBRARY: (553, 670, 0, 843), BROWSER: (1034, 1150, 993, 1325)}
"""A poll without news, one with an empty list of them, a preflight, a message sent."""
ITEM, HEARD, SAID = 390, {PLAIN: 368, DEFLATE: 173}, {PLAIN: 738, DEFLATE: 359}
RATES = (0.0, 0.01, 0.1, 1.0, 5.0)


def weighed() -> Weighed:
    """Exactly these sizes; a poll after news goes with a preflight where the browser asks."""
    found = []
    for way, (quiet, news, preflight, post) in SIZES.items():
        asks = 1 if preflight else 0
        found += [Weight("poll", way, quiet, 3, feed) for feed in POLL_S for _ in range(3)]
        for items in (0, 1, 1, 4):
            for asked in {0, asks}:
                size = (news if items else quiet) + ITEM * items + preflight * asked
                segments = (5 if items else 3) + 3 * asked
                found.append(Weight("poll", way, size, segments, "messages", items, asked))
        found += [Weight("post", way, post, 5)] * 4
    for way in (PLAIN, DEFLATE):
        found += [Weight("heard", way, HEARD[way], 2)] * 9 + [Weight("said", way, SAID[way], 5)] * 5
    return Weighed(POLL_S, found, 25.0)


MODELS = models(weighed(), MEMBERS)
SOCKETS = (Arm(WEBSOCKET), Arm(WEBSOCKET, compression=True))
POLLERS = tuple(Arm(INTERVAL_POLLING, headers, feeds) for headers in (LIBRARY, BROWSER) for feeds in (1, 3))


def pair(arm: Arm, compression: bool = False) -> Pair:
    """The truth for a way of polling against a socket."""
    return MODELS[arm.headers, arm.feeds, DEFLATE if compression else PLAIN]


def cost(arm: Arm, rate: float, seed: int = 1, said: int | None = None, seconds: float = 50.0) -> Cost:
    """A run whose bytes are those of the closed form, at the rate that so many messages make."""
    exact = rate * USERS * seconds / (MEMBERS - 1)
    count = round(exact) if said is None else said
    heard = count * (MEMBERS - 1) / (USERS * seconds)
    if arm.transport == WEBSOCKET:
        side = pair(POLLERS[0], arm.compression).pushing
        socket, wire = (side.cost(heard, MEMBERS, level) for level in (SOCKET, WIRE))
    else:
        polling = pair(Arm(INTERVAL_POLLING, arm.headers, arm.feeds)).polling
        socket, wire = (polling.cost(heard, MEMBERS, level) for level in (SOCKET, WIRE))
    regime = ACTIVE if rate else IDLE
    name = f"{arm.name}-{rate:g}-{seed}"
    return Cost(arm, regime, rate, seed, name, USERS, seconds, socket, wire, heard, count, 25.0)


def grid(trials: int = 1, seed: int = 1) -> list[Cost]:
    """Every arm at every rate, long polling and connecting too; all arms of a seed hear the same messages."""
    draw = random.Random(seed)
    found = []
    for trial in range(1, trials + 1):
        for rate in RATES:
            mean = rate * USERS * 50 / (MEMBERS - 1)
            # Poisson enough for a test: the sum of many unlikely ones.
            said = sum(draw.random() < mean / 2000 for _ in range(2000)) if rate else 0
            arms = (*SOCKETS, *POLLERS, Arm(LONG_POLLING), Arm(LONG_POLLING, BROWSER))
            found += [cost(arm, rate, trial, said) for arm in arms]
        for arm in (*SOCKETS, *POLLERS):
            size = 1300.0 if arm.transport == WEBSOCKET else 4200.0 if arm.headers == BROWSER else 1280.0
            found.append(
                Cost(arm, CONNECT, 0.0, trial, f"{arm.name}-{trial}", USERS, 0.02, size, size + 52 * 17)
            )
    return found
