"""Does `loadtest serve --target node` begin and end as the reference server does, and say what is missing?"""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from loadtest.cli.embedded import embedded_server
from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.targets.node import install
from loadtest.targets.node import server as node_server

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("node")]
ROOT = Path(__file__).resolve().parents[2]
NODE = ("--target", "node")


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "serve", *NODE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def complaint(*arguments: str, **environment: str) -> str:
    """The one line that a start ends with that was not to be."""
    result = serve(*arguments, **environment)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
    return result.stderr.removeprefix("loadtest serve: ").strip()


def folder_with(path: Path, **commands: str) -> str:
    """A PATH on which there is nothing but these scripts."""
    for name, script in commands.items():
        file = path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_it_announces_itself_as_the_reference_server_does(start: Any) -> None:
    said = []
    for target in ("reference", "node"):
        server = start("--target", target, "--rate-limit", "7", "--no-websocket")
        lines = [*server.lines, *(server.process.stdout.readline() for _ in range(2))]
        said.append([re.sub(r":\d+$", ":PORT", line.strip()) for line in lines])
    assert said[0] == said[1]


def test_the_process_is_the_server_itself(start: Any) -> None:
    server = start(*NODE)
    assert server.stats()["pid"] == server.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_even_with_open_sockets(
    start: Any, wire: Any, number: signal.Signals
) -> None:
    server = start(*NODE)
    opened = wire(server)
    opened.recv()
    opened.send("40")
    opened.recv()
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    assert server.process.stderr.read() == ""


def test_commands_get_one_of_their_own() -> None:
    with embedded_server(*NODE) as url, embedded_server(*NODE, "--through-faults") as other:
        for one in (url, other):
            pid = one.pid
            os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_node_or_npm_it_says_so(tmp_path: Path) -> None:
    missing = "is not installed (Debian: apt-get install nodejs npm)"
    assert complaint(PATH=folder_with(tmp_path)) == f"node {missing}"
    assert complaint("--through-faults", PATH=str(tmp_path)) == f"node {missing}"
    path = folder_with(tmp_path, node="echo v20.1.0")
    assert complaint(PATH=path) == f"npm {missing}"


def test_a_node_too_old_is_named(tmp_path: Path) -> None:
    path = folder_with(tmp_path, node="echo v16.20.2")
    assert complaint(PATH=path) == f"node is v16.20.2, but 18 or newer is needed: {tmp_path}/node"


def test_an_npm_that_fails_is_quoted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = 'echo "npm error code ENOTFOUND" >&2; echo "npm error no network" >&2; exit 1'
    path = folder_with(tmp_path / "bin", node="echo v20.1.0", npm=script)
    told = complaint(PATH=path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert told == "npm ci failed: code ENOTFOUND; no network"
    assert list((tmp_path / "cache" / "realtime-loadtest").iterdir()) == []


def test_it_is_installed_once(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    count = tmp_path / "count"
    script = f"echo x >> {count}; mkdir node_modules; exec >/dev/null"
    path = folder_with(
        tmp_path / "bin", node="echo v20.1.0", npm=script, mkdir=f'exec {shutil.which("mkdir")} "$@"'
    )
    for _ in range(2):
        serve("--port", "0", PATH=path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert count.read_text() == "x\n"
    (home,) = (tmp_path / "cache" / "realtime-loadtest").iterdir()
    assert home.name.startswith("node-") and (home / "package-lock.json").exists()


def test_a_taken_port_and_a_strange_address(server: Any) -> None:
    port = server.url.rpartition(":")[2]
    assert f"port {port} on 127.0.0.1 is taken: stop the other server" in complaint("--port", port)
    far = complaint("--bind", "192.0.2.1", "--port", "0", TOKEN_SECRET="s" * 32)
    assert far.startswith("cannot listen on 192.0.2.1: ")


def test_all_faulty_switches_are_named_at_once_and_in_the_same_words() -> None:
    switches = {"PORT": "x", "RATE_LIMIT": "-1", "ENABLE_WEBSOCKET": "perhaps", "TOKEN_SECRET": "short"}
    switches |= {"PING_INTERVAL": "0", "LIVECHAT_ASSIGN": "never", "CLOCK_RATE": "0"}
    alone = subprocess.run(
        [install.node(), str(node_server.HERE / "server.js")],
        capture_output=True,
        text=True,
        env={**os.environ, **switches, "NODE_PATH": str(node_server.ready()[1])},
        check=False,
    )
    assert alone.returncode == 2
    assert alone.stderr == serve(**switches).stderr
    assert alone.stderr.count("\n") == len(switches)


def test_switches_that_only_this_server_has_are_looked_at_too() -> None:
    assert complaint(CSR="perhaps") == "CSR=perhaps must be true or false"
    assert complaint(WORKERS="0") == "WORKERS=0 must be a whole number from 1 to 256"
    away = complaint("--bind", "0.0.0.0", ADMIN_UI="1", TOKEN_SECRET="s" * 32)
    assert away == "ADMIN_UI has no password here: bind 127.0.0.1"


@pytest.mark.parametrize("target", ["reference", "node"])
def test_a_clock_that_runs_fast_is_for_tests(target: str) -> None:
    told = complaint("--target", target, "--port", "0", CLOCK_RATE="30", TEST_HOOKS="0")
    assert told == "CLOCK_RATE is for tests: it needs the test hooks"


def test_a_demo_knows_two_servers() -> None:
    command = [sys.executable, "-m", "loadtest", "demo", "--target", "deno"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = "error: unknown target deno: there are reference and node\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", told)


def test_workers_share_their_rooms(start: Any, connect: Any, name: str) -> None:
    server = start(*NODE, WORKERS="2")
    people = [connect(f"{name}-{number}", at=server) for number in range(4)]
    for person in people:
        person.join(name)
    people[0].send(name, body="to everybody")
    for person in people:
        assert [message["body"] for message in person.wait("message:new")] == ["to everybody"]
    assert server.stop() == 0
    assert server.process.stderr.read() == (
        "loadtest serve: WORKERS without REDIS_URL: events cross workers; messages, presence, calls, chats are "
        "each worker's own\n"
    )


def test_the_admin_page_and_its_namespace(start: Any, wire: Any) -> None:
    server = start(*NODE, ADMIN_UI="1")
    page = server.get("/admin/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    script = re.search(rb'src="(js/[^"]+\.js)"', page.raw)
    assert script is not None, page.raw
    assert server.get(f"/admin/{script[1].decode()}").headers["Content-Type"].startswith("text/javascript")
    for outside in ("..%2f..%2fpackage.json", "%2e%2e/package.json", "nothing.js"):
        assert server.get(f"/admin/{outside}").status == 404
    admin = wire(server)
    admin.recv()
    admin.send("40/admin,")
    assert admin.recv().startswith(("40/admin,", "42/admin,"))
    assert start(*NODE).get("/admin/").status == 404


def test_both_know_the_same_development_secret() -> None:
    settings = (node_server.HERE / "settings.js").read_text()
    assert f'DEVELOPMENT_SECRET = "{DEVELOPMENT_SECRET}"' in settings


def test_the_lock_names_no_registry_and_the_wheel_has_it_all(tmp_path: Path) -> None:
    assert "resolved" not in (node_server.HERE / "package-lock.json").read_text()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    inside = set(zipfile.ZipFile(wheel).namelist())
    ours = [file for file in node_server.HERE.iterdir() if file.suffix in (".js", ".json", ".py")]
    assert len(ours) > 40
    assert {f"loadtest/targets/node/{file.name}" for file in ours} <= inside
