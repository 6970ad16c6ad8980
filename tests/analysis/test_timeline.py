"""Arrays over time, and the percentile spectrum."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis import timeline
from loadtest.analysis.series import Series
from loadtest.analysis.spectrum import POINTS, spectrum
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.rows import Delta, FaultRow, HealthRow, SeriesRow, ServerRow
from loadtest.measure.run import Edges
from loadtest.measure.units import MS, SECOND

DELIVER = Operation.MESSAGE_DELIVER


def counts(*values_ms: float) -> Any:
    histogram = Histogram()
    for value in values_ms:
        histogram.record(round(value * MS))
    return histogram.counts()


def run_of(made: ModuleType, *rows: Any, **changes: Any) -> Any:
    book = Book()
    book.add("local", Delta(1, list(rows), final=True))
    return made.in_memory(book, **changes)


def test_spans_of_a_whole_run(made: ModuleType) -> None:
    assert timeline.spans(run_of(made)) == [
        ("connect", 0, 2),
        ("warmup", 2, 5),
        ("measure", 5, 27),
        ("drain", 27, 30),
    ]


def test_spans_of_a_run_that_was_cut_short(made: ModuleType) -> None:
    run = run_of(made, edges=Edges(2 * SECOND, 5 * SECOND, None, 4 * SECOND))
    assert timeline.spans(run) == [("connect", 0, 2), ("warmup", 2, 4)]
    assert timeline.spans(run_of(made, edges=Edges(None, None, None, 3 * SECOND))) == [("connect", 0, 3)]


def test_a_heat_map_keeps_every_delivery_in_its_second_and_row(made: ModuleType) -> None:
    rows = [
        SeriesRow("message.deliver", "websocket", "measure", 6, latency=counts(1.5, 1.5, 900)),
        SeriesRow("message.deliver", "websocket", "measure", 9, latency=counts(0.2)),
        SeriesRow("message.ack", "websocket", "measure", 9, latency=counts(5)),
    ]
    heat = timeline.heat_map(run_of(made, *rows), DELIVER, 0.1, 1000.0)
    assert heat.counts.shape == (timeline.ROWS, 30)
    assert heat.column_s == 1
    assert heat.counts.sum() == 4
    assert heat.counts[:, 6].sum() == 3
    step = 4 / timeline.ROWS
    for value, second, n in ((1.5, 6, 2), (900, 6, 1), (0.2, 9, 1)):
        row = int(np.log10(value / 0.1) / step)
        assert heat.counts[row : row + 2, second].sum() == n


def test_a_long_run_is_folded_into_few_columns(made: ModuleType) -> None:
    rows = [SeriesRow("message.deliver", "websocket", "measure", s, latency=counts(1)) for s in range(3600)]
    run = run_of(made, *rows, edges=Edges(0, 0, None, 3600 * SECOND))
    heat = timeline.heat_map(run, DELIVER, 0.1, 1000.0)
    assert heat.column_s == 12
    assert heat.counts.shape[1] == 300
    assert (heat.counts.sum(axis=0) == 12).all()


def test_the_range_of_several_runs_is_round_and_holds_them_all(made: ModuleType) -> None:
    runs = [
        run_of(made, SeriesRow("message.deliver", "websocket", "measure", 6, latency=counts(*values)))
        for values in ((0.7, 3), (20, 1430))
    ]
    assert timeline.latency_range(runs, DELIVER) == (0.5, 2000.0)
    assert timeline.latency_range([run_of(made)], DELIVER) is None


@given(st.floats(1e-3, 1e6))
def test_rounding_goes_the_right_way(value: float) -> None:
    low, high = timeline.round_down(value), timeline.round_up(value)
    assert low <= value * (1 + 1e-8)
    assert high >= value * (1 - 1e-8)
    assert high / low <= 2.5 * (1 + 1e-8)


def test_connections_over_time(made: ModuleType) -> None:
    run = run_of(
        made,
        HealthRow("a", "connect", 0, connections=3),
        HealthRow("b", "connect", 0, connections=4),
        HealthRow("a", "measure", 5, connections=9),
        ServerRow(0, 6),
        ServerRow(1, -1),
    )
    ours, theirs = timeline.connections(run), timeline.server_connections(run)
    assert (ours.seconds.tolist(), ours.values.tolist()) == ([0, 5], [7, 9])
    assert (theirs.seconds.tolist(), theirs.values.tolist()) == ([0], [6])


def test_lags_are_those_of_the_worker_worst_in_each_second(made: ModuleType) -> None:
    run = run_of(
        made,
        HealthRow("a", "measure", 6, cpu_percent=10, loop_lag=counts(*[1] * 1000)),
        HealthRow("b", "measure", 6, cpu_percent=90, loop_lag=counts(8)),
        HealthRow("a", "measure", 7, cpu_percent=11, loop_lag=counts(2)),
    )
    lags = timeline.lag_p99(run, "loop_lag")
    assert lags.values == pytest.approx([8, 2], rel=0.01)
    cpu = timeline.cpu(run)
    assert list(cpu) == ["a", "b"]
    assert cpu["a"].values.tolist() == [10, 11]


def test_a_track_of_an_hour_keeps_its_peaks(made: ModuleType) -> None:
    rows = [HealthRow("a", "measure", s, connections=50 if s == 1801 else 10) for s in range(3600)]
    track = timeline.connections(run_of(made, *rows))
    assert track.values.size <= timeline.COLUMNS
    assert track.values.max() == 50


def series(values_ms: list[float], lost: int = 0) -> Series:
    found = Series()
    found.add(SeriesRow("message.deliver", "websocket", "measure", 0, lost=lost, latency=counts(*values_ms)))
    return found


def test_a_spectrum_reads_like_the_percentiles() -> None:
    of = series([float(value) for value in range(1, 1001)])
    it = spectrum(of)
    assert it.inverse.size <= POINTS
    assert (np.diff(it.inverse) > 0).all()
    assert (np.diff(it.latency_ms) >= 0).all()
    assert not it.missing
    for q in (0.5, 0.9, 0.95, 0.99):
        expected = (of.latency.quantile(q) or 0) / MS
        assert np.interp(1 / (1 - q), it.inverse, it.latency_ms) == pytest.approx(expected, rel=0.03)
    assert it.latency_ms[-1] == 1000.0
    assert it.supported == pytest.approx(1 / (1 - 0.05 ** (1 / 1000)))


def test_a_spectrum_ends_where_the_missing_begin() -> None:
    it = spectrum(series([1.0] * 98, lost=2))
    assert it.missing
    assert it.inverse[-1] == pytest.approx(100 / 2.5)


def test_a_spectrum_of_one_and_of_none() -> None:
    assert spectrum(series([3.0])).latency_ms.tolist() == [3.0]
    nothing = spectrum(series([], lost=4))
    assert nothing.inverse.size == 0
    assert nothing.missing


def returning(made: ModuleType, drops: list[Any], **changes: Any) -> Any:
    book = Book()
    book.add("local", Delta(1, [], drops, final=True))
    return made.in_memory(book, parameters=made.manifest().parameters | made.RETURNING, **changes)


def test_users_in_their_rooms(made: ModuleType) -> None:
    """Steps at the moments themselves; who never comes back is missing to the end."""
    drops = [
        made.drop("a", 8.01, (0.99,), fault="abort#0", fault_s=8, took_s=0.0, heard_s=0.25),
        made.drop("b", 8.02, (0.98,), fault="abort#0", fault_s=8, took_s=0.0, heard_s=0.5),
        made.drop("c", 20, (1.0,), "gave_up"),
        made.drop("d", 3, (3.0,), took_s=0.0, heard_s=0.0),
        made.drop("e", 10, cause="generator_stall"),
    ]
    track = timeline.connected_users(returning(made, drops, users=10))
    assert track is not None
    assert track.seconds.tolist() == [5, 6, 8, 9.25, 9.5, 20, 30]
    assert track.values.tolist() == [9, 10, 8, 9, 10, 9, 9]


def test_users_of_an_older_release_are_not_told(made: ModuleType) -> None:
    assert timeline.connected_users(run_of(made)) is None
    unmeasured = returning(made, [], edges=Edges(2 * SECOND, None, None, 4 * SECOND))
    assert timeline.connected_users(unmeasured) is None


def test_many_steps_keep_the_depth_and_the_end(made: ModuleType) -> None:
    drops = [made.drop(f"u{n}", 6 + n / 500, (1.0 + (n % 7) / 10,)) for n in range(5000)]
    track = timeline.connected_users(returning(made, drops, users=5000))
    assert track is not None
    assert track.seconds.size <= timeline.STEPS
    assert (np.diff(track.seconds) > 0).all()
    out = [sum(6 + n / 500 <= at < 7.07 + n / 500 + (n % 7) / 10 for n in range(5000)) for at in (9.0, 12.0)]
    for at, gone in zip((9.0, 12.0), out, strict=True):
        held = track.values[np.searchsorted(track.seconds, at, side="right") - 1]
        assert held == pytest.approx(5000 - gone, abs=10)
    assert track.values[-1] == 5000


def test_marks_of_faults(made: ModuleType) -> None:
    rows = [
        FaultRow("restart#1", "restart", 12 * SECOND, 17 * SECOND),
        FaultRow("abort#0", "abort", 5 * SECOND),
    ]
    assert timeline.fault_marks(run_of(made, *rows)) == [(5.0, None, "abort#0"), (12.0, 17.0, "restart#1")]
    assert timeline.fault_marks(run_of(made)) == []
