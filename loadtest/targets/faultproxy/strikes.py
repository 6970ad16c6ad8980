"""Which faults are under way, on which connections, and until when?"""

from collections.abc import Iterable
from time import monotonic_ns

from loadtest.targets.faultproxy.link import Link
from loadtest.targets.faultproxy.orders import Order
from loadtest.targets.faultproxy.timers import Timer, Timers


class Strike:
    """One fault that lasts. `newcomers`: it strikes connections to come as well."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.newcomers = order.everyone
        self.ends_ns: int | None = None
        self.links: set[Link] = set()
        self.timer: Timer | None = None


class Strikes:
    """A connection is under one strike of a kind at a time, the latest; kinds go side by side."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._strikes: list[Strike] = []

    def begin(self, order: Order, links: Iterable[Link]) -> int:
        """Strikes `links`, and newcomers where the order says so; returns when all were struck."""
        strike = Strike(order)
        strike.links.update(links)
        for earlier in self._of_kind(order.kind):
            earlier.links -= strike.links
            earlier.newcomers = earlier.newcomers and not strike.newcomers
            if not earlier.links and not earlier.newcomers:
                self._drop(earlier)
        self._strikes.append(strike)
        for link in strike.links:
            link.suffer(order.kind, order)
        at_ns = monotonic_ns()
        if order.lasts_ns is not None:
            strike.ends_ns = at_ns + order.lasts_ns
            strike.timer = self._timers.call_at(strike.ends_ns, lambda: self._end(strike))
        return at_ns

    def welcome(self, link: Link) -> None:
        """A new connection comes under whatever strikes newcomers."""
        for strike in self._strikes:
            if strike.newcomers:
                strike.links.add(link)
                link.suffer(strike.order.kind, strike.order)

    def forget(self, link: Link) -> None:
        for strike in self._strikes:
            strike.links.discard(link)

    def end_all(self) -> None:
        for strike in list(self._strikes):
            self._end(strike)

    def active(self, now_ns: int) -> list[dict[str, object]]:
        """`{kind, connections, share?, ms?, bytesPerSecond?, endsInMs}` each; `endsInMs` null: until told."""
        return [_said(strike, now_ns) for strike in self._strikes]

    def _of_kind(self, kind: str) -> list[Strike]:
        return [strike for strike in self._strikes if strike.order.kind == kind]

    def _end(self, strike: Strike) -> None:
        self._drop(strike)
        # The end may close connections, which are then forgotten.
        for link in list(strike.links):
            if not link.closed:
                link.suffer(strike.order.kind, None)

    def _drop(self, strike: Strike) -> None:
        self._strikes.remove(strike)
        if strike.timer is not None:
            strike.timer.cancel()


def _said(strike: Strike, now_ns: int) -> dict[str, object]:
    order = strike.order
    said: dict[str, object] = {"kind": order.kind, "connections": len(strike.links)}
    if order.connections is None:
        said["share"] = order.share
    if order.kind == "delay":
        said["ms"] = order.ms
    if order.kind == "slow":
        said["bytesPerSecond"] = order.bytes_per_second
    said["endsInMs"] = ends_in_ms(strike.ends_ns, now_ns)
    return said


def ends_in_ms(ends_ns: int | None, now_ns: int) -> int | None:
    """Milliseconds until then, rounded up; None if it does not end by itself."""
    return None if ends_ns is None else max(0, -(-(ends_ns - now_ns) // 1_000_000))
