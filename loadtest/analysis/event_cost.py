"""What does an event cost the generator, in CPU time on this machine?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from loadtest.analysis.series import measured_seconds
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.run import Run

APART = 5.0
"""Two loads must differ by this factor, or the noise of both is larger than what lies between them."""


class Cost(msgspec.Struct, frozen=True):
    """CPU seconds of the generator for one event, and for one HTTP request of a user that polls the feeds.

    source: where the numbers are from, in words.
    """

    event_s: float
    request_s: float
    source: str


_ASSUMED = "assumed: twice what two cores of a rented machine took"
DEFAULTS = {
    "websocket": Cost(62e-6, 300e-6, _ASSUMED),
    "upgrade": Cost(62e-6, 300e-6, _ASSUMED),
    "long-polling": Cost(300e-6, 300e-6, _ASSUMED),
    "interval-polling": Cost(62e-6, 300e-6, _ASSUMED),
}
"""Where nothing was measured. In the benchmark of the client (``make bench``) an event took 31 microseconds, a
request over HTTP 117 to 152, and the stock client 122 for an event. Over long-polling, at worst, each event is a
request."""
STOCK = Cost(250e-6, 300e-6, _ASSUMED)
"""Of the stock client, which goes over WebSocket only."""


class Used(msgspec.Struct, frozen=True):
    """What the generator did in the measured phase of a run: events per second, and cores it took for them."""

    events_per_s: float
    cpu: float
    processes: int = 1


def used(run: Run) -> Used | None:
    """Of a run over a socket; None without a measured second, or without its health."""
    seconds = measured_seconds(run)
    rows = [row for row in run.health if row.phase == Phase.MEASURE]
    if seconds < 1 or not rows:
        return None
    # What is typed has no ack, what changes the conversation has two: two for each act is nearly right.
    acts = sum(row.sent for row in rows)
    came = sum(
        row.latency.n
        for row in run.series
        if row.phase == Phase.MEASURE and Operation(row.operation).fans_out
    )
    of_each: dict[str, list[float]] = {}
    for row in rows:
        of_each.setdefault(row.worker, []).append(row.cpu_percent)
    cpu = sum(sum(some) / len(some) for some in of_each.values()) / 100
    return Used((2 * acts + came) / seconds, cpu, len(of_each))


def cost_of(several: Sequence[Used], transport: str, source: str) -> Cost | None:
    """CPU time of an event: what more events took more. None if nothing happened in any of them.

    A process takes some per cent of a core while nothing happens, and that is no part of an event. Of loads that
    are not APART, or that took no more for more, all is put down to events: an upper limit.
    """
    loads = sorted((one for one in several if one.events_per_s > 0 and one.cpu > 0), key=_events)
    if not loads:
        return None
    least, most = loads[0], loads[-1]
    event_s = most.cpu / most.events_per_s
    if most.events_per_s >= APART * least.events_per_s and most.processes == least.processes:
        slope = (most.cpu - least.cpu) / (most.events_per_s - least.events_per_s)
        event_s = min(event_s, slope) if slope > 0 else event_s
    return Cost(event_s, DEFAULTS[transport].request_s, source)


def _events(one: Used) -> float:
    return one.events_per_s
