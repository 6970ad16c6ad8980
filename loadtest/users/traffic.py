"""What did the connections of this process carry, while connecting, while talking, and while idle?

Read from the sockets at the edges of each regime, and added up over the connections of a run, lost ones too.
Many connections are read a few at a time, each with a moment of its own: ten thousand in one go would hold up
everything for 50 ms, right where a regime begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter_ns

from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import TrafficRow
from loadtest.measure.units import MS
from loadtest.users.clock import Clock
from loadtest.users.link import Link
from loadtest.users.tcp import ESTIMATED, Carried
from loadtest.users.wire import METHOD

AT_ONCE = 100
"""Links that are read in one go, half a millisecond's work."""
_PAUSE_NS = 5 * MS
"""Between one go and the next: an edge of ten thousand links takes half a second."""

_Since = dict[Link, tuple[int, Carried]]


class Traffic:
    """The bytes of one process; told of every link that opens or ends, and of the edges of the regimes."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._active: _Since | None = None
        self._idle: _Since = {}
        # What the edge under way has not reached so far.
        self._to_begin: dict[Link, None] = {}
        self._to_end: _Since = {}

    def connected(self, link: Link, opened_ns: int) -> None:
        """A link's device is in its conversations: that is what connecting cost."""
        now_ns = perf_counter_ns()
        carried = link.carried()
        self._add("connect", link.transport, now_ns - opened_ns, carried)
        if self._active is not None:
            self._to_begin.pop(link, None)
            self._active[link] = (now_ns, carried)

    def lost(self, link: Link) -> None:
        """A link ended; what it carried counts up to here."""
        self._to_begin.pop(link, None)
        for several in (self._active, self._to_end):
            if several is not None and link in several:
                self._settle(link, several.pop(link))

    def active(self, links: Iterable[Link]) -> None:
        """From here on people talk."""
        self._active = {}
        self._begin(links, self._active)

    def silent(self) -> None:
        """Nothing new is said any more."""
        if self._active is not None:
            self._to_begin.clear()
            self._to_end, self._active = self._active, None
            self._end()

    def idle(self, links: Iterable[Link]) -> None:
        """What flows from here on, with nothing under way, is what idling costs."""
        self._idle = {}
        self._begin(links, self._idle)

    def close(self, links: Iterable[Link]) -> None:
        """Idle bytes where the window was long enough to sample them, by the protocol where it was not."""
        self._to_begin.clear()
        while self._to_end:
            self._settle(*self._to_end.popitem())
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

    # -- the edges, a few links at a time ---------------------------------------------------------------

    def _begin(self, links: Iterable[Link], since: _Since) -> None:
        self._to_begin = dict.fromkeys(links)
        self._begin_some(self._to_begin, since)

    def _begin_some(self, left: dict[Link, None], since: _Since) -> None:
        now_ns = perf_counter_ns()
        for link in _some(left):
            del left[link]
            since[link] = now_ns, link.carried()
        if left:
            self._later(partial(self._begin_some, left, since))

    def _end(self) -> None:
        for link in _some(self._to_end):
            self._settle(link, self._to_end.pop(link))
        if self._to_end:
            self._later(self._end)

    def _later(self, call: Callable[[], None]) -> None:
        self._clock.call_at(perf_counter_ns() + _PAUSE_NS, call)

    # -- the sums ---------------------------------------------------------------------------------------

    def _settle(self, link: Link, since: tuple[int, Carried]) -> None:
        from_ns, before = since
        self._add("active", link.transport, perf_counter_ns() - from_ns, link.carried().minus(before))

    def _add(self, regime: str, transport: str, user_ns: int, carried: Carried) -> None:
        # Where the kernel tells nothing, bytes come without segments; no bytes at all are no estimate.
        method = ESTIMATED if any(carried) and not carried.segments_received else METHOD
        self._recorder.traffic(TrafficRow(transport, regime, method, 1, user_ns, *carried))


def _some(links: Iterable[Link]) -> list[Link]:
    return [link for _, link in zip(range(AT_ONCE), links, strict=False)]
