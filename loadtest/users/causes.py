"""Why was a connection lost, or never made? One closed list, told from socket facts, not from wordings."""

from __future__ import annotations

import errno
import ssl
from enum import StrEnum

from loadtest.measure.units import SECOND, say_seconds


class Cause(StrEnum):
    """What ended a connection, or kept it from being made."""

    CLIENT = "client"
    """We closed it."""
    SERVER_NAMESPACE = "server_ns"
    """The server put us out of the namespace."""
    TRANSPORT_CLOSE = "transport_close"
    """The server closed the transport: a close frame, or the end of the stream."""
    IDLE_CLOSE = "idle_close"
    """The stream ended after seconds in which not a byte came: cut for its silence, as a proxy on the way does."""
    TRANSPORT_ERROR = "transport_error"
    """The transport broke: reset, aborted, unreachable."""
    TLS_ERROR = "tls_error"
    """No keys were agreed on, or what came does not fit them: a certificate, a version, a damaged record."""
    PING_TIMEOUT = "ping_timeout"
    """No ping for ping interval + timeout."""
    PARSE_ERROR = "parse_error"
    """The server sent what the protocol does not allow."""
    SESSION_UNKNOWN = "session_unknown"
    """The server does not know the session of a poll: it has forgotten it, or it is another server."""
    CONNECT_REFUSED = "connect_refused"
    """Nobody listens there."""
    HANDSHAKE_REFUSED = "handshake_http_4xx"
    """The HTTP upgrade or the first request was answered with an error."""
    OTHER_VERSION = "other_version"
    """The server speaks another version of the protocol: Socket.IO 2, which is Engine.IO 3."""
    CONNECT_ERROR = "connect_error"
    """The namespace or the authentication refused us."""
    CONNECT_TIMEOUT = "connect_timeout"
    """The server did not finish the handshake in time."""
    ACK_TIMEOUT = "ack_timeout"
    """An answer that the journey cannot go on without did not come in time."""
    WRITE_QUEUE_FULL = "write_queue_full"
    """The server stopped reading and our bounded queue ran full."""
    NO_DESCRIPTORS = "no_descriptors"
    """The generator has no file descriptors left: its own limit, not the server's."""
    NO_PORTS = "no_ports"
    """The generator has no local ports left towards this server: its own limit."""
    GENERATOR_STALL = "generator_stall"
    """The generator itself stood still for longer than the server waits for a pong: not the server's fault."""
    INTERNAL = "internal"
    """A bug of the harness."""


UNSTICKY = (
    "long-polling needs sticky sessions: the server does not know the session that was opened a moment ago, so "
    "requests of one session reached different servers; make the proxy sticky, or use --rt-transport websocket"
)
"""What SESSION_UNKNOWN means for a session that has just been opened."""

REPAIRABLE = frozenset(
    {
        Cause.TRANSPORT_CLOSE,
        Cause.IDLE_CLOSE,
        Cause.TRANSPORT_ERROR,
        Cause.TLS_ERROR,
        Cause.PING_TIMEOUT,
        Cause.PARSE_ERROR,
        Cause.SESSION_UNKNOWN,
        Cause.WRITE_QUEUE_FULL,
        Cause.GENERATOR_STALL,
    }
)
"""What makes the official clients connect again by themselves. After a disconnect by the server's namespace, or
by the application itself, they wait to be told."""

SILENCE_NS = 5 * SECOND
"""A stream that ends after no byte has come for this long was cut for its silence, by all that can be seen."""

STREAM_ENDED = frozenset({Cause.TRANSPORT_CLOSE, Cause.IDLE_CLOSE})
"""The other end, or something in between, closed the stream."""


class ConnectFailed(Exception):
    """A connection could not be made; ``detail`` is what the server or the system said."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}" if detail else str(cause))
        self.cause = cause
        self.detail = detail


_OF_ERRNO = {
    errno.ECONNREFUSED: Cause.CONNECT_REFUSED,
    errno.ETIMEDOUT: Cause.CONNECT_TIMEOUT,
    errno.EMFILE: Cause.NO_DESCRIPTORS,
    errno.ENFILE: Cause.NO_DESCRIPTORS,
    errno.EADDRNOTAVAIL: Cause.NO_PORTS,
}


def after(silent_ns: int) -> str:
    """How long nothing had come, where that was long."""
    return f", after {say_seconds(silent_ns // SECOND)} of silence" if silent_ns >= SILENCE_NS else ""


def end_of_stream(what: str, silent_ns: int) -> tuple[Cause, str]:
    """The cause of a stream's end, and ``what`` happened, in words."""
    cause = Cause.IDLE_CLOSE if silent_ns >= SILENCE_NS else Cause.TRANSPORT_CLOSE
    return cause, what + after(silent_ns)


def cause_of(error: OSError) -> Cause:
    """The cause that an error of the system stands for."""
    if isinstance(error, ssl.SSLError):  # an OSError with numbers of its own
        return Cause.TLS_ERROR
    return _OF_ERRNO.get(error.errno or 0, Cause.TRANSPORT_ERROR)
