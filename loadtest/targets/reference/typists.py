"""Who is typing, and who has fallen silent?"""

from collections import OrderedDict
from typing import Generic, TypeVar

from loadtest.targets.reference.clock import SECOND

TYPING_TTL_NS = 5 * SECOND

S = TypeVar("S")


class Typists(Generic[S]):
    """Who types where, by (source, conversation): a source is a socket or a user without one.

    `S` is whatever the caller needs to announce the end. All deadlines lie equally far ahead, so the
    order of the last key strokes is the order of the deadlines.
    """

    def __init__(self) -> None:
        self._typing: OrderedDict[tuple[str, str], tuple[int, S]] = OrderedDict()

    def start(self, source: str, conversation: str, now_ns: int, note: S) -> None:
        key = (source, conversation)
        self._typing.pop(key, None)
        self._typing[key] = (now_ns + TYPING_TTL_NS, note)

    def stop(self, source: str, conversation: str) -> None:
        self._typing.pop((source, conversation), None)

    def gone(self, source: str) -> list[S]:
        """The source has disconnected; what it was typing ends now."""
        keys = [key for key in self._typing if key[0] == source]
        return [self._typing.pop(key)[1] for key in keys]

    def silent(self, now_ns: int) -> list[S]:
        """Whose five seconds have passed; they are typing no more."""
        ended: list[S] = []
        while self._typing:
            deadline_ns, note = next(iter(self._typing.values()))
            if deadline_ns > now_ns:
                break
            self._typing.popitem(last=False)
            ended.append(note)
        return ended

    def next_deadline_ns(self) -> int | None:
        """When somebody falls silent at the earliest; None if nobody types."""
        return next(iter(self._typing.values()))[0] if self._typing else None
