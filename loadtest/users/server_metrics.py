"""What does a Prometheus text endpoint say of a server?

By the names that prom-client gives its figures in Node and prometheus_client in Python, or by the user's own. Of
several processes behind one endpoint each has labels of its own: CPU, memory, sockets and descriptors are added
up, and of their loops the latest counts.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from prometheus_client.parser import text_string_to_metric_families

from loadtest.users.causes import ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import fetch
from loadtest.users.server_source import CPU, DESCRIPTORS, LAG, MEMORY, SOCKETS, Asked, Silent, Told

TIMEOUT_S = 5.0
USUAL: Mapping[str, tuple[tuple[str, ...], ...]] = {
    CPU: (
        ("process_cpu_seconds_total",),
        ("process_cpu_user_seconds_total", "process_cpu_system_seconds_total"),
    ),
    MEMORY: (("process_resident_memory_bytes",),),
    LAG: (("nodejs_eventloop_lag_p99_seconds",), ("nodejs_eventloop_lag_seconds",)),
    SOCKETS: (("socket_io_connected",),),
    DESCRIPTORS: (("process_open_fds",),),
}
"""Of each figure the metrics that tell it, the best first; of several that belong together, the sum."""

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[str, Mapping[Labels, float]]


class Understood(NamedTuple):
    """What one answer said: the values of each figure by labels, and the metrics that they came from."""

    values: dict[str, dict[Labels, float]]
    metrics: list[str]


class Metrics:
    """A Prometheus text endpoint, as a Source."""

    keeps_the_dead = False

    def __init__(self, place: Place, asked: Asked) -> None:
        self.name = asked.shown
        self._place = place
        self._wanted = {figure: ((name,),) for figure, name in asked.names.items()}
        parts = urlsplit(asked.url)
        self._target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._more = ""
        if parts.username is not None:
            leave = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._more = f"Authorization: Basic {b64encode(leave.encode()).decode()}\r\n"
        self._last = Understood({}, [])

    def ask(self) -> Told:
        """What it says now; blocks. Raises Silent."""
        try:
            response = fetch(self._place, self._target, TIMEOUT_S, more=self._more)
        except ConnectFailed as error:
            raise Silent(f"{error.cause} ({error.detail})") from None
        if response.status != 200:
            raise Silent(f"it answered HTTP {response.status}")
        self._last = understood(response.body, self._wanted)
        return told(self._last)

    def about(self) -> str:
        """Its name, its metrics, and how several processes were made one."""
        said = f"{self.name}: {', '.join(self._last.metrics)}"
        # Of connections the labels may tell namespaces apart.
        told = (found for figure, found in self._last.values.items() if figure != SOCKETS)
        several = max(told, key=len, default={})
        if len(several) < 2:
            return said
        first = ",".join(f"{name}={value}" for name, value in next(iter(several)))
        return f"{said}; {len(several)} processes by their labels ({first} …), added up, the lag of the worst"


def understood(body: bytes, own: Mapping[str, tuple[tuple[str, ...], ...]]) -> Understood:
    """The figures in an answer; ``own``: names that stand in for the usual ones. Raises Silent."""
    wanted = {**USUAL, **own}
    names = {name for ways in wanted.values() for way in ways for name in way}
    samples = _samples(body, names)
    values: dict[str, dict[Labels, float]] = {}
    metrics: list[str] = []
    for figure, ways in wanted.items():
        way = next((way for way in ways if all(name in samples for name in way)), None)
        if way is not None:
            values[figure] = _added([samples[name] for name in way])
            metrics += way
        elif figure in own:
            raise Silent(f"it has no metric {ways[0][0]}")
    if not values:
        raise Silent(f"it has none of the metrics that are understood, such as {USUAL[CPU][0][0]}")
    if _lag_in_ms(values, own):
        values[LAG] = {labels: value / 1000 for labels, value in values[LAG].items()}
    return Understood(values, metrics)


def _lag_in_ms(values: Mapping[str, object], own: Mapping[str, tuple[tuple[str, ...], ...]]) -> bool:
    """Whether the lag is in milliseconds, by the name that the user gave it; Prometheus has seconds."""
    return LAG in values and LAG in own and own[LAG][0][0].endswith(("_ms", "_milliseconds", "_millis"))


def _samples(body: bytes, names: Iterable[str]) -> Samples:
    """The finite values of these metrics. Raises Silent.

    Lines of other metrics are not even parsed: a large server has thousands, and the hub would stand still.
    """
    wanted = frozenset(names)
    begins = tuple(wanted)
    lines = [line for line in body.decode("utf-8", "replace").splitlines() if line.startswith(begins)]
    found: dict[str, dict[Labels, float]] = {}
    try:
        for family in text_string_to_metric_families("\n".join([*lines, ""])):
            for sample in family.samples:
                if sample.name in wanted and math.isfinite(sample.value):
                    labels = tuple(sorted(sample.labels.items()))
                    found.setdefault(sample.name, {})[labels] = float(sample.value)
    except (ValueError, IndexError, KeyError) as error:
        raise Silent(f"its answer is no Prometheus text ({error})") from None
    return found


def _added(parts: Iterable[Mapping[Labels, float]]) -> dict[Labels, float]:
    total: dict[Labels, float] = {}
    for part in parts:
        for labels, value in part.items():
            total[labels] = total.get(labels, 0.0) + value
    return total


def told(found: Understood) -> Told:
    """The figures of all processes behind the endpoint."""

    def total(figure: str) -> int:
        return round(sum(found.values[figure].values())) if figure in found.values else -1

    lags = found.values.get(LAG, {}).values()
    return Told(
        {",".join("=".join(pair) for pair in labels): s for labels, s in found.values.get(CPU, {}).items()},
        total(MEMORY),
        max((lag * 1000 for lag in lags), default=-1.0),
        total(SOCKETS),
        total(DESCRIPTORS),
    )
