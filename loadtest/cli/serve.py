"""`loadtest serve`: how do I get a server to test against?"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from loadtest.cli import serving_cluster
from loadtest.cli.serving import (
    NODE,
    NULL,
    TARGETS,
    announce,
    fail,
    host_of,
    install_node,
    listen,
    loopback_only,
    settings_of,
)

if TYPE_CHECKING:
    from socket import socket

    from loadtest.targets.reference.settings import Settings


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
    instances: Annotated[
        int, typer.Option(help="How many servers, behind HAProxy; several share their state over --redis.")
    ] = 1,
    redis: Annotated[
        str | None, typer.Option(help="Redis that holds the state: redis://127.0.0.1:6379/0 (env REDIS_URL).")
    ] = None,
    sticky: Annotated[
        str | None, typer.Option(help="How a user comes back to its instance: cookie, or none (cookie).")
    ] = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="https and wss: HAProxy in front, with a certificate made for this start."
        ),
    ] = False,
) -> None:
    """Run a server that keeps the contract, until Ctrl-C; or several of them."""
    if target not in TARGETS:
        fail(f"unknown target {target}: there are {', '.join(TARGETS[:-1])} and {TARGETS[-1]}")
    if target == NULL and no_websocket:
        fail("--target null has no HTTP polling, so nothing would be left of it without WebSocket")
    given = {
        "BIND": bind,
        "PORT": port,
        "RATE_LIMIT": rate_limit,
        "ENABLE_WEBSOCKET": "false" if no_websocket else None,
        "PING_INTERVAL": ping_interval,
        "PING_TIMEOUT": ping_timeout,
        "REDIS_URL": redis,
    }
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    environment = {**os.environ, **overrides}
    wanted = serving_cluster.Wanted(instances, sticky, tls)
    serving_cluster.check(wanted, environment, target, through_faults)
    if redis or instances > 1:
        serving_cluster.ask_redis(environment["REDIS_URL"], target)
    if wanted.behind_proxy:
        serving_cluster.run_behind_proxy(wanted, environment, target)
    elif through_faults:
        _run_through_faults(environment, target)
    elif target == NODE:
        _become_node(environment)
    else:
        _run(environment, target)


def _run(environment: Mapping[str, str], target: str) -> None:
    from loadtest.targets.reference import server
    from loadtest.targets.reference.shared import SharedStateError

    settings = settings_of(environment)
    listener = listen(settings)
    host, port = host_of(settings.bind), listener.getsockname()[1]
    url = f"http://{host}:{port}"
    if target == NULL:
        _serve_null(environment, settings, listener, url)
        return
    try:
        server.serve(settings, listener, lambda: announce(settings, url))
    except SharedStateError as bad:
        fail(str(bad))


def _serve_null(environment: Mapping[str, str], settings: "Settings", listener: "socket", url: str) -> None:
    from loadtest.targets.null import server
    from loadtest.targets.reference.settings import SettingsError

    try:
        held_back_ns = server.delay_ns(environment)
    except SettingsError as bad:
        fail(*bad.faults)
    server.serve(settings, held_back_ns, listener, lambda: _announce_null(url, held_back_ns))


def _become_node(environment: Mapping[str, str]) -> NoReturn:
    from loadtest.targets.node import server
    from loadtest.targets.node.install import NodeMissing

    settings_of(environment)  # what is wrong is said before anything is installed
    try:
        server.become(environment)
    except NodeMissing as missing:
        fail(str(missing))


def _run_through_faults(environment: Mapping[str, str], target: str) -> NoReturn:
    from loadtest.targets.faultproxy import control
    from loadtest.targets.faultproxy.listener import Listener, ListenError
    from loadtest.targets.faultproxy.run import Child, run

    loopback_only(environment, "--through-faults works on loopback only, where nobody else can order faults")
    settings = settings_of(environment)
    if target == NODE:
        install_node()
    try:
        listener = Listener(settings.bind, settings.port)
        controls = control.listen(0)
    except ListenError as bad:
        fail(str(bad))
    except OSError as bad:
        fail(f"cannot listen on 127.0.0.1: {bad}")
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
        lambda: announce(settings, listener.url, control.url(controls)),
        "loadtest serve",
    )
    raise typer.Exit(code)


def _announce_null(url: str, held_back_ns: int) -> None:
    held_back = f", {held_back_ns / 1e6:g} ms late" if held_back_ns else ""
    print(f"listening on {url}")
    print(f"try: locust -f scenarios/messaging.py -H {url}")
    print(f"null server: lets everybody in, passes on what is said to a room{held_back}, and keeps nothing")
    print("rate limit: none; no HTTP polling", flush=True)
