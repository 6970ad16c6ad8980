"""Does `loadtest serve --through-faults` serve like without it, do its faults, and leave nothing behind?"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from loadtest.cli.embedded import ServerFailed, embedded_server

pytestmark = pytest.mark.e2e


def order(control: str, **fault: Any) -> dict[str, Any]:
    with urllib.request.urlopen(control + "/fault", json.dumps(fault).encode(), 10) as answer:
        return dict(json.loads(answer.read()))


def told(server: Any) -> str:
    """The control URL of its second line."""
    name, _, url = server.process.stdout.readline().strip().partition(": ")
    assert name == "fault control"
    return str(url)


def refuses(server: Any) -> bool:
    try:
        server.get("/")
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    return False


def serves(server: Any) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        return bool(server.get("/").status == 200)
    return False


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_it_serves_restarts_and_survives_its_server(
    start: Any, connect: Any, until: Callable[..., None]
) -> None:
    server = start("--through-faults", "--rate-limit", "7")
    control = told(server)
    assert server.url in server.process.stdout.readline()
    assert "7 messages/min" in server.process.stdout.readline()
    config = server.get("/api/config").body
    assert (config["faultControl"], config["rateLimit"]["limit"]) == (control, 7)

    first = server.stats()["pid"]
    peer = connect("ann", server)
    peer.join("c")
    assert peer.send("c")["seq"] == 1
    answer = order(control, kind="restart", seconds=0.5)
    assert len(answer["struck"]) >= 1
    assert refuses(server)
    assert peer.disconnected.wait(10)
    until(lambda: serves(server))
    assert time.monotonic_ns() - answer["atNs"] >= 0.5e9
    second = server.stats()["pid"]
    assert second != first
    assert gone(first)
    again = connect("ann", server)
    again.join("c")
    assert again.send("c")["seq"] == 1, "a server that was started anew remembers nothing"
    again.close()

    os.kill(second, signal.SIGKILL)
    assert "the server ended by itself (signal 9)" in server.process.stderr.readline()
    assert refuses(server)
    order(control, kind="restart", seconds=60)
    order(control, kind="none")
    until(lambda: serves(server))
    third = server.stats()["pid"]
    assert server.stop() == 0
    assert server.process.stderr.read() == ""
    assert gone(third)
    assert refuses(server)


def test_a_server_that_does_not_stop_is_killed_and_restarted(start: Any, until: Callable[..., None]) -> None:
    server = start("--through-faults")
    control = told(server)
    first = server.stats()["pid"]
    os.kill(first, signal.SIGSTOP)
    order(control, kind="restart", seconds=0.01)
    until(lambda: serves(server), 20)
    assert gone(first)
    second = server.stats()["pid"]
    # The proxy cannot clean up when it is killed; the kernel does it.
    server.process.kill()
    until(lambda: gone(second))


def test_it_works_on_loopback_only_and_says_so_in_one_line() -> None:
    result = loadtest("serve", "--through-faults", "--bind", "0.0.0.0", "--port", "0")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "--through-faults works on loopback only" in result.stderr


def test_a_taken_port_and_faulty_switches_are_said_as_without_it(server: Any) -> None:
    port = server.url.rpartition(":")[2]
    result = loadtest("serve", "--through-faults", "--port", port)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr
    result = loadtest("serve", "--through-faults", PORT="x", RATE_LIMIT="-1")
    assert (result.returncode, result.stderr.count("\n")) == (2, 2)


def loadtest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_an_embedded_server_may_stand_behind_faults_and_has_its_own_switches() -> None:
    with embedded_server("--through-faults", environment={"PING_INTERVAL": "3"}) as url:
        with urllib.request.urlopen(url + "/api/config", timeout=10) as answer:
            config = json.loads(answer.read())
        with urllib.request.urlopen(url + "/socket.io/?EIO=4&transport=polling", timeout=10) as answer:
            assert json.loads(answer.read()[1:])["pingInterval"] == 3000
        with urllib.request.urlopen(url + "/__stats", timeout=10) as answer:
            pid = json.loads(answer.read())["pid"]
        assert order(config["faultControl"], kind="delay", ms=1)["ok"]
    assert gone(pid)


def test_an_embedded_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(ServerFailed, match="PING_INTERVAL=x must be a number"),
        embedded_server("--through-faults", environment={"PING_INTERVAL": "x"}),
    ):
        pass
