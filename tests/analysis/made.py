"""Runs for tests, made by the same recorder and written by the same code as real ones; seeded, no clock."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import Drop, Exemplar, FaultRow, ServerRow, TrafficRow, Try
from loadtest.measure.run import Edges, Manifest, Run, Worker
from loadtest.measure.units import MS, SECOND

CONNECT_S, WARMUP_S, DRAIN_S = 2, 3, 3
DOCUMENTED_S = (1.0, 2.0, 4.0, 8.0, 16.0)
RETURNING: dict[str, Any] = {
    "reconnect": "documented",
    "backoff_s": [[wait_s, wait_s] for wait_s in DOCUMENTED_S],
    "faults": ["abort@5"],
    "availability_deadline_s": 2.0,
    "devices": 1,
}
"""Parameters that a run has if its users come back; runs of older releases have none of them."""


def manifest(**changes: Any) -> Manifest:
    """A manifest of a run of 30 s: connect 0-2, warmup 2-5, measure 5-27, drain 27-30."""
    told: dict[str, Any] = {
        "id": "7c1e9b60",
        "scenario": "messaging",
        "transport": "websocket",
        "client": "native",
        "users": 20,
        "seed": 1,
        "started": "2026-11-23T08:15:00Z",
        "complete": True,
        "edges": Edges(2 * SECOND, 5 * SECOND, 27 * SECOND, 30 * SECOND),
        "parameters": {
            "rate_per_min": 60.0,
            "room_size": 10,
            "payload_bytes": 150,
            "warmup_s": 3.0,
            "drain_s": 3.0,
            "deadline_s": 10.0,
            "spawn_rate": 10.0,
            "run_time_s": 30.0,
            "processes": 1,
        },
        "target": {
            "url": "http://127.0.0.1:3000",
            "kind": "reference",
            "contract": "default",
            "websocket": True,
            "ping_interval_s": 25.0,
            "ping_timeout_s": 20.0,
            "poll_interval_s": 1.5,
            "rate_limit": 100,
            "stats": True,
            "notes": [],
        },
        "environment": {
            "fingerprint": "b1f0c2d4",
            "host": "bench-1",
            "os": "Linux",
            "kernel": "6.18.5",
            "cpu": "AMD EPYC 7B13",
            "cores": 2,
            "memory_gib": 7.8,
            "python": "3.11.7",
            "versions": {"locust": "2.47.0", "gevent": "26.9.0"},
            "same_host_as_target": True,
        },
        "command": "locust -f scenarios/messaging.py --headless -u 20 -r 10 -t 30s --rt-token-secret ***",
        "commit": "9f3c2ab",
        "workers": [Worker("local", True)],
        "counters": {"connections.established": 20, "connections.failed": 0},
    }
    return Manifest(**(told | changes))


def ns(seconds: float) -> int:
    """Nanoseconds of so many seconds."""
    return round(seconds * SECOND)


def drop(
    user: str,
    at_s: float,
    waits_s: tuple[float, ...] = (1.0,),
    outcome: str = "recovered",
    fault: str = "",
    fault_s: float | None = None,
    took_s: float = 0.02,
    late_s: float = 0.0,
    rejoin_s: float = 0.03,
    heard_s: float | None = 0.05,
    first_s: float | None = 0.5,
    **told: Any,
) -> Drop:
    """A loss and the way back: attempts that fail with ``transport_error``, but for the last of a recovered one.

    rejoin_s, heard_s, first_s: after the connection was back; None: never came.
    """
    tries: list[Try] = []
    failed_s = at_s
    for number, wait_s in enumerate(waits_s, 1):
        began_s = failed_s + wait_s
        worked = outcome == "recovered" and number == len(waits_s)
        cause = "" if worked else "transport_error"
        tries.append(Try(ns(wait_s), ns(late_s), ns(began_s), ns(took_s), cause))
        failed_s = began_s + took_s

    def after(seconds: float | None) -> int | None:
        return None if seconds is None or outcome != "recovered" else ns(failed_s + seconds)

    heard = after(heard_s)
    facts: dict[str, Any] = {"transport": "websocket", "cause": "transport_error", "rooms": 1} | told
    facts.setdefault("proven", facts["rooms"] if heard is not None else 0)
    return Drop(
        user,
        at_ns=ns(at_s),
        outcome=outcome,
        fault=fault,
        fault_ns=ns(at_s if fault_s is None else fault_s) if fault else None,
        tries=tries,
        back_ns=after(0.0),
        rejoined_ns=after(rejoin_s),
        heard_ns=heard,
        first_ns=after(first_s),
        **facts,
    )


def in_memory(book: Book | None = None, **changes: Any) -> Run:
    """A Run of these rows, without a directory."""
    book = book or Book()
    return Run(Path("/nowhere"), manifest(**changes), book.rows(), book.drops, book.exemplars)


class Maker:
    """Plays a run into a Book: messages on a Poisson schedule, a latency drawn for each receiver."""

    def __init__(
        self,
        transport: str = "websocket",
        users: int = 20,
        seconds: int = 30,
        rate_per_min: float = 60.0,
        lost: float = 0.0,
        workers: int = 1,
        busy: float = 12.0,
        seed: int = 1,
    ) -> None:
        self.transport, self.users, self.seconds, self.lost = transport, users, seconds, lost
        self.workers, self.busy, self.rate = workers, busy, rate_per_min / 60
        self.random = random.Random(seed)
        self.book = Book()
        self.plan = Plan(0, seconds * SECOND, WARMUP_S * SECOND, DRAIN_S * SECOND)
        self.plan.begin(CONNECT_S * SECOND)

    def play(self) -> Book:
        """The whole run, split evenly over the workers."""
        for index in range(self.workers):
            name = f"worker-{index + 1}" if self.workers > 1 else "local"
            recorder = Recorder(self.plan, name)
            share = self.users // self.workers
            self._connect(recorder, share)
            for second in range(self.seconds):
                self._health(recorder, second, share)
                if CONNECT_S <= second < self.seconds - DRAIN_S:
                    self._messages(recorder, second, share)
            self._traffic(recorder, share)
            self.book.add(name, recorder.take(final=True))
        return self.book

    def write(self, reports: Path, **changes: Any) -> Path:
        """Play, and write the run below ``reports``."""
        book = self.play()
        told: dict[str, Any] = {
            "transport": self.transport,
            "users": self.users,
            "edges": Edges(
                CONNECT_S * SECOND,
                (CONNECT_S + WARMUP_S) * SECOND,
                (self.seconds - DRAIN_S) * SECOND,
                self.seconds * SECOND,
            ),
            "workers": [Worker(name, True) for name in sorted(book.final)],
            "counters": {"connections.established": self.users, "connections.failed": 0} | book.counters,
        } | changes
        made = manifest(**told)
        name = runs.directory_name(made.started, made.scenario, made.transport, made.id[:4])
        return runs.write(reports, name, made, book)

    def delay_ns(self) -> int:
        """From the server's acceptance to the receiver."""
        if self.transport == "interval-polling":
            return round(self.random.uniform(0, 1500) * MS)
        return round(self.random.lognormvariate(0.7, 0.45) * MS)

    def _connect(self, recorder: Recorder, users: int) -> None:
        for user in range(users):
            at = user * CONNECT_S * SECOND // users
            parts = {"tcp": 0.08, "open": 1.1, "namespace": 0.7, "authenticate": 1.3, "join": 0.9}
            interval = recorder.connecting("session.connect", self.transport, at)
            durations = {name: self.random.lognormvariate(0, 0.3) * mean * MS for name, mean in parts.items()}
            for name, duration in durations.items():
                interval.record_phase(name, round(duration))
            interval.record(at, at, at + round(sum(durations.values())))
            joined = recorder.connecting("session.join", self.transport, at)
            joined.record(at, at, at + round(durations["join"]))

    def _messages(self, recorder: Recorder, second: int, users: int) -> None:
        for sender in range(users):
            due = second * SECOND + self.random.expovariate(self.rate) * SECOND
            while due < (second + 1) * SECOND:
                self._message(recorder, sender, round(due))
                due += self.random.expovariate(self.rate) * SECOND

    def _message(self, recorder: Recorder, sender: int, planned: int) -> None:
        sent = planned + round(self.random.expovariate(4) * MS)
        health = recorder.health(planned)
        health.planned += 1
        health.sent += 1
        health.send_lag.record(sent - planned)
        acked = sent + round(self.random.lognormvariate(0.4, 0.3) * MS)
        recorder.interval("message.ack", self.transport, planned).record(planned, sent, acked)
        recorder.interval("message.echo", self.transport, planned).record(
            planned, sent, sent + self.delay_ns()
        )
        deliver = recorder.interval("message.deliver", self.transport, planned)
        for receiver in range(4):
            if self.random.random() < self.lost:
                deliver.expected += 1
                deliver.lost += 1
                self._exemplar(recorder, "lost", sender, receiver, planned, sent, None)
                continue
            read = sent + self.delay_ns()
            deliver.record(planned, sent, read)
            health.receive_lag.record(round(self.random.expovariate(12) * MS))
            self._exemplar(recorder, "slow", sender, receiver, planned, sent, read)

    def _exemplar(
        self,
        recorder: Recorder,
        outcome: str,
        sender: int,
        receiver: int,
        planned: int,
        sent: int,
        read: int | None,
    ) -> None:
        if recorder.plan.phase(planned).value != "measure":
            return
        names = f"user-{sender}", f"user-{20 + receiver}"
        recorder.exemplar(
            Exemplar(
                outcome, "message.deliver", self.transport, "measure", f"room-{sender // 5}", *names,
                planned // MS, planned, sent, None if read is None else read - 40_000, read, f"c{receiver}",
            )
        )  # fmt: skip

    def _health(self, recorder: Recorder, second: int, users: int) -> None:
        health = recorder.health(second * SECOND)
        health.connections = min(users, round(users * (second + 1) / CONNECT_S))
        health.cpu_percent = self.busy * self.random.uniform(0.85, 1.15)
        health.gc_pause_ns = 2 * MS
        for _ in range(10):
            health.loop_lag.record(round(self.random.expovariate(5) * MS))
        recorder.server(ServerRow(second, min(self.users, round(self.users * (second + 1) / CONNECT_S)), 8.0))

    def _traffic(self, recorder: Recorder, users: int) -> None:
        span = self.seconds - CONNECT_S - WARMUP_S - DRAIN_S
        polling = self.transport == "interval-polling"
        polls, messages = span / 1.5, self.rate * span
        sent = round(171 * polls if polling else 210 * messages)
        received = round(126 * polls + 760 * messages if polling else 850 * messages)
        segments = round(4 * polls if polling else 10 * messages)
        idle = (171 * 40, 126 * 40, 160) if polling else (17, 8, 6)
        rows = [
            ("connect", users * 2 * SECOND, 420, 380, 7),
            ("active", users * span * SECOND, sent, received, segments),
            ("idle", users * 60 * SECOND, *idle),
        ]
        for regime, user_ns, up, down, of_each in rows:
            recorder.traffic(
                TrafficRow(
                    self.transport, regime, "tcp_info", users, user_ns,
                    up * users, down * users, of_each * users // 2, of_each * users // 2,
                )
            )  # fmt: skip

    def drop(self, at_s: float, cause: str) -> None:
        """A connection lost."""
        self.book.drops.append(Drop("user-3", self.transport, round(at_s * SECOND), cause))

    def storm(self, at_s: float, n: int, name: str = "abort#0", typed: str = "abort@5") -> None:
        """The first ``n`` users lose their connection at once, and come back as documented.

        Every tenth attempt fails, so a few need two or three; every message missed is resynced.
        """
        self.book.add_fault(FaultRow(name, name.partition("#")[0], ns(at_s), argument=typed, struck=n))
        for index in range(n):
            waits_s = [DOCUMENTED_S[0]]
            while self.random.random() < 0.1 and len(waits_s) < len(DOCUMENTED_S):
                waits_s.append(DOCUMENTED_S[len(waits_s)])
            late_s = self.random.expovariate(1000)
            missed = self.random.randrange(4)
            self.book.drops.append(
                drop(
                    f"user-{index}", at_s + self.random.uniform(0, 0.004),
                    tuple(wait_s + late_s for wait_s in waits_s), fault=name, fault_s=at_s,
                    took_s=self.random.uniform(0.003, 0.03), late_s=late_s,
                    transport=self.transport, missed=missed, resynced=missed, connected_ns=ns(at_s - 1),
                )
            )  # fmt: skip
