"""How does a user begin as a browser does: over long-polling, and on WebSocket as soon as that works?

The order of the official client: GET for a session; POST of the CONNECT, and at once the WebSocket with the
session's id, beside the GET that hangs; ``2probe`` and ``3probe``; polling pauses until what is in flight has
been answered; ``5``. The user acts from the moment the namespace lets it in, whatever carries that. An upgrade
that fails is not heard of: the session stays on polling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import gevent

from loadtest.protocol import HandshakeError, Opened, ProtocolError, Recovery, Upgrade
from loadtest.users import tcp
from loadtest.users.causes import STREAM_ENDED, Cause, ConnectFailed
from loadtest.users.connection import Departure, Listeners, NativeConnection, OnAck, Place
from loadtest.users.cookies import Cookies
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.secure import new_wire
from loadtest.users.talk import Ending, ending_of

OnUpgrade = Callable[[int | None, Ending | None], None]
"""(took_ns, None) once the session is on WebSocket, or (None, why) once it is clear that it stays on polling."""

_DIAL_S = 10.0


class UpgradingConnection:
    """Our client, on long-polling first and on WebSocket then.

    upgraded: None until that is decided. upgrade_ns: from the WebSocket request to the upgrade packet.
    refusal: why it stayed on polling. phases: ns of tcp, tls, open and namespace, and of upgrade once it is done.
    """

    def __init__(
        self,
        place: Place,
        path: str,
        auth: Mapping[str, object] | None,
        head: bytes,
        headers: Sequence[tuple[str, str]],
        compression: bool,
        listeners: Listeners,
        *,
        recovery: Recovery | None = None,
        on_upgrade: OnUpgrade = lambda took_ns, why: None,
        cookies: Cookies | None = None,
        namespace: str = "/",
        query: str = "",
    ) -> None:
        """head: the header lines of every request; headers: those of the WebSocket's, to which cookies come."""
        self._place = place
        self.secure = place.secure is not None
        self._path, self._query = path, query
        self._headers = headers
        self._compression = compression
        self._listeners = listeners
        self._on_upgrade = on_upgrade
        self._polling = LongPollingConnection(
            place,
            path,
            auth,
            head,
            listeners,
            recovery=recovery,
            moved=self._polling_moved,
            cookies=cookies,
            namespace=namespace,
            query=query,
        )
        self._current: LongPollingConnection | NativeConnection = self._polling
        self._wire = new_wire(place.secure, self, listeners.lag)
        self._upgrade: Upgrade | None = None
        self._asked_ns = 0
        self.phases: dict[str, int] = {}
        self.upgraded: bool | None = None
        self.upgrade_ns: int | None = None
        self.refusal: Ending | None = None

    # -- the seam: whatever carries the session now -----------------------------------------------------

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of what is being read."""
        return self._current.arrived_ns

    @property
    def session(self) -> str:
        """The Socket.IO id."""
        return self._current.session

    @property
    def opened(self) -> Opened | None:
        """The terms that the server named."""
        return self._polling.opened

    @property
    def ping_interval_ns(self) -> int | None:
        """How often the server pings."""
        return self._polling.ping_interval_ns

    @property
    def ping_timeout_ns(self) -> int | None:
        """How long the server waits for the answer to a ping."""
        return self._polling.ping_timeout_ns

    @property
    def recovery(self) -> Recovery | None:
        """What the next connection needs for the server to restore this one's state."""
        return self._current.recovery

    @property
    def recovered(self) -> bool:
        """Whether the server restored the state of the connection before."""
        return self._polling.recovered

    @property
    def local_ports(self) -> list[int]:
        """Our ends' ports of the connections open now."""
        port = self._wire.local_port
        return self._polling.local_ports + ([] if port is None else [port])

    def open(self, timeout_s: float) -> None:
        """Connect up to the namespace. Raises ConnectFailed."""
        try:
            self._polling.open(timeout_s)
        except ConnectFailed:
            self._wire.close()
            raise
        self.phases.update(self._polling.phases)

    def emit(self, name: str, args: Sequence[Any], departure: Departure) -> None:
        """Send an event."""
        self._current.emit(name, args, departure)

    def request(self, name: str, args: Sequence[Any], on_ack: OnAck, departure: Departure) -> None:
        """Send an event that wants an answer."""
        self._current.request(name, args, on_ack, departure)

    def check(self, now_ns: int) -> None:
        """Give the connection up if the server has been silent for too long."""
        self._current.check(now_ns)

    def carried(self) -> tcp.Carried:
        """Bytes and segments of all connections so far."""
        return self._polling.carried().plus(self._wire.carried())

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the sockets, or go on reading."""
        self._polling.pause_reading(paused)
        self._wire.pause_reading(paused)

    def cut(self, reset: bool) -> None:
        """End it without a word."""
        if self._current is self._polling and reset:
            self._wire.abort()
        self._current.cut(reset)

    def close(self) -> None:
        """Say goodbye and close; one that has not moved yet stays where it is."""
        self._current.close()

    # -- moving ------------------------------------------------------------------------------------------

    def _polling_moved(self) -> None:
        """The polling session made a step: it may be open, quiet, or over by now."""
        if self.upgraded is not None:
            return
        opened = self._polling.opened
        if self._polling.over:
            self._wire.close()
        elif self._upgrade is not None:
            self._move_if_ready()
        elif opened is not None:
            if "websocket" in opened.upgrades:
                self._upgrade = Upgrade(
                    self._polling.client,
                    self._place.websocket,
                    path=self._path,
                    query=self._query,
                    headers=self._polling.cookies.beside(self._headers),
                    compression=self._compression,
                )
                gevent.spawn(self._probe)
            else:
                self._stay(Cause.HANDSHAKE_REFUSED, "the server offers no upgrade to WebSocket")

    def _probe(self) -> None:
        upgrade, wire = self._upgrade, self._wire
        assert upgrade is not None
        try:
            wire.connect(self._place.family, self._place.address, _DIAL_S)
            if self._polling.over:
                wire.close()
                return
            upgrade.open()
            chunks = upgrade.data_to_send()
            self._asked_ns = perf_counter_ns()
            wire.write(chunks)
        except ConnectFailed as error:
            self._stay(error.cause, error.detail)
        except Exception as error:
            self.failed(error)

    def _move_if_ready(self) -> None:
        upgrade = self._upgrade
        assert upgrade is not None
        if not upgrade.ready:
            return
        client = upgrade.finish()
        chunks = client.data_to_send()
        self.upgraded = True
        talk, departures = self._polling.hand_over()
        self._current = NativeConnection.taking_over(self._place, talk, client, self._wire)
        sent_ns = perf_counter_ns()
        self.upgrade_ns = sent_ns - self._asked_ns
        self._wire.write(chunks)
        self.phases["upgrade"] = self.upgrade_ns
        for departure in departures:
            if self._wire.closed:
                departure.failed(Cause.TRANSPORT_ERROR, "lost while it moved to WebSocket")
            else:
                departure.left(sent_ns)
        self._on_upgrade(self.upgrade_ns, None)

    def _stay(self, cause: Cause, detail: str) -> None:
        """The session stays on polling."""
        self._wire.close()
        if self.upgraded is not None or self._polling.over:
            return
        self.upgraded = False
        self.refusal = cause, detail
        if self._upgrade is not None:
            self._upgrade.abandon()
            self._polling.resume()
        self._on_upgrade(None, self.refusal)

    # -- called by the wire, on the hub, until the session has moved ---------------------------------------

    def received(self, data: memoryview, read_ns: int) -> None:
        """Bytes came in on the new connection."""
        upgrade = self._upgrade
        assert upgrade is not None
        try:
            upgrade.receive_data(data)
        except ProtocolError as error:
            self._wire.write(upgrade.data_to_send())
            self._stay(*ending_of(error))
            return
        self._wire.write(upgrade.data_to_send())
        if not self._polling.over:
            self._move_if_ready()

    def ended(self, cause: Cause, detail: str) -> None:
        """The new connection is over."""
        if cause in STREAM_ENDED and self._upgrade is not None:
            try:
                self._upgrade.receive_eof()
            except HandshakeError as error:
                detail = str(error)
            except ProtocolError:
                pass
        self._stay(cause, detail)

    def failed(self, error: BaseException) -> None:
        """Code of ours raised on the hub."""
        self._listeners.fault(error)
        self._stay(Cause.INTERNAL, f"{type(error).__name__}: {error}")
