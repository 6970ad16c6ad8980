"""What do all ways to serve have in common? How they read switches, what they announce, how they refuse."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from socket import socket

    from loadtest.targets.reference.settings import Settings

USAGE = 2
REFERENCE, NODE, NULL = TARGETS = ("reference", "node", "null")


def settings_of(environment: Mapping[str, str]) -> "Settings":
    """The switches, checked; or a line for each that is wrong, and exit 2."""
    from loadtest.targets.reference.settings import Settings, SettingsError

    try:
        return Settings.from_environment(environment)
    except SettingsError as bad:
        fail(*bad.faults)


def loopback_only(environment: Mapping[str, str], what: str) -> None:
    """Refuse another address, because the hooks behind ``what`` would be in everybody's reach."""
    from loadtest.targets.reference.settings import Settings

    bind = environment.get("BIND", "").strip() or Settings.bind
    if not Settings(bind=bind).on_loopback:
        fail(f"{what}, not on {bind}: use --bind 127.0.0.1, or leave the flag out")


def install_node() -> None:
    """Whoever waits for a Node server would not wait as long, nor say as clearly what is missing."""
    from loadtest.targets.node import server
    from loadtest.targets.node.install import NodeMissing

    try:
        server.ready()
    except NodeMissing as missing:
        fail(str(missing))


def listen(settings: "Settings") -> "socket":
    """Where the users come to; or one line, and exit 2."""
    from loadtest.targets.reference import server

    try:
        return server.listen(settings)
    except server.PortTakenError as taken:
        fail(str(taken))
    except OSError as bad:
        fail(f"cannot listen on {settings.bind}: {bad}")


def host_of(bind: str) -> str:
    """An address as a URL has it."""
    return f"[{bind}]" if ":" in bind else bind


def announce(
    settings: "Settings", url: str, fault_control: str | None = None, authority: Path | None = None
) -> None:
    """Where it listens, first; then what to type, and how it is set. authority: what the users must trust."""
    limit = f"{settings.rate_limit} messages/min per socket" if settings.rate_limit else "none"
    hooks = "on (/__stats, /__fault, /api/auth/token)" if settings.test_hooks else "off"
    websocket = "" if settings.enable_websocket else "; Socket.IO is off, HTTP polling only"
    trusting = f"SSL_CERT_FILE={shlex.quote(str(authority))} " if authority else ""
    print(f"listening on {url}")
    if fault_control is not None:
        print(f"fault control: {fault_control}")
    print(f"try: {trusting}locust -f scenarios/messaging.py -H {url}")
    print(f"rate limit: {limit}; test hooks: {hooks}{websocket}", flush=True)


def fail(*lines: str) -> NoReturn:
    """One line for each thing that is wrong, and exit 2."""
    for line in lines:
        print(f"loadtest serve: {line}", file=sys.stderr)
    raise typer.Exit(USAGE)
