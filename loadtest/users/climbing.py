"""How does a device that fell back to a lesser transport get to a better one again, without missing anything?

It tries every few seconds beside the way it has. When the better one lets it in, it joins its rooms there first,
reads from both for a moment, and only then gives the old way up.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

import gevent

from loadtest.measure.units import SECOND
from loadtest.users.causes import ConnectFailed
from loadtest.users.link import ActionFailed, Link

if TYPE_CHECKING:
    from loadtest.users.device import Device

EVERY_NS = 5 * SECOND
BOTH_S = 1.0
"""How long the old way stays beside the new: for the answers that are still to come on it."""


class Climb:
    """One device's attempts to get to a better transport."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.over = False
        self._spare: Link | None = None
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to try, beside everything else."""
        self._greenlet = gevent.spawn(self._run)

    def end(self) -> None:
        """The device has the best transport: try no more, and finish what is under way."""
        self.over = True

    def kill(self) -> None:
        """The user leaves; may be called from anywhere."""
        self.over = True
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _run(self) -> None:
        device = self._device
        live = device.live
        try:
            while not self.over:
                live.clock.sleep_until(perf_counter_ns() + EVERY_NS)
                if live.closed or live.held:
                    return
                # Else it is on its first way in, or on a way back, which begins at the top.
                if device.up and device.entered and not self.over:
                    self._try()
        except Exception as bug:
            live.fault(bug)
        finally:
            self.over = True
            self._give_up_spare()

    def _give_up_spare(self) -> None:
        """Close the one of two ways that is not the device's."""
        link, self._spare = self._spare, None
        if link is not None:
            self._device.live.parted(link)
            link.close()

    def _try(self) -> None:
        device, live = self._device, self._device.live
        for rung in device.rungs[: device.rungs.index(device.link.transport)]:
            link = self._spare = device.make_link(rung)
            began_ns = perf_counter_ns()
            try:
                link.open(live.policy.connect_timeout_ns / SECOND)
            except ConnectFailed:
                live.recorder.count("climbs.failed")
                self._give_up_spare()
                continue
            self._move(link, began_ns)
            return

    def _move(self, link: Link, began_ns: int) -> None:
        device = self._device
        live, member = device.live, device.member
        member.merging = True
        try:
            for conversation, seat in list(device.seats.items()):
                read_ns, outcome = device.reenter(conversation, seat, link)
                if outcome is not None:
                    device.restore(outcome, read_ns)
        except ActionFailed:
            live.recorder.count("climbs.failed")
            member.merging = False
            self._give_up_spare()
            return
        if not (device.up and link.sockets):  # one of the two was lost meanwhile; of the old one all know
            member.merging = False
            self._give_up_spare()
            return
        self._spare = device.link
        device.adopt(link)
        live.joined(link, began_ns)
        live.recorder.count("climbs")
        gevent.sleep(BOTH_S)
        self._give_up_spare()
        if device.up:
            device.catch_up()
        gevent.sleep(BOTH_S)
        member.merging = False
