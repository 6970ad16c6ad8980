"""Does a run begin once everybody is in or has given up: not before, and not never?"""

from __future__ import annotations

from typing import Any

from e2e_counting import DELIVERIES
from e2e_running import HERE, ROOT, Locust, Result, Server, wait_until

RAMP = ("-u", 12, "-r", 4, "-t", "10s", "--rt-rate", "4/s", "--rt-room-size", 4, "--rt-warmup", "1s")


def _began_when_all_were_in(result: Result) -> None:
    connects = [row for row in result.run.series if row.operation == "session.connect"]
    assert sum(row.latency.n for row in connects) == result.counters["connections.established"]
    last_came = max(row.second for row in connects if row.latency.n)
    begun_ns = result.run.manifest.edges.warmup_ns
    assert begun_ns is not None, "the run never began"
    assert begun_ns / 1e9 >= last_came, "it began while users were still coming in"
    assert begun_ns / 1e9 <= last_came + 3, "it waited for somebody who had given up"
    assert result.totals.count("n", "message.deliver", phase="measure") > 20
    assert result.totals.count("lost", "message.deliver") == 0


def test_users_that_are_refused_are_not_waited_for(serve: Any, start_locust: Any) -> None:
    arms: list[tuple[Server, Locust]] = []
    for several in ((), ("--processes", 2)):
        server = serve()
        server.fault("denyAuth", everyNth=3)
        arms.append((server, start_locust("-f", HERE / "steady.py", *RAMP, *several, "-H", server.url)))
    for server, locust in arms:
        result = locust.result()
        failed = result.counters["connections.failed"]
        assert failed == result.totals.count("failed", "session.connect") >= 4
        # Locust starts users anew in the place of those that left while it still ramps up.
        assert result.counters["connections.established"] >= 8
        _began_when_all_were_in(result)
        assert result.counters["sent"] == server.accepted()
        assert result.run.manifest.locust_failures == failed
        assert "connect_error: AUTH_INVALID" in result.output
        assert result.code in (1, 5), result.output


def test_users_that_stumble_on_their_way_in_are_not_waited_for(serve: Any, start_locust: Any) -> None:
    server = serve()
    locust = start_locust("-f", HERE / "stumbling.py", *RAMP, "-H", server.url)
    wait_until(lambda: server.accepted() > 20 or locust.ended, "those that are in talk to one another")
    inside = locust.output.count("stumbled inside\n")
    assert inside >= 2
    sockets = server.stats()["sockets"]
    result = locust.result()
    established = result.counters["connections.established"]
    assert sockets == established - inside, "who stumbled inside has left no connection behind"
    _began_when_all_were_in(result)
    assert result.totals.count("expected", "message.resync") == 0, "and is owed nothing"
    assert "a bug of the scenario" in result.output
    assert result.code != 0


def test_users_that_leave_by_themselves_are_owed_nothing_afterwards(serve: Any, start_locust: Any) -> None:
    server = serve()
    locust = start_locust(
        *("-f", HERE / "leaving.py", "-u", 8, "-r", 8, "-t", "11s", "--rt-rate", "3/s", "--rt-room-size", 4),
        *("--rt-warmup", "0s", "--rt-deadline", "2s", "--rt-drain", "3s", "-H", server.url),
    )
    wait_until(lambda: server.accepted() >= 5 * 8, "everybody talks")
    wait_until(lambda: server.stats()["sockets"] < 8 or locust.ended, "somebody leaves")
    assert not locust.ended
    result = locust.result()
    counts = result.totals.counts(*DELIVERIES)
    assert result.counters["sent"] == server.accepted() > 5 * 8
    assert counts["expected"] == counts["n"] > 100
    assert counts["lost"] == counts["leaked"] == counts["failed"] == 0
    assert result.totals.count("expected", "message.resync") == 0
    assert result.run.drops == []
    assert result.run.manifest.locust_failures == 0


def test_users_that_may_try_again_come_in_later(serve: Any, start_locust: Any) -> None:
    """A refusal is the end for a client that takes it for one; no way to the server is an attempt that failed."""
    ways = {
        "refused, and asks again": (("denyAuth", 3), ("--rt-reconnect", "python")),
        "no WebSocket, and asks again": (("refuseUpgrade", 3), ()),
        "no WebSocket, and goes another way": (
            ("refuseUpgrade", 3),
            ("-f", ROOT / "scenarios" / "fallback.py"),
        ),
    }
    arms: dict[str, tuple[Server, Locust]] = {}
    for name, ((kind, nth), flags) in ways.items():
        server = serve()
        server.fault(kind, everyNth=nth)  # the look before the run is the first case
        scenario = () if "-f" in flags else ("-f", HERE / "steady.py")
        arms[name] = (
            server,
            start_locust(*scenario, *RAMP, *flags, "--rt-fault", "none", "-H", server.url),
        )
    for name, (server, locust) in arms.items():
        result = locust.result()
        failed = result.counters.get("connections.failed", 0)
        climbs = result.counters.get("climbs", 0)
        assert result.counters["connections.established"] == 12 + climbs, name
        assert result.run.manifest.users == 12
        assert result.counters["sent"] == server.accepted() > 50
        assert result.totals.counts(*DELIVERIES)["lost"] == 0
        assert (
            failed == result.totals.count("failed", "session.connect") == result.run.manifest.locust_failures
        )
        assert result.run.manifest.harness_errors == []
        if "another way" in name:
            assert failed == 0 < climbs <= result.counters["fallbacks"]
            assert result.code in (0, 5), result.output
        else:
            assert failed >= 4
            assert result.code in (1, 5), result.output


def test_nobody_gets_in_and_the_run_says_so(serve: Any, start_locust: Any) -> None:
    server = serve()
    locust = start_locust("-f", HERE / "steady.py", *RAMP, "--rt-reconnect", "none", "-H", server.url)
    wait_until(
        lambda: server.stats()["received"].get("authenticate") or locust.ended, "the look before the run"
    )
    server.fault("refuseUpgrade")
    result = locust.result()
    assert result.counters["connections.failed"] >= 8
    assert result.counters["connections.failed"] == result.run.manifest.locust_failures
    assert result.run.manifest.harness_errors == []
    assert "Traceback" not in result.output
    assert result.code in (1, 5), result.output
