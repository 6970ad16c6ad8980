"""Who sits in which conversation, and under what number?

Users are numbered within their process, the lowest free number first, so that one that left gives its
place to the next and rooms stay full. Rooms are filled one after the other; with several sizes, the size
furthest behind its share of the users is started next.
"""

from __future__ import annotations

import heapq

RoomSizes = tuple[tuple[int, float], ...]
EVERYBODY: RoomSizes = ((1 << 40, 1.0),)
"""One room without end: of an application that knows no rooms."""


class Seating:
    """Numbers and rooms of the users of one kind in one process."""

    def __init__(self, sizes: RoomSizes) -> None:
        self._sizes = sizes
        self._seated = [0] * len(sizes)
        self._rooms: list[int] = []  # room of each number ever given
        self._free: list[int] = []
        self._left_in_room = 0
        self._last_room = -1

    def take(self) -> tuple[int, int]:
        """(number, room) of a user that comes."""
        if self._free:
            number = heapq.heappop(self._free)
            return number, self._rooms[number]
        if not self._left_in_room:
            self._start_room()
        self._left_in_room -= 1
        self._rooms.append(self._last_room)
        return len(self._rooms) - 1, self._last_room

    def _start_room(self) -> None:
        behind = [
            ((seated + size) / share, index)
            for index, (seated, (size, share)) in enumerate(zip(self._seated, self._sizes, strict=True))
        ]
        _, index = min(behind)
        size = self._sizes[index][0]
        self._seated[index] += size
        self._left_in_room = size
        self._last_room += 1

    def give_back(self, number: int) -> None:
        """A user has gone; its number and place are free."""
        heapq.heappush(self._free, number)

    @property
    def rooms(self) -> int:
        """How many rooms there are."""
        return self._last_room + 1
