"""What did the connections of this process carry, while connecting, while talking, and while idle?

Read from the sockets at the edges of each regime, and added up over the connections of a run, lost ones too.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter_ns

from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import TrafficRow
from loadtest.users.link import Link
from loadtest.users.tcp import ESTIMATED, Carried
from loadtest.users.wire import METHOD

_Since = dict[Link, tuple[int, Carried]]


class Traffic:
    """The bytes of one process; told of every link that opens or ends, and of the edges of the regimes."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._active: _Since | None = None
        self._idle: _Since = {}

    def connected(self, link: Link, opened_ns: int) -> None:
        """A link's device is in its conversations: that is what connecting cost."""
        now_ns = perf_counter_ns()
        carried = link.carried()
        self._add("connect", link.transport, now_ns - opened_ns, carried)
        if self._active is not None:
            self._active[link] = (now_ns, carried)

    def lost(self, link: Link) -> None:
        """A link ended; what it carried counts up to here."""
        if self._active is not None and link in self._active:
            self._settle("active", {link: self._active.pop(link)})

    def active(self, links: Iterable[Link]) -> None:
        """From here on people talk."""
        self._active = _now(links)

    def silent(self) -> None:
        """Nothing new is said any more."""
        if self._active is not None:
            self._settle("active", self._active)
            self._active = None

    def idle(self, links: Iterable[Link]) -> None:
        """What flows from here on, with nothing under way, is what idling costs."""
        self._idle = _now(links)

    def close(self, links: Iterable[Link]) -> None:
        """Idle bytes where the window was long enough to sample them, by the protocol where it was not."""
        now_ns = perf_counter_ns()
        for link in links:
            heartbeat = link.heartbeat
            if heartbeat is None:
                continue
            from_ns, before = self._idle.get(link, (now_ns, Carried()))
            if now_ns - from_ns >= heartbeat.fair * heartbeat.period_ns:
                self._add("idle", link.transport, now_ns - from_ns, link.carried().minus(before))
            elif heartbeat.carried is not None:
                period_ns, carried = heartbeat.period_ns, heartbeat.carried
                self._recorder.traffic(TrafficRow(link.transport, "idle", ESTIMATED, 1, period_ns, *carried))

    def _settle(self, regime: str, since: _Since) -> None:
        now_ns = perf_counter_ns()
        for link, (from_ns, before) in since.items():
            self._add(regime, link.transport, now_ns - from_ns, link.carried().minus(before))

    def _add(self, regime: str, transport: str, user_ns: int, carried: Carried) -> None:
        # Where the kernel tells nothing, bytes come without segments; no bytes at all are no estimate.
        method = ESTIMATED if any(carried) and not carried.segments_received else METHOD
        self._recorder.traffic(TrafficRow(transport, regime, method, 1, user_ns, *carried))


def _now(links: Iterable[Link]) -> _Since:
    now_ns = perf_counter_ns()
    return {link: (now_ns, link.carried()) for link in links}
