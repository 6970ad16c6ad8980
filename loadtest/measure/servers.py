"""On which of several servers was a member, and when?

A message goes from the server that its sender is on to those that its readers are on. Within one it is a short
way, across two it goes through whatever connects them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_WAY = "servers:"
"""Begins the part of a delivery's latency that says from where to where it went."""


class Stops:
    """The servers that one member has been on. Moments in ns; the name of one is empty if nobody told it."""

    __slots__ = ("_stops", "now")

    def __init__(self) -> None:
        self.now = ""
        self._stops: list[tuple[int, str]] = []

    def arrive(self, server: str, now_ns: int) -> bool:
        """It is on this server from now on; whether that is another one than it was on before."""
        if server == self.now:
            return False
        before = next((known for _, known in reversed(self._stops) if known), server)
        self._stops.append((now_ns, server))
        self.now = server
        return bool(server) and server != before

    def at(self, moment_ns: int) -> str:
        """Where it was then."""
        return next((server for since_ns, server in reversed(self._stops) if since_ns <= moment_ns), "")


def way(sender: str, reader: str) -> str:
    """The name of a way; servers' names may hold anything but a blank."""
    return f"{_WAY}{sender} {reader}"


def ways(names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(name, server of the sender, server of the reader) of those among the names that are ways."""
    for name in names:
        sender, blank, reader = name.removeprefix(_WAY).partition(" ")
        if name.startswith(_WAY) and blank:
            yield name, sender, reader
