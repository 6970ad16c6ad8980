"""`loadtest serve`: how do I get a server to test against?"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from socket import socket

    from loadtest.targets.reference.settings import Settings

USAGE = 2
REFERENCE, NODE, NULL = TARGETS = ("reference", "node", "null")


def serve(
    target: Annotated[
        str,
        typer.Option(
            help="Which server: reference, node (the same contract on Node's Socket.IO), "
            "or null (passes on and does nothing else)."
        ),
    ] = "reference",
    bind: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1; env BIND).")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one (3000; env PORT).")] = None,
    rate_limit: Annotated[
        int | None, typer.Option(help="Messages per minute and socket; 0 for no limit (100; env RATE_LIMIT).")
    ] = None,
    no_websocket: Annotated[
        bool,
        typer.Option(
            "--no-websocket", help="No Socket.IO at all, HTTP polling only (env ENABLE_WEBSOCKET=false)."
        ),
    ] = False,
    ping_interval: Annotated[
        float | None, typer.Option(help="Seconds between heartbeats (25; env PING_INTERVAL).")
    ] = None,
    ping_timeout: Annotated[
        float | None, typer.Option(help="Seconds a heartbeat may stay unanswered (20; env PING_TIMEOUT).")
    ] = None,
    through_faults: Annotated[
        bool,
        typer.Option(
            "--through-faults",
            help="Behind a proxy that does faults on order: black holes, delays, restarts.",
        ),
    ] = False,
) -> None:
    """Run a server that keeps the contract, until Ctrl-C."""
    if target not in TARGETS:
        _fail(f"unknown target {target}: there are {', '.join(TARGETS[:-1])} and {TARGETS[-1]}")
    if target == NULL and no_websocket:
        _fail("--target null has no HTTP polling, so nothing would be left of it without WebSocket")
    given = {
        "BIND": bind,
        "PORT": port,
        "RATE_LIMIT": rate_limit,
        "ENABLE_WEBSOCKET": "false" if no_websocket else None,
        "PING_INTERVAL": ping_interval,
        "PING_TIMEOUT": ping_timeout,
    }
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    environment = {**os.environ, **overrides}
    if through_faults:
        _run_through_faults(environment, target)
    elif target == NODE:
        _become_node(environment)
    else:
        _run(environment, target)


def _run(environment: Mapping[str, str], target: str) -> None:
    from loadtest.targets.reference import server

    settings = _settings(environment)
    try:
        listener = server.listen(settings)
    except server.PortTakenError as taken:
        _fail(str(taken))
    except OSError as bad:
        _fail(f"cannot listen on {settings.bind}: {bad}")
    host, port = _host(settings.bind), listener.getsockname()[1]
    url = f"http://{host}:{port}"
    if target == NULL:
        _serve_null(environment, settings, listener, url)
    else:
        server.serve(settings, listener, lambda: _announce(settings, url))


def _serve_null(environment: Mapping[str, str], settings: "Settings", listener: "socket", url: str) -> None:
    from loadtest.targets.null import server
    from loadtest.targets.reference.settings import SettingsError

    try:
        held_back_ns = server.delay_ns(environment)
    except SettingsError as bad:
        _fail(*bad.faults)
    server.serve(settings, held_back_ns, listener, lambda: _announce_null(url, held_back_ns))


def _install_node() -> None:
    """The proxy would not wait as long for the server behind it, nor say as clearly what is missing."""
    from loadtest.targets.node import server
    from loadtest.targets.node.install import NodeMissing

    try:
        server.ready()
    except NodeMissing as missing:
        _fail(str(missing))


def _become_node(environment: Mapping[str, str]) -> NoReturn:
    from loadtest.targets.node import server
    from loadtest.targets.node.install import NodeMissing

    _settings(environment)  # what is wrong is said before anything is installed
    try:
        server.become(environment)
    except NodeMissing as missing:
        _fail(str(missing))


def _run_through_faults(environment: Mapping[str, str], target: str) -> NoReturn:
    from loadtest.targets.faultproxy import control
    from loadtest.targets.faultproxy.listener import Listener, ListenError
    from loadtest.targets.faultproxy.run import Child, run
    from loadtest.targets.reference.settings import Settings

    bind = environment.get("BIND", "").strip() or Settings.bind
    if not Settings(bind=bind).on_loopback:
        _fail(
            f"--through-faults works on loopback only, where nobody else can order faults, not on {bind}: "
            "use --bind 127.0.0.1, or leave the flag out"
        )
    settings = _settings(environment)
    if target == NODE:
        _install_node()
    try:
        listener = Listener(settings.bind, settings.port)
        controls = control.listen(0)
    except ListenError as bad:
        _fail(str(bad))
    except OSError as bad:
        _fail(f"cannot listen on 127.0.0.1: {bad}")
    inner = {
        **environment,
        "BIND": "127.0.0.1",
        "PORT": "0",
        "FAULT_CONTROL": control.url(controls),
    }
    child = Child([sys.executable, "-m", "loadtest", "serve", "--target", target], inner)
    code = run(
        listener,
        controls,
        child,
        lambda: _announce(settings, listener.url, control.url(controls)),
        "loadtest serve",
    )
    raise typer.Exit(code)


def _settings(environment: Mapping[str, str]) -> "Settings":
    from loadtest.targets.reference.settings import Settings, SettingsError

    try:
        return Settings.from_environment(environment)
    except SettingsError as bad:
        _fail(*bad.faults)


def _host(bind: str) -> str:
    return f"[{bind}]" if ":" in bind else bind


def _announce(settings: "Settings", url: str, fault_control: str | None = None) -> None:
    limit = f"{settings.rate_limit} messages/min per socket" if settings.rate_limit else "none"
    hooks = "on (/__stats, /__fault, /api/auth/token)" if settings.test_hooks else "off"
    websocket = "" if settings.enable_websocket else "; Socket.IO is off, HTTP polling only"
    print(f"listening on {url}")
    if fault_control is not None:
        print(f"fault control: {fault_control}")
    print(f"try: locust -f scenarios/messaging.py -H {url}")
    print(f"rate limit: {limit}; test hooks: {hooks}{websocket}", flush=True)


def _announce_null(url: str, held_back_ns: int) -> None:
    held_back = f", {held_back_ns / 1e6:g} ms late" if held_back_ns else ""
    print(f"listening on {url}")
    print(f"try: locust -f scenarios/messaging.py -H {url}")
    print(f"null server: lets everybody in, passes on what is said to a room{held_back}, and keeps nothing")
    print("rate limit: none; no HTTP polling", flush=True)


def _fail(*lines: str) -> NoReturn:
    for line in lines:
        print(f"loadtest serve: {line}", file=sys.stderr)
    raise typer.Exit(USAGE)
