"""What has a polling user not fetched yet?

A user's log begins with their first read and is forgotten after minutes of silence, so that a load of
sockets alone pays nothing. A cursor names the log it belongs to: after a forgotten log or a restarted
server it has expired instead of pointing somewhere else.
"""

import re
from collections import deque
from itertools import islice
from urllib.parse import quote

import msgspec

from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.refusal import Refusal

KEPT_ITEMS = 2_000
FORGET_AFTER_NS = 300 * SECOND
TYPING_FRESH_NS = 5 * SECOND
_CURSOR = re.compile(r"([0-9a-z]{1,32})\.([0-9]{1,15})", re.ASCII)


class FeedItem(msgspec.Struct):
    """`data` is the JSON of the socket event, byte for byte."""

    event: str
    data: msgspec.Raw
    pos: int


class Page(msgspec.Struct, frozen=True):
    """An answer to one read; `moved` is False where nothing was new since the cursor that was given."""

    items: list[FeedItem]
    cursor: str
    pos: int
    has_more: bool
    moved: bool


class FeedLog:
    """The newest events of one user; `pos` counts up from 1 without a gap."""

    def __init__(self, name: str, now_ns: int, keep: int = KEPT_ITEMS) -> None:
        self.name = name
        self.pos = 0
        self.read_at_ns = now_ns
        self._items: deque[tuple[int, FeedItem]] = deque(maxlen=keep)

    def append(self, event: str, data: msgspec.Raw, now_ns: int) -> None:
        self.pos += 1
        self._items.append((now_ns, FeedItem(event, data, self.pos)))

    def cursor(self, pos: int) -> str:
        return f"{self.name}.{pos}"

    def since(self, pos: int, limit: int, now_ns: int) -> Page:
        """Up to `limit` items after `pos`. Typing that nobody would still show is skipped, its position is
        passed."""
        start = len(self._items) - (self.pos - pos)
        chunk = list(islice(self._items, start, start + limit))
        reached = pos + len(chunk)
        fresh = [
            item
            for at_ns, item in chunk
            if now_ns - at_ns < TYPING_FRESH_NS or not item.event.startswith("typing:")
        ]
        return Page(fresh, self.cursor(reached), reached, reached < self.pos, reached > pos)

    def reaches_back_to(self, pos: int) -> bool:
        return self.pos - pos <= len(self._items)


class Feeds:
    """The logs of one kind of feed, of all users who poll.

    `boot` must differ between two starts of the server, `letter` between two kinds of feeds: a cursor or
    an ETag of one then says nothing to another.
    """

    def __init__(self, boot: str, letter: str = "m") -> None:
        self._boot = boot
        self.letter = letter
        self._begun = 0
        self._logs: dict[str, FeedLog] = {}

    def __bool__(self) -> bool:
        return bool(self._logs)

    def etag(self, user: str, page_pos: int) -> str:
        return etag(user, page_pos, self.letter)

    def reads(self, user: str) -> bool:
        return user in self._logs

    def append(self, user: str, event: str, data: msgspec.Raw, now_ns: int) -> bool:
        """Writes to the log of a user who polls; False for anybody else."""
        log = self._logs.get(user)
        if log is None:
            return False
        log.append(event, data, now_ns)
        return True

    def read(self, user: str, cursor: str | None, limit: int, now_ns: int) -> Page:
        """The next page of `user`. Without a cursor: nothing, and the place to go on from.

        Raises Refusal CURSOR_INVALID (never given out) or CURSOR_EXPIRED (with the cursor to go on from
        after a resync).
        """
        log = self._logs.get(user)
        if log is None:
            log = self._logs[user] = self._begin(now_ns)
        log.read_at_ns = now_ns
        if cursor is None:
            return Page([], log.cursor(log.pos), log.pos, False, True)
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise Refusal("CURSOR_INVALID", "the cursor is not one this server gave out")
        name, pos = match[1], int(match[2])
        if name == log.name and pos > log.pos:
            raise Refusal("CURSOR_INVALID", "the cursor lies ahead of the feed")
        if name != log.name or not log.reaches_back_to(pos):
            raise Refusal(
                "CURSOR_EXPIRED",
                "events after this cursor are gone: fetch the conversations, then go on from the new cursor",
                beside={"cursor": log.cursor(log.pos)},
            )
        return log.since(pos, limit, now_ns)

    def forget_silent(self, now_ns: int) -> int:
        """Drops the logs nobody has read for minutes; returns how many."""
        silent = [user for user, log in self._logs.items() if now_ns - log.read_at_ns >= FORGET_AFTER_NS]
        for user in silent:
            del self._logs[user]
        return len(silent)

    def _begin(self, now_ns: int) -> FeedLog:
        self._begun += 1
        return FeedLog(f"{self._boot}{self.letter}{self._begun}", now_ns)


def etag(user: str, page_pos: int, letter: str = "m") -> str:
    """The weak ETag of a feed that has been read up to `page_pos`."""
    # A user's name may hold quotes and line ends, a header may not.
    return f'W/"{quote(user, safe=":@")}-{letter}-{page_pos}"'
