"""Do several processes behind HAProxy begin, answer and end as one server?"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import typer.main
import websocket
from lacking import lacking

from loadtest.cli import app
from loadtest.targets.cluster import needed
from loadtest.targets.cluster.configuration import Front, configuration

PATIENCE_S = 30.0
CLUSTER = Path(__file__).with_name("cluster_of_names.py")


@pytest.fixture(scope="module")
def haproxy() -> str:
    """Its path, or the reason why there is none."""
    try:
        return needed.haproxy()
    except needed.Missing as missing:
        lacking(str(missing))


class Running:
    """A process that brought others up, and what it said of them."""

    def __init__(self, process: subprocess.Popen[str], told: dict[str, Any]) -> None:
        self.process = process
        self.url: str = told["url"]
        self.authority: str | None = told["authority"]
        self.pids: dict[str, int] = told["pids"]
        self.proxy: int = told["proxy"]

    def name(self, session: requests.Session | None = None) -> str:
        """Who answers."""
        asking = session or requests.Session()
        with contextlib.ExitStack() as stack:
            if session is None:
                stack.enter_context(asking)
            # A connection of its own each time: one that was kept ends with the server behind it.
            answer = asking.get(
                self.url, timeout=PATIENCE_S, verify=self.authority, headers={"Connection": "close"}
            )
            answer.raise_for_status()
            assert answer.json()["cookie"] == "", "the proxy's own cookie is not the servers' business"
            return str(answer.json()["name"])

    def line(self) -> str:
        """The next line on stderr."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().strip()

    def all_gone(self) -> bool:
        """Whether nothing of it is left."""
        return all(gone(pid) for pid in (*self.pids.values(), self.proxy))


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def start(haproxy: str) -> Iterator[Callable[..., Running]]:
    """``start(names=["a", "b"], sticky=False)`` brings a cluster up."""
    processes: list[subprocess.Popen[str]] = []

    def begin(**plan: Any) -> Running:
        process = launch(**plan)
        processes.append(process)
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return Running(process, json.loads(line))

    yield begin
    for process in processes:
        end(process)


def launch(**plan: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CLUSTER), json.dumps(plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(PATIENCE_S)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def test_who_has_a_cookie_comes_back_and_goes_elsewhere_only_if_its_server_is_gone(
    start: Callable[..., Running],
) -> None:
    cluster = start(names=["a", "b", "c"])
    with requests.Session() as ann, requests.Session() as bob:
        first = cluster.name(ann)
        assert [cluster.name(ann) for _ in range(4)] == [first] * 4
        assert cluster.name(bob) != first
        os.kill(cluster.pids[first], signal.SIGKILL)
        said = f"cluster: instance {first} ended by itself (signal 9): its users are sent to the others"
        assert cluster.line() == said
        second = cluster.name(ann)
        assert second != first
        assert [cluster.name(ann) for _ in range(4)] == [second] * 4, "it has a new cookie by now"
    assert {cluster.name() for _ in range(6)} == {"a", "b", "c"} - {first}
    cluster.process.send_signal(signal.SIGTERM)
    assert cluster.process.wait(PATIENCE_S) == 0
    assert cluster.all_gone()
    assert cluster.process.stderr is not None
    assert cluster.process.stderr.read() == ""


def test_without_stickiness_each_request_goes_to_the_next(start: Callable[..., Running]) -> None:
    cluster = start(names=["a", "b"], sticky=False)
    with requests.Session() as session:
        names = [cluster.name(session) for _ in range(6)]
        assert sorted(names) == ["a"] * 3 + ["b"] * 3
        assert not session.cookies
    for name, said in (("a", ": its users are sent to the others"), ("b", ", and no other is left")):
        os.kill(cluster.pids[name], signal.SIGKILL)
        assert cluster.line() == f"cluster: instance {name} ended by itself (signal 9){said}"
    assert cluster.process.wait(PATIENCE_S) == 2
    assert cluster.all_gone()


def test_tls_is_verified_by_the_authority_of_this_start_and_by_no_other(
    start: Callable[..., Running],
) -> None:
    cluster = start(names=["a", "b"], tls=True)
    assert cluster.url.startswith("https://127.0.0.1:")
    assert cluster.authority is not None
    with requests.Session() as session:
        assert cluster.name(session) == cluster.name(session)
        assert [cookie.secure for cookie in session.cookies] == [True]
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(cluster.url, timeout=PATIENCE_S)
    folder = Path(cluster.authority).parent
    assert (folder / "server.pem").stat().st_mode & 0o077 == 0
    # Killed it cannot clean up; the kernel does it.
    cluster.process.kill()
    cluster.process.wait(PATIENCE_S)
    for pid in (*cluster.pids.values(), cluster.proxy):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(PATIENCE_S)
    assert cluster.all_gone()


def test_a_proxy_that_ends_ends_all_of_it(start: Callable[..., Running]) -> None:
    cluster = start(names=["a", "b"])
    os.kill(cluster.proxy, signal.SIGKILL)
    assert cluster.line().startswith("cluster: haproxy ended (signal 9)")
    assert cluster.process.wait(PATIENCE_S) == 2
    assert cluster.all_gone()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"broken": ["b"]}, "cluster: instance b did not start (exit code 3)"),
        ({"tls": True, "blind": True}, "cluster: haproxy ended (exit code 1): "),
    ],
    ids=["instance", "proxy"],
)
def test_what_does_not_come_up_is_said_in_one_line(haproxy: str, plan: dict[str, Any], said: str) -> None:
    process = launch(names=["a", "b"], **plan)
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        end(process)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(said)


@pytest.mark.parametrize("sticky", [True, False])
def test_haproxy_takes_every_configuration(haproxy: str, tmp_path: Path, sticky: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        file = tmp_path / "haproxy.cfg"
        text = configuration(Front(listener.fileno(), sticky, None, 45.0, 100), {"a": 1, "b": 2})
        file.write_text(text)
        done = subprocess.run(
            [haproxy, "-c", "-f", str(file)],
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    # A poll hangs for a ping interval, and a server that is late by its timeout is no fault of the proxy's.
    assert "timeout server 60s" in text and "timeout client 60s" in text
    assert ("cookie a" in text) is sticky


# -- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--instances", "2"), "--instances 2 needs --redis URL"),
        (
            ("--instances", "2", "--redis", "redis://127.0.0.1:1/0"),
            "redis://127.0.0.1:1/0: no Redis answers there",
        ),
        (("--redis", "redis://me:secret@127.0.0.1:1"), "redis://***@127.0.0.1:1: no Redis answers there"),
        (("--redis", "127.0.0.1:6379"), "127.0.0.1:6379: not the URL of a Redis"),
        (("--instances", "0"), "--instances 0: from 1 to 26"),
        (("--instances", "27", "--redis", "redis://127.0.0.1:1"), "--instances 27: from 1 to 26"),
        (("--sticky", "none"), "--sticky says who comes back to which of several instances"),
        (("--instances", "2", "--sticky", "ip"), "--sticky ip: there are cookie and none"),
        (("--instances", "2", "--target", "null"), "--target null keeps its rooms to itself"),
        (("--redis", "redis://127.0.0.1:1", "--target", "null"), "--target null keeps nothing"),
        (("--tls", "--through-faults"), "--through-faults is a proxy in front of one server"),
        (("--tls", "--bind", "0.0.0.0"), "--instances and --tls work on loopback only"),
        (("--tls", "--ping-interval", "0"), "PING_INTERVAL=0.0 must be a number of seconds"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    code = typer.main.get_command(app.app).main(
        ["serve", "--port", "0", *arguments], prog_name="loadtest", standalone_mode=False
    )
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"loadtest serve: {said}")
    assert "secret" not in err


def test_without_haproxy_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(needed, "_BESIDE", str(tmp_path))
    with pytest.raises(
        needed.Missing, match=r"^haproxy is not installed \(Debian: apt-get install haproxy\)$"
    ):
        needed.haproxy()


@pytest.mark.e2e
def test_one_server_behind_tls_and_no_redis(haproxy: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest", "serve", "--port", "0", "--tls"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().split()[-1]
        assert url.startswith("https://127.0.0.1:"), process.stderr.read()
        words = process.stdout.readline().split()
        assert words[0] == "try:" and words[2] == "locust" and words[-1] == url
        authority = words[1].removeprefix("SSL_CERT_FILE=")
        rest = [process.stdout.readline() for _ in range(3)]
        assert rest[0].startswith("rate limit: 100 messages/min per socket; test hooks: on")
        assert rest[1].startswith("instance a: http://127.0.0.1:")
        assert rest[2].startswith("haproxy: pid ")
        context = ssl.create_default_context(cafile=authority)
        address = url.replace("https", "wss") + "/socket.io/?EIO=4&transport=websocket"
        wire = websocket.create_connection(address, timeout=PATIENCE_S, sslopt={"context": context})
        assert json.loads(wire.recv()[1:])["pingInterval"] == 25_000
        wire.shutdown()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == ""
        assert not Path(authority).parent.exists()
    finally:
        end(process)
