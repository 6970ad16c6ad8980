"""What does it cost to record a sample, and to keep the ledger of a message?

Simulated seconds without sockets: the share of the deltas taken each second and of their way into a book is
part of every price.
"""

from __future__ import annotations

from random import Random
from statistics import median
from time import perf_counter_ns

import msgspec
from rich.table import Table

from bench.session import Part, Requirement, Session
from bench.task import HEARD_PER_SECOND, ROOM_SIZE, Hearing
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import decode_delta, encode_delta
from loadtest.measure.units import MS, SECOND

LIMIT_NS = 1000
DELIVERY_LIMIT_NS = 3000
ROOM_SIZES = (ROOM_SIZE, 100)
SAMPLES_PER_SECOND = 6000
_ROUNDS = 5
_COLUMNS = ("sent", "ledger told", "device hears", "deltas", "ledger in all", "device in all")


def measure(session: Session) -> Part:
    """A sample, which is a latency and a service time; medians of several rounds."""
    seconds = session.sizes.seconds
    session.say(f"recorder: {_ROUNDS} rounds of {seconds} simulated seconds")
    samples = [_sample_ns(seconds) for _ in range(_ROUNDS)]
    each = median(samples)
    title = f"recorder: {SAMPLES_PER_SECOND} samples a second, deltas each second"
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("ns each", justify="right")
    table.add_row("sample, amortised", f"{each:.0f}")
    limit = f"<= {LIMIT_NS} ns"
    kept = Requirement("recorder: sample, amortised", limit, f"{each:.0f} ns", each <= LIMIT_NS)
    return Part("recorder", table, [kept], {"sample, amortised": each, "samples_ns": samples})


def ledger(session: Session) -> Part:
    """A delivery, in a small room and in a large one: what the ledger does, and the device that hears it."""
    seconds = session.sizes.seconds
    session.say(f"ledger: {seconds} simulated seconds in rooms of {' and '.join(map(str, ROOM_SIZES))}")
    found = [
        msgspec.json.decode(session.ask("bench.arms.hearing", str(size), str(seconds)), type=Hearing)
        for size in ROOM_SIZES
    ]
    title = f"ledger: {HEARD_PER_SECOND} deliveries a second, ns for each, deltas each second"
    table = Table(title=title, title_justify="left")
    table.add_column("room of")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for one in found:
        costs = (one.sent_ns, one.told_ns, one.heard_ns, one.taken_ns, one.ledger_ns, one.whole_ns)
        table.add_row(str(one.members), *(f"{cost:.0f}" for cost in costs))
    large = found[-1]
    kept = Requirement(
        f"ledger: a delivery in a room of {large.members}, from its event on",
        f"<= {DELIVERY_LIMIT_NS} ns",
        f"{large.whole_ns:.0f} ns, the ledger alone {large.ledger_ns:.0f}",
        large.whole_ns <= DELIVERY_LIMIT_NS,
    )
    return Part("ledger", table, [kept], {"rooms": [_raw(one) for one in found]})


def _raw(one: Hearing) -> dict[str, float]:
    return {**msgspec.structs.asdict(one), "ledger_ns": one.ledger_ns, "whole_ns": one.whole_ns}


def _latencies(seconds: int) -> list[int]:
    rng = Random(7)
    return [int(rng.lognormvariate(0, 1) * MS) for _ in range(seconds * SAMPLES_PER_SECOND)]


def _plan() -> Plan:
    plan = Plan(0, None, 0, 0)
    plan.begin(0)
    return plan


def _sample_ns(seconds: int) -> float:
    recorder, book = Recorder(_plan(), "0"), Book()
    latencies = iter(_latencies(seconds))
    gap_ns = SECOND // SAMPLES_PER_SECOND
    taken_ns = 0
    for second in range(seconds):
        moments = range(second * SECOND, second * SECOND + SAMPLES_PER_SECOND * gap_ns, gap_ns)
        batch = [(moment, next(latencies)) for moment in moments]
        began_ns = perf_counter_ns()
        for planned_ns, latency in batch:
            interval = recorder.interval("message.deliver", "websocket", planned_ns)
            interval.record(planned_ns, planned_ns, planned_ns + latency)
        book.add("0", decode_delta(encode_delta(recorder.take())))
        taken_ns += perf_counter_ns() - began_ns
    return taken_ns / (seconds * SAMPLES_PER_SECOND)
