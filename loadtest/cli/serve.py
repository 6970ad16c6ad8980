"""`loadtest serve`: how do I get a server to test against?"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from loadtest.targets.reference.settings import Settings

USAGE = 2


def serve(
    target: Annotated[str, typer.Option(help="Which server: reference.")] = "reference",
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
) -> None:
    """Run a server that keeps the contract, until Ctrl-C."""
    if target != "reference":
        _fail(f"unknown target {target}: the only one is reference")
    given = {
        "BIND": bind,
        "PORT": port,
        "RATE_LIMIT": rate_limit,
        "ENABLE_WEBSOCKET": "false" if no_websocket else None,
        "PING_INTERVAL": ping_interval,
        "PING_TIMEOUT": ping_timeout,
    }
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    _run({**os.environ, **overrides})


def _run(environment: Mapping[str, str]) -> None:
    from loadtest.targets.reference import server
    from loadtest.targets.reference.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment(environment)
        listener = server.listen(settings)
    except SettingsError as bad:
        _fail(*bad.faults)
    except server.PortTakenError as taken:
        _fail(str(taken))
    except OSError as bad:
        _fail(f"cannot listen on {environment.get('BIND')}: {bad}")
    port = listener.getsockname()[1]
    server.serve(settings, listener, lambda: _announce(settings, port))


def _announce(settings: "Settings", port: int) -> None:
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    limit = f"{settings.rate_limit} messages/min per socket" if settings.rate_limit else "none"
    hooks = "on (/__stats, /__fault, /api/auth/token)" if settings.test_hooks else "off"
    websocket = "" if settings.enable_websocket else "; Socket.IO is off, HTTP polling only"
    print(f"listening on http://{host}:{port}")
    print(f"try: locust -f scenarios/messaging.py -H http://{host}:{port}")
    print(f"rate limit: {limit}; test hooks: {hooks}{websocket}", flush=True)


def _fail(*lines: str) -> NoReturn:
    for line in lines:
        print(f"loadtest serve: {line}", file=sys.stderr)
    raise typer.Exit(USAGE)
