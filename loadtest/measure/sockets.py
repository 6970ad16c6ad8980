"""How many sockets may the users of a process need, and how many file descriptors is that?"""

from __future__ import annotations

SOCKETS = {"websocket": 2, "upgrade": 3, "long-polling": 3, "interval-polling": 3}
"""Of one device at most: those that polls and posts need, and one that is just being given up for another."""

LOOPBACK_ADDRESSES = 64
"""From which connections to a server on this machine leave one after the other, each with ports of its own."""

SPARE = 200
"""File descriptors that a process needs beside those of its users."""


def lasting(transport: str) -> int:
    """Sockets of one device that are open at the same time for longer than a moment."""
    return SOCKETS[transport] - 1


def descriptors(users: int, devices: int, transport: str) -> int:
    """File descriptors that a process with so many users may need."""
    return users * devices * SOCKETS[transport] + SPARE
