"""How does an event reach everybody in some rooms, over sockets and feeds, with the faults that are ordered
on the way?

Nothing in here awaits: whoever assigns a `seq` and fans out in the same breath has every receiver see
messages in order. Without faults a delivery is a closed-check and a write.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from loadtest.targets.reference.clock import SECOND, Clock
from loadtest.targets.reference.counters import Counters
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.faults import Faults, Pacing
from loadtest.targets.reference.feed import Feeds
from loadtest.targets.reference.rooms import USER_ROOM, Rooms
from loadtest.targets.reference.sessions import Session

FAULTY_EVENT = "message:new"
_NOBODY: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True):
    """An event as it goes out: `data` is its JSON, shared by sockets, feeds and resyncs."""

    name: str
    data: msgspec.Raw

    @staticmethod
    def of(name: str, fields: dict[str, Any], meta: msgspec.Raw | None = None) -> "Event":
        """`fields`, and `meta` after them if there is one; times and ids are the caller's."""
        if meta is not None:
            fields = {**fields, "meta": meta}
        return Event(name, msgspec.Raw(msgspec.json.encode(fields)))

    def outgoing(self) -> Outgoing:
        return Outgoing(b'42["' + self.name.encode() + b'",' + bytes(self.data) + b"]")


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one socket (`session`), or to the feed of `user` among `feeds`."""

    event: Event
    outgoing: Outgoing
    session: Session | None
    user: str
    feeds: Feeds

    @property
    def receiver(self) -> str:
        return self.session.sid if self.session is not None else f"feed {self.user}"


class Fanout:
    """Without `timers` what faults hold back goes out when `pass_time` is called.

    `counts_feeds`: where several instances write the same feeds, one of them counts what was handed over.
    """

    def __init__(
        self,
        rooms: Rooms[Session],
        feeds: Feeds,
        faults: Faults[Delivery],
        counters: Counters,
        clock: Clock,
        *,
        timers: bool = True,
    ):
        self.counts_feeds = True
        self._timers = timers
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
        members: Iterable[str] = _NOBODY,
        skip_sid: str | None = None,
        skip_feed: str | None = None,
        feeds: Feeds | None = None,
    ) -> None:
        """One copy to each socket in `room` and to the feed of each of `members` who polls. `feeds` are
        those of messages if none are given."""
        sessions: Collection[Session] = self._rooms.listeners(room).values()
        if skip_sid is not None:
            sessions = [session for session in sessions if session.sid != skip_sid]
        feeds = self._feeds if feeds is None else feeds
        readers = [user for user in members if user != skip_feed] if feeds else _NOBODY
        self._deliver(room, sender, event, sessions, feeds, readers)

    def to_rooms(
        self,
        rooms: Iterable[str],
        event: Event,
        *,
        sender: str,
        members: Iterable[str] = _NOBODY,
        skip_user: str | None = None,
        feeds: Feeds | None = None,
    ) -> None:
        """As `to_room`, but one copy for a socket that is in several of `rooms`, and for a user who is
        several times among `members`; none for `skip_user`."""
        hearers: dict[str, Session] = {}
        for room in rooms:
            hearers.update(self._rooms.listeners(room))
        sessions = [session for session in hearers.values() if session.user_id != skip_user]
        feeds = self._feeds if feeds is None else feeds
        readers = dict.fromkeys(members) if feeds else {}
        readers.pop(skip_user or "", None)
        self._deliver("", sender, event, sessions, feeds, readers)

    def to_users(
        self, users: Collection[str], event: Event, *, sender: str, feeds: Feeds | None = None
    ) -> None:
        """One copy to each socket in the rooms `user:<id>` and to the feed of each of `users` who polls."""
        rooms = [USER_ROOM + user for user in users]
        self.to_rooms(rooms, event, sender=sender, members=users, feeds=feeds)

    def _deliver(
        self,
        room: str,
        sender: str,
        event: Event,
        sessions: Collection[Session],
        feeds: Feeds,
        readers: Iterable[str],
    ) -> None:
        outgoing = event.outgoing()
        if self._faults.quiet and not self._lane:
            handed = sum(session.engine.push(outgoing) for session in sessions)
            if feeds:
                now_ns = self._clock.now_ns()
                written = sum(feeds.append(user, event.name, event.data, now_ns) for user in readers)
                handed += written * self.counts_feeds
            self._counters.emitted[event.name] += handed
            return
        for session in sessions:
            self._beset(room, sender, Delivery(event, outgoing, session, session.user_id, feeds))
        # Members are a set, whose order differs from process to process; a seed is to strike the same ones.
        for user in sorted(readers):
            if feeds.reads(user):
                self._beset(room, sender, Delivery(event, outgoing, None, user, feeds))

    def pass_time(self) -> None:
        """What faults have held back for long enough goes out."""
        if self._faults.quiet and not self._lane:
            return
        self._release_overdue()
        self._advance()

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
        if not out and self._timers and self._faults.lasting("reorder") is not None:
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
        if not self._timers:
            return
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
            written = delivery.feeds.append(delivery.user, event.name, event.data, self._clock.now_ns())
            handed = written and self.counts_feeds
        self._counters.emitted[event.name] += handed
