"""Why was a connection lost, or never made? One closed list, told from socket facts, not from wordings."""

from __future__ import annotations

import errno
from enum import StrEnum


class Cause(StrEnum):
    """What ended a connection, or kept it from being made."""

    CLIENT = "client"
    """We closed it."""
    SERVER_NAMESPACE = "server_ns"
    """The server put us out of the namespace."""
    TRANSPORT_CLOSE = "transport_close"
    """The server closed the transport: a close frame, or the end of the stream."""
    TRANSPORT_ERROR = "transport_error"
    """The transport broke: reset, aborted, unreachable."""
    PING_TIMEOUT = "ping_timeout"
    """No ping for ping interval + timeout."""
    PARSE_ERROR = "parse_error"
    """The server sent what the protocol does not allow."""
    CONNECT_REFUSED = "connect_refused"
    """Nobody listens there."""
    HANDSHAKE_REFUSED = "handshake_http_4xx"
    """The HTTP upgrade or the first request was answered with an error."""
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


REPAIRABLE = frozenset(
    {
        Cause.TRANSPORT_CLOSE,
        Cause.TRANSPORT_ERROR,
        Cause.PING_TIMEOUT,
        Cause.PARSE_ERROR,
        Cause.WRITE_QUEUE_FULL,
        Cause.GENERATOR_STALL,
    }
)
"""What makes the official clients connect again by themselves. After a disconnect by the server's namespace, or
by the application itself, they wait to be told."""


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


def cause_of(error: OSError) -> Cause:
    """The cause that an error of the system stands for."""
    return _OF_ERRNO.get(error.errno or 0, Cause.TRANSPORT_ERROR)
