"""What is a generator process told to measure, and what does it answer?

The task goes in one environment variable, the answer into a file: the process in between is a real
``locust``, started as anybody starts it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from loadtest.measure.histogram import Counts

VARIABLE = "BENCH_TASK"
ROOM_SIZE = 10
BODY_BYTES = 150
HEARD_PER_SECOND = 6000
"""Copies of messages in a simulated second."""


class Task(msgspec.Struct, frozen=True):
    """``rate``: messages per second and user. With ``idle`` nothing is sent and memory is looked at."""

    answer: str
    server_pid: int
    users: int
    rate: float
    seed: int
    warmup_s: float
    window_s: float
    idle: bool = False

    def environment(self) -> dict[str, str]:
        """The environment of the process that is to do it."""
        return {**os.environ, VARIABLE: msgspec.json.encode(self).decode()}


class Window(msgspec.Struct, frozen=True):
    """What one generator saw between two moments. CPU is user + system time; ``failures`` are Locust's.

    service: from the stamp in the payload to the handler. lateness: from the planned moment to the task.
    """

    elapsed_ns: int
    generator_cpu_ns: int
    server_cpu_ns: int
    sent: int
    deliveries: int
    acks: int
    failures: int
    service: Counts
    lateness: Counts

    @property
    def events(self) -> int:
        """Messages received: copies of the room's messages, and acks."""
        return self.deliveries + self.acks


class Memory(msgspec.Struct, frozen=True):
    """What a process held before its first user and with all of them, in bytes."""

    users: int
    failures: int
    rss_before: int
    rss_with: int
    anonymous_before: int
    anonymous_with: int

    @property
    def per_user(self) -> float:
        """Bytes of memory that one user takes."""
        return (self.rss_with - self.rss_before) / self.users


class Hearing(msgspec.Struct, frozen=True):
    """What a delivery costs in a room of ``members``: ns for each copy that somebody else than its sender got.

    sent: the message's own part, from its mark to its ack. told: the ledger alone is told of the copy. heard:
    a device hears the event, finds the mark in it, and tells the ledger. taken: the deltas of each second and
    their way into a book.
    """

    members: int
    sent_ns: float
    told_ns: float
    heard_ns: float
    taken_ns: float

    @property
    def ledger_ns(self) -> float:
        """All that ledger and recorder do for it."""
        return self.sent_ns + self.told_ns + self.taken_ns

    @property
    def whole_ns(self) -> float:
        """The same, from the event on."""
        return self.sent_ns + self.heard_ns + self.taken_ns


class Rendering(msgspec.Struct, frozen=True):
    """What one ``loadtest report`` took. cpu_s: user and system time. peak_bytes: of memory, at its most."""

    elapsed_s: float
    cpu_s: float
    peak_bytes: int
    page_bytes: int


def given() -> Task:
    """The task of this process."""
    return msgspec.json.decode(os.environ[VARIABLE], type=Task)


def answer(task: Task, found: Window | Memory) -> None:
    """Leave the answer; it is there whole or not at all."""
    path = Path(task.answer)
    half = path.with_suffix(".half")
    half.write_bytes(msgspec.json.encode(found))
    half.replace(path)
