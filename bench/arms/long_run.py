"""A long run of many users, made up and written as a real one is; prints where it lies.

    python -m bench.arms.long_run DIRECTORY USERS SECONDS

Everybody chats six times a minute in rooms of ten, some call, some ask for support: the operations of
scenarios/mixed.py at their rates, by way of the recorder and the book, and no server. Seeded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.task import BODY_BYTES, ROOM_SIZE
from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import Exemplar, ServerRow, TrafficRow, decode_delta, encode_delta
from loadtest.measure.run import Edges, Manifest, Worker
from loadtest.measure.units import MS, SECOND

WORKERS = ("worker-1", "worker-2")
CONNECT_S, WARMUP_S, DRAIN_S = 10, 30, 10
PER_USER_AND_SECOND = {
    "message.ack": 0.1,
    "message.deliver": 0.1 * (ROOM_SIZE - 1),
    "message.echo": 0.1,
    "receipt.deliver": 0.1,
    "typing.deliver": 0.05 * (ROOM_SIZE - 1),
    "presence.deliver": 0.01,
    "call.ring": 0.002,
    "call.answer": 0.002,
    "call.connected": 0.002,
    "call.status": 0.004,
    "chat.assign": 0.001,
    "chat.deliver": 0.02,
    "chat.status": 0.002,
}
_TRANSPORT = "websocket"


class Player:
    """One worker's part in the run."""

    def __init__(self, name: str, users: int, measure_s: int, seed: int) -> None:
        self.users = users
        self.ends_s = CONNECT_S + WARMUP_S + measure_s + DRAIN_S
        self._rng = np.random.default_rng(seed)
        self._plan = Plan(0, self.ends_s * SECOND, WARMUP_S * SECOND, DRAIN_S * SECOND)
        self._plan.begin(CONNECT_S * SECOND)
        self.recorder = Recorder(self._plan, name)

    def play(self, second: int) -> None:
        """What happens within one second of the run."""
        self._health(second)
        if second < CONNECT_S:
            self._connect(second)
        elif second < self.ends_s - DRAIN_S:
            for operation, rate in PER_USER_AND_SECOND.items():
                self._said(operation, second, int(self._rng.poisson(rate * self.users)))

    def _said(self, operation: str, second: int, times: int) -> None:
        due = (second + self._rng.random(times)) * SECOND
        late = self._rng.exponential(0.25, times) * MS
        took = self._rng.lognormal(0.7, 0.5, times) * MS
        for planned, late_ns, took_ns in zip(
            *(one.astype(int).tolist() for one in (due, late, took)), strict=True
        ):
            sent = planned + late_ns
            self.recorder.interval(operation, _TRANSPORT, planned).record(planned, sent, sent + took_ns)
        if operation == "message.deliver" and times:
            planned = second * SECOND
            self.recorder.exemplar(
                Exemplar(
                    "slow", operation, _TRANSPORT, "measure", f"room-{second % 100}", "user-1", "user-2", second,
                    planned, planned, planned + int(took.max()) - 40_000, planned + int(took.max()), "c-2",
                )
            )  # fmt: skip

    def _connect(self, second: int) -> None:
        for at in np.linspace(second, second + 0.99, self.users // CONNECT_S):
            began = int(at * SECOND)
            interval = self.recorder.connecting("session.connect", _TRANSPORT, began)
            parts = (self._rng.lognormal(0, 0.3, 5) * MS).astype(int).tolist()
            for name, part in zip(("tcp", "open", "namespace", "authenticate", "join"), parts, strict=True):
                interval.record_phase(name, part)
            interval.record(began, began, began + sum(parts))
            joined = self.recorder.connecting("session.join", _TRANSPORT, began)
            joined.record(began, began, began + parts[-1])

    def _health(self, second: int) -> None:
        health = self.recorder.health(second * SECOND)
        health.connections = min(self.users, self.users * (second + 1) // CONNECT_S)
        health.cpu_percent = float(self._rng.uniform(20, 30))
        health.planned = health.sent = round(self.users * 0.15)
        for lags in (health.loop_lag, health.send_lag, health.receive_lag):
            for value in (self._rng.exponential(0.2, 50) * MS).astype(int).tolist():
                lags.record(value)

    def carried(self) -> None:
        """The bytes of it all."""
        for regime, seconds in (("connect", CONNECT_S), ("active", self.ends_s), ("idle", 60)):
            self.recorder.traffic(
                TrafficRow(
                    _TRANSPORT, regime, "tcp_info", self.users, self.users * seconds * SECOND,
                    30 * seconds * self.users, 300 * seconds * self.users,
                    seconds * self.users, seconds * self.users,
                )
            )  # fmt: skip


def make(directory: Path, users: int, measure_s: int) -> Path:
    """Play it, worker by worker, and write it below ``directory``."""
    book = Book()
    for index, name in enumerate(WORKERS):
        player = Player(name, users // len(WORKERS), measure_s, index)
        for second in range(player.ends_s):
            player.play(second)
            if not index:
                player.recorder.server(ServerRow(second, users, 60.0, 200_000_000, 1.5))
            book.add(name, decode_delta(encode_delta(player.recorder.take())))
        player.carried()
        book.add(name, decode_delta(encode_delta(player.recorder.take(final=True))))
    made = _manifest(users, measure_s, book)
    return runs.write(
        directory / "long", runs.directory_name(made.started, made.scenario, _TRANSPORT, "b3c4"), made, book
    )


def _manifest(users: int, measure_s: int, book: Book) -> Manifest:
    edges = [CONNECT_S, CONNECT_S + WARMUP_S, CONNECT_S + WARMUP_S + measure_s]
    parameters: dict[str, Any] = {
        "rate_per_min": 6.0,
        "room_size": ROOM_SIZE,
        "payload_bytes": BODY_BYTES,
        "warmup_s": float(WARMUP_S),
        "drain_s": float(DRAIN_S),
        "deadline_s": 10.0,
        "spawn_rate": float(users // CONNECT_S),
        "run_time_s": float(edges[-1] + DRAIN_S),
        "processes": len(WORKERS),
    }
    return Manifest(
        id="b3c4d5e6",
        scenario="mixed",
        transport=_TRANSPORT,
        client="native",
        users=users,
        seed=1,
        started="2026-01-01T00:00:00Z",
        complete=True,
        edges=Edges(*(edge * SECOND for edge in (*edges, edges[-1] + DRAIN_S))),
        parameters=parameters,
        target={"url": "http://127.0.0.1:3000", "kind": "reference", "contract": "default", "stats": True},
        environment={"fingerprint": "bench", "cores": 2, "same_host_as_target": True},
        command="locust -f scenarios/mixed.py",
        workers=[Worker(name, True) for name in WORKERS],
        counters={"connections.established": users, "connections.failed": 0, **book.counters},
    )


if __name__ == "__main__":
    sys.stdout.write(str(make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
