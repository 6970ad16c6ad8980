"""Which ways to the server are there, and which one is made for a device?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtest.contract import Contract
from loadtest.measure.operations import Operation
from loadtest.users.causes import STREAM_ENDED, Cause, ConnectFailed
from loadtest.users.connection import Connection, Listeners, NativeConnection, Place
from loadtest.users.feed_link import FeedLink
from loadtest.users.link import Hearing, Link, Variables
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.requests import Requests, head_of
from loadtest.users.socket_link import SocketLink
from loadtest.users.talk import Ending
from loadtest.users.upgrading import UpgradingConnection

if TYPE_CHECKING:
    from loadtest.users.device import Device

_BLOCKED = STREAM_ENDED | {
    Cause.HANDSHAKE_REFUSED,
    Cause.CONNECT_TIMEOUT,
    Cause.PARSE_ERROR,
    Cause.SESSION_UNKNOWN,
}


def blocked(error: ConnectFailed) -> bool:
    """Whether another transport may get through where this one failed: not where nobody is there at all."""
    return error.cause in _BLOCKED


def make_link(device: Device, transport: str, hearing: Hearing) -> Link:
    """A way of that transport, not open yet."""
    live = device.live

    def requests() -> Requests:
        settings, cookies = live.settings, device.cookies
        return Requests(live.contract, device.identity, live.place, settings.headers, hearing, cookies)

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


class Approach(NamedTuple):
    """How one user knocks. headers: of a WebSocket handshake.

    usual: the header lines of the contract's other requests, but for those of these names.
    """

    path: str
    query: str
    namespace: str
    headers: list[tuple[str, str]]
    usual: Callable[[frozenset[str]], bytes]

    @property
    def head(self) -> bytes:
        """The header lines of Engine.IO's requests; worked out here, for over WebSocket there are none."""
        # They carry no token: that is in the CONNECT, or in the first event. What the contract gives them itself
        # stands in place of what its other requests have under that name.
        without = frozenset({"authorization"} | {name.lower() for name, _ in self.headers})
        own = "".join(f"{name}: {value}\r\n" for name, value in self.headers).encode("latin-1")
        return self.usual(without) + own


def approach(contract: Contract, identity: Variables, place: Place, kind: str) -> Approach:
    """By the contract. kind: whose headers requests have, a library's or a browser's."""
    connect = contract.connect
    variables = {**identity, "host": place.host, "origin": place.base}
    return Approach(
        connect.path,
        connect.query_string(variables),
        connect.namespace(variables),
        connect.header_lines(variables),
        partial(head_of, contract, identity, place, kind),
    )


def _connection(device: Device, transport: str, listeners: Listeners, auth: Any) -> Connection:
    live = device.live
    settings, place = live.settings, live.place
    way = approach(live.contract, device.identity, place, settings.headers)
    recovery = device.recovery
    terms: dict[str, Any] = {"namespace": way.namespace, "query": way.query}
    if settings.client == "python-socketio":
        from loadtest.users.stock import StockConnection  # only who asks for it pays its import

        headers = device.cookies.beside(way.headers)
        return StockConnection(place, way.path, auth, listeners, headers=headers, **terms)
    if transport == "websocket":
        engine_sid, device.engine_sid = device.engine_sid, None
        return NativeConnection(
            place,
            way.path,
            auth,
            device.cookies.beside(way.headers),
            settings.compression,
            listeners,
            recovery=recovery,
            engine_sid=engine_sid,
            cookies=device.cookies,
            **terms,
        )
    terms |= {"recovery": recovery, "cookies": device.cookies}
    if transport == "long-polling":
        return LongPollingConnection(place, way.path, auth, way.head, listeners, **terms)

    def upgraded(took_ns: int | None, why: Ending | None) -> None:
        live.recorder.count("upgrade.failed" if took_ns is None else "upgrade.ok")
        if took_ns is not None and not live.closed:
            connects = live.recorder.connecting(Operation.SESSION_CONNECT, transport, perf_counter_ns())
            connects.record_phase("upgrade", took_ns)

    return UpgradingConnection(
        place,
        way.path,
        auth,
        way.head,
        way.headers,
        settings.compression,
        listeners,
        on_upgrade=upgraded,
        **terms,
    )
