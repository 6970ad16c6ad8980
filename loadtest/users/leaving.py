"""How does a user leave while the others go on, so that nothing of what was said is lost by it?

As a person does who says goodbye and hears the answer: first what it said is let through, then it asks to be let
out, and then it stays connected until it has read what was on its way by then. A socket closed at once would cut
off all of that, and a feed would never be asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

import gevent

from loadtest.measure.units import MS
from loadtest.users.link import ActionFailed

if TYPE_CHECKING:
    from loadtest.users.device import Device
    from loadtest.users.user import RealtimeUser

_LOOK_EVERY_NS = 20 * MS


def can_leave_in_order(user: RealtimeUser) -> bool:
    """Whether there is anybody to say goodbye to: not once the run has closed, or where no device is connected."""
    return not user.live.held and not user.live.closed and any(device.up for device in user.devices)


def leave(user: RealtimeUser) -> None:
    """Leave all conversations with all devices; blocks, for as long as a delivery may take at most."""
    for device in user.devices:
        _leave(device)


def _leave(device: Device) -> None:
    member, rooms = device.member, list(device.member.rooms.values())
    _wait(device, lambda: not device.unacked and not any(room.awaits(member) for room in rooms))
    for name, seat in list(device.seats.items()):
        if seat.talk:
            try:
                device.leave(name)
            except ActionFailed:
                return  # not connected any more, or refused: it goes without
    _wait(device, lambda: not any(room.owes(member) for room in rooms))


def _wait(device: Device, done: Callable[[], bool]) -> None:
    live = device.live
    until_ns = perf_counter_ns() + live.header.deadline_ns
    while not done() and device.up and not live.closed and perf_counter_ns() < until_ns:
        gevent.sleep(_LOOK_EVERY_NS / 1e9)
