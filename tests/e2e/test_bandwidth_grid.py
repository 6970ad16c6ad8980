"""Does a real grid come to the closed form, and is what was weighed what goes over the wire?"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from e2e_running import Program, Server, wait_until
from test_bytes import counting

from loadtest.analysis.bandwidth_cost import INTERVAL_POLLING, WEBSOCKET
from loadtest.analysis.bandwidth_model import BROWSER, LIBRARY, SOCKET, Weighed, polling, pushing
from loadtest.cli.bandwidth import judge
from loadtest.cli.bandwidth_grid import GRID, run_grid, weigh
from loadtest.cli.bandwidth_points import Plan, spots
from loadtest.contract.development import DEVELOPMENT_SECRET

USER = "abcdef-0.0.10"
"""Of the length of the names in a run: it is in the token, and in the feed's tag."""


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, object]]]:
    """A server that agrees to compress, and what exchanges with it weigh."""
    log = tmp_path_factory.mktemp("scale") / "server.log"
    server = Server(log, ("--rate-limit", "0"), env={"WEBSOCKET_COMPRESSION": "1"})
    try:
        yield server, weigh(server.url)
    finally:
        server.end()


def test_a_poll_weighs_what_a_proxy_counts_for_one_written_by_hand(scale: Any) -> None:
    server, found = scale
    weighed = msgspec.convert(found, type=Weighed)
    quiet = polling(weighed, LIBRARY, 1).feeds[0].quiet
    claims = {"sub": USER, "role": "user", "exp": int(time.time()) + 86_400}
    token = jwt.encode(claims, DEVELOPMENT_SECRET, "HS256")
    head = (
        "Host: {host}\r\n"
        "Accept: application/json, text/plain, */*\r\n"
        f"Authorization: Bearer {token}\r\n"
        "User-Agent: okhttp/4.12.0\r\n"
        "Accept-Encoding: gzip\r\n"
        "Connection: Keep-Alive\r\n"
    )
    with counting(server) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as sock:
            head = head.format(host=server.url.removeprefix("http://"))
            feed = "/api/messages/feed?limit=100"
            first = _exchange(sock, f"GET {feed} HTTP/1.1\r\n{head}\r\n")
            tag = next(line for line in first.splitlines() if line.lower().startswith("etag: ")).partition(
                " "
            )[2]
            cursor = json.loads(first.partition("\r\n\r\n")[2])["cursor"]
            before = proxy.up + proxy.down
            again = _exchange(
                sock, f"GET {feed}&cursor={cursor} HTTP/1.1\r\n{head}If-None-Match: {tag}\r\n\r\n"
            )
            assert again.startswith("HTTP/1.1 304")
            counted = proxy.up + proxy.down - before
        wait_until(lambda: not proxy.open, "the connection has ended")
    # The digits of a cursor and of a position grow with what was said before.
    assert quiet.bytes == pytest.approx(counted, abs=6)
    assert 2 <= quiet.segments <= 4
    browser = polling(weighed, BROWSER, 1)
    assert browser.feeds[0].quiet.bytes > 1.5 * quiet.bytes
    assert browser.feeds[0].preflight.bytes > 500
    assert polling(weighed, LIBRARY, 1).feeds[0].preflight.bytes == pytest.approx(0, abs=1e-6)


def test_a_message_weighs_its_frame(scale: Any) -> None:
    """150 bytes of text in an event that names the conversation and the marker twice; half of it, compressed."""
    weighed = msgspec.convert(scale[1], type=Weighed)
    plain, deflated = pushing(weighed, "plain"), pushing(weighed, "deflate")
    assert 250 < plain.heard.bytes < 450
    assert plain.heard.segments == pytest.approx(2, abs=0.3)
    assert deflated.heard.bytes < 0.7 * plain.heard.bytes
    assert plain.emitted.bytes > plain.heard.bytes


@pytest.mark.proof
def test_a_small_grid_comes_to_the_closed_form(serve: Any, scale: Any, tmp_path: Path) -> None:
    """Against a server that pings every second, so that a few seconds hold several heartbeats."""
    server = serve("--rate-limit", "0", "--ping-interval", "1", "--ping-timeout", "20")
    plan = Plan(True, 1, server.url, window_s=8.0)
    (tmp_path / "runs").mkdir()
    weighed = {**scale[1], "ping_interval_s": 1.0}
    (tmp_path / "runs" / GRID).write_text(json.dumps({"plan": plan.kept, "weighed": weighed}))
    heard: list[str] = []
    outcome = run_grid(plan, tmp_path / "runs", lambda what, passed_s: heard.append(what))
    assert (outcome.cut, outcome.unusable) == ("", [])
    assert len({cost.run for cost in outcome.costs}) == outcome.planned == 9
    assert heard and heard[-1].startswith("trial 1: 0 runs")
    found = judge(outcome)
    off = {(one.arm.name, one.rate): one.off for one in found.surface.checks if one.level == SOCKET}
    assert len(off) == 9
    beats = off.pop((WEBSOCKET, 0.0))
    assert abs(beats) < 0.25, "five heartbeats, give or take one"
    assert all(abs(one) < 0.1 for one in off.values()), off
    # Only what is whole is there, under the name of its run; going on runs nothing again.
    kept = json.loads((tmp_path / "runs" / GRID).read_text())["runs"]
    assert sorted(kept.values()) == sorted(one.name for one in (tmp_path / "runs").iterdir() if one.is_dir())
    there = sorted((tmp_path / "runs").iterdir())
    again = run_grid(plan, tmp_path / "runs", lambda what, passed_s: None)
    assert again.costs == outcome.costs
    assert sorted((tmp_path / "runs").iterdir()) == there, "nothing was left to run"
    idle = {one.arm.transport: one.socket for one in outcome.costs if one.regime == "idle"}
    assert idle[WEBSOCKET] < 0.05 * idle[INTERVAL_POLLING]


@pytest.mark.proof
def test_the_quick_comparison_is_killed_and_goes_on(tmp_path: Path, programs: list[Program]) -> None:
    """A job cancelled in the middle: what is whole by then is judged and kept, and the rest is run later."""
    command = [sys.executable, "-m", "loadtest", "bandwidth", "--quick", "--out", tmp_path / "reports"]
    first = Program(command, tmp_path / "first.log")
    programs.append(first)
    wait_until(lambda: len(_kept(tmp_path)) >= 3, "three runs are over", 150)
    first.signal(signal.SIGTERM)
    assert first.wait(120) == 0, first.output
    (place,) = [one for one in (tmp_path / "reports").iterdir() if one.is_dir()]
    record = json.loads((place / "bandwidth.json").read_text())
    assert record["state"] == "incomplete" and record["runs"] >= 3
    assert "interrupted" in (place / "report.html").read_text()
    second = Program([*command[:4], "--quick", "--resume", place], tmp_path / "second.log")
    programs.append(second)
    assert second.wait(300) == 0, second.output
    summary = json.loads((place / "summary.json").read_text())
    assert summary["runs"] == len(spots(Plan(True, 1)))
    assert all(abs(one["off"]) <= 0.05 for one in summary["checks"]), summary["checks"]
    states = {one["name"]: one["state"] for one in summary["verdicts"] if "level:wire" in one["name"]}
    named = "bandwidth{{regime:{},transport:interval-polling,headers:{},feeds:1,level:wire}}"
    for headers in (LIBRARY, BROWSER):
        assert states[named.format("idle", headers)] == "pass"
        assert states[named.format("active,rate:1", headers)] == "fail"


def _kept(tmp_path: Path) -> dict[str, str]:
    for path in tmp_path.glob(f"reports/*/runs/{GRID}"):
        kept: dict[str, str] = json.loads(path.read_text())["runs"]
        return kept
    return {}


def _exchange(sock: socket.socket, request: str) -> str:
    """One request, and its whole answer."""
    sock.sendall(request.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    named = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:])
    length = int(named.get(b"content-length", 0))
    while len(body) < length:
        body += sock.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()
