"""Do users on several servers hear one another, and is it told what the end of one, and of Redis, costs them?"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from e2e_running import ROOT, Locust, Result, Server, wait_until
from lacking import lacking

from loadtest.analysis.spread import spread
from loadtest.analysis.validity import INVALID, judge
from loadtest.measure import run as run_files
from loadtest.measure.rows import RECOVERED
from loadtest.targets.cluster import needed

sys.path.append(str(ROOT / "tests" / "targets"))

from redis_server import redis_server

USERS = 20
LIVELY = ("-u", USERS, "-r", USERS, "--rt-warmup", "1s", "--rt-rate", "60/m", "--rt-room-size", 10)
PAUSE_S = 2.0
FEW = (
    "-u",
    10,
    "-r",
    10,
    "-t",
    "10s",
    "--rt-warmup",
    "1s",
    "--rt-drain",
    "3s",
    "--rt-rate",
    "60/m",
    "--rt-room-size",
    5,
)


@pytest.fixture(scope="module", autouse=True)
def haproxy() -> None:
    """HAProxy, or the reason why there is none."""
    try:
        needed.haproxy()
    except needed.Missing as missing:
        lacking(str(missing))


@pytest.fixture
def redis() -> Iterator[Any]:
    """A Redis of the test's own."""
    with redis_server() as server:
        yield server


class Cluster(NamedTuple):
    """Several servers behind a proxy, and the process of each."""

    server: Server
    pids: dict[str, int]

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture
def cluster(serve: Any, redis: Any) -> Any:
    """``cluster("--sticky", "none")`` starts two servers on the Redis."""

    def start(*flags: str) -> Cluster:
        server = serve("--rate-limit", "0", "--instances", "2", "--redis", redis.url, *flags)
        wait_until(lambda: "haproxy: pid" in server.output, "all of it is up")
        pids = {name: int(pid) for name, pid in re.findall(r"instance (\w): \S+ pid (\d+)", server.output)}
        assert sorted(pids) == ["a", "b"]
        return Cluster(server, pids)

    return start


def passed(result: Result) -> None:
    """Nothing failed; on a machine that is busy otherwise, the run says itself that it cannot be believed."""
    assert result.run.manifest.locust_failures == 0, result.output
    assert result.code == 0 or (result.code == 5 and judge(result.run).state == INVALID), result.output
    assert result.run.manifest.complete and result.run.manifest.harness_errors == []
    for row in result.run.series:
        assert not (row.duplicate or row.reordered or row.leaked or row.failed), row


@pytest.mark.proof
def test_redis_stands_still_and_a_server_dies_and_the_page_says_what_it_cost(
    cluster: Any, redis: Any, start_locust: Any
) -> None:
    servers = cluster()
    locust = start_locust(*LIVELY, "-t", "32s", "--rt-drain", "12s", "-H", servers.url)
    wait_until(lambda: locust.ended or servers.server.accepted() > 3 * USERS, "they talk, in measure")
    redis.pause()
    time.sleep(PAUSE_S)
    redis.resume()
    paused = servers.server.accepted()
    wait_until(lambda: locust.ended or servers.server.accepted() > paused + 3 * USERS, "they talk again")
    os.kill(servers.pids["a"], signal.SIGKILL)
    result = locust.result()
    assert "instance a ended by itself (signal 9): its users are sent to the others" in servers.server.output

    totals, run = result.totals, result.run
    assert run.manifest.complete and run.manifest.harness_errors == []
    found = spread(run)
    assert found is not None
    a, b = found.servers
    assert (a.name, a.connected, b.name, b.connected) == ("a", 0, "b", USERS), (
        "everybody is back, on the other"
    )
    struck = a.connections
    assert len(run.drops) == result.counters["connections.lost"] == found.moved == struck > 0
    assert {one.outcome for one in run.drops} == {RECOVERED}
    assert all(one.rooms == one.proven == 1 and not one.fault for one in run.drops)

    # Rooms span both. What goes across waits while Redis stands still; then it comes, or it is counted.
    assert found.within.n > 0 and found.across.n > 0
    missing = found.within.missing + found.across.missing
    assert missing == totals.count("late", "message.deliver", phase="measure") + totals.count(
        "lost", "message.deliver", phase="measure"
    )
    waited_ms = totals.histogram("message.deliver", phase="measure").max_ns / 1e6
    assert missing or waited_ms > 0.8 * PAUSE_S * 1e3
    owed = totals.counts("message.resync")
    assert owed["expected"] == owed["n"] + owed["late"] + owed["lost"] > 0
    page = (run.path / run_files.REPORT).read_text(encoding="utf-8")
    assert "2 servers took connections; at the end there were 0 on a, 20 on b." in page
    assert f"{struck} connections came back on another server than before." in page
    assert result.code in (1, 5), "nobody ordered that: it counts"


@pytest.mark.parametrize("target", ["reference", pytest.param("node", marks=pytest.mark.proof)])
def test_a_cookie_keeps_a_session_where_it_is(
    cluster: Any, start_locust: Any, request: pytest.FixtureRequest, target: str
) -> None:
    if target == "node":
        request.getfixturevalue("node")
    servers = cluster("--target", target)
    transports = ("upgrade", "long-polling", "interval-polling")
    started = [start_locust(*FEW, "--rt-transport", one, "-H", servers.url) for one in transports]
    results = dict(zip(transports, [one.result() for one in started], strict=True))
    for transport, result in results.items():
        passed(result)
        assert sum(row.lost + row.late for row in result.run.series) == 0
        assert result.counters["sent"] > 20
        found = spread(result.run)
        if transport == "interval-polling":
            assert found is None, "who has no connection is on no server"
            continue
        assert found is not None
        assert sum(one.connected for one in found.servers) == 10
        assert found.across.n > 0
    assert results["upgrade"].counters["upgrade.ok"] == 10
    assert servers.server.accepted() == sum(result.counters["sent"] for result in results.values())


def test_long_polling_without_stickiness_is_named_for_what_it_is(cluster: Any, start_locust: Any) -> None:
    servers = cluster("--sticky", "none")
    refused = start_locust(*FEW, "--rt-transport", "long-polling", "-H", servers.url)
    assert refused.wait() == 2
    lines = [line for line in refused.output.splitlines() if "sticky" in line]
    assert len(lines) == 1 and "Traceback" not in refused.output, refused.output
    assert lines[0].startswith(f"{servers.url}/socket.io: long-polling needs sticky sessions: ")
    assert "make the proxy sticky, or use --rt-transport websocket" in lines[0]


# -- TLS ----------------------------------------------------------------------------------------------------

SHORT = ("-t", "13s", "--rt-warmup", "2s", "--rt-drain", "4s", "--rt-rate", "30/m", "--rt-room-size", 5)
POLL = ("--rt-transport", "interval-polling")
SCENARIOS: dict[str, tuple[object, ...]] = {
    "messaging": SHORT,
    "calls": SHORT,
    "live_chat": SHORT,
    "mixed": (*SHORT, *POLL),
    "drops": (*SHORT, "-t", "18s", "--rt-fault", "abort@0x2/5~0.3"),
    "fallback": (*SHORT, "-t", "19s", "--rt-fault", "refuse-upgrade@1x1:3"),
    "multi_device": (*SHORT, "--rt-transport", "long-polling"),
    "stages": (*SHORT, "--rt-stages", "4s:10,6s:20"),
    "bandwidth": (*SHORT, "--rt-transport", "upgrade"),
    "rate_limit": ("-t", "20s", "--rt-rate", "8/s", "--rt-fault", "none", "--rt-drain", "3s"),
}


class Secure(Server):
    """A server behind TLS, and what its users must trust."""

    @property
    def trust(self) -> dict[str, str]:
        found = re.search(r"SSL_CERT_FILE=(\S+)", self.output)
        assert found, self.output
        return {"SSL_CERT_FILE": found[1]}

    def stats(self) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=self.trust["SSL_CERT_FILE"])
        with urllib.request.urlopen(f"{self.url}/__stats", context=context) as answer:
            stats: dict[str, Any] = json.loads(answer.read())
        return stats


@pytest.mark.proof
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_passes_over_tls(programs: Any, tmp_path: Path, name: str) -> None:
    limit = () if name == "rate_limit" else ("--rate-limit", "0")
    server = Secure(tmp_path / "server.log", ("--tls", *limit))
    programs.append(server)
    assert server.url.startswith("https://")
    users = 2 if name == "rate_limit" else USERS
    args = ("-f", ROOT / "scenarios" / f"{name}.py", "--headless", "--only-summary", "-u", users, "-r", users)
    locust = Locust(
        (*args, *SCENARIOS[name], "-H", server.url), tmp_path / "runs", tmp_path / "log", env=server.trust
    )
    programs.append(locust)
    result = locust.result()
    if name == "rate_limit":
        assert (result.counters["sent"], result.counters["refused.rate_limited"]) == (110, 10)
        assert server.accepted() == 100
        return
    passed(result)
    receipts_only = {row.operation for row in result.run.series if row.lost or row.late or row.open}
    assert receipts_only <= ({"receipt.deliver"} if name in ("drops", "fallback") else set())
    said = result.counters.get("sent", 0) + result.counters.get("probes", 0)
    assert server.accepted() == said
    connects = [row for row in result.run.series if row.operation == "session.connect"]
    assert sum(row.latency.n for row in connects) >= USERS
