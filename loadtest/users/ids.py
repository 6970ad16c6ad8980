"""Whose is a message that carries only the server's id? Its sender's, who learns the id from the answer.

The delivery may be read before the answer: it waits for that, and counts from when it was read.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from loadtest.measure.operations import Operation

if TYPE_CHECKING:
    from loadtest.measure.recorder import Recorder
    from loadtest.users.device import Device

_Key = tuple[Operation, str]


class Early(NamedTuple):
    """A delivery that was read before anybody knew whose it is. Moments in ns."""

    device: Device
    read_ns: int
    arrived_ns: int | None


class Ids:
    """The server's ids of one run in this process. kept_ns: for how long an id means anything."""

    def __init__(self, recorder: Recorder, kept_ns: int) -> None:
        self._recorder = recorder
        self._kept_ns = kept_ns
        self._markers: dict[_Key, str] = {}
        self._early: dict[_Key, list[Early]] = {}
        self._known_until: deque[tuple[int, _Key]] = deque()
        self._waits_until: deque[tuple[int, _Key]] = deque()

    def marker(self, operation: Operation, given: str) -> str | None:
        """Our own marker of what the server calls ``given``; None: not known, or not yet."""
        return self._markers.get((operation, given))

    def learn(self, operation: Operation, given: str, marker: str, now_ns: int) -> list[Early]:
        """The answer told the id: from here on it is known. Returns what was read before."""
        self._forget(now_ns)
        key = operation, given
        self._markers[key] = marker
        self._known_until.append((now_ns + self._kept_ns, key))
        return self._early.pop(key, [])

    def wait(self, operation: Operation, given: str, early: Early) -> None:
        """A delivery of an id that nobody knows yet."""
        self._forget(early.read_ns)
        key = operation, given
        self._early.setdefault(key, []).append(early)
        self._waits_until.append((early.read_ns + self._kept_ns, key))

    def _forget(self, now_ns: int) -> None:
        """What no answer explained is not ours: another process's, or somebody else's altogether."""
        known, waits = self._known_until, self._waits_until
        while known and known[0][0] < now_ns:
            self._markers.pop(known.popleft()[1], None)
        while waits and waits[0][0] < now_ns:
            nobodys = self._early.pop(waits.popleft()[1], None)
            if nobodys is not None:
                self._recorder.count("foreign", len(nobodys))
