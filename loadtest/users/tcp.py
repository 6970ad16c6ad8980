"""How many bytes and segments did a connection really carry?

Linux counts them itself: ``getsockopt(IPPROTO_TCP, TCP_INFO)`` costs about a microsecond and includes what
no application sees (HTTP heads, frame headers, TLS records, retransmissions, bare ACKs). The counters are
readable until the descriptor is closed, so they are read first thing when a connection ends. Elsewhere the
lengths handed to and taken from the socket stand in for them, without segments, and are called estimated.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, NamedTuple

TCP_INFO = "tcp_info"
ESTIMATED = "estimated"

_LENGTH = 232
_BYTES_RECEIVED = struct.Struct("=QII")  # at 128: bytes_received, segs_out, segs_in
_BYTES_SENT = struct.Struct("=Q")  # at 200
_STATE_CLOSE_WAIT = 8
_OPTION = getattr(socket, "TCP_INFO", 11)


class Carried(NamedTuple):
    """Sums over one or more connections, as this side saw them."""

    bytes_sent: int = 0
    bytes_received: int = 0
    segments_sent: int = 0
    segments_received: int = 0

    def plus(self, other: Carried) -> Carried:
        """Both together."""
        return Carried(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Carried) -> Carried:
        """What came since ``other``."""
        return Carried(*(a - b for a, b in zip(self, other, strict=True)))


def read(sock: Any) -> Carried | None:
    """The kernel's counters of a socket; None where there are none, or too short a structure."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _OPTION, _LENGTH)
    except OSError:
        return None
    if len(info) < 208:
        return None
    received, segments_sent, segments_received = _BYTES_RECEIVED.unpack_from(info, 128)
    (sent,) = _BYTES_SENT.unpack_from(info, 200)
    # The kernel counts the peer's FIN as a byte. Not so in the state that follows a reset: there was none.
    if info[0] == _STATE_CLOSE_WAIT and received:
        received -= 1
    return Carried(sent, received, segments_sent, segments_received)
