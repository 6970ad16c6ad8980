"""Where do the server's own figures come from, and what do they say just now?

A Source is asked about once a second. What it cannot tell is left out, and what does not answer is Silent: the
row of that second is missing then, and nothing else happens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from loadtest.measure.addresses import without_credentials

CPU, MEMORY, LAG, SOCKETS, DESCRIPTORS = "cpu", "memory", "lag", "sockets", "fds"
FIGURES = (CPU, MEMORY, LAG, SOCKETS, DESCRIPTORS)
"""What a server can tell, by the words in which metrics of its own are named to us."""
_PID = re.compile(r"pid:(\d{1,9})")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_USUAL_PATH = "/metrics"


class Silent(Exception):
    """A source that did not answer, or not in a way that is understood; ``str`` is one line."""


class Told(NamedTuple):
    """What a source said: CPU seconds so far by process, and -1 for what it did not say.

    loop_lag_ms: of the process whose loop is the latest. The others are sums over all processes. gone_s: CPU
    seconds of processes that have ended.
    """

    cpu_s: Mapping[str, float] = MappingProxyType({})
    rss_bytes: int = -1
    loop_lag_ms: float = -1.0
    sockets: int = -1
    descriptors: int = -1
    gone_s: float = 0.0


class Source(Protocol):
    """Somebody who can be asked.

    name: fit to be shown. keeps_the_dead: it has the CPU of processes that ended, so that some which come and go
    are no reason to distrust the sum.
    """

    name: str
    keeps_the_dead: bool

    def ask(self) -> Told:
        """What it says now; blocks. Raises Silent."""
        ...

    def about(self) -> str:
        """``name``, and what was understood of it when it was asked last."""
        ...


class Asked(NamedTuple):
    """The flag, understood: a process of this machine, or an address and own names of metrics by figure."""

    pid: int | None
    url: str = ""
    names: Mapping[str, str] = MappingProxyType({})

    @property
    def shown(self) -> str:
        """Fit to be shown."""
        return f"pid:{self.pid}" if self.pid is not None else without_credentials(self.url)


def parse(text: str) -> Asked | None:
    """``pid:1234``, or ``http://host/metrics#sockets=chat_connections``; None for nothing. Raises ValueError."""
    if text in ("", "None"):
        return None
    if match := _PID.fullmatch(text):
        return Asked(int(match[1]))
    url, _, own = text.partition("#")
    shown = without_credentials(url)
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{shown!r} is no source: write http://127.0.0.1:9090/metrics, or pid:1234")
    if not parts.path:
        url = parts._replace(path=_USUAL_PATH).geturl()
    return Asked(None, url, MappingProxyType(_own_names(own)))


def _own_names(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        figure, equals, name = part.partition("=")
        if figure not in FIGURES or not equals:
            raise ValueError(f"#{part}: write FIGURE=NAME, the figure one of {', '.join(FIGURES)}")
        if not _METRIC.fullmatch(name):
            raise ValueError(f"#{part}: {name!r} is no name of a metric")
        found[figure] = name
    return found
