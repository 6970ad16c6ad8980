"""Which connections are there, and what is ordered for them?"""

import asyncio
import errno
from collections.abc import Callable, Iterable
from time import monotonic_ns

from loadtest.targets.faultproxy.choice import Peer, chosen
from loadtest.targets.faultproxy.keeper import Keeper
from loadtest.targets.faultproxy.link import Link, Upstream
from loadtest.targets.faultproxy.listener import Listener
from loadtest.targets.faultproxy.orders import KINDS, SECOND, Order
from loadtest.targets.faultproxy.poller import READ, Poller
from loadtest.targets.faultproxy.strikes import Strikes, ends_in_ms
from loadtest.targets.faultproxy.timers import Timer, Timers

_AT_ONCE = 64  # connections accepted in one turn
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REST_NS = SECOND // 10


class Proxy:
    """Everything between the public port and the server.

    The port is open while nothing keeps it shut: `shut_for` and `open_for` name the reason.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: Listener, say: Callable[[str], None]
    ) -> None:
        """Shut, until `serve`. `say` is told, in one line, what somebody at the terminal should know."""
        self.listener = listener
        self.poller = Poller(loop)
        self.timers = Timers(loop, self.poller)
        self.keeper: Keeper | None = None
        self.accepted = 0
        self._say = say
        self._upstream: Upstream | None = None
        self._links: dict[Link, None] = {}  # in the order they came
        self._strikes = Strikes(self.timers)
        self._shut_by = {"server"}
        self._watched = False
        self._refusal: tuple[int, Timer] | None = None  # until when
        self._gone_up = self._gone_down = 0  # bytes of connections that are no more
        self._told_of_descriptors = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """Faults it can do."""
        return KINDS if self.keeper is not None else tuple(kind for kind in KINDS if kind != "restart")

    def serve(self, upstream: Upstream) -> None:
        """The server is there: let them come."""
        self._upstream = upstream
        self.open_for("server")

    def shut_for(self, reason: str) -> None:
        self._shut_by.add(reason)
        self._watch(False)
        if self.listener.is_open:
            self.listener.shut()

    def open_for(self, reason: str) -> None:
        self._shut_by.discard(reason)
        if self._shut_by or self.listener.is_open:
            return
        try:
            self.listener.open()
        except OSError as bad:
            self._say(f"cannot listen on {self.listener.url} again: {bad}")
            return
        self._watch(True)

    def close(self) -> None:
        self._watch(False)
        self.listener.close()
        for link in list(self._links):
            link.close()
        self.timers.close()
        self.poller.close()

    # -- orders

    def strike(self, order: Order) -> tuple[list[Peer], int]:
        """Carries it out, at once; returns whom it struck (client address and port, sorted), and when all
        of them were, which is the moment that its seconds count from."""
        # A client that gave up in a black hole may have left its port to another: the later one counts.
        named = {link.peer: link for link in self._links}
        peers = _aim(order, named)
        links = [named[peer] for peer in peers]
        if order.kind == "none":
            at_ns = self._end_everything()
        elif order.kind == "refuse":
            at_ns = self._refuse(order, links)
        elif order.kind == "restart":
            at_ns = self._restart(order, links)
        else:
            at_ns = self._strikes.begin(order, links)
        return peers, at_ns

    def report(self) -> dict[str, object]:
        """The answer to `GET /`."""
        up = self._gone_up + sum(link.up.forwarded for link in self._links)
        down = self._gone_down + sum(link.down.forwarded for link in self._links)
        return {
            "kinds": self.kinds,
            "connections": len(self._links),
            "accepted": self.accepted,
            "bytes": {"toServer": up, "toClient": down},
            "active": self._active(),
        }

    def _refuse(self, order: Order, links: list[Link]) -> int:
        assert order.lasts_ns is not None
        self.shut_for("refuse")
        _abort(links)
        if self._refusal is not None:
            self._refusal[1].cancel()
        at_ns = monotonic_ns()
        ends_ns = at_ns + order.lasts_ns
        self._refusal = (ends_ns, self.timers.call_at(ends_ns, self._end_refusal))
        return at_ns

    def _restart(self, order: Order, links: list[Link]) -> int:
        assert self.keeper is not None
        assert order.lasts_ns is not None
        self.shut_for("server")
        self.keeper.end()
        _abort(links)
        at_ns = monotonic_ns()
        self.keeper.start_at(at_ns + order.lasts_ns)
        return at_ns

    def _end_refusal(self) -> None:
        if self._refusal is not None:
            self._refusal[1].cancel()
            self._refusal = None
            self.open_for("refuse")

    def _end_everything(self) -> int:
        self._strikes.end_all()
        self._end_refusal()
        if self.keeper is not None:
            self.keeper.hasten()
        return monotonic_ns()

    def _active(self) -> list[dict[str, object]]:
        now_ns = monotonic_ns()
        active = self._strikes.active(now_ns)
        if self._refusal is not None:
            active.append({"kind": "refuse", "endsInMs": ends_in_ms(self._refusal[0], now_ns)})
        if self.keeper is not None and self.keeper.restart_ns is not None:
            active.append({"kind": "restart", "endsInMs": ends_in_ms(self.keeper.restart_ns, now_ns)})
        return active

    # -- connections

    def _watch(self, wanted: bool) -> None:
        if wanted != self._watched:
            before, after = (0, READ) if wanted else (READ, 0)
            self.poller.watch(self.listener.socket.fileno(), before, after, self._accept)
            self._watched = wanted

    def _accept(self, _events: int) -> None:
        for _ in range(_AT_ONCE):
            if not self.listener.is_open:
                return
            try:
                client, address = self.listener.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as bad:
                self._out_of(bad)
                return
            self.accepted += 1
            try:
                link = Link(address[:2], client, self._where, self.poller, self.timers, self._forget)
            except OSError as bad:
                client.close()
                self._out_of(bad)
                return
            self._links[link] = None
            self._strikes.welcome(link)
            link.join()

    def _out_of(self, bad: OSError) -> None:
        """No descriptors: rest a little, else the listener would wake us without end."""
        if bad.errno not in _NO_DESCRIPTORS:
            return
        if not self._told_of_descriptors:
            self._told_of_descriptors = True
            self._say(f"cannot take more than {len(self._links)} connections: {bad.strerror}")
        self._watch(False)
        self.timers.call_at(monotonic_ns() + _REST_NS, lambda: self._watch(self.listener.is_open))

    def _where(self) -> Upstream:
        assert self._upstream is not None
        return self._upstream

    def _forget(self, link: Link) -> None:
        self._gone_up += link.up.forwarded
        self._gone_down += link.down.forwarded
        self._links.pop(link, None)
        self._strikes.forget(link)


def _aim(order: Order, open_now: Iterable[Peer]) -> list[Peer]:
    if order.kind == "none":
        return []
    if order.connections is None:
        return chosen(open_now, order.share, order.seed)
    return sorted(set(order.connections).intersection(open_now))


def _abort(links: list[Link]) -> None:
    for link in links:
        link.abort()
