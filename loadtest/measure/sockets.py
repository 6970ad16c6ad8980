"""How many sockets may the users of a process need, and how many file descriptors is that?"""

from __future__ import annotations

SOCKETS = {"websocket": 2, "upgrade": 3, "long-polling": 3, "interval-polling": 3}
"""Of one device at most: those that polls and posts need, and one that is just being given up for another."""

LOOPBACK_ADDRESSES = 64
"""From which connections to a server on this machine leave one after the other, each with ports of its own."""

SPARE = 200
"""File descriptors that a process needs beside those of its users."""

CHANGING = 4
"""Of so many devices one may have a socket more, at its worst moment: a connection is closed before the next is
opened, so that is only while a new one stands beside an old one that has not ended yet."""


def lasting(transport: str) -> int:
    """Sockets of one device that are open at the same time for longer than a moment."""
    return SOCKETS[transport] - 1


def descriptors(users: int, devices: int, transport: str) -> int:
    """File descriptors that a process with so many users may need."""
    held = users * devices
    return held * lasting(transport) + -(-held // CHANGING) + SPARE


def users_within(limit: int, devices: int, transport: str) -> int:
    """How many users a process may have that may have so many file descriptors; 0: not one."""
    each = devices * (CHANGING * lasting(transport) + 1)
    users = max(0, (limit - SPARE) * CHANGING // each)
    # Shares are rounded up, so that may be one too many.
    while users and descriptors(users, devices, transport) > limit:
        users -= 1
    return users
