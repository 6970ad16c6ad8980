"""How does a user talk Socket.IO? The seam, and our own client behind it.

``Connection`` is what a user needs; ``NativeConnection`` drives the sans-IO protocol on the hub. The stock
python-socketio client stands behind the same seam in ``stock.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple, Protocol

from gevent import Timeout
from gevent.event import AsyncResult

from loadtest.protocol import Client, LocalProtocolError, ProtocolError, Recovery
from loadtest.users import tcp
from loadtest.users.causes import STREAM_ENDED, Cause, ConnectFailed
from loadtest.users.cookies import Cookies
from loadtest.users.secure import Secure, new_wire
from loadtest.users.talk import Talk, Talking, ending_of
from loadtest.users.wire import Wire

OnEvent = Callable[[str, list[Any], int], None]
"""(name, args, read_ns) of an event of the server; runs on the hub and must not block."""
OnAck = Callable[[list[Any] | None, int], None]
"""(args, read_ns) of the server's answer; args None: the connection was lost first. On the hub, never blocks."""
OnLost = Callable[[Cause, str], None]
"""(cause, detail), once, when a connection ends that we did not end."""
OnFault = Callable[[BaseException], None]
"""Told of an exception in code of ours that ran on the hub."""


class Place(NamedTuple):
    """Where the target is: resolved once, so that no user waits for a name server."""

    family: int
    address: tuple[Any, ...]
    host: str
    """``host:port`` as the Host header says it."""
    base: str
    """``http://host:port``, or ``https://``."""
    secure: Secure | None = None
    """What TLS has to know; None without it."""

    @property
    def websocket(self) -> str:
        """``ws://host:port``, or ``wss://``."""
        return self.base.replace("http", "ws", 1)


class Listeners(NamedTuple):
    """Who hears what happens on a connection."""

    event: OnEvent
    lost: OnLost
    fault: OnFault
    lag: Callable[[int], object]


class NotConnected(Exception):
    """Something was to be sent on a connection that is not open."""


class Departure(Protocol):
    """Who sent an event; hears exactly one of these, at once or later, and must not block.

    Later, because long-polling says nothing while a POST is in flight.
    """

    def left(self, sent_ns: int) -> None:
        """It was written at that moment."""

    def failed(self, cause: Cause, detail: str) -> None:
        """The connection was lost before it could be written."""


class Connection(Protocol):
    """One user's Socket.IO connection. ``phases``: ns of tcp, tls, open and namespace once it is open."""

    phases: dict[str, int]

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the frame being read."""

    @property
    def session(self) -> str:
        """The server's id of this connection."""

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings; None before it said so."""

    @property
    def ping_timeout_ns(self) -> int | None:
        """How long the server waits for the answer to a ping; None before it said so."""

    @property
    def recovery(self) -> Recovery | None:
        """What the next connection needs for the server to restore this one's state; None: it cannot."""

    @property
    def recovered(self) -> bool:
        """Whether the server restored the state of the connection before."""

    @property
    def local_ports(self) -> list[int]:
        """Our ends' ports of the connections open now."""

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace; blocks the greenlet. Raises ConnectFailed."""

    def emit(self, name: str, args: Sequence[Any], departure: Departure) -> None:
        """Send an event. Raises NotConnected; ``departure`` hears nothing then."""

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck, departure: Departure) -> None:
        """Send an event that wants an answer. Raises NotConnected; ``departure`` hears nothing then."""

    def check(self, now_ns: int) -> None:
        """About once a second: give the connection up if the server has been silent for too long."""

    def carried(self) -> tcp.Carried:
        """Bytes and segments since the connection was made."""

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the sockets, as a client does that hangs, or go on; ``check`` rests meanwhile."""

    def cut(self, reset: bool) -> None:
        """End it without a word, by a reset or a plain close; ``lost`` is not called. Never raises."""

    def close(self) -> None:
        """Say goodbye and close; ``lost`` is not called. Never raises, tolerates a half-made connection."""


class NativeConnection(Talking):
    """Our client: sans-IO protocol on one watcher, no greenlet of its own."""

    _client: Client

    __slots__ = ("_client", "_cookies", "_place", "_talk", "_wire", "phases")

    def __init__(
        self,
        place: Place,
        path: str,
        auth: Mapping[str, object] | None,
        headers: Sequence[tuple[str, str]],
        compression: bool,
        listeners: Listeners,
        *,
        recovery: Recovery | None = None,
        engine_sid: str | None = None,
        namespace: str = "/",
        query: str = "",
        cookies: Cookies | None = None,
    ) -> None:
        """recovery: of the connection that was lost. engine_sid: claim that session instead of asking for one.

        query: ``a=b&c=d``, what the requests of Engine.IO carry beside its own parameters. cookies: who keeps
        those that come with the handshake; ``headers`` has what is sent.
        """
        self._cookies = cookies
        self._place = place
        self._client = Client(
            place.websocket,
            path=path,
            query=query,
            namespace=namespace,
            auth=auth,
            headers=headers,
            compression=compression,
            recovery=recovery,
            engine_sid=engine_sid,
        )
        self._talk = Talk(listeners)
        self._wire = new_wire(place.secure, self, listeners.lag)
        self.phases: dict[str, int] = {}

    @classmethod
    def taking_over(cls, place: Place, talk: Talk, client: Client, wire: Wire) -> NativeConnection:
        """A session that began elsewhere, from here on over ``wire``, which tells the new connection."""
        connection = cls.__new__(cls)
        connection._cookies = None
        connection._place, connection._talk = place, talk
        connection._client, connection._wire = client, wire
        connection.phases = {}
        wire.owner = connection
        return connection

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self._place.secure is not None

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the frame being read."""
        return self._wire.arrived_ns

    @property
    def local_ports(self) -> list[int]:
        """Our end's port."""
        port = self._wire.local_port
        return [] if port is None else [port]

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace. Raises ConnectFailed."""
        begun_ns = perf_counter_ns()
        with Timeout(timeout_s, False):
            self._wire.connect(self._place.family, self._place.address, timeout_s)
            connected_ns = perf_counter_ns()
            self._client.open()
            self._flush()
            joined_ns = self._talk.wait()
            opened_ns = self._talk.opened_ns
            if self._cookies is not None:
                self._cookies.take_all(self._client.set_cookies)
            self.phases = {
                **dialled(self._wire, connected_ns - begun_ns),
                "open": opened_ns - connected_ns,
                "namespace": joined_ns - opened_ns,
            }
            return
        self._talk.forget()
        self._wire.close()
        raise ConnectFailed(Cause.CONNECT_TIMEOUT, f"no answer to the handshake within {timeout_s:g} s")

    def emit(self, name: str, args: Sequence[Any], departure: Departure) -> None:
        """Send an event."""
        if self._wire.closed:
            raise NotConnected
        self._client.emit(name, *args)
        departure.left(self._send())

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck, departure: Departure) -> None:
        """Send an event that wants an answer."""
        if self._wire.closed:
            raise NotConnected
        ack_id = self._client.emit(name, *args, ack=True)
        assert ack_id is not None
        self._talk.acks[ack_id] = on_ack
        departure.left(self._send())

    def _send(self) -> int:
        # Stamped right before the system call: what encoding costs is lateness, not the server's time.
        chunks = self._client.data_to_send()
        sent_ns = perf_counter_ns()
        self._wire.write(chunks)
        if self._wire.closed:  # the write found out that the connection is over: this did not leave
            raise NotConnected
        return sent_ns

    def _flush(self) -> None:
        chunks = self._client.data_to_send()
        if chunks:
            self._wire.write(chunks)

    def check(self, now_ns: int) -> None:
        """Only the server's pings count, as in the browser's client."""
        limit = self._client.silence_limit_ns
        if limit is None or now_ns - self._client.last_ping_ns <= limit or self._wire.paused:
            return
        # After a stall of our own the pings of that time lie in the socket: those came in time.
        self._wire.read_now()
        if now_ns - self._client.last_ping_ns > limit and not self._wire.closed:
            self._wire.close()
            self.ended(Cause.PING_TIMEOUT, f"no ping for {limit / 1e9:g} s")

    def carried(self) -> tcp.Carried:
        """Bytes and segments since the connection was made."""
        return self._wire.carried()

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the socket, or go on reading."""
        self._wire.pause_reading(paused)

    def cut(self, reset: bool) -> None:
        """End it without a word."""
        self._talk.forget()
        if reset:
            self._wire.abort()
        else:
            self._wire.close()

    def close(self) -> None:
        """Say goodbye and close."""
        if self._wire.closed:
            return
        try:
            self._client.disconnect()
            self._flush()
        except LocalProtocolError:
            pass  # not far enough to have anything to say
        self._wire.close()
        self._talk.forget()

    # -- called by the wire, on the hub -----------------------------------------------------------------

    def received(self, data: memoryview, read_ns: int) -> None:
        """Bytes came in."""
        try:
            events = self._client.receive_data(data, read_ns)
        except ProtocolError as error:
            ending = self._talk.dispatch(error.events, read_ns) or ending_of(error)
        else:
            if not events:
                self._flush()
                return
            found = self._talk.dispatch(events, read_ns)
            if found is None:
                if not self._wire.closed:
                    self._flush()
                return
            ending = found
        if not self._wire.closed:
            self._flush()
            self._wire.close()
        self._talk.end(*ending)

    def ended(self, cause: Cause, detail: str) -> None:
        """The wire is over. An end of stream during the upgrade is the protocol's to word."""
        if cause in STREAM_ENDED:
            try:
                self._client.receive_eof(perf_counter_ns())
            except ProtocolError as error:
                cause, detail = ending_of(error)
        self._talk.end(cause, detail)

    def failed(self, error: BaseException) -> None:
        """Code of ours raised on the hub."""
        self._talk.listeners.fault(error)
        self._talk.end(Cause.INTERNAL, f"{type(error).__name__}: {error}")


def dialled(wire: Wire, took_ns: int) -> dict[str, int]:
    """The phases of opening ``wire``, which took that long: ns of tcp, and of tls where there is any."""
    tls_ns = wire.handshake_ns
    return {"tcp": took_ns - tls_ns, "tls": tls_ns} if tls_ns else {"tcp": took_ns}


class _Sent:
    """Lets a greenlet wait for the moment at which something left; None: it never did."""

    __slots__ = ("moment",)

    def __init__(self) -> None:
        self.moment: AsyncResult = AsyncResult()

    def left(self, sent_ns: int) -> None:
        self.moment.set(sent_ns)

    def failed(self, cause: Cause, detail: str) -> None:
        self.moment.set(None)


def call(
    connection: Connection, name: str, args: Sequence[Any], timeout_s: float
) -> tuple[list[Any], int, int]:
    """Send and wait for the answer: (args, sent_ns, read_ns). Raises NotConnected, TimeoutError.

    Blocks the greenlet; a user that waits here keeps its planned moments, and what it sends late reads late.
    """
    answer: AsyncResult = AsyncResult()
    sent = _Sent()
    connection.request(name, args, lambda acked, read_ns: answer.set((acked, read_ns)), sent)
    try:
        acked, read_ns = answer.get(timeout=timeout_s)
    except Timeout:
        raise TimeoutError(f"no answer to {name} within {timeout_s:g} s") from None
    if acked is None:
        raise NotConnected
    return acked, sent.moment.value, read_ns


def tell(connection: Connection, name: str, args: Sequence[Any], timeout_s: float) -> int:
    """Send and wait until it left: when it did (ns). Raises NotConnected, TimeoutError. Blocks."""
    sent = _Sent()
    connection.emit(name, args, sent)
    try:
        sent_ns: int | None = sent.moment.get(timeout=timeout_s)
    except Timeout:
        raise TimeoutError(f"{name} could not be sent within {timeout_s:g} s") from None
    if sent_ns is None:
        raise NotConnected
    return sent_ns
