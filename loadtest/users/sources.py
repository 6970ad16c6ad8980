"""From which address does a connection leave?

An address has some 28,000 ports towards one server. Loopback has addresses for the asking: when the ports of
127.0.0.1 are used up a connection leaves from 127.0.0.2, then 127.0.0.3, and round again. Elsewhere there is
the one address that the system chooses.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from typing import Any

from gevent import socket as gsocket

from loadtest.measure.sockets import LOOPBACK_ADDRESSES

# Without it a port would be taken at the bind, where one that is free towards another server counts as used.
_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
_EXHAUSTED = frozenset({errno.EADDRNOTAVAIL, errno.EADDRINUSE})

_current = 1
"""The last number of the address that had ports the last time. One of the process: so are the ports."""


def how_many(family: int, address: tuple[Any, ...]) -> int:
    """From how many addresses connections to that one may leave."""
    several = sys.platform.startswith("linux") and family == socket.AF_INET
    return LOOPBACK_ADDRESSES if several and ipaddress.ip_address(address[0]).is_loopback else 1


def connected(family: int, address: tuple[Any, ...], timeout_s: float) -> Any:
    """An open socket of gevent's; blocks the greenlet. Raises OSError."""
    global _current
    addresses = how_many(family, address)
    for left in reversed(range(addresses)):
        try:
            return _connected(family, address, timeout_s, _current if addresses > 1 else 1)
        except OSError as error:
            if error.errno not in _EXHAUSTED or not left:
                raise
        _current = _current % addresses + 1
    raise AssertionError("there is at least one address")


def _connected(family: int, address: tuple[Any, ...], timeout_s: float, source: int) -> Any:
    sock = gsocket.socket(family, socket.SOCK_STREAM)
    try:
        if source > 1:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.0.0.{source}", 0))
        sock.settimeout(timeout_s)
        sock.connect(address)
    except BaseException:  # also a kill, or a Timeout of the caller's
        sock.close()
        raise
    return sock
