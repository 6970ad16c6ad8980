"""Locust's own Socket.IO user, as good as a locustfile can make it.

The same login, rooms, messages and moments as our arm; a handler per event instead of Locust's catch-all,
which would fire a request for each; numbers appended to an array; the collector kept quiet as our arm does.
"""

from __future__ import annotations

import gc
import itertools
import os
from datetime import UTC, datetime, timedelta
from random import Random
from time import perf_counter_ns
from typing import Any

import gevent.event
import jwt
from locust import events, task
from locust.contrib.socketio import SocketIOUser
from locust.exception import StopUser

from bench.arms.meter import Meter
from bench.task import ROOM_SIZE, given
from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.measure.schedule import Schedule

TASK = given()
_CONNECT_TIMEOUT_S = 20


class Hall:
    """Who has joined, and when the talking began."""

    def __init__(self) -> None:
        self.seats = itertools.count()
        self.joined = 0
        self.acks = 0
        self.begun = gevent.event.Event()
        self.begun_ns: int | None = None

    def entered(self) -> None:
        """One more is in; the schedules count from the last one."""
        self.joined += 1
        if self.joined == TASK.users:
            self.begun_ns = perf_counter_ns()
            self.begun.set()

    def acked(self, *_: Any) -> None:
        """The server took a message."""
        self.acks += 1


HALL = Hall()
METER = Meter(TASK, lambda _: HALL.begun_ns, lambda _: HALL.acks)


@events.init.add_listener
def _avoid_stalls(environment: Any, **_: Any) -> None:
    # What our arm does for itself, done for this one too: the clients are compared, not the collector.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    environment.events.spawning_complete.add_listener(lambda **_: gc.freeze())


class Talker(SocketIOUser):
    """Says something whenever its schedule says so."""

    options = {"reconnection": False, "handle_sigint": False}  # noqa: RUF012
    schedule: Schedule | None = None
    planned_ns: int | None = None

    def on_start(self) -> None:
        """Connect, authenticate and join, as the other arm does."""
        seat = next(HALL.seats)
        # The draws are those of the other arm, one for one, so both ask at the same moments.
        self.rng = Random(f"{TASK.seed}:0.0.{seat}")
        self._numbers = itertools.count()
        self._name = f"{os.getpid()}.{seat}"
        self._room = f"{os.getpid()}-{seat // ROOM_SIZE}"
        self.sio.on("message:new", METER.heard)
        gevent.sleep(self.rng.random())
        self.sio.connect(  # type: ignore[no-untyped-call]
            self.host, transports=["websocket"], wait_timeout=_CONNECT_TIMEOUT_S
        )
        self._ask("authenticate", {"userId": self._name, "token": _token(self._name), "deviceId": "d"})
        self._ask("joinRoom", {"room": f"conversation:{self._room}"})
        HALL.entered()

    def _ask(self, name: str, data: dict[str, Any]) -> None:
        answer = self.sio.call(  # type: ignore[no-untyped-call]
            name, data, timeout=_CONNECT_TIMEOUT_S
        )
        if not answer or not answer["ok"]:
            raise StopUser(f"{name} was refused: {answer}")

    def on_stop(self) -> None:
        """Say goodbye."""
        self.sio.disconnect()

    def wait_time(self) -> float:
        """Sleep to the next planned moment."""
        if self.schedule is None:
            HALL.begun.wait()
            assert HALL.begun_ns is not None
            self.schedule = Schedule(TASK.rate, HALL.begun_ns, self.rng)
            self.schedule.skip_to(perf_counter_ns())
        now_ns = perf_counter_ns()
        turn = self.schedule.turn(now_ns)
        if turn.wake_ns > now_ns:
            gevent.sleep((turn.wake_ns - now_ns) / 1e9)
        self.rng.choice(self.tasks)
        self.planned_ns = None if turn.overdue else turn.planned_ns
        return 0

    @task
    def send(self) -> None:
        """Say something."""
        if self.planned_ns is None:
            return
        marker = f"{self._name}:{next(self._numbers)}"
        message = {
            "conversationId": self._room,
            "body": METER.body(self.planned_ns),
            "clientMsgId": marker,
            "meta": {"m": marker},
        }
        self.sio.emit("message:send", message, callback=HALL.acked)


def _token(user: str) -> str:
    expires = datetime.now(UTC) + timedelta(hours=1)
    claims = {"sub": user, "role": "user", "exp": int(expires.timestamp())}
    return jwt.encode(claims, DEVELOPMENT_SECRET, "HS256")
