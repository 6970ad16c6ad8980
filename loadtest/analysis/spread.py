"""Over which servers were the users spread, and did it matter whether two of them were on the same one?

Where the target says which of several servers took a connection. Messages of the measured phase, by the server
that their sender was on when they left and the one that their reader was on.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from loadtest.analysis.figures import Figures, figures
from loadtest.analysis.series import measured
from loadtest.measure.histogram import Histogram, merged
from loadtest.measure.operations import Operation
from loadtest.measure.run import Run
from loadtest.measure.servers import ways

_CONNECTED, _CONNECTIONS, _MISSING = "servers.connected.", "servers.connections.", "servers.missing."
_MOVED = "servers.moved"


class ServerShare(msgspec.Struct, frozen=True):
    """One server: devices connected to it at the end, connections made in all, and its readers' messages.

    within, across: read there, and said there or on another one. missing: late or lost on the way there.
    """

    name: str
    connected: int
    connections: int
    within: int
    across: int
    missing: int


class Way(msgspec.Struct, frozen=True):
    """All messages of a kind of way; ``expected`` = n + missing, percentiles are over that."""

    expected: int
    n: int
    missing: int
    latency_ms: Figures
    why: dict[str, str]


class Spread(msgspec.Struct, frozen=True):
    """The servers in the order of their names. moved: times that a device came back on another one."""

    servers: list[ServerShare]
    moved: int
    within: Way
    across: Way


class _Flow(msgspec.Struct):
    """What went one way, from one server to one server."""

    came: Histogram = msgspec.field(default_factory=Histogram)
    missing: int = 0


def spread(run: Run) -> Spread | None:
    """None where the target named no servers, or there was only one."""
    counters = run.manifest.counters
    connected, connections = _counted(counters, _CONNECTED), _counted(counters, _CONNECTIONS)
    names = sorted({*connected, *connections})
    if len(names) < 2:
        return None
    flows = _flows(run)
    shares = [_share(name, connected[name], connections[name], flows) for name in names]
    within = [flow for (sender, reader), flow in flows.items() if sender == reader]
    across = [flow for (sender, reader), flow in flows.items() if sender != reader]
    return Spread(shares, counters.get(_MOVED, 0), _way(within), _way(across))


def _counted(counters: dict[str, int], prefix: str) -> Counter[str]:
    """Those that begin so, by what follows."""
    return Counter({name.removeprefix(prefix): n for name, n in counters.items() if name.startswith(prefix)})


def _flows(run: Run) -> dict[tuple[str, str], _Flow]:
    """By (server of the sender, server of the reader)."""
    flows: dict[tuple[str, str], _Flow] = {}
    phases = measured(run, Operation.MESSAGE_DELIVER).phases
    for name, sender, reader in ways(phases):
        flows.setdefault((sender, reader), _Flow()).came.merge(phases[name])
    missing = _counted(run.manifest.counters, _MISSING)
    for name, sender, reader in ways(missing):
        flows.setdefault((sender, reader), _Flow()).missing += missing[name]
    return flows


def _share(name: str, connected: int, connections: int, flows: dict[tuple[str, str], _Flow]) -> ServerShare:
    here = {sender: flow for (sender, reader), flow in flows.items() if reader == name}
    within = here[name].came.n if name in here else 0
    return ServerShare(
        name,
        connected,
        connections,
        within,
        sum(flow.came.n for flow in here.values()) - within,
        sum(flow.missing for flow in here.values()),
    )


def _way(flows: list[_Flow]) -> Way:
    came = merged(flow.came for flow in flows)
    missing = sum(flow.missing for flow in flows)
    latency, why = figures(came, came.n + missing)
    return Way(came.n + missing, came.n, missing, latency, why)
