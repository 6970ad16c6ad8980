"""The floors of runs that were made, and the rule at its edges."""

from __future__ import annotations

from types import ModuleType

import msgspec
import pytest

from loadtest.analysis.floors import (
    C0,
    C1,
    C2,
    LIMITED,
    UNKNOWN,
    VALID,
    Floor,
    Floors,
    Load,
    beside,
    echo_floor,
    run_floor,
    tightest_ms,
)
from loadtest.measure.histogram import Counts, Histogram
from loadtest.measure.operations import Operation
from loadtest.measure.slo import understand
from loadtest.measure.units import MS

LOAD = Load(100, 0.1)


def floor(p99_ms: float | None, name: str = C2, **more: object) -> Floor:
    return Floor(name, 500, 1.0, 1.5, p99_ms, Counts(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p99_ms", "limit_ms", "state"),
    [
        (10.0, None, VALID),  # 20 % of it
        (9.99, None, LIMITED),
        (9.99, 20.0, VALID),  # 10 % of the limit
        (9.99, 19.9, LIMITED),
        (1.0, 1000.0, VALID),  # lower than the floor: another minute, and the limit is far away all the same
        (1.0, None, LIMITED),
        (
            None,
            20.0,
            VALID,
        ),  # too many were lost for a p99; whether the limit was kept does not hang on the harness
        (None, 19.9, UNKNOWN),
        (None, None, UNKNOWN),
        (0.0, None, UNKNOWN),
    ],
)
def test_the_rule(p99_ms: float | None, limit_ms: float | None, state: str) -> None:
    assert beside([floor(0.1, C0), floor(1.0, C1), floor(2.0)], p99_ms, limit_ms).state == state


def test_a_result_near_its_floor_is_an_upper_limit_and_nothing_is_subtracted() -> None:
    said = beside([floor(2.0)], 5.0).says
    assert said.startswith("harness-limited: the true value is below 5.00 ms; ")
    assert said.endswith("p99 of 2.00 ms at this load, 40 % of it")


def test_what_is_valid_says_why() -> None:
    assert beside([floor(2.0)], 50.0).says.endswith(
        "4 % of the 50.0 ms that were measured: the result is the server's"
    )
    assert "4 % of the limit of 50.0 ms" in beside([floor(2.0)], 5.0, 50.0).says


def test_without_c2_nothing_follows_from_the_others() -> None:
    assert beside([floor(0.001, C0), floor(0.001, C1)], 50.0).state == UNKNOWN
    said = beside([floor(None, why={"p99_ms": "n=90, 299 needed"})], 50.0)
    assert said.state == UNKNOWN
    assert "n=90, 299 needed" in said.says


def test_c0_is_of_what_came_back() -> None:
    latency = Histogram()
    for number in range(1, 1001):
        latency.record(number * MS // 1000)
    found = echo_floor(latency)
    assert (found.name, found.n, found.run, found.validity) == (C0, 1000, "", "")
    assert found.p50_ms == pytest.approx(0.5, rel=0.01)
    assert found.p99_ms == pytest.approx(0.99, rel=0.01)
    assert found.series.expected == 1000


def test_a_run_s_floor_is_its_delivery_latency_over_what_was_expected(made: ModuleType) -> None:
    calm = run_floor(C1, made.in_memory(made.Maker().play()), "c1/run")
    assert (calm.run, calm.validity, calm.reason) == ("c1/run", "valid", "")
    assert calm.p50_ms is not None
    assert 1 < calm.p50_ms < 5  # the maker's: a median of 2 ms, and a quarter of one before the sending
    lossy = run_floor(C2, made.in_memory(made.Maker(lost=0.02).play()), "c2/run")
    assert lossy.p99_ms is None
    assert lossy.why["p99_ms"].startswith("not reached")
    assert lossy.series.expected == lossy.n > lossy.latency.n


def test_a_floor_of_a_generator_at_its_limit_says_so(made: ModuleType) -> None:
    found = run_floor(C2, made.in_memory(made.Maker(busy=70.0).play()), "c2/run")
    assert found.validity == "suspect"
    assert found.reason.startswith("generator CPU")


def test_floors_come_back_as_they_were_written(made: ModuleType) -> None:
    one = run_floor(C2, made.in_memory(made.Maker().play()), "c2/run")
    floors = Floors("2026-11-26T18:00:00+00:00", {"host": "bench-1", "cores": 2}, LOAD, [one])
    assert msgspec.json.decode(msgspec.json.encode(floors), type=Floors) == floors
    assert floors.of(C2) == one
    assert floors.of(C1) is None


def test_the_fan_out_is_that_of_the_rooms() -> None:
    assert LOAD.fan_out == 9
    assert Load(100, 0.1, "2:80,20:18,200:2").fan_out == pytest.approx(0.8 + 0.18 * 19 + 0.02 * 199)
    assert LOAD.need().deliveries_per_s == pytest.approx(100 * 0.1 * (10 + 9))


@pytest.mark.parametrize(
    ("asked", "limit_ms"),
    [
        ([], None),
        (["message.deliver: p(95)<100", "message.deliver: p(99)<250"], 100.0),
        (["message.deliver: avg<=30", "message.deliver: max<500"], 30.0),
        (["message.deliver: lost==0", "message.deliver: rate<0.01", "message.deliver: p(50)>1"], None),
        (["message.ack: p(95)<5", "message.deliver{phase:warmup}: p(95)<5"], None),
    ],
)
def test_the_limit_is_the_tightest_time_that_was_asked_for(
    made: ModuleType, asked: list[str], limit_ms: float | None
) -> None:
    run = made.in_memory(slos=understand(asked, str))
    assert tightest_ms(run, Operation.MESSAGE_DELIVER) == limit_ms
