"""Do the contracts that come along work against the servers they describe, as the pages say it?"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_running import HERE, ROOT, Program, Result, wait_until
from lacking import lacking

from loadtest.analysis.validity import INVALID, judge
from loadtest.contract.loader import EXAMPLES, examples
from loadtest.targets.node import install
from loadtest.targets.node import server as node_server

APPS = HERE / "apps"
SHORT = (
    "-u",
    6,
    "-r",
    6,
    "-t",
    "7s",
    "--rt-rate",
    "1/s",
    "--rt-warmup",
    "0s",
    "--rt-drain",
    "2s",
    "--rt-room-size",
    3,
)
README = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own server")[1].split("### ")[0]
WALK = (ROOT / "docs" / "your-server.md").read_text(encoding="utf-8")
HOST = "http://127.0.0.1:3000"
Start = Callable[[str], str]


@pytest.fixture
def start(tmp_path: Path, programs: list[Program]) -> Start:
    """``start("broadcast.cjs")``: an app of tests/e2e/apps, and where it listens."""

    def run(app: str) -> str:
        args, env = [sys.executable, APPS / app], {}
        if app.endswith(".cjs"):
            try:
                node, packages = node_server.ready()
            except install.NodeMissing as why:
                lacking(str(why))
            args, env = [node, APPS / app], {"NODE_PATH": str(packages)}
        program = Program(args, tmp_path / f"{app}.log", env)
        programs.append(program)
        wait_until(lambda: program.ended or "\n" in program.output, f"{app} says where it listens")
        assert not program.ended, program.output
        url = program.output.split()[2]
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        wait_until(lambda: _listens(address), f"{app} listens")
        return url

    return run


def _listens(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, 1):
        return True
    return False


@pytest.fixture
def say(tmp_path: Path, programs: list[Program]) -> Callable[..., tuple[int, str]]:
    """``say("contract check …")``: exit code and output of a loadtest command."""

    def run(command: str) -> tuple[int, str]:
        program = Program([sys.executable, "-m", "loadtest", *command.split()], tmp_path / "said.log")
        programs.append(program)
        code = program.wait()
        return code, program.output

    return run


def delivered(result: Result) -> None:
    """Messages came, to everybody who was owed one, and nothing was lost."""
    counts = result.totals.counts("message.deliver", "message.echo")
    assert counts["n"] == counts["expected"] > 20, counts
    assert [counts[one] for one in ("lost", "late", "duplicate", "leaked", "failed")] == [0] * 5, counts
    assert result.counters.get("unknown_events", 0) == 0
    assert result.run.manifest.complete and result.run.manifest.harness_errors == []
    # On a machine that is busy otherwise, the run says itself that it cannot be believed.
    assert result.code == 0 or (result.code == 5 and judge(result.run).state == INVALID), result.output


def test_the_readme_works_as_written_against_the_chat_of_npm(start: Start, run_locust: Any, say: Any) -> None:
    url = start("broadcast.cjs")
    check, run = re.findall(r"^    (\S.*)$", README, re.MULTILINE)
    code, output = say(check.replace(HOST, url).removeprefix("loadtest "))
    assert (code, output.splitlines()[-1]) == (0, f'"broadcast" fits {url}: 3 right')
    words = run.replace(HOST, url).split()
    assert words[:4] == ["locust", "-f", "scenarios/messaging.py", "--headless"]
    result = run_locust(*words[1:3], *words[4:])
    delivered(result)
    assert result.run.manifest.parameters["room_size"] == 20


def test_your_server_in_ten_minutes(start: Start, say: Any, tmp_path: Path) -> None:
    """The page's own file, corrected as the check says, comes to what the page shows."""
    url = start("broadcast.cjs")
    shown = re.findall(r"^```text\n(.*?)^```$", WALK, re.DOTALL | re.MULTILINE)
    (text,) = re.findall(r"^```toml\n(.*?)^```$", WALK, re.DOTALL | re.MULTILINE)
    server = (APPS / "broadcast.cjs").read_text(encoding="utf-8")
    assert re.findall(r"socket\.on\(.*", WALK) == re.findall(r"socket\.on\(.*", server)
    file = tmp_path / "my.toml"
    said = []
    for old, new in (("", ""), ('on = "message"', 'on = "chat message"'), ('"others"', '"room"')):
        text = text.replace(old, new) if old else text
        file.write_text(text, encoding="utf-8")
        code, output = say(f"contract check {file} --host {url} --timeout 1")
        said.append((code, re.sub(r"[0-9a-f]{6}:[0-9a-f]{6}-", "1f3a5c:1f3a5c-", output.replace(url, HOST))))
    assert [code for code, _ in said] == [1, 1, 0]
    first, second, third = shown[-3:]
    assert said[0][1] == first
    assert second in said[1][1]
    assert said[2][1].endswith(third)


def test_the_other_examples_against_servers_like_theirs(start: Start, start_locust: Any, say: Any) -> None:
    """Around flask-chat-events; and ids of the server, a login, a cookie, a namespace on npm's socket.io."""
    if importlib.util.find_spec("flask_chat_events") is None:
        lacking("flask-chat-events is not installed (pip install flask-chat-events)")
    servers = {"chat-events": start("chat_events.py"), "server-ids": start("server_ids.cjs")}
    for name, url in servers.items():
        code, output = say(f"contract check {name} --host {url} --timeout 2")
        assert code == 0, output
    assert 'ok  send.ack: "say" was answered with [null,{"id":' in output
    runs = [start_locust("-H", url, "--rt-contract", name, *SHORT) for name, url in servers.items()]
    results = [run.result() for run in runs]
    for result in results:
        delivered(result)
        # What logging in took is a part of every connect.
        connects = [row for row in result.run.series if row.operation == "session.connect" and row.latency.n]
        assert sum(row.phases["login"].n for row in connects) == sum(row.latency.n for row in connects) == 6
    assert results[1].counters.get("foreign", 0) == 0


def test_a_run_in_every_manner(start: Start, start_locust: Any) -> None:
    """One user to another, bytes, what is posted, rooms in the query and in namespaces; at the same time."""
    url = start("styles.py")
    files = sorted((APPS / "contracts").iterdir())
    runs = [start_locust("-H", url, "--rt-contract", file, *SHORT) for file in files]
    results = {file.stem: run.result() for file, run in zip(files, runs, strict=True)}
    for result in results.values():
        delivered(result)
    direct = results["direct"].totals
    assert direct.count("expected", "message.deliver") == results["direct"].counters["sent"]
    assert direct.count("expected", "message.echo") == 0 < results["binary"].totals.count("n", "message.echo")


def test_every_example_is_tried_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in examples() if f" {name} " not in here and f'"{name}"' not in here] == []
    assert all(
        f"examples/{path.name}" in (ROOT / "docs/contract.md").read_text() for path in EXAMPLES.iterdir()
    )
