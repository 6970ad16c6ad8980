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

from loadtest.protocol import (
    Ack,
    Client,
    Closed,
    Connected,
    ConnectError,
    Disconnected,
    Event,
    HandshakeError,
    LocalProtocolError,
    Opened,
    ProtocolError,
)
from loadtest.protocol.socketio import encode_event
from loadtest.users import tcp
from loadtest.users.causes import Cause, ConnectFailed
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
    """``http://host:port``."""


class Listeners(NamedTuple):
    """Who hears what happens on a connection."""

    event: OnEvent
    lost: OnLost
    fault: OnFault
    lag: Callable[[int], object]


class NotConnected(Exception):
    """Something was to be sent on a connection that is not open."""


class Connection(Protocol):
    """One user's Socket.IO connection. ``phases``: ns of tcp, open and namespace once it is open."""

    phases: dict[str, int]

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the frame being read."""

    @property
    def session(self) -> str:
        """The server's id of this connection."""

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings; None before it said so."""

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace; blocks the greenlet. Raises ConnectFailed."""

    def emit(self, name: str, args: Sequence[Any]) -> int:
        """Send an event; returns when it left (ns). Raises NotConnected."""

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck) -> int:
        """Send an event that wants an answer; returns when it left (ns). Raises NotConnected."""

    def check(self, now_ns: int) -> None:
        """About once a second: give the connection up if the server has been silent for too long."""

    def carried(self) -> tcp.Carried:
        """Bytes and segments since the connection was made."""

    def close(self) -> None:
        """Say goodbye and close; ``lost`` is not called. Never raises, tolerates a half-made connection."""


class NativeConnection:
    """Our client: sans-IO protocol on one watcher, no greenlet of its own."""

    __slots__ = (
        "_acks",
        "_client",
        "_listeners",
        "_lost",
        "_opened_ns",
        "_place",
        "_ready",
        "_wire",
        "opened",
        "phases",
    )

    def __init__(
        self,
        place: Place,
        path: str,
        auth: Mapping[str, object] | None,
        headers: Sequence[tuple[str, str]],
        compression: bool,
        listeners: Listeners,
    ) -> None:
        self._place = place
        self._listeners = listeners
        base = place.base.replace("http", "ws", 1)
        self._client = Client(base, path=path, auth=auth, headers=headers, compression=compression)
        self._wire = Wire(self, listeners.lag)
        self._acks: dict[int, OnAck] = {}
        self._ready: AsyncResult | None = None
        self._opened_ns = 0
        self._lost = False
        self.opened: Opened | None = None
        self.phases: dict[str, int] = {}

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the frame being read."""
        return self._wire.arrived_ns

    @property
    def session(self) -> str:
        """The Socket.IO id."""
        return self._client.sid or ""

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings."""
        return None if self.opened is None else self.opened.ping_interval_ns

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace. Raises ConnectFailed."""
        begun_ns = perf_counter_ns()
        self._ready = AsyncResult()
        with Timeout(timeout_s, False):
            self._wire.connect(self._place.family, self._place.address, timeout_s)
            connected_ns = perf_counter_ns()
            self._client.open()
            self._flush()
            connected = self._ready.get()
            self._ready = None
            self.phases = {
                "tcp": connected_ns - begun_ns,
                "open": self._opened_ns - connected_ns,
                "namespace": connected - self._opened_ns,
            }
            return
        self._ready = None
        self._wire.close()
        raise ConnectFailed(Cause.CONNECT_TIMEOUT, f"no answer to the handshake within {timeout_s:g} s")

    def emit(self, name: str, args: Sequence[Any]) -> int:
        """Send an event."""
        if self._wire.closed:
            raise NotConnected
        self._client.emit(name, *args)
        return self._send()

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck) -> int:
        """Send an event that wants an answer."""
        if self._wire.closed:
            raise NotConnected
        ack_id = self._client.emit(name, *args, ack=True)
        assert ack_id is not None
        self._acks[ack_id] = on_ack
        return self._send()

    def too_large(self, name: str, args: Sequence[Any]) -> str | None:
        """Why this event would be refused for its size; None if it would not. Nothing is sent."""
        limit = self._client.max_payload
        size = len(encode_event((name, *args), 0))
        if limit is None or size <= limit:
            return None
        return f"message would be {size} bytes, the server takes {limit} (its maxPayload)"

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
        if limit is not None and now_ns - self._client.last_ping_ns > limit and not self._wire.closed:
            self._wire.close()
            self.ended(Cause.PING_TIMEOUT, f"no ping for {limit / 1e9:g} s")

    def carried(self) -> tcp.Carried:
        """Bytes and segments since the connection was made."""
        return self._wire.carried()

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
        self._acks.clear()

    # -- called by the wire, on the hub -----------------------------------------------------------------

    def received(self, data: memoryview, read_ns: int) -> None:
        """Bytes came in."""
        client = self._client
        try:
            events = client.receive_data(data, read_ns)
        except ProtocolError as error:
            self._dispatch(error.events, read_ns)
            self._flush()
            self._wire.close()
            self._end(*_of_fault(error))
            return
        if events:
            self._dispatch(events, read_ns)
        if not self._wire.closed:
            self._flush()

    def _dispatch(self, events: Sequence[Any], read_ns: int) -> None:
        on_event = self._listeners.event
        for event in events:
            kind = type(event)
            if kind is Event:
                on_event(event.name, event.args, read_ns)
            elif kind is Ack:
                on_ack = self._acks.pop(event.ack_id, None)
                if on_ack is not None:
                    on_ack(event.args, read_ns)
            else:
                self._turn(event, read_ns)

    def _turn(self, event: Any, read_ns: int) -> None:
        """The events that change what the connection is."""
        match event:
            case Opened():
                self._opened_ns = read_ns
                self.opened = event
            case Connected():
                if self._ready is not None:
                    self._ready.set(read_ns)
            case ConnectError(message=message):
                self._close_and_end(Cause.CONNECT_ERROR, message)
            case Disconnected():
                self._close_and_end(Cause.SERVER_NAMESPACE, "the server disconnected us")
            case Closed(code=code, reason=reason):
                detail = reason if code is None else f"close code {code} {reason}".rstrip()
                self._close_and_end(Cause.TRANSPORT_CLOSE, detail)

    def _close_and_end(self, cause: Cause, detail: str) -> None:
        if not self._wire.closed:
            self._flush()
            self._wire.close()
        self._end(cause, detail)

    def ended(self, cause: Cause, detail: str) -> None:
        """The wire is over. An end of stream during the upgrade is the protocol's to word."""
        if cause is Cause.TRANSPORT_CLOSE:
            try:
                self._client.receive_eof(perf_counter_ns())
            except ProtocolError as error:
                cause, detail = _of_fault(error)
        self._end(cause, detail)

    def failed(self, error: BaseException) -> None:
        """Code of ours raised on the hub."""
        self._listeners.fault(error)
        self._end(Cause.INTERNAL, f"{type(error).__name__}: {error}")

    def _end(self, cause: Cause, detail: str) -> None:
        if self._lost:
            return  # a kick and its close frame may come in one read; a connection is lost once
        self._lost = True
        waiting, self._acks = self._acks, {}
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.set_exception(ConnectFailed(cause, detail))
        elif self.phases:
            self._listeners.lost(cause, detail)
        now_ns = perf_counter_ns()
        for on_ack in waiting.values():
            on_ack(None, now_ns)


def _of_fault(error: ProtocolError) -> tuple[Cause, str]:
    if isinstance(error, HandshakeError):
        body = error.body.decode("utf-8", "replace").strip()
        return Cause.HANDSHAKE_REFUSED, f"{error} {body}".strip()
    return Cause.PARSE_ERROR, str(error)


def call(
    connection: Connection, name: str, args: Sequence[Any], timeout_s: float
) -> tuple[list[Any], int, int]:
    """Send and wait for the answer: (args, sent_ns, read_ns). Raises NotConnected, TimeoutError.

    Blocks the greenlet; a user that waits here keeps its planned moments, and what it sends late reads late.
    """
    answer: AsyncResult = AsyncResult()
    sent_ns = connection.request(name, args, lambda acked, read_ns: answer.set((acked, read_ns)))
    try:
        acked, read_ns = answer.get(timeout=timeout_s)
    except Timeout:
        raise TimeoutError(f"no answer to {name} within {timeout_s:g} s") from None
    if acked is None:
        raise NotConnected
    return acked, sent_ns, read_ns
