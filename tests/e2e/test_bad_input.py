"""What is wrong is said before the run, in one line each that names it and what to do; exit code 2."""

from __future__ import annotations

import contextlib
import http.server
import re
import resource
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from e2e_running import ROOT, Locust, Server, wait_until

SCENARIOS = ROOT / "scenarios"
_LOGGED = re.compile(r"^\[[\d\- :,]+\] ")


class Case(NamedTuple):
    """Arguments, the lines they come to (as regular expressions), and what else the process needs."""

    args: tuple[object, ...]
    lines: tuple[str, ...]
    options: dict[str, Any] = {}  # noqa: RUF012


class Places(NamedTuple):
    """Where the cases point to: servers that are there, right and wrong ones, and files."""

    server: str
    hookless: str
    closed: str
    ssh: str
    website: str
    mute: str
    polling_only: str
    tls: str
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
    "a certificate that nobody trusts": lambda at: Case(
        ("-H", at.tls),
        (rf"{at.tls}: certificate: unable to get local issuer .*SSL_CERT_FILE=.*--rt-insecure",),
    ),
    "a certificate of somebody else": lambda at: Case(
        ("-H", at.tls),
        (rf"{at.tls}: certificate: IP address mismatch.*--rt-insecure",),
        {"env": {"SSL_CERT_FILE": str(at.folder / "ca.pem")}},
    ),
    "a server with TLS asked without": lambda at: Case(
        ("-H", at.tls.replace("https", "http")), (r"http://.*: it speaks TLS; use https://127.*",)
    ),
    "TLS asked of a server without": lambda at: Case(
        ("-H", at.server.replace("http", "https")), (r"https://.*: it speaks plain HTTP; use http://127.*",)
    ),
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
    "unknown fault": lambda at: Case(
        ("--rt-fault", "vanish@0"),
        (r"--rt-fault: 'vanish@0': there is no fault 'vanish'; there are abort, .*",),
    ),
    "no fault at all": lambda at: Case(
        ("--rt-fault", "abort"), (r"--rt-fault: 'abort' is no fault: write KIND@START.*abort@10x3/15~0\.3",)
    ),
    "share of nobody": lambda at: Case(
        ("--rt-fault", "abort@0~0"), (r"--rt-fault: 'abort@0~0': a share is a part of the users, .*",)
    ),
    "share of more than all": lambda at: Case(
        ("--rt-fault", "kick@0~1.5"), (r"--rt-fault: 'kick@0~1\.5': a share is .* at most 1",)
    ),
    "faults past the end": lambda at: Case(
        ("--rt-fault", "abort@0,close@60,abort@0x9/1"),
        (
            r"--rt-fault close@60: strikes 1 min into measure, which has at most 1\.2 s .*",
            r"--rt-fault abort@0x9/1: strikes 8(\.0)? s into measure, which has at most 1\.2 s .*",
        ),
    ),
    "a fault for our own client, with the stock one": lambda at: Case(
        ("--rt-fault", "stop-reading@0:1s", "--rt-client", "python-socketio"),
        (r"--rt-fault stop-reading@0:1s: only with --rt-client native",),
    ),
    "a server that takes no orders": lambda at: Case(
        ("-H", at.hookless, "--rt-fault", "kick@0"),
        (r"--rt-fault kick@0: the server itself must do that, .*__fault: HTTP 404 .*loadtest serve does.*",),
    ),
    "a contract without orders": lambda at: Case(
        ("-H", at.server, "--rt-fault", "freeze@0", "--rt-contract", at.folder / "no-fault.toml"),
        (r'--rt-fault freeze@0: the server itself must do that, .*no "hooks\.fault".*',),
    ),
    "no proxy on the way": lambda at: Case(
        ("-H", at.server, "--rt-fault", "blackhole@0:1s"),
        (r"--rt-fault blackhole@0:1s: needs a fault proxy .*--through-faults, .*--rt-fault-control URL",),
    ),
    "no proxy where it should be": lambda at: Case(
        ("-H", at.server, "--rt-fault", "blackhole@0:1s", "--rt-fault-control", at.closed),
        (rf"--rt-fault blackhole@0:1s: no fault proxy answers at {at.closed}/ .*",),
    ),
    "something else where the proxy should be": lambda at: Case(
        ("-H", at.server, "--rt-fault", "delay@0:80ms/1s", "--rt-fault-control", at.server),
        (rf"--rt-fault delay@0:80ms/1s: no fault proxy answers at {at.server}/ .*",),
    ),
    "no URL of a proxy": lambda at: Case(
        ("-H", at.server, "--rt-fault", "delay@0:80ms/1s", "--rt-fault-control", "nonsense"),
        (r"nonsense: not the URL of a fault proxy; write it like http://.*",),
    ),
    "nobody but operators": lambda at: Case(
        ("-f", SCENARIOS / "live_chat.py", "-u", 4, "--rt-operators", 4),
        (r"--rt-operators 4: of 4 users \(-u\), some must be visitors",),
    ),
    "conversations larger than everybody": lambda at: Case(
        ("-u", 4, "--rt-room-size", "2:50,5:50"),
        (r"--rt-room-size: conversations of 5 need at least that many users \(-u 4\)",),
    ),
    "no devices": lambda at: Case(("--rt-devices", 0), (r"--rt-devices: '0' must be at least 1",)),
    "half a device": lambda at: Case(("--rt-devices", "1.5"), (r"--rt-devices: '1\.5' is no whole number",)),
    "a contract without live chat": lambda at: Case(
        ("-H", at.server, "-f", SCENARIOS / "mixed.py", "--rt-contract", at.folder / "no-chats.toml"),
        (r'contract "default": has no \[chats\], .*live chat.*',),
    ),
    "a contract without calls": lambda at: Case(
        ("-H", at.server, "-f", SCENARIOS / "calls.py", "--rt-contract", at.folder / "no-calls.toml"),
        (r'contract "default": has no \[calls\], .*call.*',),
    ),
    "a contract without feeds": lambda at: Case(
        ("-H", at.server, "--rt-transport", "interval-polling", "--rt-contract", at.folder / "no-feeds.toml"),
        (r'contract "default": has no \[\[feeds\]\], so users cannot poll',),
    ),
    "a contract without feeds, and a ladder that ends with one": lambda at: Case(
        (
            *("-H", at.server, "-f", SCENARIOS / "fallback.py", "--rt-fault", "none"),
            *("--rt-contract", at.folder / "no-feeds.toml"),
        ),
        (r'contract "default": has no \[\[feeds\]\], so users cannot poll',),
    ),
    "a contract whose feeds bring something else": lambda at: Case(
        (
            *("-H", at.server, "--rt-transport", "interval-polling"),
            *("--rt-contract", at.folder / "no-messages.toml"),
        ),
        (r'contract "default": none of its \[\[feeds\]\] carries what MessagingUser hears.*',),
    ),
    "no Socket.IO at all": lambda at: Case(
        ("-H", at.polling_only),
        (rf"{at.polling_only}: .*WebSocket is off; use --rt-transport interval-polling",),
    ),
    "too few descriptors": lambda at: Case(
        ("-H", at.server, "-u", 9000),
        (r"9000 users in a process may need \d+ file descriptors, the limit is 10000; .*ulimit -n.*",),
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
    for part in ("chats", "calls", "feeds"):
        (folder / f"no-{part}.toml").write_text(_without(default, part))
    (folder / "no-fault.toml").write_text(default.replace('fault = "/__fault"', ""))
    no_messages = re.sub(
        r"(?m)^operations = .*message\.deliver.*$", 'operations = ["typing.deliver"]', default
    )
    (folder / "no-messages.toml").write_text(no_messages)
    server, hookless, polling_only = (
        Server(folder / "server.log"),
        Server(folder / "hookless.log", env={"TEST_HOOKS": "0"}),
        Server(folder / "polling.log", ["--no-websocket"]),
    )
    with socket.socket() as nobody, contextlib.ExitStack() as stack:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening: refused, and taken by nobody else
        try:
            yield Places(
                server.url,
                hookless.url,
                f"http://127.0.0.1:{nobody.getsockname()[1]}",
                stack.enter_context(_listening(_Ssh)),
                stack.enter_context(_listening(_Website)),
                stack.enter_context(_listening(_Mute)),
                polling_only.url,
                stack.enter_context(_listening(_tls_for("chat.example", folder))).replace("http", "https"),
                folder,
            )
        finally:
            for one in (server, hookless, polling_only):
                one.end()


def _without(contract: str, part: str) -> str:
    """A contract without a table, its parts, and the tables of a list of that name."""
    kept, skips = [], False
    for line in contract.splitlines(keepends=True):
        if line.startswith("["):
            skips = line.lstrip("[").startswith((f"{part}.", f"{part}]"))
        if not skips:
            kept.append(line)
    return "".join(kept)


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


def _tls_for(name: str, folder: Path) -> type[socketserver.BaseRequestHandler]:
    """A server with a certificate for ``name``; whoever trusts ca.pem trusts it."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    ca.cert_pem.write_to_path(folder / "ca.pem")

    class Tls(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as sock:
                sock.recv(1 << 16)

    return Tls


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
