"""A conversation over real links, then what they say they carried: ``carried_bytes.py URL TRANSPORT USERS``.

Prints two lines of JSON, [bytes sent, bytes received]: of the quiet links, and once they have said goodbye.
Nothing is patched here (the caller switches Locust's patching off); gevent's hub drives the links as in a run.
"""

import json
import random
import sys
from time import perf_counter_ns
from typing import Any

import gevent

from loadtest.contract import load
from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.measure.operations import Operation
from loadtest.users.clock import Clock
from loadtest.users.connection import Listeners, NativeConnection
from loadtest.users.feed_link import FeedLink
from loadtest.users.link import Hearing, Link
from loadtest.users.requests import Requests
from loadtest.users.socket_link import SocketLink
from loadtest.users.target import locate
from loadtest.users.tokens import sign

MESSAGES = 8
contract = load(None)


def fault(error: BaseException) -> None:
    raise SystemExit(f"a fault of the harness: {error!r}")


class Talker:
    """One user: joins the room, says things, hears the others."""

    def __init__(self, place: Any, transport: str, number: int, clock: Clock) -> None:
        user = f"user-{number}"
        self.identity = {
            "user": user,
            "device": f"device-{number}",
            "token": sign(DEVELOPMENT_SECRET, user),
        }
        self.heard = self.polls = 0
        hearing = Hearing(
            self._event, lambda cause, why: fault(RuntimeError(why)), fault, lambda lag_ns: None
        )

        def connect(listeners: Listeners, auth: Any) -> NativeConnection:
            return NativeConnection(place, contract.connect.path, auth, (), False, listeners)

        def requests() -> Requests:
            return Requests(contract, self.identity, place, "browser", hearing)

        rng = random.Random(number)
        self.link: Link = (
            FeedLink(
                contract.feeds_for([Operation.MESSAGE_DELIVER.value]),
                self.identity,
                requests(),
                clock,
                rng,
                hearing,
                self._polled,
                lambda: fault(RuntimeError("the server takes the token no longer")),
            )
            if transport == "interval-polling"
            else SocketLink(contract, self.identity, connect, hearing, requests)
        )

    def _event(self, name: str, args: list[Any], read_ns: int) -> None:
        self.heard += name == "message:new"

    def _polled(self, planned_ns: int, sent_ns: int, read_ns: int, error: str | None) -> None:
        self.polls += 1

    def join(self) -> None:
        self.link.open(10)
        assert contract.join is not None
        assert self.link.perform(contract.join, {**self.identity, "room": "bytes", "since_seq": None}).ok

    def say(self, number: int) -> None:
        text = "word " * number
        variables = {
            **self.identity,
            "room": "bytes",
            "marker": f"{self.identity['user']}:{number}",
            "body": text,
        }
        assert self.link.perform(contract.send, variables).ok


def total(talkers: list[Talker]) -> list[int]:
    carried = [talker.link.carried() for talker in talkers]
    return [sum(one.bytes_sent for one in carried), sum(one.bytes_received for one in carried)]


def main(url: str, transport: str, users: int) -> None:
    clock = Clock(fault)
    talkers = [Talker(locate(url), transport, number, clock) for number in range(users)]
    for talker in talkers:
        talker.join()
    for number in range(1, MESSAGES + 1):
        for talker in talkers:
            talker.say(number)
    deadline_ns = perf_counter_ns() + 20 * 10**9
    while any(talker.heard < users * MESSAGES for talker in talkers):
        assert perf_counter_ns() < deadline_ns, [talker.heard for talker in talkers]
        gevent.sleep(0.01)
    clock.close()  # no polls from here on
    seen = -1
    while seen != (seen := sum(talker.polls for talker in talkers)):
        gevent.sleep(0.3)  # the last answers, to polls that were under way
    print(json.dumps(total(talkers)), flush=True)
    for talker in talkers:
        talker.link.close()
    print(json.dumps(total(talkers)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
