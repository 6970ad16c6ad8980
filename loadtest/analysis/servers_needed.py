"""How many servers do so many users need?

As many as carry the load with something to spare, as many as carry it when one of them has failed, and no fewer
than come back from that: who was on the failed one connects to the others, all at once unless told to spread out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from loadtest.analysis.capacity_model import INTERPOLATED
from loadtest.analysis.cluster import times_one

LOAD, FAILURE = "load", "failure"
"""What asks for the number of servers: the load, or that one may fail."""
_MOST = 10_000
_AT_ONCE_S = 1.0
"""Seconds within which everybody who lost a server tries to come back, if nothing spreads them."""


class Terms(msgspec.Struct, frozen=True):
    """What holds for every number of users.

    carries: users one server carries, the lower end of the bracket. headroom, growth: as shares. connects_per_s:
    how fast a server was seen to take users in, None if that is not known. cluster: throughput by number of
    servers, empty: servers are taken to add up.
    """

    carries: int
    headroom: float = 0.30
    growth: float = 0.0
    connects_per_s: float | None = None
    cluster: dict[int, float] = {}


class Servers(msgspec.Struct, frozen=True):
    """The answer for ``users`` at peak.

    grown: users after growth. for_load: servers that the load asks for with headroom. servers: what is needed in
    all, None if that cannot be said, ``why`` says why. because: load or failure. users_each, users_each_after:
    on one server, and once one has failed. spread_s: over how many seconds the users of a failed server must
    spread their return, 0 if all at once will do; None: not known. linear: whether servers were taken to add up.
    """

    users: int
    grown: int
    for_load: int | None
    servers: int | None
    because: str
    users_each: int | None
    users_each_after: int | None
    spread_s: float | None
    linear: bool
    why: str = ""


def servers_needed(users: int, terms: Terms) -> Servers:
    """For so many users at peak. Raises ValueError unless users, capacity and headroom make sense."""
    if users < 1 or terms.carries < 1 or not 0 <= terms.headroom < 1 or terms.growth < 0:
        raise ValueError(f"{users} users on servers of {terms.carries}: that is no plan")
    grown = math.ceil(users * (1 + terms.growth) - 1e-9)
    linear = not terms.cluster
    asked = grown / (terms.carries * (1 - terms.headroom))
    for_load = _fewest(asked, terms.cluster)
    # After a failure the headroom may be used up, but not more than a server carries.
    left = _fewest(grown / terms.carries, terms.cluster)
    if for_load is None or left is None:
        most = max(terms.cluster)
        why = f"{most} servers are the most that were measured together: measure more of them"
        return Servers(users, grown, for_load, None, LOAD, None, None, None, linear, why)
    servers = max(for_load, left + 1)
    return Servers(
        users,
        grown,
        for_load,
        servers,
        LOAD if servers == for_load else FAILURE,
        math.ceil(grown / servers),
        math.ceil(grown / (servers - 1)),
        _spread_s(grown, servers, terms.connects_per_s),
        linear,
    )


def _fewest(times: float, cluster: Mapping[int, float]) -> int | None:
    """The fewest servers that are ``times`` one server; None if that many were not measured."""
    if not cluster:
        return max(1, math.ceil(times - 1e-9))
    for servers in range(1, _MOST):
        found = times_one(cluster, servers)
        if found.value is None:
            return None
        # Of what was not measured the lower end counts.
        sure = found.value if found.how == INTERPOLATED else found.low or 0.0
        if sure >= times - 1e-9:
            return servers
    return None


def _spread_s(users: int, servers: int, connects_per_s: float | None) -> float | None:
    if connects_per_s is None or connects_per_s <= 0:
        return None
    needed_s = users / servers / ((servers - 1) * connects_per_s)
    return 0.0 if needed_s <= _AT_ONCE_S else needed_s
