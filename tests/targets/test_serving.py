"""Does `loadtest serve` begin and end as its users rely on?"""

import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import websocket

pytestmark = pytest.mark.e2e


def loadtest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_the_first_line_is_the_address_and_help_follows(start: Any) -> None:
    server = start()
    second, third = server.process.stdout.readline(), server.process.stdout.readline()
    assert f"locust -f scenarios/messaging.py -H {server.url}" in second
    assert "100 messages/min" in third
    assert "test hooks: on" in third
    assert server.get("/").status == 200


def test_a_taken_port_is_one_line_and_exit_2(server: Any) -> None:
    port = server.url.rpartition(":")[2]
    result = loadtest("serve", "--port", port)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr


def test_an_unknown_target_is_one_line_and_exit_2() -> None:
    result = loadtest("serve", "--target", "deno")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "unknown target deno: there are reference, node and null" in result.stderr


def test_an_address_of_another_machine_is_one_line_and_exit_2() -> None:
    result = loadtest("serve", "--bind", "192.0.2.1", "--port", "0", TOKEN_SECRET="s" * 32)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "192.0.2.1" in result.stderr


def test_all_faulty_switches_are_named_at_once() -> None:
    result = loadtest("serve", PORT="x", RATE_LIMIT="-1", ENABLE_WEBSOCKET="perhaps", TOKEN_SECRET="short")
    assert (result.returncode, result.stderr.count("\n")) == (2, 4)
    for switch in ("PORT=x", "RATE_LIMIT=-1", "ENABLE_WEBSOCKET=perhaps", "TOKEN_SECRET"):
        assert switch in result.stderr
    assert "short" not in result.stderr


def test_the_public_secret_stays_on_loopback() -> None:
    result = loadtest("serve", "--bind", "0.0.0.0", "--port", "0")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "TOKEN_SECRET" in result.stderr


def test_off_loopback_there_are_no_hooks() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest", "serve", "--bind", "0.0.0.0", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TOKEN_SECRET": "s" * 32, "TEST_HOOKS": "1"},
    )
    assert process.stdout is not None
    with process.stdout as out:
        port = out.readline().strip().rpartition(":")[2]
        for path in ("/__stats", "/__fault", "/api/auth/token"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)
            with refused.value:
                assert refused.value.code == 404
        process.terminate()
        assert process.wait(10) == 0


def test_hooks_can_be_switched_off_on_loopback_too(start: Any) -> None:
    server = start(TEST_HOOKS="0")
    assert server.get("/__stats").code == "NOT_FOUND"
    assert server.post("/__fault", {"kind": "none"}).code == "NOT_FOUND"
    assert server.post("/api/auth/token", {"userId": "ann"}).code == "NOT_FOUND"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_even_with_open_sockets(
    start: Any, wire: Any, number: signal.Signals
) -> None:
    server = start()
    opened = wire(server)
    opened.recv()
    opened.send("40")
    opened.recv()
    session = server.get("/socket.io/?EIO=4&transport=polling").raw.decode().split('"')[3]
    poll = threading.Thread(
        target=server.get, args=(f"/socket.io/?EIO=4&transport=polling&sid={session}",), daemon=True
    )
    poll.start()
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    assert server.process.stderr.read() == ""
    poll.join(10)


def test_without_websocket_there_is_no_socket_io_at_all(start: Any, wire: Any) -> None:
    server = start("--no-websocket")
    assert server.get("/api/config").body["websocket"] is False
    for method, path in (
        ("GET", "/socket.io/?EIO=4&transport=polling"),
        ("POST", "/socket.io/?EIO=4&transport=polling&sid=x"),
        ("GET", "/socket.io"),
        ("GET", "/socket.io/some/thing"),
    ):
        reply = server.request(method, path)
        assert (reply.status, reply.raw) == (404, b'{"code":"WEBSOCKET_DISABLED"}')
        assert reply.headers["Content-Type"] == "application/json"
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        wire(server)
    assert refused.value.status_code == 404
    token = server.token("ann")
    assert server.post("/api/rooms/join", {"room": "conversation:c"}, token).status == 200
    cursor = server.get("/api/messages/feed", token).body["cursor"]
    message = {"conversationId": "c", "body": "x", "clientMsgId": "1"}
    assert server.post("/api/messages", message, token).status == 201
    [item] = server.get(f"/api/messages/feed?cursor={cursor}", token).body["items"]
    assert item["data"]["body"] == "x"


def test_the_switch_in_the_environment_does_the_same(start: Any) -> None:
    assert start(ENABLE_WEBSOCKET="false").get("/socket.io/").status == 404


def test_an_upgrade_elsewhere_is_refused(server: Any) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(server.url.replace("http", "ws") + "/chat", timeout=10)
    assert refused.value.status_code == 404


def test_more_descriptors_than_the_soft_limit_allows(start: Any) -> None:
    server = start()
    limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
    [line] = [line for line in limits if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard


def test_help_is_a_table_of_contents_and_loads_nothing_heavy() -> None:
    result = loadtest("--help")
    assert result.returncode == 0
    assert "serve" in result.stdout
    heavy = "{'uvicorn', 'socketio', 'numpy', 'locust'}"
    program = f"import sys, loadtest.cli.app; print({heavy} & set(sys.modules) or 'none')"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "none\n"
