"""What can a client report?

Every event is immutable. ``gc=False`` keeps them out of the garbage collector's lists: a receiver makes
thousands a second, and what JSON can build has no cycles. ``namespace`` is ``"/"`` unless named.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The Engine.IO session is open. ``sid`` is the session's secret, not the Socket.IO id.

    Durations in nanoseconds; ``max_payload`` in bytes per message, None if the server announces none.
    """

    sid: str
    ping_interval_ns: int
    ping_timeout_ns: int
    max_payload: int | None
    upgrades: tuple[str, ...]


class Connected(msgspec.Struct, frozen=True, gc=False):
    """The namespace let us in. ``pid`` is the id for connection state recovery, if the server has it.

    ``recovered``: this is the connection that was lost, with its rooms, and what it missed has been reported.
    """

    sid: str
    pid: str | None = None
    namespace: str = "/"
    recovered: bool = False


class ConnectError(msgspec.Struct, frozen=True, gc=False):
    """The namespace refused us: ``message``, and whatever ``data`` the server's middleware added."""

    message: str
    data: Any = None
    namespace: str = "/"


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event of the server. ``args`` come after the name, any number; ``ack_id`` if it wants an answer."""

    name: str
    args: list[Any]
    ack_id: int | None = None
    namespace: str = "/"


class Ack(msgspec.Struct, frozen=True, gc=False):
    """The server's answer to the emit that was given ``ack_id``."""

    ack_id: int
    args: list[Any]
    namespace: str = "/"


class Disconnected(msgspec.Struct, frozen=True, gc=False):
    """The server put us out of the namespace; the transport below is still open."""

    namespace: str = "/"


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The transport is over; nothing is reported after this.

    ``code`` is the WebSocket close code (1005: a close frame without one), or None if no close frame came:
    Engine.IO close packet or end of stream, and ``reason`` says which.
    """

    code: int | None
    reason: str


SocketEvent: TypeAlias = Connected | ConnectError | Event | Ack | Disconnected
ClientEvent: TypeAlias = Opened | SocketEvent | Closed
