"""How does an event reach everybody in a room, over sockets and feeds, with the faults that are ordered on
the way?

Nothing in here awaits: whoever assigns a `seq` and fans out in the same breath has every receiver see
messages in order. Without faults a delivery is a closed-check and a write.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from loadtest.targets.reference.clock import SECOND, Clock
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.faults import Faults, Pacing
from loadtest.targets.reference.feed import Feeds
from loadtest.targets.reference.rooms import Rooms
from loadtest.targets.reference.sessions import Session

FAULTY_EVENT = "message:new"
_NO_FEEDS: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True):
    """An event as it goes out: `data` is its JSON, shared by sockets, feeds and resyncs."""

    name: str
    data: msgspec.Raw

    def outgoing(self) -> Outgoing:
        return Outgoing(b'42["' + self.name.encode() + b'",' + bytes(self.data) + b"]")


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one socket (`session`) or one feed (`user`)."""

    event: Event
    outgoing: Outgoing
    session: Session | None
    user: str

    @property
    def receiver(self) -> str:
        return self.session.sid if self.session is not None else f"feed {self.user}"


class Fanout:
    def __init__(
        self, rooms: Rooms[Session], feeds: Feeds, faults: Faults[Delivery], counters: Counters, clock: Clock
    ):
        self._rooms = rooms
        self._feeds = feeds
        self._faults = faults
        self._counters = counters
        self._clock = clock
        self._pacing = Pacing()
        self._lane: deque[tuple[int, Delivery]] = deque()
        self._lane_timer: asyncio.TimerHandle | None = None

    def to_session(self, session: Session, name: str, payload: dict[str, Any]) -> None:
        """An event for one socket alone (`authenticated`, `error`). No fault touches it."""
        event = Event(name, msgspec.Raw(msgspec.json.encode(payload)))
        if session.engine.push(event.outgoing()):
            self._counters.emitted[name] += 1

    def to_room(
        self,
        room: str,
        event: Event,
        *,
        sender: str,
        members: Iterable[str] = _NO_FEEDS,
        skip_sid: str | None = None,
        skip_feed: str | None = None,
    ) -> None:
        """One copy to each socket in `room` and to the feed of each of `members` who polls."""
        outgoing = event.outgoing()
        sessions = self._rooms.listeners(room).values()
        if self._faults.quiet and not self._lane:
            handed = sum(s.engine.push(outgoing) for s in sessions if s.sid != skip_sid)
            if self._feeds:
                now_ns = self._clock.now_ns()
                handed += sum(
                    self._feeds.append(u, event.name, event.data, now_ns) for u in members if u != skip_feed
                )
            self._counters.emitted[event.name] += handed
            return
        for session in sessions:
            if session.sid != skip_sid:
                self._beset(room, sender, Delivery(event, outgoing, session, session.user_id))
        for user in members:
            if user != skip_feed and self._feeds.reads(user):
                self._beset(room, sender, Delivery(event, outgoing, None, user))

    def end_faults(self) -> None:
        """All faults are over: what was held back or queued goes out now, in order."""
        held = self._faults.stop()
        self._pacing = Pacing()
        if self._lane_timer is not None:
            self._lane_timer.cancel()
            self._lane_timer = None
        while self._lane:
            self._hand_over(self._lane.popleft()[1])
        for delivery in held:
            self._hand_over(delivery)

    def _beset(self, room: str, sender: str, delivery: Delivery) -> None:
        if delivery.event.name != FAULTY_EVENT:
            self._queue(delivery)
            return
        now_ns = self._clock.now_ns()
        line = (room, sender, delivery.receiver)
        out = self._faults.shape(line, delivery, now_ns)
        if not out and self._faults.lasting("reorder") is not None:
            asyncio.get_running_loop().call_later(2.05, self._release_overdue)
        for one in out:
            self._queue(one)

    def _release_overdue(self) -> None:
        for delivery in self._faults.overdue(self._clock.now_ns()):
            self._queue(delivery)

    def _queue(self, delivery: Delivery) -> None:
        delay, throughput = self._faults.lasting("delay"), self._faults.lasting("limitThroughput")
        if delay is None and throughput is None and not self._lane:
            self._hand_over(delivery)
            return
        now_ns = self._clock.now_ns()
        self._lane.append((self._pacing.due_ns(now_ns, delay, throughput), delivery))
        if self._lane_timer is None:
            self._arm(now_ns)

    def _arm(self, now_ns: int) -> None:
        wait_s = max(0, self._lane[0][0] - now_ns) / SECOND
        self._lane_timer = asyncio.get_running_loop().call_later(wait_s, self._advance)

    def _advance(self) -> None:
        self._lane_timer = None
        now_ns = self._clock.now_ns()
        while self._lane and self._lane[0][0] <= now_ns:
            self._hand_over(self._lane.popleft()[1])
        if self._lane:
            self._arm(now_ns)

    def _hand_over(self, delivery: Delivery) -> None:
        event = delivery.event
        if delivery.session is not None:
            handed = delivery.session.engine.push(delivery.outgoing)
        else:
            handed = self._feeds.append(delivery.user, event.name, event.data, self._clock.now_ns())
        self._counters.emitted[event.name] += handed
