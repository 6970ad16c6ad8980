"""How does the stock python-socketio client look behind the same seam?

What Python shops ship, the opponent of the benchmark, and a second opinion on every count. It is used as it
is, apart from what would make its numbers wrong: the read is stamped before its task per event is spawned;
``connect`` raises what it meets and waits as long as ours does; acks in flight end with their connection.
It never reconnects by itself: that is decided in one place for both clients.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import engineio
import socketio
from engineio.exceptions import ConnectionError as EngineError
from socketio.exceptions import ConnectionError as StockError
from socketio.exceptions import SocketIOError

from loadtest.measure.units import SECOND
from loadtest.protocol import Recovery
from loadtest.users import tcp
from loadtest.users.causes import Cause, ConnectFailed, cause_of
from loadtest.users.connection import Departure, Listeners, NotConnected, OnAck, Place
from loadtest.users.secure import context
from loadtest.users.wire import LINGER_NOT


class _Engine(engineio.Client):
    """Stamps a message where it is read, before the task that will handle it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read_ns = 0

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        if event != "message" or event not in self.handlers:
            return super()._trigger_event(event, *args, **kwargs)
        read_ns = perf_counter_ns()
        return self.start_background_task(self._handle, read_ns, *args)

    def _handle(self, read_ns: int, *args: Any) -> None:
        # Handlers that do not yield see the stamp of their own message: nothing runs in between.
        self.read_ns = read_ns
        try:
            self.handlers["message"](*args)
        except Exception:
            self.logger.exception("message handler error")


_ITS_OWN = frozenset({"host", "origin"})
"""Headers that the library would send twice if it were given them as such: they are options of its own."""


class _Client(socketio.Client):
    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine


class StockConnection:
    """python-socketio's client as a Connection.

    ``arrived_ns`` is unknown: it does not ask the kernel. Connection state recovery is unknown to it.
    """

    arrived_ns: int | None = None
    recovery: Recovery | None = None
    recovered = False

    def __init__(
        self,
        place: Place,
        path: str,
        auth: Any,
        listeners: Listeners,
        *,
        headers: Sequence[tuple[str, str]] = (),
        namespace: str = "/",
        query: str = "",
    ) -> None:
        self._place = place
        self.secure = place.secure is not None
        self._headers = {name: value for name, value in headers if name.lower() not in _ITS_OWN}
        self._namespace = namespace
        self._query = query
        self._path = path
        self._auth = auth
        self._listeners = listeners
        self._closing = False
        self._acks: set[OnAck] = set()
        self._carried = tcp.Carried()
        self.phases: dict[str, int] = {}
        # Without handle_sigint=False it would take Ctrl-C away from Locust and the run would not be written.
        options: dict[str, Any] = {name.lower(): value for name, value in headers if name.lower() in _ITS_OWN}
        if place.secure is not None:
            # Left to itself it reads the system's certificates anew for each connection: 20 ms and a megabyte.
            options["sslopt"] = {"context": context(place.secure.verify)}
        self._sio = _Client(reconnection=False, handle_sigint=False, websocket_extra_options=options)
        self._sio.on("*", self._heard, namespace)
        self._sio.on("disconnect", self._disconnected, namespace)

    @property
    def session(self) -> str:
        """The Socket.IO id."""
        return self._sio.get_sid(self._namespace) or ""

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings."""
        seconds = self._sio.eio.ping_interval
        return None if seconds is None else round(seconds * SECOND)

    @property
    def ping_timeout_ns(self) -> int | None:
        """How long the server waits for the answer to a ping."""
        seconds = self._sio.eio.ping_timeout
        return None if seconds is None else round(seconds * SECOND)

    @property
    def local_ports(self) -> list[int]:
        """Our end's port."""
        sock = self._socket()
        try:
            return [] if sock is None else [sock.getsockname()[1]]
        except OSError:
            return []  # closed, and its reader has not noticed yet

    def _socket(self) -> Any:
        websocket = self._sio.eio.ws
        return None if websocket is None else websocket.sock

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace. Raises ConnectFailed; the library tells no phases apart."""
        begun_ns = perf_counter_ns()
        try:
            self._sio.connect(
                f"{self._place.base}/?{self._query}" if self._query else self._place.base,
                headers=dict(self._headers),  # its own: the library takes the cookie out of it
                auth=self._auth,
                namespaces=[self._namespace],
                transports=["websocket"],
                socketio_path=self._path.strip("/"),
                wait_timeout=timeout_s,
            )
        except StockError as error:
            raise _failed(error) from None
        except OSError as error:
            raise ConnectFailed(cause_of(error), str(error)) from None
        self.phases = {"namespace": perf_counter_ns() - begun_ns}

    def _heard(self, name: str, *args: Any) -> None:
        try:
            self._listeners.event(name, list(args), self._sio.eio.read_ns)
        except Exception as error:
            self._listeners.fault(error)

    def _disconnected(self, reason: str = "") -> None:
        waiting, self._acks = self._acks, set()
        if not self._closing and self.phases:
            self._closing = True
            self._listeners.lost(_CAUSES.get(reason, Cause.TRANSPORT_ERROR), reason)
            now_ns = perf_counter_ns()
            for on_ack in waiting:
                on_ack(None, now_ns)

    def emit(self, name: str, args: Sequence[Any], departure: Departure) -> None:
        """Hand an event to the library's queue. Raises NotConnected."""
        departure.left(self._emit(name, args, None))

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck, departure: Departure) -> None:
        """As ``emit``, with an answer. Raises NotConnected."""
        self._acks.add(on_ack)

        def answered(*answer: Any) -> None:
            if on_ack in self._acks:
                self._acks.discard(on_ack)
                try:
                    on_ack(list(answer), self._sio.eio.read_ns)
                except Exception as error:
                    self._listeners.fault(error)

        departure.left(self._emit(name, args, answered))

    def _emit(self, name: str, args: Sequence[Any], callback: Any) -> int:
        sent_ns = perf_counter_ns()
        if self._closing:
            raise NotConnected
        try:
            self._sio.emit(name, tuple(args), self._namespace, callback)
        except SocketIOError:
            raise NotConnected from None
        return sent_ns

    def check(self, now_ns: int) -> None:
        """The library watches its pings itself."""

    def carried(self) -> tcp.Carried:
        """Bytes and segments so far."""
        sock = self._socket()
        if sock is not None:
            self._carried = tcp.read(sock) or self._carried
        return self._carried

    def pause_reading(self, paused: bool) -> None:
        """The library reads in a greenlet of its own, which takes no orders."""
        raise RuntimeError("python-socketio's client cannot be kept from reading: use --rt-client native")

    def cut(self, reset: bool) -> None:
        """End it without a word."""
        self.carried()
        self._closing = True
        self._acks.clear()
        sock = self._socket()
        if sock is None:
            return
        try:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                sock.close()
            else:
                sock.shutdown(socket.SHUT_RDWR)  # wakes its reader, which closes
        except OSError:
            pass  # it was over already

    def close(self) -> None:
        """Say goodbye."""
        self.carried()
        self._closing = True
        self._acks.clear()
        try:
            self._sio.disconnect()
        except (OSError, SocketIOError, EngineError):
            pass


_CAUSES = {
    "server disconnect": Cause.SERVER_NAMESPACE,
    "client disconnect": Cause.CLIENT,
    "transport close": Cause.TRANSPORT_CLOSE,
    "transport error": Cause.TRANSPORT_ERROR,
    "ping timeout": Cause.PING_TIMEOUT,
}


def _failed(error: Exception) -> ConnectFailed:
    said = str(error) or type(error).__name__
    if "refused" in said.lower():
        return ConnectFailed(Cause.CONNECT_REFUSED, said)
    return ConnectFailed(Cause.CONNECT_ERROR, said)
