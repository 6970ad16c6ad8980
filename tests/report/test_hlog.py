"""Does HdrHistogram's own reader find in our log what the run has, to the count and to the bucket?"""

from __future__ import annotations

import base64
import os
import struct
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.measure import run as runs
from loadtest.measure.histogram import BUCKETS, TOP_NS, Histogram, merged, upper_edge
from loadtest.measure.rows import SeriesRow
from loadtest.measure.run import Run
from loadtest.report.hlog import LEGEND, encoded, hlog


def decoded(text: str) -> dict[int, int]:
    """Bucket -> count, straight from the description of the V2 encoding: a slow reader beside the fast writer."""
    raw = base64.b64decode(text)
    cookie, length = struct.unpack(">ii", raw[:8])
    assert cookie == 0x1C849314 and length == len(raw) - 8
    body = zlib.decompress(raw[8:])
    cookie, length, offset, digits, lowest, highest, ratio = struct.unpack(">iiiiqqd", body[:40])
    assert (cookie, length, offset, digits, lowest, ratio) == (0x1C849313, len(body) - 40, 0, 2, 1, 1.0)
    assert highest == TOP_NS
    found: dict[int, int] = {}
    at, bucket = 40, 0
    while at < len(body):
        number = shift = 0
        while True:
            byte = body[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        value = (number >> 1) ^ -(number & 1)
        if value < 0:
            bucket -= value
        else:
            found[bucket] = value
            bucket += 1
    return found


def histogram_of(values: list[int]) -> Histogram:
    made = Histogram()
    for value in values:
        made.record(value)
    return made


@pytest.fixture(scope="module")
def hdrh() -> Any:
    """HdrHistogram for Python; on some machines it needs a compiler."""
    try:
        import hdrh.histogram
        import hdrh.log
    except ImportError as error:
        if os.environ.get("LOADTEST_REQUIRE_ALL") == "1":
            raise
        pytest.skip(f"needs hdrhistogram ({error})")
    return hdrh


@given(st.lists(st.integers(0, 2 * TOP_NS), max_size=60))
@example([0] * 300)
@example([TOP_NS, 0, 255, 256, 257])
def test_an_encoded_histogram_is_read_back_bucket_by_bucket(values: list[int]) -> None:
    counts = histogram_of(values).counts()
    buckets, of_each = counts.pairs()
    assert decoded(encoded(counts)) == dict(zip(buckets.tolist(), of_each.tolist(), strict=True))


def test_our_buckets_are_those_of_hdrhistogram(hdrh: Any) -> None:
    hdr = hdrh.histogram.HdrHistogram(1, TOP_NS, 2)
    assert hdr.counts_len == BUCKETS
    for bucket in range(BUCKETS):
        edge = upper_edge(bucket)
        assert hdr.get_highest_equivalent_value(edge) == edge


@pytest.fixture(scope="module")
def run(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    reports = tmp_path_factory.mktemp("reports")
    return runs.read(made.Maker(users=20, seconds=30, rate_per_min=60.0, lost=0.02).write(reports))


def lines(run: Run, rows: list[SeriesRow] | None = None) -> list[str]:
    return list(hlog(run, run.series if rows is None else rows))


def test_the_head_is_that_of_the_format(run: Run) -> None:
    said, version, started, legend, *_ = lines(run)
    assert said.startswith("#[realtime-loadtest: ")
    assert version == "#[Histogram log format version 1.3]"
    assert started.startswith("#[StartTime: 1") and "(seconds since epoch), " in started
    assert legend == LEGEND


def test_all_lines_of_a_tag_add_up_to_the_histogram_of_the_run(run: Run) -> None:
    found: dict[str, dict[int, int]] = {}
    for line in lines(run)[4:]:
        tag, second, length, longest, payload = line.split(",")
        assert float(second) == int(float(second)) and length == "1.000" and float(longest) > 0
        of_tag = found.setdefault(tag.removeprefix("Tag="), {})
        for bucket, count in decoded(payload).items():
            of_tag[bucket] = of_tag.get(bucket, 0) + count
    operations = {row.operation for row in run.series if row.latency.n}
    assert set(found) == operations >= {"message.deliver", "message.ack"}
    for operation, cells in found.items():
        dense = merged(row.latency for row in run.series if row.operation == operation).dense()
        assert cells == {int(bucket): int(dense[bucket]) for bucket in dense.nonzero()[0]}


def test_several_transports_have_a_tag_each(run: Run) -> None:
    first = next(row for row in run.series if row.operation == "message.deliver" and row.latency.n)
    other = SeriesRow("message.deliver", "upgrade", first.phase, first.second, latency=first.latency)
    tags = {line.split(",")[0] for line in lines(run, [first, other])[4:]}
    assert tags == {"Tag=message.deliver/upgrade", "Tag=message.deliver/websocket"}


def test_hdrhistogram_reads_counts_and_percentiles(hdrh: Any, run: Run, tmp_path: Path) -> None:
    rows = [row for row in run.series if row.operation == "message.deliver"]
    path = tmp_path / "run.hlog"
    path.write_text("".join(f"{line}\n" for line in lines(run, rows)))
    whole = hdrh.histogram.HdrHistogram(1, TOP_NS, 2)
    reader = hdrh.log.HistogramLogReader(str(path), whole)
    try:
        while (one := reader.get_next_interval_histogram()) is not None:
            whole.add(one)
    finally:
        reader.close()
    ours = merged(row.latency for row in rows)
    assert whole.get_total_count() == ours.n > 100
    for percentile in (50.0, 95.0, 99.0):
        # They round the rank, we take the next whole one: at most one value further.
        low, high = ours.quantile(percentile / 100 - 1 / ours.n), ours.quantile(percentile / 100)
        assert low is not None and high is not None
        assert low <= whole.get_value_at_percentile(percentile) <= high * (1 + 1 / 128)
