"""Which statistics may a claim name, what does each need, and what is it called?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from loadtest.analysis import claim_bandwidth as bandwidth
from loadtest.analysis import claim_counts as counts
from loadtest.analysis import claim_server as server
from loadtest.analysis.claim_estimates import Arms, Asked, Estimate, Estimator, nothing
from loadtest.analysis.claim_latency import latency, own_latency, ratio_of
from loadtest.analysis.verdict import COUNT, MS_UNIT, PER_HOUR, RATIO, SHARE


class Statistic(NamedTuple):
    """One of them. says: with ``{of}``, ``{arms}``, ``{against}`` and ``{attempt}`` to fill in.

    needs, takes: keys of a part that it must have, and that it may have.
    """

    estimate: Estimator
    unit: str
    says: str
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


_OF = frozenset({"of"})
_RATIO = frozenset({"of", "against"})
_MS = {"mean_ms": "mean", "p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99"}
_RATIOS = {"ratio_of_means": "mean", "ratio_of_p50": "p50", "ratio_of_p95": "p95", "ratio_of_p99": "p99"}

STATISTICS: dict[str, Statistic] = {
    **{
        name: Statistic(partial(latency, figure), MS_UNIT, f"{figure} of {{of}}, {{arms}}", _OF)
        for name, figure in _MS.items()
    },
    **{
        name: Statistic(
            partial(ratio_of, figure), RATIO, f"{figure} of {{of}}, {{against}} to {{arms}}", _RATIO
        )
        for name, figure in _RATIOS.items()
    },
    "saving_share": Statistic(
        bandwidth.saving, SHARE, "bytes saved while talking, {arms}", frozenset({"against"})
    ),
    "idle_saving_share": Statistic(
        bandwidth.idle_saving, SHARE, "bytes saved while idle, {arms}", frozenset({"against"})
    ),
    "recovered_share": Statistic(counts.recovered, SHARE, "came back, {arms}"),
    "rejoin_share": Statistic(counts.rejoined, SHARE, "rooms rejoined, {arms}"),
    "in_band_share": Statistic(
        counts.in_band, SHARE, "waits before attempt {attempt} in band, {arms}", takes=frozenset({"attempt"})
    ),
    "attempts_most": Statistic(counts.attempts_most, COUNT, "most attempts, {arms}"),
    "broken_share": Statistic(counts.broken, SHARE, "lost, doubled or out of order, {arms}"),
    "delivered_share": Statistic(counts.delivered, SHARE, "{of} delivered, {arms}", _OF),
    "in_time_share": Statistic(counts.in_time, SHARE, "messages within 2 s, {arms}"),
    "longest_gap_ms": Statistic(counts.longest_gap, MS_UNIT, "longest gap, {arms}"),
    "second_device_share": Statistic(counts.own_share, SHARE, "reached the other device, {arms}"),
    "second_device_p95_ms": Statistic(own_latency, MS_UNIT, "p95 to the other device, {arms}"),
    "connect_share": Statistic(counts.connected, SHARE, "connects that worked, {arms}"),
    "unprovoked_drops": Statistic(counts.unprovoked, COUNT, "unprovoked drops, {arms}"),
    "memory_percent_per_hour": Statistic(server.memory, PER_HOUR, "memory growth, {arms}"),
    "processed_count": Statistic(server.processed, COUNT, "processed, {arms}"),
    "refused_count": Statistic(server.refused, COUNT, "refused, {arms}"),
    "processed_after_reconnect": Statistic(server.processed_after, COUNT, "processed after a drop, {arms}"),
    "refused_after_reconnect": Statistic(server.refused_after, COUNT, "refused after a drop, {arms}"),
}


def estimate(asked: Asked, arms: Arms, spoilt: Mapping[str, str] = MappingProxyType({})) -> Estimate:
    """What a part comes to; without a run in one of its arms it comes to nothing.

    spoilt: why no run of an arm can be believed, of arms whose runs were made.
    """
    statistic = STATISTICS[asked.statistic]
    wanted = [*asked.arms, *([asked.against] if asked.against else [])]
    lacking = [arm for arm in wanted if not arms.get(arm)]
    if not lacking:
        return statistic.estimate(asked, arms)
    # Not made is another thing than made and spoilt: the one wants patience, the other a calmer machine.
    whys = (f"no run of {arm} can be believed: {spoilt[arm]}" for arm in lacking if arm in spoilt)
    return nothing(statistic.unit, next(whys, f"no run of {', '.join(lacking)} was made"))


def say(asked: Asked) -> str:
    """What a part is called that has no name of its own."""
    return STATISTICS[asked.statistic].says.format(
        of=asked.of, arms=", ".join(asked.arms), against=asked.against, attempt=asked.attempt or "1 and later"
    )
