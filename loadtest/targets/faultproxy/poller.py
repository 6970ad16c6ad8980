"""Which socket has news? A selector inside the event loop's own.

The loop's transports hide what a proxy must see: they buffer bytes that a black hole should stop, close a
turn later than told, and cannot be asked for a reset. A selector can be waited for like any descriptor, so
one reader of the loop serves all sockets, and what they do happens at once.
"""

import asyncio
import selectors
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Told = Callable[[int], None]


class Poller:
    """Tells `told(events)` of each watched descriptor; an event may still come for one that was closed by
    an earlier event of the same batch, and has to be ignored by its owner."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._selector = selectors.DefaultSelector()
        loop.add_reader(self._selector.fileno(), self._wake)

    def watch(self, fd: int, before: int, events: int, told: Told) -> None:
        """Watch for `events` from now on, where `before` was watched so far; 0 is nothing."""
        if not before:
            self._selector.register(fd, events, told)
        elif not events:
            self._selector.unregister(fd)
        else:
            self._selector.modify(fd, events, told)

    def close(self) -> None:
        self._loop.remove_reader(self._selector.fileno())
        self._selector.close()

    def _wake(self) -> None:
        for key, events in self._selector.select(0):
            try:
                key.data(events)
            except Exception as error:
                # One connection's trouble must not cost the others their turn.
                self._loop.call_exception_handler({"message": "a connection failed", "exception": error})
