"""`loadtest serve --instances N --redis URL`, `--tls`: how do I get several servers behind a proxy?"""

import secrets
import shutil
import string
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import typer

from loadtest.cli.serving import (
    NODE,
    NULL,
    announce,
    fail,
    host_of,
    install_node,
    listen,
    loopback_only,
    settings_of,
)

if TYPE_CHECKING:
    from loadtest.targets.cluster.run import Plan, Running
    from loadtest.targets.reference.settings import Settings

NAMES = string.ascii_lowercase
STICKY = ("cookie", "none")


class Wanted(NamedTuple):
    """What was asked for: how many instances, whether they are named by a cookie, whether TLS ends in front."""

    instances: int
    sticky: str | None
    tls: bool

    @property
    def behind_proxy(self) -> bool:
        """Whether that takes a proxy at all."""
        return self.instances != 1 or self.tls


def check(wanted: Wanted, environment: Mapping[str, str], target: str, through_faults: bool) -> None:
    """Refuse in one line what cannot be."""
    if not 1 <= wanted.instances <= len(NAMES):
        fail(f"--instances {wanted.instances}: from 1 to {len(NAMES)}, a letter for each")
    if wanted.sticky not in (None, *STICKY):
        fail(f"--sticky {wanted.sticky}: there are {' and '.join(STICKY)}")
    if wanted.sticky is not None and wanted.instances == 1:
        fail("--sticky says who comes back to which of several instances: it needs --instances 2 or more")
    if target == NULL and wanted.instances > 1:
        fail("--target null keeps its rooms to itself, so it has one instance only")
    if wanted.instances > 1 and not environment.get("REDIS_URL"):
        fail(
            f"--instances {wanted.instances} needs --redis URL, which is how the instances hear of one another: "
            "start one with redis-server, and add --redis redis://127.0.0.1:6379/0"
        )
    if through_faults and wanted.behind_proxy:
        fail("--through-faults is a proxy in front of one server: it does not go with --instances and --tls")


def ask_redis(url: str, target: str) -> None:
    """Refuse in one line where there is no Redis, or nobody to use it."""
    from loadtest.targets.cluster.needed import Missing, ask_redis

    if target == NULL:
        fail("--target null keeps nothing, so it has nothing to put into a Redis")
    try:
        ask_redis(url)
    except Missing as missing:
        fail(str(missing))


def run_behind_proxy(wanted: Wanted, environment: Mapping[str, str], target: str) -> NoReturn:
    """Until Ctrl-C."""
    from loadtest.targets.cluster.needed import Missing, haproxy

    loopback_only(
        environment, "--instances and --tls work on loopback only, where nobody else can reach the test hooks"
    )
    settings = settings_of(environment)
    try:
        program = haproxy()
    except Missing as missing:
        fail(str(missing))
    if target == NODE:
        install_node()
    folder = Path(tempfile.mkdtemp(prefix="loadtest-serve-"))
    try:
        code = _run(wanted, environment, target, settings, program, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(code)


def _run(
    wanted: Wanted,
    environment: Mapping[str, str],
    target: str,
    settings: "Settings",
    program: str,
    folder: Path,
) -> int:
    from loadtest.targets.cluster.certificate import issue
    from loadtest.targets.cluster.run import Plan, run

    listener = listen(settings)
    plan = Plan(
        [sys.executable, "-m", "loadtest", "serve", "--target", target],
        _environments(wanted.instances, environment),
        program,
        listener,
        wanted.instances > 1 and wanted.sticky != "none",
        issue(folder, settings.bind) if wanted.tls else None,
        settings.ping_interval_s + settings.ping_timeout_s,
        folder,
    )
    port = listener.getsockname()[1]
    url = f"{'https' if wanted.tls else 'http'}://{host_of(settings.bind)}:{port}"
    return run(plan, lambda running, pid: _announce(settings, url, plan, running, pid), "loadtest serve")


def _environments(instances: int, environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """All that each instance gets. What another start left in the Redis has other keys."""
    inner = {**environment, "BIND": "127.0.0.1", "PORT": "0"}
    if instances == 1:
        return {NAMES[0]: inner}
    cluster = f"loadtest-{secrets.token_hex(4)}"
    return {name: {**inner, "CLUSTER": cluster, "INSTANCE": name} for name in NAMES[:instances]}


def _announce(settings: "Settings", url: str, plan: "Plan", running: list["Running"], proxy: int) -> None:
    announce(settings, url, authority=plan.certificate and plan.certificate.authority)
    for one in running:
        print(f"instance {one.name}: {one.url}, pid {one.pid}")
    does = "one instance behind it"
    if len(running) > 1:
        does = "sticky by cookie" if plan.sticky else "not sticky: users over long-polling will not get in"
    print(f"haproxy: pid {proxy}, {does}", flush=True)
