"""What is one connection through the proxy?

Two sockets and a pipe in each direction. Not joined to the server, it takes nothing from its client.
"""

import errno
import select
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from loadtest.targets.faultproxy.choice import Peer
from loadtest.targets.faultproxy.orders import Order
from loadtest.targets.faultproxy.pipe import Ended, Pipe
from loadtest.targets.faultproxy.poller import READ, WRITE, Poller
from loadtest.targets.faultproxy.timers import Timers

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Upstream(NamedTuple):
    """Where the server listens, as sockets want it."""

    family: socket.AddressFamily
    address: Any

    @staticmethod
    def of(host: str, port: int) -> "Upstream":
        """Raises OSError where the host has no address."""
        family, _kind, _protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return Upstream(family, address)


class Link:
    def __init__(
        self,
        peer: Peer,
        client: socket.socket,
        upstream: Callable[[], Upstream],
        poller: Poller,
        timers: Timers,
        gone: Callable[["Link"], None],
    ) -> None:
        """Owns `client` from now on. Raises OSError if there is no descriptor left for the other side."""
        self.peer = peer
        self.closed = False
        self._upstream = upstream
        self._poller = poller
        self._gone = gone
        self._client = client
        _prepare(client)
        self._server = socket.socket(upstream().family)
        _prepare(self._server)
        told = (self._changed, self._sink_lost, self._reset)
        self.up = Pipe(client, self._server, timers, *told)
        self.down = Pipe(self._server, client, timers, *told)
        self._connecting = False
        self._joined = False
        self._black = False
        self._client_mask = self._server_mask = 0

    # -- its life

    def join(self) -> None:
        """Connect to the server, unless all is black; where that is refused, the client is reset."""
        if self._black or self._connecting or self._joined or self.closed:
            return
        refusal = self._server.connect_ex(self._upstream().address)
        if refusal not in (0, errno.EINPROGRESS):
            self.abort()
            return
        self._connecting = bool(refusal)
        self._joined = not refusal
        self._changed()

    def abort(self) -> None:
        """Reset the client, close the server's side."""
        self._reset(self.down)

    def close(self) -> None:
        """Close both sides; what the kernel has taken still arrives."""
        if self.closed:
            return
        self.closed = True
        self._watch(0, 0)
        for pipe in (self.up, self.down):
            pipe.close()
        self._client.close()
        self._server.close()
        self._gone(self)

    # -- what the faults do to it

    def suffer(self, kind: str, order: Order | None) -> None:
        """Begin the fault, in place of an earlier one of its kind; None ends it."""
        pipes = (self.up, self.down)
        if kind == "blackhole":
            self._black = order is not None
            for pipe in pipes:
                pipe.black = self._black
            self._join_after_all()
        elif kind == "delay":
            for pipe in pipes:
                pipe.set_delay(order.delay_ns if order is not None else 0)
        elif kind == "slow":
            for pipe in pipes:
                pipe.set_rate(order.bytes_per_second if order is not None else 0)
        self._changed()
        for pipe in pipes:
            pipe.pump()

    def _join_after_all(self) -> None:
        """It came into the hole. A real one swallows the attempt to connect too, so a client that has given
        up meanwhile never reaches the server, which would else be flooded with the dead when it ends."""
        if self._black or self._connecting or self._joined:
            return
        if _hung_up(self._client):
            self.abort()
        else:
            self.join()

    # -- what its sockets and pipes say

    def _changed(self) -> None:
        if self.closed:
            return
        if self.up.finished and self.down.finished:
            self.close()
        elif self._black:
            self._watch(0, 0)
        elif self._connecting:
            self._watch(0, WRITE)
        elif self._joined:
            up, down = self.up, self.down
            self._watch(
                (READ if up.wants_read else 0) | (WRITE if down.wants_write else 0),
                (READ if down.wants_read else 0) | (WRITE if up.wants_write else 0),
            )

    def _watch(self, client: int, server: int) -> None:
        if client != self._client_mask:
            self._poller.watch(self._client.fileno(), self._client_mask, client, self._client_ready)
            self._client_mask = client
        if server != self._server_mask:
            self._poller.watch(self._server.fileno(), self._server_mask, server, self._server_ready)
            self._server_mask = server

    def _client_ready(self, events: int) -> None:
        self._ready(events, self.up, self.down)

    def _server_ready(self, events: int) -> None:
        if self._connecting and not self.closed:
            self._connecting = False
            if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.abort()
                return
            self._joined = True
            self._changed()
            return
        self._ready(events, self.down, self.up)

    def _ready(self, events: int, outgoing: Pipe, incoming: Pipe) -> None:
        try:
            if events & WRITE and incoming.wants_write and not self.closed:
                incoming.sink_ready()
            if events & READ and outgoing.wants_read and not self.closed:
                outgoing.source_ready()
        except Exception:
            self.abort()
            raise

    def _sink_lost(self, pipe: Pipe) -> None:
        """A write says that the sink was reset; what it had sent before comes first, as it would on the wire."""
        back = self.down if pipe is self.up else self.up
        pipe.abandon()
        if back.finished:
            self._reset(back)
            return
        if back.ended is not Ended.RESET:  # else it is on its way already, and must not begin again
            back.drain()
            back.end(Ended.RESET)

    def _reset(self, pipe: Pipe) -> None:
        """Reset the sink of `pipe`; the other side is gone already, or closed."""
        if not self.closed:
            pipe.sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()


def _prepare(one: socket.socket) -> None:
    one.setblocking(False)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _hung_up(client: socket.socket) -> bool:
    """Whether the other end has closed or reset the connection, even if there is something left to read."""
    news = select.poll()
    news.register(client, getattr(select, "POLLRDHUP", 0))
    return bool(news.poll(0))
