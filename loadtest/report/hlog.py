"""How do the field's plotters get the latencies of a run? As an HdrHistogram log, version 1.3.

Their histogram of two significant digits has the very buckets that ours has, so nothing is rounded on the way: up
to 255 one value each, from there on 128 to every doubling. A line holds one second of one operation, in
nanoseconds. Written by hand: the package that could is not built for every machine. The tests read with it.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from loadtest.measure.histogram import TOP_NS, Counts, merged
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.measure.units import MS

VERSION = "1.3"
LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
_ENCODED, _COMPRESSED = 0x1C849313, 0x1C849314
_DIGITS = 2
_LOWEST = 1
_HEAD = struct.Struct(">iiiiqqd")


def hlog(run: Run, rows: Sequence[SeriesRow]) -> Iterator[str]:
    """The lines of the log of these rows of ``run``, in order of time; seconds count from its start."""
    started = datetime.fromisoformat(run.manifest.started)
    yield f"#[realtime-loadtest: {run.path.name}, latency from the planned moment, in nanoseconds]"
    yield f"#[Histogram log format version {VERSION}]"
    yield f"#[StartTime: {started.timestamp():.3f} (seconds since epoch), {started:%a %b %d %H:%M:%S UTC %Y}]"
    yield LEGEND
    for (second, tag), parts in sorted(_by_second(rows).items()):
        counts = merged(parts).counts()
        yield f"Tag={tag},{second:.3f},1.000,{counts.max_ns / MS:.3f},{encoded(counts)}"


def _by_second(rows: Iterable[SeriesRow]) -> dict[tuple[int, str], list[Counts]]:
    """What came, by second and tag: the operation, with the transport behind it where it has several."""
    came = [row for row in rows if row.latency.n]
    transports: dict[str, set[str]] = {}
    for row in came:
        transports.setdefault(row.operation, set()).add(row.transport)
    found: dict[tuple[int, str], list[Counts]] = {}
    for row in came:
        several = len(transports[row.operation]) > 1
        tag = f"{row.operation}/{row.transport}" if several else row.operation
        found.setdefault((row.second, tag), []).append(row.latency)
    return found


def encoded(counts: Counts) -> str:
    """A histogram in HdrHistogram's compressed V2 encoding, as base64."""
    body = b"".join(_varint(number) for number in _numbers(counts))
    head = _HEAD.pack(_ENCODED, len(body), 0, _DIGITS, _LOWEST, TOP_NS, 1.0)
    packed = zlib.compress(head + body)
    return base64.b64encode(struct.pack(">ii", _COMPRESSED, len(packed)) + packed).decode()


def _numbers(counts: Counts) -> Iterator[int]:
    """The counts of all buckets up to the last that holds something; so many empty ones are a negative number."""
    begin = 0
    buckets, of_each = counts.pairs()
    for bucket, count in zip(buckets.tolist(), of_each.tolist(), strict=True):
        if bucket > begin:
            yield begin - bucket
        yield count
        begin = bucket + 1


def _varint(number: int) -> bytes:
    """ZigZag, then LEB128, of which a ninth byte would hold eight bits; counts never come to that."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    found = bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)
