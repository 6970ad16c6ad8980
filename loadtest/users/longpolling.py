"""How does a user talk Socket.IO over HTTP long-polling?

A GET that hangs until the server has something, and POSTs for what we say, over kept connections of the user's
own: one carries the hanging GET, another the POSTs, and a third is opened only if both are busy, as in a
browser. All of it runs on the hub.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import gevent
from gevent import Timeout

from loadtest.protocol import PollingClient, ProtocolError, Recovery, State
from loadtest.protocol.polling import CONTENT_TYPE
from loadtest.users import tcp
from loadtest.users.causes import STREAM_ENDED, Cause, ConnectFailed
from loadtest.users.connection import Departure, Listeners, NotConnected, OnAck, Place, dialled
from loadtest.users.cookies import Cookies
from loadtest.users.http import HttpPool, Request, Response, compose
from loadtest.users.talk import Talk, Talking, ending_of

GOODBYE_S = 2.0
"""How long the connections stay open for the server to answer our goodbye."""
_DIAL_S = 10.0


class LongPollingConnection(Talking):
    """Our client over long-polling.

    head: the header lines of every request, each ending in CRLF. cookies: kept by whoever connects again; left
    out: for this session. moved: called on the hub after each step of the session and after its end; for an
    upgrade, which has to know when nothing is in flight.
    """

    _client: PollingClient

    def __init__(
        self,
        place: Place,
        path: str,
        auth: Mapping[str, object] | None,
        head: bytes,
        listeners: Listeners,
        *,
        recovery: Recovery | None = None,
        moved: Callable[[], None] = lambda: None,
        cookies: Cookies | None = None,
        namespace: str = "/",
        query: str = "",
    ) -> None:
        self.secure = place.secure is not None
        self._head = head
        self._moved = moved
        self._client = PollingClient(
            path=path, query=query, namespace=namespace, auth=auth, recovery=recovery
        )
        self._pool = HttpPool(place, perf_counter_ns, self._failed, listeners.lag, _DIAL_S, cookies)
        self._talk = Talk(listeners)
        self._unsent: deque[tuple[int, Departure]] = deque()
        self._paused = False
        self._leaving: gevent.Greenlet | None = None
        self.over = False
        self.arrived_ns: int | None = None
        self.phases: dict[str, int] = {}

    @property
    def local_ports(self) -> list[int]:
        """Our ends' ports of the connections open now."""
        return self._pool.local_ports

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace. Raises ConnectFailed."""
        begun_ns = perf_counter_ns()
        with Timeout(timeout_s, False):
            wire = self._pool.connect().wire
            connected_ns = perf_counter_ns()
            self._client.open()
            self._pump()
            joined_ns = self._talk.wait()
            opened_ns = self._talk.opened_ns
            self.phases = {
                **dialled(wire, connected_ns - begun_ns),
                "open": opened_ns - connected_ns,
                "namespace": joined_ns - opened_ns,
            }
            return
        self.cut(reset=False)
        raise ConnectFailed(Cause.CONNECT_TIMEOUT, f"no answer to the handshake within {timeout_s:g} s")

    def emit(self, name: str, args: Sequence[Any], departure: Departure) -> None:
        """Send an event with the next POST: now, or when the one in flight has been answered."""
        if self.over:
            raise NotConnected
        self._client.emit(name, *args)
        self._unsent.append((self._client.packets_queued, departure))
        self._pump()

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck, departure: Departure) -> None:
        """As ``emit``, with an answer."""
        if self.over:
            raise NotConnected
        ack_id = self._client.emit(name, *args, ack=True)
        assert ack_id is not None
        self._talk.acks[ack_id] = on_ack
        self._unsent.append((self._client.packets_queued, departure))
        self._pump()

    def check(self, now_ns: int) -> None:
        """Only the server's pings count, as in the browser's client."""
        limit = self._client.silence_limit_ns
        if limit is None or now_ns - self._client.last_ping_ns <= limit or self._paused or self.over:
            return
        # After a stall of our own the pings of that time lie in the socket: those came in time.
        self._pool.read_now()
        if now_ns - self._client.last_ping_ns > limit:
            self._lose(Cause.PING_TIMEOUT, f"no ping for {limit / 1e9:g} s")

    def carried(self) -> tcp.Carried:
        """Bytes and segments of all connections so far."""
        return self._pool.carried()

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the sockets, or go on reading."""
        self._paused = paused
        self._pool.pause_reading(paused)

    def cut(self, reset: bool) -> None:
        """End it without a word."""
        self._talk.forget()
        self._unsent.clear()
        self._shut(reset)

    def close(self) -> None:
        """Say goodbye; the connections stay open until the server has answered, GOODBYE_S at most."""
        if self.over:
            return
        self._talk.forget()
        self._leave()

    def hand_over(self) -> tuple[Talk, list[Departure]]:
        """The session goes on elsewhere: who hears it, and whose events have not left yet."""
        waiting = [departure for _, departure in self._unsent]
        self._unsent.clear()
        self._shut(reset=False)
        return self._talk, waiting

    @property
    def cookies(self) -> Cookies:
        """What is sent with every request."""
        return self._pool.cookies

    @property
    def client(self) -> PollingClient:
        """The session, for an upgrade."""
        return self._client

    def resume(self) -> None:
        """Ask and say what is due, after an upgrade that failed had stopped that."""
        self._pump()

    # -- what is asked and said -------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what is due. As in a browser what we say goes first, on the connection that is free, an upgrade
        begins next, and the GET that will hang comes last."""
        post = self._client.start_post()
        if post is not None:
            content = compose("POST", post.target, self._head, post.body, content_type=CONTENT_TYPE)
            self._pool.request(Request(content, self._left, self._posted, self._cut, again=True))
        self._moved()
        target = self._client.start_poll()
        if target is not None:
            content = compose("GET", target, self._head)
            self._pool.request(Request(content, _no_matter, self._polled, self._cut, again=True))

    def _left(self, sent_ns: int) -> None:
        # One POST is in flight at most, so whatever has been put into one by now is in this one.
        gone = self._client.packets_left
        while self._unsent and self._unsent[0][0] <= gone:
            self._unsent.popleft()[1].left(sent_ns)

    def _polled(self, response: Response) -> None:
        self._take(self._client.receive_poll, response)

    def _posted(self, response: Response) -> None:
        self._take(self._client.receive_post, response)

    def _take(self, receive: Callable[[int, bytes, int], Sequence[Any]], response: Response) -> None:
        """An answer came."""
        try:
            self.arrived_ns = response.arrived_ns
            try:
                events = receive(response.status, response.body, response.read_ns)
            except ProtocolError as error:
                if not self.over:
                    found = self._talk.dispatch(error.events, response.read_ns)
                    self._lose(*(found or ending_of(error)))
            else:
                ending = None if self.over else self._talk.dispatch(events, response.read_ns)
                if ending is not None:
                    self._lose(*ending)
                elif self._leaving is None:
                    self._pump()
            if self._leaving is not None:
                self._go_on_leaving()
        except Exception as error:
            self._failed(error)

    def _cut(self, cause: Cause, detail: str) -> None:
        """The connection under a request ended."""
        if self.over:
            self._shut(reset=False)
            return
        if cause in STREAM_ENDED:
            try:
                self._client.receive_eof(perf_counter_ns())
            except ProtocolError as error:
                cause, detail = ending_of(error)
        self._lose(cause, detail)

    # -- the end ----------------------------------------------------------------------------------------

    def _lose(self, cause: Cause, detail: str) -> None:
        """It is over and not by our will."""
        if self.over:
            return
        unsent, self._unsent = self._unsent, deque()
        self._client.take_queue()
        # A server that refused or dismissed us keeps the session until it is told to forget it.
        if cause in (Cause.CONNECT_ERROR, Cause.SERVER_NAMESPACE):
            self._leave()
        else:
            self._shut(reset=False)
        for _, departure in unsent:
            departure.failed(cause, detail)
        self._talk.end(cause, detail)

    def _leave(self) -> None:
        """Say goodbye, behind what is still to be said."""
        self.over = True
        self._client.disconnect()
        if self._client.state is State.CLOSED:  # not far enough to have anything to say
            self._shut(reset=False)
            return
        self._leaving = gevent.spawn_later(GOODBYE_S, self._pool.close)
        self._pump()

    def _go_on_leaving(self) -> None:
        if self._client.state is State.CLOSED:
            self._shut(reset=False)
        else:
            self._pump()

    def _shut(self, reset: bool) -> None:
        self.over = True
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.kill(block=False)
        self._pool.close(reset)
        self._moved()

    def _failed(self, error: BaseException) -> None:
        """Code of ours raised on the hub."""
        self._talk.listeners.fault(error)
        self._lose(Cause.INTERNAL, f"{type(error).__name__}: {error}")


def _no_matter(sent_ns: int) -> None:
    """Nobody waits for a GET to leave."""
