"""What a load needs, against a head count of what a room does, and the edges of what a machine has."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.event_cost import DEFAULTS, Cost
from loadtest.analysis.sizing import (
    FULL,
    PING_S,
    POLL_S,
    PROCESS_BYTES,
    READS,
    SWITCHES,
    TYPING,
    USER_BYTES,
    Machine,
    fit,
    lines,
    sizing,
)
from loadtest.measure.sockets import SOCKETS, SPARE, descriptors

SCENARIO = Path(__file__).parents[2] / "scenarios" / "messaging.py"
ROOMY = Machine(cores=64, descriptors=None, ports=None, memory_bytes=None)
DEAR = Cost(1e-3, 2e-3, "a test")
loads = st.tuples(
    st.integers(1, 5000),
    st.floats(0.01, 20),
    st.integers(1, 60),
    st.sampled_from(sorted(DEFAULTS)),
    st.integers(1, 3),
)


def heads(members: int, devices: int) -> dict[str, int]:
    """Everybody in a room says twelve things, with all that comes with them: what is sent, acked and read."""
    counted = {"sends": 0, "acks": 0, "deliveries": 0}
    sockets = [(user, device) for user in range(members) for device in range(devices)]
    for speaker in range(members):
        own = (speaker, 0)
        for _ in range(12):
            counted["sends"] += 1
            counted["acks"] += 1
            counted["deliveries"] += len(sockets)
        for _ in range(4):
            counted["sends"] += 1
            counted["deliveries"] += 2 * sum(one != own for one in sockets)  # writes, and writes no more
        for _ in range(4):
            counted["sends"] += 1
            counted["acks"] += 1
            counted["deliveries"] += sum(one != own for one in sockets)
        counted["sends"] += 2  # leaves, and joins another
        counted["acks"] += 2
    return counted


@given(st.integers(2, 12), st.integers(1, 3))
def test_a_room_s_events_are_those_that_were_counted_one_by_one(members: int, devices: int) -> None:
    need = sizing(members, 12.0, members - 1, "websocket", devices)
    found = {"sends": need.sends_per_s, "acks": need.acks_per_s, "deliveries": need.deliveries_per_s}
    assert found == pytest.approx(heads(members, devices))


def test_the_mix_is_that_of_the_scenario() -> None:
    tasks = re.findall(r"@task\((\d+)\)\s+def (\w+)", SCENARIO.read_text())
    weights = {name: int(weight) for weight, name in tasks}
    send = weights.pop("send")
    assert {name: weight / send for name, weight in weights.items()} == {
        "write": TYPING,
        "read": READS,
        "switch": SWITCHES,
    }


@given(loads)
def test_twice_the_users_are_twice_the_load(load: tuple[int, float, int, str, int]) -> None:
    users, *rest = load
    once, twice = sizing(users, *rest), sizing(2 * users, *rest)
    for name in ("events_per_s", "cpu", "ports", "sockets"):
        assert getattr(twice, name) == pytest.approx(2 * getattr(once, name))


@given(loads)
def test_no_process_has_more_than_half_a_core_to_do_and_none_is_too_many(
    load: tuple[int, float, int, str, int],
) -> None:
    need = sizing(*load)
    assert need.cpu / need.processes <= FULL + 1e-8
    assert need.processes == 1 or need.cpu / (need.processes - 1) > FULL


def test_exactly_half_a_core_is_one_process() -> None:
    one_event_each = sizing(100, 1.0, 9.0, "websocket")
    half = Cost(FULL / one_event_each.events_per_s, 0.0, "a test")
    a_bit_more = Cost(1.0001 * half.event_s, 0.0, "a test")
    assert sizing(100, 1.0, 9.0, "websocket", cost=half).processes == 1
    assert sizing(100, 1.0, 9.0, "websocket", cost=a_bit_more).processes == 2


def test_whoever_polls_pays_for_requests_and_everybody_else_for_events() -> None:
    polling = sizing(300, 0.1, 9.0, "interval-polling", cost=DEAR)
    assert polling.polls_per_s == pytest.approx(300 / POLL_S)
    assert polling.pings_per_s == 0
    requests = polling.polls_per_s + polling.sends_per_s
    assert polling.cpu == pytest.approx(requests * 2e-3 + polling.deliveries_per_s * 1e-3)
    push = sizing(300, 0.1, 9.0, "websocket", devices=2, cost=DEAR)
    assert push.polls_per_s == 0
    assert push.pings_per_s == pytest.approx(600 / PING_S)
    assert push.cpu == pytest.approx(push.events_per_s * 1e-3)


@pytest.mark.parametrize("transport", sorted(SOCKETS))
@pytest.mark.parametrize("devices", [1, 2])
def test_descriptors_at_the_edge(transport: str, devices: int) -> None:
    need = sizing(500, 0.01, 1.0, transport, devices)
    enough = 500 * devices * (SOCKETS[transport] - 1) + 125 * devices + SPARE
    for limit, processes in ((enough, 1), (enough - 1, 2)):
        found = fit(need, Machine(64, limit, None, None))
        assert (found.processes, found.ok) == (processes, True)
        assert need.descriptors(found.processes) <= limit
    one_user = descriptors(1, devices, transport)
    assert fit(need, Machine(1000, one_user, None, None)).processes == 500
    [line] = fit(need, Machine(1000, one_user - 1, None, None)).impossible
    assert line.startswith(
        f"file descriptors: a process with one user may need {one_user}, the limit is {one_user - 1}"
    )


@given(
    st.integers(1, 3000), st.integers(1, 3), st.integers(SPARE + 9, 4000), st.sampled_from(sorted(SOCKETS))
)
def test_so_many_processes_have_enough_descriptors_and_one_less_has_not(
    users: int, devices: int, limit: int, transport: str
) -> None:
    need = sizing(users, 0.001, 1.0, transport, devices)
    found = fit(need, Machine(10_000, limit, None, None))
    assert not found.impossible
    assert need.descriptors(found.processes) <= limit
    assert found.processes == need.processes or need.descriptors(found.processes - 1) > limit


def test_ports_at_the_edge() -> None:
    machine = Machine(64, None, 1000, None)
    assert fit(sizing(800, 0.01, 1.0, "websocket"), machine).ok
    crowded = fit(sizing(801, 0.01, 1.0, "websocket"), machine)
    assert [line.partition(":")[0] for line in crowded.short] == ["local ports"]
    assert not crowded.impossible
    assert not fit(sizing(1000, 0.01, 1.0, "websocket"), machine).impossible
    [line] = fit(sizing(1001, 0.01, 1.0, "websocket"), machine).impossible
    assert line.startswith("local ports: 1,001 devices, and 1,000 ports towards one server")
    two_each = fit(sizing(401, 0.01, 1.0, "long-polling"), machine)
    assert "802 of 1,000" in two_each.short[0]


def test_memory_at_the_edge() -> None:
    need = sizing(1000, 0.01, 1.0, "websocket")
    users = 1000 * USER_BYTES
    assert fit(need, Machine(64, None, None, users + PROCESS_BYTES)).ok
    short = fit(need, Machine(64, None, None, users + PROCESS_BYTES - 1))
    assert short.short and not short.impossible
    assert fit(need, Machine(64, None, None, users)).short
    [line] = fit(need, Machine(64, None, None, users - 1)).impossible
    assert line.startswith("memory: up to 210.0 MB, the machine has 60.0 MB")


@pytest.mark.parametrize(("cores", "shared", "ok"), [(2, True, True), (1, True, False), (1, False, True)])
def test_a_server_on_the_same_machine_needs_a_core_too(cores: int, shared: bool, ok: bool) -> None:
    found = fit(sizing(10, 0.1, 9.0, "websocket"), Machine(cores, None, None, None, shared))
    assert found.ok is ok
    assert found.processes == 1


def test_more_work_than_cores_is_said_with_both() -> None:
    found = fit(sizing(1000, 10.0, 9.0, "websocket", cost=DEAR), Machine(4, None, None, None, shared=False))
    assert found.processes == math.ceil(found.need.cpu / FULL) > 4
    [line] = found.short
    assert line.startswith(
        f"CPU: {found.need.cpu:.2f} cores of work take {found.processes} processes, there are 4 cores"
    )


def test_every_resource_has_a_line() -> None:
    found = fit(sizing(1000, 0.1, 9.0, "interval-polling"), ROOMY)
    said = dict(lines(found))
    assert list(said) == [
        "events per second",
        "CPU",
        "processes",
        "file descriptors",
        "local ports",
        "memory",
    ]
    assert said["events per second"].endswith("(183 sends, 150 acks, 1,900 deliveries, 667 polls)")
    assert "300 ms for 1,000 requests and 62.0 ms for 1,000 events (assumed: " in said["CPU"]
    assert said["processes"].endswith("(--processes 1)")
    assert said["memory"] == "up to 210.0 MB"


@pytest.mark.parametrize(
    ("users", "rate", "fan_out", "devices"),
    [
        (0, 1.0, 1.0, 1),
        (1, 0.0, 1.0, 1),
        (1, math.nan, 1.0, 1),
        (1, 1.0, -1.0, 1),
        (1, 1.0, 1.0, 0),
    ],
)
def test_a_load_that_is_none_is_refused(users: int, rate: float, fan_out: float, devices: int) -> None:
    with pytest.raises(ValueError, match="at least one user"):
        sizing(users, rate, fan_out, "websocket", devices)
