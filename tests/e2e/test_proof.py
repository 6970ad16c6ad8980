"""The long ones: the commands of the README as they stand, and a hundred thousand clean deliveries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from e2e_counting import DELIVERIES, repeated
from e2e_running import HERE, Program, Result, Server

from loadtest.analysis.validity import VALID, judge
from loadtest.measure import run as runs

LONG_S = 180.0
pytestmark = [pytest.mark.proof, pytest.mark.calm, pytest.mark.timeout(600)]


def nothing_is_wrong(result: Result, server: Server) -> None:
    """Sums agree to the unit, and no false alarm was raised."""
    totals, stats = result.totals, server.stats()
    assert result.counters["sent"] == stats["accepted"]["message:send"]
    assert (
        totals.count("expected", "message.ack") == totals.count("n", "message.ack") == result.counters["sent"]
    )
    assert totals.count("expected", *DELIVERIES) == totals.count("n", *DELIVERIES)
    for name in ("late", "lost", "open", "duplicate", "reordered", "leaked", "failed"):
        assert totals.count(name, *DELIVERIES, "message.ack") == 0, name
    missing = stats["emitted"]["message:new"] - totals.count("n", *DELIVERIES)
    assert 0 <= missing <= result.counters.get("tolerated", 0)


def test_the_run_of_the_readme(serve: Any, start_locust: Any) -> None:
    def measure() -> tuple[Result, Server]:
        server = serve("--rate-limit", "100")  # as in production
        locust = start_locust("-u", 200, "-r", 50, "-t", "60s", "-H", server.url)
        return locust.result(LONG_S), server

    def check(measured: tuple[Result, Server]) -> None:
        result, server = measured
        nothing_is_wrong(result, server)
        assert judge(result.run).state == VALID
        assert result.code == 0, result.output
        assert (result.run.path.parent / runs.LATEST / runs.REPORT).is_file()
        assert result.run.manifest.users == 200

    repeated(measure, check, lambda measured: [measured[0]])


@pytest.mark.parametrize("client", ["native", "python-socketio"])
def test_a_hundred_thousand_deliveries_without_a_false_alarm(
    serve: Any, start_locust: Any, client: str
) -> None:
    rate = "3/s" if client == "native" else "1/s"
    flags = ("-f", HERE / "steady.py", "-u", 200, "-r", 100, "--rt-rate", rate, "--rt-client", client)
    length = "30s" if client == "native" else "75s"

    def measure() -> tuple[Result, Server]:
        server = serve()
        return start_locust(*flags, "-t", length, "-H", server.url).result(LONG_S), server

    def check(measured: tuple[Result, Server]) -> None:
        result, server = measured
        assert result.totals.count("n", *DELIVERIES) > 100_000
        nothing_is_wrong(result, server)

    repeated(measure, check, lambda measured: [measured[0]])


def test_the_demo_leaves_one_page_and_no_server(tmp_path: Path) -> None:
    out = tmp_path / "reports"
    args = [sys.executable, "-m", "loadtest", "demo", "--users", "40", "--time", "30", "--out", out]
    program = Program(args, tmp_path / "demo.log")
    code = program.wait(patience_s=200)
    lines = [line for line in program.output.splitlines() if line.strip()]
    assert code in (0, 5), program.output
    until_page = lines[: lines.index(f"page: {out / 'demo.html'}") + 1]
    assert [line.partition(":")[0] for line in until_page[-6:] if not line.startswith("  - ")][-2:] == [
        "idle",
        "page",
    ]
    told = [line for line in lines if line.startswith(("CONFIRMED", "REFUTED", "INCONCLUSIVE"))]
    assert len(told) == 11, "a line for each claim"
    assert lines[-1] == f"page: {out / 'demo-claims.html'}"
    assert "Only what these runs can tell" in (out / "demo-claims.html").read_text(encoding="utf-8")
    page = (out / "demo.html").read_text(encoding="utf-8")
    assert "Side by side" in page
    found = sorted(one.name.rpartition("-")[0].split("-", 1)[1] for one in out.glob("2*"))
    assert found == ["mixed-interval-polling", "mixed-websocket"]
    for section in ("Reconnection", "Calls", "Live chat"):
        assert f"<h2>{section}</h2>" in page
    assert program.session() == [], "a process was left behind"
