"""How large are the conversations, and to how many others does a message go?"""

from __future__ import annotations

import math
from collections.abc import Iterable

RoomSizes = tuple[tuple[int, float], ...]
"""(members, share of the users), shares adding up to 1."""


def parse_room_sizes(text: str) -> RoomSizes:
    """``10``, or ``2:80,20:18,200:2``: sizes with their shares of the users. Raises ValueError."""
    wanted: list[tuple[int, float]] = []
    for part in text.split(","):
        size, _, share = part.partition(":")
        try:
            wanted.append((int(size), float(share) if share else 100.0))
        except ValueError:
            raise ValueError(f"{part!r} is no room size: write 10, or 2:80,20:18,200:2") from None
    if any(size < 2 for size, _ in wanted):
        raise ValueError(f"{text!r}: a conversation needs at least 2 members, one alone sends nothing")
    total = sum(share for _, share in wanted)
    if not all(0 < share < math.inf for _, share in wanted):  # nan fails that too
        raise ValueError(f"{text!r}: a share must be a number greater than zero")
    return tuple((size, share / total) for size, share in wanted)


def mean_fan_out(sizes: Iterable[tuple[int, float]]) -> float:
    """Others who get a copy of a message, in the mean over messages: every user sends as often as any other."""
    return sum(share * (size - 1) for size, share in sizes)
