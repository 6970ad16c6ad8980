"""Do presence and calls notice who comes, stays and goes? In memory, with a clock in the hand of the test."""

import dataclasses
import json
from typing import Any

import pytest

from loadtest.targets.reference.calling import Calling
from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domains
from loadtest.targets.reference.engine import Outgoing
from loadtest.targets.reference.presence_watch import PresenceWatch
from loadtest.targets.reference.ratelimit import SlidingWindow
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rooms import USER_ROOM
from loadtest.targets.reference.sessions import Actor, Session
from loadtest.targets.reference.settings import Settings


class Ear:
    """Stands for a connection and keeps what was pushed into it."""

    def __init__(self) -> None:
        self.heard: list[list[Any]] = []

    def push(self, outgoing: Outgoing) -> bool:
        self.heard.append(json.loads(outgoing.text[2:]))
        return True


class Hand:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time_ns = 1_000 * SECOND

    def now_ns(self) -> int:
        return self.time_ns


class House:
    def __init__(self) -> None:
        self.clock: Any = Hand()
        self.core = dataclasses.replace(Core.build(Settings()), clock=self.clock)
        self.calling = Calling(self.core)
        self.domains = Domains([PresenceWatch(self.core), self.calling])
        self._sockets = 0

    def connect(self, user: str) -> Session:
        self._sockets += 1
        engine: Any = Ear()
        session = Session(f"s{self._sockets}", engine, SlidingWindow(0, 1), user_id=user, device_id="d")
        self.core.rooms.enter(USER_ROOM + user, session)
        self.domains.authenticated(session)
        return session

    def disconnect(self, session: Session) -> None:
        self.core.rooms.drop(session.sid)
        self.domains.disconnected(session)

    def wait(self, seconds: float) -> None:
        self.clock.time_ns += int(seconds * SECOND)
        self.domains.tick(self.clock.time_ns)

    def ring(self, caller: Session, callee: str) -> str:
        payload = {"calleeId": callee, "media": "audio"}
        return str(self.calling.initiate(self.actor(caller), payload)["callId"])

    def actor(self, session: Session) -> Actor:
        return Actor(session.user_id, "user", session.window, session)

    def state(self, call_id: str) -> str:
        # Asking call:status would be a sign of life.
        return self.calling._calls._calls[call_id].state


@pytest.fixture
def house() -> House:
    return House()


def heard(session: Session) -> list[Any]:
    ear: Any = session.engine
    return [(event, data.get("status")) for event, data in ear.heard]


def test_one_socket_of_several_may_go(house: House) -> None:
    ann, phone, desk = house.connect("ann"), house.connect("bob"), house.connect("bob")
    call_id = house.ring(ann, "bob")
    house.disconnect(phone)
    house.wait(29.999)
    assert house.state(call_id) == "ringing"
    house.wait(0.001)
    assert house.state(call_id) == "missed"
    for session in (ann, desk):
        assert heard(session)[-2:] == [("call:ended", None), ("call:status", "missed")]


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_silent_return_is_a_return(house: House, who: str) -> None:
    sockets = {user: house.connect(user) for user in ("ann", "bob")}
    call_id = house.ring(sockets["ann"], "bob")
    house.calling.answer(house.actor(sockets["bob"]), {"callId": call_id})
    house.disconnect(sockets[who])
    house.wait(9)
    back = house.connect(who)
    house.wait(1000)
    assert house.state(call_id) == "active"
    assert heard(back) == []
    house.disconnect(back)
    house.wait(10)
    assert house.state(call_id) == "active"
    house.wait(0.001)
    assert house.state(call_id) == "ended"


def test_who_polls_stays_and_who_stops_is_gone(house: House) -> None:
    bob = house.connect("bob")
    house.domains.polled("ann")
    call_id = house.ring(bob, "ann")
    for _ in range(3):
        house.wait(9)
        house.domains.polled("ann")
    assert house.state(call_id) == "ringing"
    house.calling.answer(Actor("ann", "user", bob.window), {"callId": call_id})
    house.wait(10)
    assert house.state(call_id) == "active"
    house.wait(0.001)
    assert house.state(call_id) == "ended"


def test_nobody_is_told_of_their_own_coming(house: House) -> None:
    for user in ("ann", "bob"):
        house.core.conversations.join("c", user)
    feeds, now_ns = house.core.message_feeds, house.clock.now_ns()
    cursors = {user: feeds.read(user, None, 10, now_ns).cursor for user in ("ann", "bob")}
    house.domains.polled("ann")
    house.wait(10)
    assert feeds.read("ann", cursors["ann"], 10, now_ns).items == []
    told = [json.loads(bytes(item.data)) for item in feeds.read("bob", cursors["bob"], 10, now_ns).items]
    assert [(one["userId"], one["status"], one["devices"]) for one in told] == [
        ("ann", "online", 1),
        ("ann", "offline", 0),
    ]


def test_a_polling_user_is_reachable_for_ten_seconds(house: House) -> None:
    bob = house.connect("bob")
    house.domains.polled("ann")
    house.wait(9.999)
    assert house.core.presence.is_reachable("ann", house.clock.now_ns())
    house.wait(0.001)
    with pytest.raises(Refusal, match="USER_OFFLINE"):
        house.ring(bob, "ann")
