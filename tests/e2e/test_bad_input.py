"""What is wrong is said before the run, in one line each that names it and what to do; exit code 2."""

from __future__ import annotations

import contextlib
import http.server
import re
import resource
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from e2e_running import Locust, Server, wait_until

_LOGGED = re.compile(r"^\[[\d\- :,]+\] ")


class Case(NamedTuple):
    """Arguments, the lines they come to (as regular expressions), and what else the process needs."""

    args: tuple[object, ...]
    lines: tuple[str, ...]
    options: dict[str, Any] = {}  # noqa: RUF012


class Places(NamedTuple):
    """Where the cases point to: servers that are there, right and wrong ones, and files."""

    server: str
    closed: str
    ssh: str
    website: str
    mute: str
    folder: Path


def _few_descriptors() -> None:
    # As many as Locust itself asks for: with fewer it says more than one line of its own.
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))


CASES: dict[str, Callable[[Places], Case]] = {
    "no server": lambda at: Case(
        ("-H", at.closed), (rf"{at.closed}: no server there .*loadtest serve.*-H URL",)
    ),
    "no server, two processes": lambda at: Case(
        ("-H", at.closed, "--processes", 2), (rf"{at.closed}: no server there .*",)
    ),
    "not HTTP": lambda at: Case(("-H", at.ssh), (rf"{at.ssh}: .*does not speak HTTP",)),
    "HTTP, but not the contract": lambda at: Case(
        ("-H", at.website), (rf'{at.website}/: .*not as the contract "default" says.*',)
    ),
    "hangs up": lambda at: Case(("-H", at.mute), (rf"{at.mute}: transport_close .*",)),
    "wrong Socket.IO path": lambda at: Case(
        ("-H", at.server, "--rt-contract", at.folder / "elsewhere.toml"),
        (rf"{at.server}/elsewhere: no Socket.IO server there .*connect.path.*",),
    ),
    "wrong token secret": lambda at: Case(
        ("-H", at.server, "--rt-token-secret", "a secret of nobody's, and long enough"),
        (r".*the server refused a user: AUTH_INVALID.*--rt-token-secret.*",),
    ),
    "wrong token secret, polling": lambda at: Case(
        (
            *("-H", at.server, "--rt-token-secret", "a secret of nobody's, and long enough"),
            *("--rt-transport", "interval-polling"),
        ),
        (r'.*feed "messages" answered HTTP 401 .*AUTH_INVALID.*; is --rt-token-secret the server\'s\?',),
    ),
    "larger than maxPayload": lambda at: Case(
        ("-H", at.server, "--rt-payload-bytes", 2_000_000),
        (r"--rt-payload-bytes 2000000: .*the server takes 1000000 .*",),
    ),
    "host elsewhere, development secret": lambda at: Case(
        ("-H", "http://192.0.2.1:3000"), (r"http://192.0.2.1:3000: not this machine.*--rt-token-secret",)
    ),
    "host elsewhere": lambda at: Case(
        ("-H", "http://192.0.2.1:3000", "--rt-token-secret", "a secret of nobody's, and long enough"),
        (r"http://192.0.2.1:3000: not this machine.*--rt-allow-remote",),
    ),
    "https": lambda at: Case(("-H", "https://127.0.0.1:1"), (r".*https is not supported.*",)),
    "half an address": lambda at: Case(("-H", "http://[::1"), (r"http://\[::1: .*",)),
    "a password in the address": lambda at: Case(
        ("-H", "http://me:hush@127.0.0.1:1"), (r"127\.0\.0\.1: a host has no user name and password.*",)
    ),
    "no port": lambda at: Case(("-H", "http://127.0.0.1:http"), (r".*the port is no number.*",)),
    "contract missing": lambda at: Case(
        ("--rt-contract", at.folder / "nowhere.toml"), (r".*nowhere\.toml.*",)
    ),
    "contract no TOML": lambda at: Case(("--rt-contract", at.folder / "broken.toml"), (r".*broken\.toml.*",)),
    "contract with an unknown key": lambda at: Case(
        ("--rt-contract", at.folder / "unknown.toml"), (r".*unknown\.toml.*colour.*",)
    ),
    "everything wrong at once": lambda at: Case(
        ("--rt-rate", 0, "--rt-room-size", 1, "--rt-payload-bytes", 0, "--rt-deadline", "0s"),
        (r"--rt-rate: .*", r"--rt-room-size: .*", r"--rt-payload-bytes: .*", r"--rt-deadline: .*"),
    ),
    "negative rate": lambda at: Case(("--rt-rate=-1/s",), (r"--rt-rate: '-1/s' .*",)),
    "unwritable folder": lambda at: Case(
        ("-H", at.server, "--rt-out", at.folder / "broken.toml" / "runs"),
        (r".*broken\.toml/runs: cannot write runs there .*--rt-out",),
    ),
    "too few descriptors": lambda at: Case(
        ("-H", at.server, "-u", 6000),
        (r"6000 users in a process may need \d+ file descriptors, the limit is 10000; .*ulimit -n.*",),
        {"preexec_fn": _few_descriptors},
    ),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("places")
    (folder / "broken.toml").write_text("name = [")
    default = (Path(__file__).parents[2] / "loadtest" / "contract" / "default.toml").read_text()
    (folder / "elsewhere.toml").write_text(default.replace('path = "/socket.io"', 'path = "/elsewhere"'))
    (folder / "unknown.toml").write_text('colour = "blue"\n' + default)
    server = Server(folder / "server.log")
    with socket.socket() as nobody, contextlib.ExitStack() as stack:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening: refused, and taken by nobody else
        try:
            yield Places(
                server.url,
                f"http://127.0.0.1:{nobody.getsockname()[1]}",
                stack.enter_context(_listening(_Ssh)),
                stack.enter_context(_listening(_Website)),
                stack.enter_context(_listening(_Mute)),
                folder,
            )
        finally:
            server.end()


@contextlib.contextmanager
def _listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Ssh(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        self.request.recv(1 << 16)


class _Mute(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1 << 16)


class _Website(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


Ended = dict[str, "Future[tuple[int, str, list[int]]]"]


@pytest.fixture(scope="module")
def ended(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """Every case, two at a time: none of them asserts how long anything took."""
    folder = tmp_path_factory.mktemp("cases")

    def run(name: str) -> tuple[int, str, list[int]]:
        case = CASES[name](places)
        slug = re.sub(r"\W+", "-", name)
        users = () if "-u" in case.args else ("-u", 2)
        args = ("--headless", "--only-summary", *users, "-t", "2s", *case.args)
        locust = Locust(args, folder / slug, folder / f"{slug}.log", **case.options)
        try:
            code = locust.wait()
            wait_until(lambda: not locust.session(), "no worker is left behind")
            return code, locust.output, locust.session()
        finally:
            locust.end()

    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run, name) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_line_each(ended: Ended, places: Places, name: str) -> None:
    code, output, left_behind = ended[name].result()
    assert code == 2, output
    assert "Traceback" not in output
    said = [line for line in output.splitlines() if line.strip() and not _LOGGED.match(line)]
    expected = CASES[name](places).lines
    assert len(said) == len(expected), output
    for line, pattern in zip(said, expected, strict=True):
        assert re.fullmatch(pattern, line), output
    assert left_behind == []


def test_a_transport_that_does_not_exist_is_refused_by_the_parser(start_locust: Any) -> None:
    locust = start_locust("--rt-transport", "pigeon")
    assert locust.wait() == 2
    last = locust.output.strip().splitlines()[-1]
    assert "--rt-transport" in last
    assert "pigeon" in last
    assert "interval-polling" in last


def test_the_io_uring_backend_is_refused(start_locust: Any) -> None:
    locust = start_locust("-u", 2, "-t", "2s", env={"GEVENT_BACKEND": "linux_iouring"})
    assert locust.wait() != 0
    said = locust.output
    # Where the kernel forbids io_uring, gevent itself ends at its import and names the variable.
    assert "GEVENT_BACKEND: io_uring" in said or "linux_iouring" in said
    if "GEVENT_BACKEND: io_uring" in said:
        assert locust.process.returncode == 2
        assert "Traceback" not in said
