"""Are two copies of the state equal?

Walks everything that a copy consists of, in one order, and digests what it finds. What belongs to a process
(connections, timers, counters, caches) is passed over.
"""

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from loadtest.targets.reference.clock import Clock
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.engine import EngineSocket, Outgoing
from loadtest.targets.reference.faults import DELIVERY_FAULTS, Dice
from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.tokens import Tokens

PASSED_OVER = (Clock, Counters, EngineSocket, Outgoing, Settings, Tokens, asyncio.TimerHandle)
# The other end of a socket is somewhere else in each copy; who counts and what is due at once are no state.
NOT_COPIED = frozenset({"engine", "counts_feeds"})
PLAIN = (str, int, float, bool, bytes, type(None))


def digest(*roots: object) -> str:
    """The same for equal states, in every process."""
    walk = _Walk()
    told = hashlib.blake2b(digest_size=16)
    for word in walk.words(roots):
        told.update(word.encode() + b"\n")
    return told.hexdigest()


class _Walk:
    """What was met before is named by its number, so that circles end."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._kept: list[object] = []

    def words(self, value: Any) -> Iterator[str]:
        if isinstance(value, msgspec.Raw):
            yield repr(bytes(value))
        elif isinstance(value, PLAIN):
            yield repr(value)
        elif isinstance(value, Enum):
            yield repr(value.name)
        elif isinstance(value, (set, frozenset)):
            # Whatever is in a set is plain, and its order is this process's own.
            yield from ("{", *sorted(map(repr, value)), "}")
        elif callable(value) or isinstance(value, PASSED_OVER):
            yield "-"
        elif id(value) in self._met:
            yield f"#{self._met[id(value)]}"
        else:
            self._met[id(value)] = len(self._met)
            self._kept.append(value)  # or another object could get its id
            yield from self._parts(value)

    def _parts(self, value: Any) -> Iterator[str]:
        yield type(value).__name__
        if isinstance(value, Mapping):
            for key, part in value.items():
                yield from self.words(key)
                yield from self.words(part)
        elif isinstance(value, (list, tuple, deque)):
            for part in value:
                yield from self.words(part)
        elif isinstance(value, random.Random):
            yield repr(value.getstate())
        elif isinstance(value, Dice) and value.fault.kind not in DELIVERY_FAULTS:
            yield value.fault.kind  # thrown by each instance for its own sockets
        else:
            for name, part in _attributes(value):
                yield name
                yield from self.words(part)
        yield "."


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    names = list(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    names += getattr(type(value), "__struct_fields__", ())
    for name in sorted(set(names) - NOT_COPIED):
        if hasattr(value, name):
            yield name, getattr(value, name)
