"""What one run cost, and when its bytes are no measurement."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loadtest.analysis.bandwidth import ACTIVE, CONNECT, IDLE
from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, LONG_POLLING, WEBSOCKET, Arm, costs, trouble
from loadtest.measure.rows import Delta, Drop, TrafficRow
from loadtest.measure.units import SECOND


@pytest.fixture(scope="module")
def run(made: Any) -> Any:
    """20 users over WebSocket, 22 s of measure."""
    return made.in_memory(made.Maker().play())


def test_a_run_that_talked(run: Any) -> None:
    connect, active = sorted(costs(run, Arm(WEBSOCKET), 4.0, 1), key=lambda one: one.regime != CONNECT)
    traffic = {row.regime: row for row in run.traffic}
    row = traffic["active"]
    assert (active.regime, active.users, active.seconds) == (ACTIVE, 20, 22.0)
    sockets = row.bytes_sent + row.bytes_received
    assert active.socket == pytest.approx(sockets / 20 / 22)
    assert active.wire == pytest.approx((sockets + 52 * (row.segments_sent + row.segments_received)) / 440)
    heard = sum(
        one.latency.n for one in run.series if (one.operation, one.phase) == ("message.deliver", "measure")
    )
    assert active.delivered == pytest.approx(heard / 440)
    assert active.per_message == pytest.approx(sockets / heard)
    assert connect.socket == 420 + 380
    assert connect.per_message is None


def test_an_idle_one_stands_for_a_server_that_pings_less_often(run: Any) -> None:
    """The maker's idle row is of heartbeats; at a fifth of the rate they cost a fifth."""
    as_measured = _idle(run, Arm(WEBSOCKET), None)
    target = {**run.manifest.target, "ping_interval_s": 5.0}
    often = _with(run, target=target)
    scaled = _idle(often, Arm(WEBSOCKET), 25.0)
    assert scaled.scaled == 5.0
    assert scaled.socket == pytest.approx(as_measured.socket / 5)
    assert _idle(often, Arm(WEBSOCKET), 5.0).socket == as_measured.socket
    assert as_measured.scaled is None


def test_polls_are_not_heartbeats(made: Any) -> None:
    polled = made.in_memory(made.Maker(transport=INTERVAL_POLLING).play())
    often = _with(polled, target={**polled.manifest.target, "ping_interval_s": 5.0})
    assert _idle(often, Arm(INTERVAL_POLLING), 25.0).scaled is None


def test_what_the_kernel_did_not_count_is_left_out(made: Any) -> None:
    book = made.Book()
    row = TrafficRow(WEBSOCKET, "idle", "estimated", 4, SECOND, 7, 3)
    book.add("local", Delta(1, [row], final=True))
    assert costs(made.in_memory(book), Arm(WEBSOCKET), 0, 1) == []


def test_other_transports_of_a_run_are_not_billed(run: Any) -> None:
    assert costs(run, Arm(LONG_POLLING), 1, 1) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"harness_errors": ["KeyError at x.py:1"]}, "the generator failed: KeyError at x.py:1"),
        ({"gaps": ["worker-1: 3"]}, "a part of it was lost"),
        ({"counters": {"connections.failed": 2}}, "could not connect: 2"),
    ],
)
def test_when_bytes_are_no_measurement(run: Any, changes: dict[str, Any], said: str) -> None:
    assert said in trouble(_with(run, **changes), Arm(WEBSOCKET), 0)
    assert bool(trouble(_with(run, **changes), Arm(WEBSOCKET), 0)) == bool(said)


def test_drops_losses_and_a_slow_generator_are_trouble(made: Any, run: Any) -> None:
    lossy = made.in_memory(made.Maker(lost=0.05).play())
    assert "deliveries did not come" in trouble(lossy, Arm(WEBSOCKET), 0)
    book = made.Maker().play()
    book.drops.append(Drop("user-1", WEBSOCKET, SECOND, "transport_error"))
    assert trouble(made.in_memory(book), Arm(WEBSOCKET), 0) == "connections were lost: 1"
    # The maker's polling users are in the books without a single poll.
    assert "the schedule asked for 293" in trouble(run, Arm(INTERVAL_POLLING), 2 / 3)


def test_names_of_arms() -> None:
    names = [
        Arm(WEBSOCKET).name, Arm(WEBSOCKET, compression=True).name,
        Arm(INTERVAL_POLLING, "browser", 3).name, Arm(LONG_POLLING).name,
    ]  # fmt: skip
    assert names == ["websocket", "websocket-deflate", "interval-polling-browser-3", "long-polling-library"]


def _idle(run: Any, arm: Arm, period_s: float | None) -> Any:
    return next(one for one in costs(run, arm, 0, 1, period_s) if one.regime == IDLE)


def _with(run: Any, **changes: Any) -> Any:
    other = type(run)(
        run.path, msgspec.structs.replace(run.manifest, **changes), [], run.drops, run.exemplars
    )
    for name in ("series", "health", "server", "traffic", "faults"):
        getattr(other, name).extend(getattr(run, name))
    return other
