"""The numbers of a run, each against an answer known beforehand."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from loadtest.analysis.summary import Summary, encode, summarise
from loadtest.measure import run as runs
from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.rows import Delta, Drop, HealthRow, SeriesRow, ServerRow, TrafficRow
from loadtest.measure.units import MS, SECOND

KEYS: dict[str, list[str]] = {
    "": [
        "format", "run", "validity", "connections", "operations", "bandwidth", "reconnection", "verdicts",
        "availability", "calls", "chats", "upgrade", "steadiness", "stages", "server", "spread", "hosts",
    ],
    "run": [
        "id", "scenario", "transport", "client", "users", "seed", "started", "duration_s", "measured_s",
        "commit", "complete", "parameters", "target", "environment",
    ],
    "validity": ["state", "reasons", "receive_lag_ms", "loop_lag_ms", "cpu_percent_p95", "late_ratio", "notes"],
    "connections": ["peak", "established", "failed", "server_peak"],
    "operations": [
        "name", "transport", "phase", "expected", "n", "late", "lost", "open", "duplicate", "reordered",
        "leaked", "failed", "latency_ms", "service_ms", "why", "phases_ms", "ci95", "tiers",
    ],
    "bandwidth": [
        "transport", "regime", "method", "users", "bytes_sent", "bytes_received", "wire_bytes", "deliveries",
        "bytes_per_delivery", "bytes_per_user_hour", "why",
    ],
    "reconnection": [
        "drops", "attempts", "connections", "rate", "recovered", "gave_up", "detect_ms", "reconnect_ms",
        "rejoin_ms", "first_message_ms", "missed", "resynced", "backoff", "policy", "stayed", "open", "left",
        "unprovoked", "early", "stalled", "recovered_ratio", "attempts_to_success", "drops_per_hour", "lost",
        "duplicate", "reordered", "rooms", "proven", "state_recovered", "resent", "buffered", "by_cause",
        "by_fault", "storms", "ci95", "why",
    ],
    "backoff": [
        "attempt", "n", "p50_s", "in_band", "band_s", "in_band_ci95", "min_s", "max_s", "state",
    ],
    "storms": [
        "fault", "at_s", "until_s", "n", "returning", "stayed", "back", "t50_s", "t95_s", "t99_s", "t100_s",
        "attempts", "peak_per_s", "amplification", "failed_share", "took_p99_ms", "late_p99_ms", "verdict",
        "words", "bystanders", "why",
    ],
    "by_cause": ["name", "drops", "recovered", "gave_up", "outage_ms", "missed", "resynced", "why"],
    "availability": [
        "user_share", "message_share", "deadline_s", "observed_s", "outage_s", "longest_s", "expected", "in_time",
        "ci95", "why",
    ],
}  # fmt: skip


def counts(*values_ms: float) -> Any:
    histogram = Histogram()
    for value in values_ms:
        histogram.record(round(value * MS))
    return histogram.counts()


def row(second: int, phase: str = "measure", name: str = "message.deliver", **told: Any) -> SeriesRow:
    return SeriesRow(name, "websocket", phase, second, **told)


def book(*rows: Any, drops: list[Drop] | None = None) -> Book:
    found = Book()
    found.add("local", Delta(1, list(rows), drops or [], [], {}, True))
    return found


def summary_of(made: ModuleType, *rows: Any, drops: list[Drop] | None = None, **changes: Any) -> Summary:
    return summarise(made.in_memory(book(*rows, drops=drops), **changes))


def test_the_keys_of_summary_json_are_promised(made: ModuleType, tmp_path: Path) -> None:
    maker = made.Maker(seconds=15)
    maker.storm(8.0, 20)
    parameters = made.manifest().parameters | made.RETURNING
    run = runs.read(maker.write(tmp_path, parameters=parameters))
    written = msgspec.json.decode(encode(summarise(run)))
    assert list(written) == KEYS[""]
    assert written["format"] == 1
    for part in ("run", "validity", "connections", "reconnection", "availability"):
        assert list(written[part]) == KEYS[part]
    for part in ("operations", "bandwidth"):
        assert all(list(one) == KEYS[part] for one in written[part])
    for part in ("backoff", "storms", "by_cause"):
        assert [list(one) for one in written["reconnection"][part]][:1] == [KEYS[part]]
    operation = written["operations"][0]
    assert list(operation["latency_ms"]) == ["mean", "p50", "p95", "p99", "p999", "max"]
    assert list(written["validity"]["loop_lag_ms"]) == ["p50", "p99", "max"]
    assert written["verdicts"] == []
    assert msgspec.json.decode(encode(summarise(run)), type=Summary) == summarise(run)


def test_what_became_of_calls_chats_and_upgrades(made: ModuleType) -> None:
    counters = {
        "call.answered": 5,
        "chat.queued": 2,
        "call.two_winners": 1,
        "upgrade.ok": 7,
        "sent": 9,
        "callous": 1,
    }
    found = summary_of(made, counters=counters)
    assert found.calls == {"answered": 5, "two_winners": 1}
    assert found.chats == {"queued": 2}
    assert found.upgrade == {"ok": 7}
    none = summary_of(made)
    assert (none.calls, none.chats, none.upgrade) == ({}, {}, {})


def test_seconds_add_up_and_percentiles_are_of_the_whole(made: ModuleType) -> None:
    first = row(6, expected=60, latency=counts(*[1] * 60), service=counts(*[1] * 60))
    second = row(7, expected=43, lost=2, late=1, latency=counts(*[9] * 40), service=counts(*[8] * 40))
    found = summary_of(made, first, second).operations[0]
    assert (found.name, found.transport, found.phase) == ("message.deliver", "websocket", "measure")
    assert (found.expected, found.n, found.late, found.lost) == (103, 100, 1, 2)
    assert found.expected == found.n + found.late + found.lost
    assert found.latency_ms.mean == pytest.approx((60 + 360) / 100)
    assert found.service_ms.mean == pytest.approx((60 + 320) / 100)
    assert found.latency_ms.p50 == pytest.approx(1, rel=0.01), "rank 52 of 103"
    assert found.latency_ms.p95 == 9.0
    assert found.latency_ms.max == 9.0
    assert found.why["p99"] == "n=103 with the late and lost, 299 needed"
    assert found.why["mean"] == "of the 100 delivered; 3 late or lost have none"
    assert not any(key.startswith("service_ms") for key in found.why), "the same reasons are said once"


def test_what_stands_beside_expected_is_counted_apart(made: ModuleType) -> None:
    told = {"open": 3, "duplicate": 4, "reordered": 5, "leaked": 6, "failed": 7}
    found = summary_of(made, row(6, expected=1, latency=counts(1), service=counts(1), **told)).operations[0]
    assert found.expected == found.n == 1
    assert {name: getattr(found, name) for name in told} == told


def test_rows_are_sorted_by_name_transport_phase(made: ModuleType) -> None:
    rows = [
        SeriesRow(name, transport, phase, 1, expected=1, latency=counts(1), service=counts(1))
        for name in ("session.join", "message.ack")
        for transport in ("websocket", "long-polling")
        for phase in ("warmup", "connect")
    ]
    names = [(one.name, one.transport, one.phase) for one in summary_of(made, *rows).operations]
    assert names == sorted(names)
    assert len(names) == 8


def test_service_reasons_stand_where_they_differ(made: ModuleType) -> None:
    found = summary_of(made, row(6, expected=60, latency=counts(*[1] * 60))).operations[0]
    assert found.service_ms.p50 is None
    assert found.why["service_ms.p50"] == "not reached: 100 % late or lost"
    assert "p50" not in found.why


def test_phases_of_a_connect(made: ModuleType) -> None:
    told = {"tcp": counts(1, 3), "open": counts(4)}
    found = summary_of(
        made,
        row(
            0,
            "connect",
            "session.connect",
            expected=2,
            latency=counts(5, 6),
            service=counts(5, 6),
            phases=told,
        ),
    ).operations[0]
    assert list(found.phases_ms) == ["open", "tcp"]
    assert found.phases_ms["tcp"].mean == 2.0
    assert found.phases_ms["tcp"].max == 3.0
    assert found.phases_ms["tcp"].p95 is None
    assert found.why["p95"] == "n=2, 59 needed"
    assert "phases_ms.tcp.p95" not in found.why, "the same reason as that of the row"
    assert found.why["phases_ms.open.p95"] == "n=1, 59 needed"


def test_connections_of_all_workers_and_the_server(made: ModuleType) -> None:
    found = summary_of(
        made,
        HealthRow("a", "connect", 1, connections=10),
        HealthRow("a", "warmup", 1, connections=12),
        HealthRow("b", "warmup", 1, connections=5),
        HealthRow("a", "measure", 9, connections=11),
        HealthRow("b", "measure", 9, connections=5),
        ServerRow(1, 16),
        ServerRow(2, -1),
        counters={"connections.established": 18, "connections.failed": 2},
    ).connections
    assert found.peak == 17, "a second of two phases counts once for each worker"
    assert (found.established, found.failed, found.server_peak) == (18, 2, 16)


def test_a_server_that_told_nothing_has_no_peak(made: ModuleType) -> None:
    assert summary_of(made, ServerRow(1)).connections.server_peak is None


def traffic(regime: str, **told: int) -> TrafficRow:
    return TrafficRow("websocket", regime, "tcp_info", **told)


def test_bandwidth_of_an_active_regime(made: ModuleType) -> None:
    rows = [
        row(6, expected=30, latency=counts(*[1] * 30), service=counts(*[1] * 30)),
        row(6, name="message.echo", expected=10, latency=counts(*[1] * 10), service=counts(*[1] * 10)),
        row(3, "warmup", expected=99, latency=counts(*[1] * 99), service=counts(*[1] * 99)),
        row(6, name="message.ack", expected=10, latency=counts(*[1] * 10), service=counts(*[1] * 10)),
        traffic(
            "active",
            users=5,
            user_ns=5 * 60 * SECOND,
            bytes_sent=2000,
            bytes_received=6000,
            segments_sent=30,
            segments_received=50,
        ),
    ]
    found = summary_of(made, *rows).bandwidth[0]
    assert (found.transport, found.regime, found.method, found.users) == (
        "websocket",
        "active",
        "tcp_info",
        5,
    )
    assert found.wire_bytes == 8000 + 52 * 80
    assert found.deliveries == 40, "deliver and echo of the measured phase, no acks, no warmup"
    assert found.bytes_per_delivery == 200.0
    assert found.bytes_per_user_hour == pytest.approx(8000 / 300 * 3600)
    assert found.why == {}


def test_bandwidth_of_an_idle_regime_and_of_connecting(made: ModuleType) -> None:
    idle, connect = (
        traffic(regime, users=2, user_ns=2 * 1800 * SECOND, bytes_sent=7, bytes_received=3, segments_sent=3)
        for regime in ("idle", "connect")
    )
    found = {one.regime: one for one in summary_of(made, idle, connect).bandwidth}
    assert list(found) == ["connect", "idle"]
    assert found["idle"].bytes_per_user_hour == pytest.approx(10.0)
    assert found["idle"].bytes_per_delivery is None
    assert "bytes_per_delivery" in found["idle"].why
    assert found["connect"].bytes_per_user_hour is None
    assert "bytes_per_user_hour" in found["connect"].why


def test_bandwidth_that_cannot_be_given_says_why(made: ModuleType) -> None:
    found = summary_of(made, traffic("active", users=2, bytes_sent=10)).bandwidth[0]
    assert (found.wire_bytes, found.bytes_per_delivery, found.bytes_per_user_hour) == (None, None, None)
    assert found.why == {
        "wire_bytes": "the kernel did not count segments",
        "bytes_per_delivery": "no message was delivered",
        "bytes_per_user_hour": "no user-time was counted",
    }


def test_one_estimated_part_makes_the_sum_an_estimate(made: ModuleType) -> None:
    exact = traffic("idle", users=1, user_ns=SECOND, bytes_sent=10, segments_sent=1)
    guessed = TrafficRow("websocket", "idle", "estimated", users=1, user_ns=SECOND, bytes_sent=5)
    (found,) = summary_of(made, exact, guessed).bandwidth
    assert (found.method, found.users, found.bytes_sent, found.wire_bytes) == ("estimated", 2, 15, None)


def test_facts_of_the_run(made: ModuleType) -> None:
    found = summary_of(made, complete=False, commit=None).run
    assert (found.duration_s, found.measured_s) == (30.0, 22.0)
    assert (found.complete, found.commit, found.seed, found.users) == (False, None, 1, 20)
    assert found.target["url"] == "http://127.0.0.1:3000"


@pytest.mark.parametrize(
    ("edges", "measured_s"),
    [
        ((None, None, None, 9), 0.0),
        ((2, None, None, 9), 0.0),
        ((2, 5, None, 9), 4.0),
        ((2, 5, 8, 9), 3.0),
        ((2, 12, None, 9), 0.0),
        ((2, 5, 12, 9), 4.0),
    ],
)
def test_measured_seconds(made: ModuleType, edges: tuple[int | None, ...], measured_s: float) -> None:
    at = [None if edge is None else edge * SECOND for edge in edges]
    assert summary_of(made, edges=runs.Edges(*at)).run.measured_s == measured_s


def test_a_run_from_disk_gives_the_same_bytes_every_time(made: ModuleType, tmp_path: Path) -> None:
    path = made.Maker(seconds=15, lost=0.02, workers=2).write(tmp_path)
    assert encode(summarise(runs.read(path))) == encode(summarise(runs.read(path)))


def test_two_workers_equal_one_that_did_their_work(made: ModuleType) -> None:
    halves = [row(6, expected=2, latency=counts(1, 5), service=counts(1, 5)) for _ in range(2)]
    whole = row(6, expected=4, latency=counts(1, 1, 5, 5), service=counts(1, 1, 5, 5))
    split = Book()
    split.add("a", Delta(1, [halves[0]], final=True))
    split.add("b", Delta(1, [halves[1]], final=True))
    assert summarise(made.in_memory(split)).operations == summary_of(made, whole).operations


def test_ten_minutes_of_data_need_little_memory(made: ModuleType, tmp_path: Path) -> None:
    path = made.Maker(seconds=600, users=10, rate_per_min=30).write(tmp_path)
    tracemalloc.start()
    found = summarise(runs.read(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.run.measured_s == 592.0
    assert peak < 100_000_000
