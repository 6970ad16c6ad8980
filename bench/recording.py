"""What does it cost to record a sample, and to keep the ledger of a message?

Simulated seconds without sockets: a sample is a latency and a service time, and its share of the deltas
taken each second and of their way into a book is part of its price.
"""

from __future__ import annotations

from random import Random
from statistics import median
from time import perf_counter_ns

from rich.table import Table

from bench.session import Part, Requirement, Session
from bench.task import ROOM_SIZE
from loadtest.measure.book import Book
from loadtest.measure.ledger import Ledger
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rooms import Member, Room
from loadtest.measure.rows import decode_delta, encode_delta
from loadtest.measure.units import MS, SECOND

LIMIT_NS = 1000
SAMPLES_PER_SECOND = 6000
_ROUNDS = 5
_DELIVER = Operation.MESSAGE_DELIVER


def measure(session: Session) -> Part:
    """Medians of several rounds."""
    seconds = session.sizes.seconds
    session.say(f"recorder and ledger: {_ROUNDS} rounds of {seconds} simulated seconds")
    samples = [_sample_ns(seconds) for _ in range(_ROUNDS)]
    ledgers = [_ledger_ns(seconds) for _ in range(_ROUNDS)]
    found = {
        "sample, amortised": median(samples),
        "Ledger.sent()": median(sent for sent, _ in ledgers),
        "Ledger.delivered()": median(delivered for _, delivered in ledgers),
    }
    title = f"recorder: {SAMPLES_PER_SECOND} samples a second, deltas each second"
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("ns each", justify="right")
    for name, value in found.items():
        table.add_row(name, f"{value:.0f}")
    each = found["sample, amortised"]
    limit = f"<= {LIMIT_NS} ns"
    kept = Requirement("recorder: sample, amortised", limit, f"{each:.0f} ns", each <= LIMIT_NS)
    return Part("recorder", table, [kept], {**found, "samples_ns": samples, "ledger_ns": ledgers})


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


def _ledger_ns(seconds: int) -> tuple[float, float]:
    """(sent, delivered): a room of ten, whose messages reach everybody."""
    ledger = Ledger(Recorder(_plan(), "0"), "run", 10 * SECOND)
    members = [Member(str(number), "websocket") for number in range(ROOM_SIZE)]
    for member in members:
        ledger.connected(member, True)
        room = ledger.join_requested("room", member, 0)
        ledger.joined("room", member, 0)
    per_second = SAMPLES_PER_SECOND // ROOM_SIZE
    sent_ns = delivered_ns = 0
    for second in range(seconds):
        start = second * SECOND
        began_ns = perf_counter_ns()
        markers = _send(ledger, room, members, start, per_second)
        left_ns = perf_counter_ns()
        _deliver(ledger, members, start, markers)
        done_ns = perf_counter_ns()
        sent_ns += left_ns - began_ns
        delivered_ns += done_ns - left_ns
        for marker in markers:
            ledger.acked(marker, start + 2 * MS)
        ledger.expire(start + SECOND)
        ledger.recorder.take()
    messages = seconds * per_second
    return sent_ns / messages, delivered_ns / (messages * ROOM_SIZE)


def _send(ledger: Ledger, room: Room, members: list[Member], start_ns: int, messages: int) -> list[str]:
    gap_ns = SECOND // messages
    markers = []
    for number in range(messages):
        sender = members[number % ROOM_SIZE]
        marker, sequence = ledger.marker(sender)
        now_ns = start_ns + number * gap_ns
        ledger.sent(marker, sequence, _DELIVER, room, sender, now_ns, now_ns, True, True)
        markers.append(marker)
    return markers


def _deliver(ledger: Ledger, members: list[Member], start_ns: int, markers: list[str]) -> None:
    gap_ns = SECOND // len(markers)
    for number, marker in enumerate(markers):
        read_ns = start_ns + number * gap_ns + MS
        for member in members:
            ledger.delivered(marker, _DELIVER, member, read_ns)
