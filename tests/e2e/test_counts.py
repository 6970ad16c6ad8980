"""Do the harness and the server, each counting for itself, come to the same numbers?"""

from __future__ import annotations

import math
from typing import Any

import pytest
from e2e_counting import DELIVERIES, repeated
from e2e_running import HERE, Locust, Result, Server

from loadtest.analysis.validity import INVALID, judge

pytestmark = pytest.mark.calm

SHORT = ("-u", 12, "-r", 12, "-t", "9s", "--rt-warmup", "1s", "--rt-drain", "3s", "--rt-room-size", 4)


def agree(result: Result, server: Server) -> None:
    """Every count of a run without faults against the server's own."""
    totals, counters = result.totals, result.counters
    stats = server.stats()
    emitted, accepted = stats["emitted"], stats["accepted"]
    assert counters["sent"] == accepted["message:send"] == totals.count("expected", "message.ack")
    assert counters["sent"] > 50
    got = totals.count("n", *DELIVERIES)
    # On the edge of a join or leave a copy is legal either way: it came, and was owed to nobody.
    assert 0 <= emitted["message:new"] - got <= counters.get("tolerated", 0)
    for operation in ("message.ack", *DELIVERIES, "receipt.deliver"):
        counts = totals.counts(operation)
        assert counts["expected"] == counts["n"], (operation, counts)
        wrong = {name: n for name, n in counts.items() if name not in ("n", "expected") and n}
        assert not wrong, (operation, wrong)
    assert result.run.manifest.gaps == []
    assert result.run.manifest.harness_errors == []
    assert result.run.manifest.locust_failures == 0
    assert result.run.manifest.complete
    assert result.run.drops == []
    assert all(worker.final for worker in result.run.manifest.workers)


def ended_well(result: Result) -> None:
    """Exit 0, from a run that can be believed; 5 is a busy machine's, and said as such."""
    state = judge(result.run).state
    assert result.code == 0, f"exit {result.code} of a {state} run:\n{result.output}"


@pytest.mark.parametrize("transport", ["websocket", "interval-polling"])
def test_a_clean_run_agrees_with_the_server_to_the_unit(serve: Any, run_locust: Any, transport: str) -> None:
    def measure() -> tuple[Result, Server]:
        server = serve()
        flags = ("--rt-rate", "2/s", "--rt-transport", transport)
        return run_locust(*SHORT, *flags, "-H", server.url), server

    def check(measured: tuple[Result, Server]) -> None:
        agree(*measured)
        ended_well(measured[0])

    result, server = repeated(measure, check, lambda measured: [measured[0]])
    assert result.run.manifest.users == 12
    assert {row.transport for row in result.run.series} == {transport}
    assert server.stats()["sockets"] == 0
    if transport == "interval-polling":
        assert result.totals.count("n", "poll.request") > 12 * 3
        assert result.totals.count("failed", "poll.request") == 0


def test_two_processes_agree_with_the_server(serve: Any, run_locust: Any) -> None:
    def measure() -> tuple[Result, Server]:
        server = serve()
        return run_locust(*SHORT, "--rt-rate", "2/s", "--processes", 2, "-H", server.url), server

    def check(measured: tuple[Result, Server]) -> None:
        agree(*measured)
        ended_well(measured[0])

    result, server = repeated(measure, check, lambda measured: [measured[0]])
    assert [worker.name for worker in result.run.manifest.workers] == ["0", "1"]
    assert {row.worker for row in result.run.health} == {"0", "1"}
    assert server.stats()["received"]["authenticate"] == 12 + 1, "twelve users and the look before the run"


def test_the_stock_client_agrees_and_sends_what_ours_sends(serve: Any, start_locust: Any) -> None:
    servers = {"native": serve(), "python-socketio": serve()}
    started = {
        client: start_locust(*SHORT, "--rt-rate", "2/s", "--rt-client", client, "-H", server.url)
        for client, server in servers.items()
    }
    results = {client: locust.result() for client, locust in started.items()}
    for client, server in servers.items():
        agree(results[client], server)
        assert results[client].run.manifest.client == client
    ours, theirs = results["native"], results["python-socketio"]
    # One seed asks the same at the same moments after the begin; only how long that lasts may differ,
    # by what connecting took.
    per_second = 12 * 2.0
    owed = abs(_sending_s(ours) - _sending_s(theirs)) * per_second
    difference = abs(ours.counters["sent"] - theirs.counters["sent"])
    assert difference <= owed + 4 * math.sqrt(owed) + 1


def _sending_s(result: Result) -> float:
    edges = result.run.manifest.edges
    assert edges.warmup_ns is not None
    assert edges.drain_ns is not None
    return (edges.drain_ns - edges.warmup_ns) / 1e9


def test_ordered_faults_come_back_as_exactly_what_they_were(serve: Any, start_locust: Any) -> None:
    arms: list[tuple[Server, Locust]] = []
    for transport in ("websocket", "interval-polling"):
        server = serve()
        server.fault("loseDeliveries", everyNth=17)
        server.fault("duplicate", everyNth=13)
        server.fault("reorder", everyNth=11)
        locust = start_locust(
            *(
                "-f",
                HERE / "steady.py",
                "-u",
                8,
                "-r",
                8,
                "-t",
                "13s",
                "--rt-rate",
                "4/s",
                "--rt-room-size",
                4,
            ),
            # The last reordered copy is held for 2 s and then waits for a poll: 3.5 s is not late.
            *("--rt-deadline", "4s", "--rt-warmup", "1s", "--rt-drain", "6s", "--rt-transport", transport),
            *("-H", server.url),
        )
        arms.append((server, locust))
    for server, locust in arms:
        _faults_came_back(locust.result(), server)


def _faults_came_back(result: Result, server: Server) -> None:
    stats = server.stats()
    faulted = stats["faulted"]
    counts = result.totals.counts(*DELIVERIES)
    assert min(faulted.values()) > 10
    assert counts["lost"] == faulted["lost"]
    assert counts["duplicate"] == faulted["duplicated"]
    assert counts["reordered"] == faulted["reordered"]
    assert counts["leaked"] == counts["open"] == counts["late"] == 0
    assert counts["expected"] == counts["n"] + counts["lost"]
    assert counts["n"] + counts["duplicate"] == stats["emitted"]["message:new"]
    assert result.run.manifest.locust_failures == faulted["lost"]
    assert "not delivered by the deadline" in result.output
    lost = [one for one in result.run.exemplars if one.outcome == "lost"]
    assert lost
    assert all(one.read_ns is None and one.phase in ("warmup", "measure") for one in lost)
    assert result.code == 1 or judge(result.run).state == INVALID, result.output
