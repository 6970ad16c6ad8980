"""What does a delivery cost, from the event that brings it to the numbers of the run?

    python -m bench.arms.hearing MEMBERS SECONDS

Simulated seconds of one room, without a socket: what the users' house does with an event, and what the
ledger and the recorder do. In a process of its own, since that house brings gevent along.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple

import msgspec
from locust import argument_parser, task
from locust.env import Environment

from bench.task import BODY_BYTES, HEARD_PER_SECOND, Hearing
from loadtest.contract import load
from loadtest.measure.book import Book
from loadtest.measure.operations import Operation
from loadtest.measure.rooms import Member
from loadtest.measure.rows import decode_delta, encode_delta
from loadtest.measure.units import MS, SECOND
from loadtest.users import RealtimeUser, options
from loadtest.users.connection import Place
from loadtest.users.device import Device, Seat
from loadtest.users.live import Header, LiveRun

_ROOM = "3fa2c1-0-0-0"
_EVENT = "message:new"
_DELIVER = Operation.MESSAGE_DELIVER
_BODY = "x" * BODY_BYTES
_ROUNDS = 5
_FLAGS = ["--rt-warmup", "0s"]


class Listener(RealtimeUser):
    """One who is in the room; what it would say is said for it."""

    host = "http://127.0.0.1:1"

    @task
    def nothing(self) -> None:
        """Nothing."""


class Hall:
    """One room, and everybody in it, from the moment 0 of a simulated clock."""

    def __init__(self, members: int) -> None:
        settings = options.read(argument_parser.get_parser().parse_args(_FLAGS), Listener.host)
        header = Header("3fa2c1", "hearing", "2026-01-01T00:00:00+00:00", 0, None)
        place = Place(2, ("127.0.0.1", 1), "127.0.0.1:1", Listener.host)
        environment = Environment(user_classes=[Listener])
        self.live = LiveRun(environment, header, settings, load(None), place, "0", 0)
        self.live.plan.begin(0)
        self.devices = [self._enter(Listener(environment)) for _ in range(members)]
        self.book = Book()
        self._number = 0

    def _enter(self, user: RealtimeUser) -> Device:
        user.live = self.live
        user._take_seat()
        device, ledger = user.devices[0], self.live.ledger
        device.link = device.make_link(
            "websocket"
        )  # not opened: nothing is read from it but that it is quiet
        ledger.connected(device.member, True)
        room = ledger.join_requested(_ROOM, device.member, 0)
        ledger.joined(_ROOM, device.member, 0)
        device.seats[_ROOM] = Seat(room, 0)
        return device

    def say(self, moments: range) -> list[str]:
        """Each in turn says something; the marks of it."""
        ledger, room, marks = self.live.ledger, self.live.ledger.rooms[_ROOM], []
        senders = [device.member for device in self.devices]
        for turn, now_ns in enumerate(moments):
            sender = senders[turn % len(senders)]
            mark, number = ledger.marker(sender)
            ledger.sent(mark, number, _DELIVER, room, sender, now_ns, now_ns, self.live.echoes, True)
            marks.append(mark)
        return marks

    def events(self, marks: list[str]) -> list[list[object]]:
        """What a server makes of it: the arguments of each event."""
        made: list[list[object]] = []
        for mark in marks:
            self._number += 1
            message = {"conversationId": _ROOM, "body": _BODY, "clientMsgId": mark, "seq": self._number}
            made.append([{**message, "meta": {"m": mark}, "createdAt": "2026-01-01T00:00:00.000Z"}])
        return made

    def settle(self, marks: list[str], moments: range) -> None:
        """The server's answers, and what is too old to wait for."""
        for mark, now_ns in zip(marks, moments, strict=True):
            self.live.ledger.acked(mark, now_ns + MS)
        self.live.ledger.expire(moments.stop)

    def hand_over(self) -> None:
        """What is new goes into the book, on the way it takes from a worker to the master."""
        self.book.add("0", decode_delta(encode_delta(self.live.recorder.take())))


def _told(hall: Hall, marks: list[str], events: list[list[object]], moments: range) -> None:
    """Only the ledger is told."""
    members: list[Member] = [device.member for device in hall.devices]
    delivered = hall.live.ledger.delivered
    for mark, now_ns in zip(marks, moments, strict=True):
        for member in members:
            delivered(mark, _DELIVER, member, now_ns + MS)


def _heard(hall: Hall, marks: list[str], events: list[list[object]], moments: range) -> None:
    """Every device hears every event: what a link calls once it has decoded a frame."""
    hear = [device._heard for device in hall.devices]
    for args, now_ns in zip(events, moments, strict=True):
        for heard in hear:
            heard(_EVENT, args, now_ns + MS)


_Depth = Callable[[Hall, list[str], list[list[object]], range], None]


def measure(members: int, seconds: int) -> Hearing:
    """Medians of several rounds; two halls in each, one for either depth."""
    gc.freeze()
    messages = max(1, HEARD_PER_SECOND // members)
    told, heard = [], []
    for _ in range(_ROUNDS):
        told.append(_round(Hall(members), _told, messages, seconds))
        heard.append(_round(Hall(members), _heard, messages, seconds))
    return Hearing(
        members,
        sent_ns=median(one.sent_ns for one in told + heard),
        told_ns=median(one.brought_ns for one in told),
        heard_ns=median(one.brought_ns for one in heard),
        taken_ns=median(one.taken_ns for one in told + heard),
    )


class Costs(NamedTuple):
    """Of one round, in ns for each copy that somebody else than its sender got."""

    sent_ns: float
    brought_ns: float
    taken_ns: float


def _round(hall: Hall, bring: _Depth, messages: int, seconds: int) -> Costs:
    sent_ns = brought_ns = taken_ns = 0
    for second in range(seconds):
        step_ns = SECOND // messages
        moments = range(second * SECOND, second * SECOND + messages * step_ns, step_ns)
        began_ns = perf_counter_ns()
        marks = hall.say(moments)
        said_ns = perf_counter_ns()
        events = hall.events(marks)
        made_ns = perf_counter_ns()
        bring(hall, marks, events, moments)
        came_ns = perf_counter_ns()
        hall.settle(marks, moments)
        settled_ns = perf_counter_ns()
        hall.hand_over()
        taken_ns += perf_counter_ns() - settled_ns
        sent_ns += said_ns - began_ns + settled_ns - came_ns
        brought_ns += came_ns - made_ns
    hall.live.stop_timers()
    copies = messages * seconds * (len(hall.devices) - 1)
    _check(hall, copies)
    return Costs(sent_ns / copies, brought_ns / copies, taken_ns / copies)


def _check(hall: Hall, owed: int) -> None:
    rows = [row for row in hall.book.intervals.values() if row.operation == _DELIVER.value]
    expected, came = sum(row.expected for row in rows), sum(row.latency.n for row in rows)
    if not expected == came == owed:
        sys.exit(f"{owed} copies were owed, {expected} expected and {came} came: this measured nothing")


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure(int(sys.argv[1]), int(sys.argv[2]))))
