"""What does one exchange of this contract weigh on the sockets? ``python -m loadtest.users.weighing URL``

A handful of users over real links, for a quarter of a minute: a message now and then at first, then many. Their
sockets are read at each exchange, so that the closed form of what polling and pushing cost
(loadtest.analysis.bandwidth_model) is fed with this contract's own heads and bodies. One line of JSON on stdout.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import gevent
import msgspec

from loadtest.contract import Contract, ContractError, Feed, load
from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.clock import Clock
from loadtest.users.connection import Listeners, NativeConnection, Place
from loadtest.users.feed_link import FeedLink
from loadtest.users.link import ActionFailed, Hearing, Outcome
from loadtest.users.live import CONNECT_TIMEOUT_S
from loadtest.users.requests import Requests
from loadtest.users.socket_link import SocketLink
from loadtest.users.target import Refused, is_loopback, locate
from loadtest.users.tcp import Carried
from loadtest.users.tokens import sign

HEADERS = ("library", "browser")
COMPRESSION = {"plain": False, "deflate": True}
LISTENERS = 3
"""Of each feed and each kind of socket; polls of different phase see the same messages in different company."""
FIRST = 3
"""Messages before anything is weighed: compression learns from them, and addresses become known."""
SLOW, SLOW_S = 5, 2.2
"""Messages with so long between them that a poll brings one or none."""
FAST, FAST_S = 12, 0.25
"""Messages of which a poll brings several."""
TAIL_S = 2.0
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + " " * 8


class Weight(NamedTuple):
    """One exchange: bytes and segments of both directions. kind: poll, post, heard or said.

    way: headers of a polling user (library, browser); plain or deflate of a socket. feed: of a poll, with what it
    brought (items). preflights: OPTIONS requests that went before it, and are in its bytes.
    """

    kind: str
    way: str
    bytes: int
    segments: int
    feed: str = ""
    items: int = 0
    preflights: int = 0


class Failed(Exception):
    """Nothing was weighed; ``str`` is one line."""


class Scale:
    """Where exchanges are put: the difference between one reading of the sockets and the next."""

    def __init__(self, kind: str, way: str, feed: str, weights: list[Weight]) -> None:
        self._kind, self._way, self._feed, self._weights = kind, way, feed, weights
        self._before: Carried | None = None
        self._preflights = 0

    def read(self, carried: Carried, items: int = 0, preflights: int = 0, count: bool = True) -> None:
        """The sockets now. count: whether what went over them since the last reading was an exchange to weigh."""
        before, self._before = self._before, carried
        asked, self._preflights = preflights - self._preflights, preflights
        if before is not None and count:
            gone = carried.minus(before)
            self._weights.append(
                Weight(
                    self._kind,
                    self._way,
                    gone.bytes_sent + gone.bytes_received,
                    gone.segments_sent + gone.segments_received,
                    self._feed,
                    items,
                    asked,
                )
            )


class Weighing:
    """The users of one contract at one place, and what their sockets said."""

    def __init__(self, contract: Contract, place: Place, secret: str, payload_bytes: int) -> None:
        self.contract, self.place, self.secret = contract, place, secret
        self.payload_bytes = payload_bytes
        # Names of the length that a run gives them: they are in every token, tag and message.
        self.run = secrets.token_hex(3)
        self.clock = Clock(_raise)
        self.random = Random(1)
        self.weights: list[Weight] = []
        self.period_ns = 0
        self.watching = False
        self._numbers = 10

    def identity(self) -> dict[str, str]:
        """Of one more user."""
        name = f"0.0.{self._numbers}"
        self._numbers += 1
        user = f"{self.run}-{name}"
        token = sign(self.secret, user, lifetime_s=self.contract.token.lifetime_s)
        return {"user": user, "device": f"d-{name}", "role": "user", "token": token}

    def requests(self, identity: dict[str, str], headers: str, hearing: Hearing) -> Requests:
        """Of a polling user."""
        return Requests(self.contract, identity, self.place, headers, hearing)

    # -- who listens ------------------------------------------------------------------------------------

    def listen_by_polling(self, headers: str, feed: Feed, room: str) -> None:
        """A user that asks one feed. Raises ActionFailed, ConnectFailed."""
        scale, heard, identity = Scale("poll", headers, feed.name, self.weights), [0], self.identity()
        ready = [False]

        def event(name: str, args: list[Any], read_ns: int) -> None:
            heard[0] += 1

        def polled(planned_ns: int, sent_ns: int, read_ns: int, error: str | None) -> None:
            items, heard[0] = heard[0], 0
            # The first one after the watch began only sets the scale: what came before was no poll.
            scale.read(link.carried(), items, link.requests.preflights.sent, ready[0] and error is None)
            ready[0] = self.watching

        hearing = _hearing(event)
        link = FeedLink(
            (feed,),
            identity,
            self.requests(identity, headers, hearing),
            self.clock,
            self.random,
            hearing,
            polled,
            lambda: None,
        )
        link.open(CONNECT_TIMEOUT_S)
        self._enter(link, identity, room)

    def listen_by_socket(self, way: str, room: str) -> None:
        """A user with a socket. Raises ActionFailed, ConnectFailed."""
        scale, identity = Scale("heard", way, "", self.weights), self.identity()

        def event(name: str, args: list[Any], read_ns: int) -> None:
            if self.watching:  # what comes while it connects comes before there is a link
                scale.read(link.carried())

        link = self._socket(way, identity, event)
        self._enter(link, identity, room)

    def _socket(
        self, way: str, identity: dict[str, str], event: Callable[[str, list[Any], int], None]
    ) -> SocketLink:
        def connect(listeners: Listeners, auth: Any) -> NativeConnection:
            path = self.contract.connect.path
            return NativeConnection(self.place, path, auth, (), COMPRESSION[way], listeners)

        hearing = _hearing(event)
        link = SocketLink(
            self.contract, identity, connect, hearing, lambda: self.requests(identity, "library", hearing)
        )
        link.open(CONNECT_TIMEOUT_S)
        heartbeat = link.heartbeat
        self.period_ns = heartbeat.period_ns if heartbeat else 0
        return link

    # -- who speaks -------------------------------------------------------------------------------------

    def speak_over_http(self, headers: str, room: str) -> Callable[[int], None]:
        """A user that says the n-th message by a request. Raises ActionFailed."""
        identity, scale = self.identity(), Scale("post", headers, "", self.weights)
        requests = self.requests(identity, headers, _hearing(lambda name, args, read_ns: None))
        action = self.contract.send
        assert action.http is not None  # the contract's loader asks for it where there are feeds
        call = action.http
        join = self.contract.join
        if join is not None and join.http is not None:
            requests.perform(join.http, {**identity, "room": room, "since_seq": None})

        def say(number: int) -> None:
            scale.read(requests.pool.carried(), 0, requests.preflights.sent, number > FIRST)
            _check(requests.perform(call, self._said(identity, room, number)))

        return say

    def speak_by_socket(self, way: str, room: str) -> Callable[[int], None]:
        """A user that says the n-th message over its socket, and hears its own copy. Raises as above."""
        identity, scale = self.identity(), Scale("said", way, "", self.weights)
        link = self._socket(way, identity, lambda name, args, read_ns: None)
        self._enter(link, identity, room)

        def say(number: int) -> None:
            scale.read(link.carried(), count=number > FIRST)
            _check(link.perform(self.contract.send, self._said(identity, room, number)))

        return say

    def _enter(self, link: FeedLink | SocketLink, identity: dict[str, str], room: str) -> None:
        if self.contract.join is not None:
            _check(link.perform(self.contract.join, {**identity, "room": room, "since_seq": None}))

    def _said(self, identity: dict[str, str], room: str, number: int) -> dict[str, object]:
        body = "".join(self.random.choices(LETTERS, k=self.payload_bytes))
        marker = f"{self.run}:{identity['user'].partition('-')[2]}:{number}"
        return {**identity, "room": room, "marker": marker, "body": body}

    # -- all of it --------------------------------------------------------------------------------------

    def weigh(self) -> None:
        """Everybody connects, speaks and listens. Raises ActionFailed, ConnectFailed."""
        speakers = []
        for number, way in enumerate((*HEADERS, *COMPRESSION)):
            room = f"{self.run}-0-0-{number}"
            if way in COMPRESSION:
                speakers.append(self.speak_by_socket(way, room))
                for _ in range(LISTENERS):
                    self.listen_by_socket(way, room)
            elif self.contract.feeds:
                for feed in self.contract.feeds:
                    for _ in range(LISTENERS):
                        self.listen_by_polling(way, feed, room)
                speakers.append(self.speak_over_http(way, room))
        waits_s = [SLOW_S] * (SLOW + 1) + [FAST_S] * FAST
        for number, wait_s in enumerate([0.05] * FIRST + waits_s, 1):
            self.watching = number > FIRST
            gevent.joinall([gevent.spawn(say, number) for say in speakers], raise_error=True)
            gevent.sleep(wait_s)
        gevent.sleep(TAIL_S)


def _hearing(event: Callable[[str, list[Any], int], None]) -> Hearing:
    def lost(cause: Cause, detail: str) -> None:
        raise Failed(f"a connection was lost: {cause}: {detail}")

    return Hearing(event, lost, _raise, lambda lag_ns: None)


def _check(outcome: Outcome) -> None:
    if not outcome.ok:
        raise Failed(f"the server refused: {outcome.error}")


def _raise(error: BaseException) -> None:
    raise error


def main(arguments: list[str]) -> int:
    """Weigh, print; the exit code."""
    parser = argparse.ArgumentParser(prog="loadtest.users.weighing")
    parser.add_argument("url")
    parser.add_argument("--payload-bytes", type=int, default=150)
    parser.add_argument("--allow-remote", action="store_true")
    given = parser.parse_args(arguments)
    # The same variables that the runs beside this one read.
    path, secret = (os.environ.get(f"LOCUST_RT_{name}") for name in ("CONTRACT", "TOKEN_SECRET"))
    insecure = os.environ.get("LOCUST_RT_INSECURE", "").lower() in ("1", "true", "yes", "on")
    try:
        contract, place = load(Path(path) if path else None), locate(given.url, not insecure)
        if not given.allow_remote and not is_loopback(place):
            raise Refused("not this machine; --allow-remote says that you may put load on it")
        weighing = Weighing(contract, place, secret or DEVELOPMENT_SECRET, given.payload_bytes)
        weighing.weigh()
    except (ActionFailed, ConnectFailed, ContractError, Failed, Refused) as error:
        print(f"error: {given.url}: {error}", file=sys.stderr)
        return 2
    told = {
        "ping_interval_s": weighing.period_ns / SECOND or None,
        "poll_s": {feed.name: feed.interval_ms / 1000 for feed in contract.feeds},
        "weights": [weight._asdict() for weight in weighing.weights],
    }
    print(msgspec.json.encode(told).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
