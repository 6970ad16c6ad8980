"""Do faults and lost connections add up to the same files, however many processes saw them?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure import run
from loadtest.measure.book import Book
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.rows import Drop, FaultRow, Try, decode_delta, encode_delta

MOMENTS = st.integers(0, 9)
"""Few, so that many happen at the same time."""
OUTCOMES = st.sampled_from(["recovered", "gave_up", "stayed", "open", "left"])
TRIES = st.builds(Try, MOMENTS, MOMENTS, MOMENTS, MOMENTS, st.sampled_from(["", "connect_refused"]))
DROPS = st.builds(
    Drop,
    user=st.sampled_from(["0.0.1", "0.0.2", "1.0.1"]),
    transport=st.just("websocket"),
    at_ns=MOMENTS,
    cause=st.sampled_from(["transport_error", "ping_timeout"]),
    detail=st.sampled_from(["", "a line\nbreak"]),
    outcome=OUTCOMES,
    fault=st.sampled_from(["", "abort#0"]),
    fault_ns=st.none() | MOMENTS,
    tries=st.lists(TRIES, max_size=3),
    back_ns=st.none() | MOMENTS,
    missed=MOMENTS,
    resynced=MOMENTS,
)
STRIKES = st.builds(
    FaultRow,
    name=st.sampled_from(["abort#0", "abort#1", "kick#2"]),
    fault=st.just("abort"),
    at_ns=MOMENTS,
    until_ns=st.none() | MOMENTS,
    struck=MOMENTS,
)


@settings(max_examples=60)
@given(st.lists(st.tuples(DROPS | STRIKES, st.integers(0, 3), st.booleans()), max_size=30), st.integers(1, 4),
       st.randoms())  # fmt: skip
def test_k_processes_write_the_bytes_of_one(
    seen: list[tuple[Drop | FaultRow, int, bool]], k: int, random: Any
) -> None:
    alone = Recorder(Plan(0), "alone")
    several = [Recorder(Plan(0), f"w{number}") for number in range(k)]
    sent: list[list[bytes]] = [[] for _ in several]
    for what, who, told in seen:
        for recorder in (alone, several[who % k]):
            if isinstance(what, Drop):
                recorder.drops.append(what)
                recorder.count("connections.lost")
            else:
                recorder.fault(what)
        if told:
            sent[who % k].append(encode_delta(several[who % k].take()))
    one, many = Book(), Book()
    one.add("alone", alone.take(final=True))
    for of_it, recorder in zip(sent, several, strict=True):
        of_it.append(encode_delta(recorder.take(final=True)))
    while any(sent):
        number = random.choice([n for n, waiting in enumerate(sent) if waiting])
        many.add(f"w{number}", decode_delta(sent[number].pop(0)))
    assert many.gaps == one.gaps == []
    with tempfile.TemporaryDirectory() as folder:
        assert _files(Path(folder), "one", one) == _files(Path(folder), "many", many)


def _files(folder: Path, name: str, book: Book) -> dict[str, bytes]:
    path = run.write(folder, name, _manifest(book), book)
    found = run.read(path)
    assert sum(row.struck for row in found.faults) == sum(row.struck for row in book.faults.values())
    assert len(found.drops) == len(book.drops)
    return {file.name: file.read_bytes() for file in path.iterdir()}


def _manifest(book: Book) -> run.Manifest:
    return run.Manifest(
        id="0a1b2c",
        scenario="drops",
        transport="websocket",
        client="native",
        users=3,
        seed=1,
        started="2026-01-01T00:00:00+00:00",
        complete=True,
        edges=run.Edges(0, 0, 9, 9),
        parameters={},
        target={},
        environment={},
        command="locust",
        counters=dict(sorted(book.counters.items())),
    )
