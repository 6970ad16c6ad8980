"""Which ways to the server are there, and which one is made for a device?"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from loadtest.measure.operations import Operation
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Connection, Listeners, NativeConnection
from loadtest.users.feed_link import FeedLink
from loadtest.users.link import Hearing, Link
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.requests import Requests, head_of
from loadtest.users.socket_link import SocketLink
from loadtest.users.talk import Ending
from loadtest.users.upgrading import UpgradingConnection

if TYPE_CHECKING:
    from loadtest.users.device import Device

_BLOCKED = frozenset(
    {Cause.HANDSHAKE_REFUSED, Cause.CONNECT_TIMEOUT, Cause.PARSE_ERROR, Cause.TRANSPORT_CLOSE}
)


def blocked(error: ConnectFailed) -> bool:
    """Whether another transport may get through where this one failed: not where nobody is there at all."""
    return error.cause in _BLOCKED


def make_link(device: Device, transport: str, hearing: Hearing) -> Link:
    """A way of that transport, not open yet."""
    live = device.live

    def requests() -> Requests:
        return Requests(live.contract, device.identity, live.place, live.settings.headers, hearing)

    if transport == "interval-polling":
        return FeedLink(
            live.contract.feeds_for(device.user.wanted()),
            device.identity,
            requests(),
            live.clock,
            device.rng,
            hearing,
            device.polled,
            device.renew,
        )

    def connect(listeners: Listeners, auth: Any) -> Connection:
        return _connection(device, transport, listeners, auth)

    return SocketLink(live.contract, device.identity, connect, hearing, requests, transport)


def _connection(device: Device, transport: str, listeners: Listeners, auth: Any) -> Connection:
    live = device.live
    settings, place, path = live.settings, live.place, live.contract.connect.path
    recovery = device.recovery
    if settings.client == "python-socketio":
        from loadtest.users.stock import StockConnection  # only who asks for it pays its import

        return StockConnection(place, path, auth, listeners)
    if transport == "websocket":
        engine_sid, device.engine_sid = device.engine_sid, None
        return NativeConnection(
            place,
            path,
            auth,
            (),
            settings.compression,
            listeners,
            recovery=recovery,
            engine_sid=engine_sid,
        )
    # Engine.IO's own requests carry no token: that is in the CONNECT, or in the first event.
    head = head_of(live.contract, device.identity, place, settings.headers, frozenset({"authorization"}))
    if transport == "long-polling":
        return LongPollingConnection(place, path, auth, head, listeners, recovery=recovery)

    def upgraded(took_ns: int | None, why: Ending | None) -> None:
        live.recorder.count("upgrade.failed" if took_ns is None else "upgrade.ok")
        if took_ns is not None and not live.closed:
            connects = live.recorder.connecting(Operation.SESSION_CONNECT, transport, perf_counter_ns())
            connects.record_phase("upgrade", took_ns)

    return UpgradingConnection(
        place,
        path,
        auth,
        head,
        (),
        settings.compression,
        listeners,
        recovery=recovery,
        on_upgrade=upgraded,
    )
