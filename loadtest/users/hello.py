"""May this worker take part in the master's runs? What it says of itself when it comes, and what must agree.

A worker takes the master's flags, so it needs none of its own. One that was given others, another locustfile or
another release would measure something else than the run says, and nobody would see it.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from loadtest import __version__
from loadtest.users import facts
from loadtest.users.options import FLAGS, SECRETS, default_of

_THE_MASTERS_ALONE = frozenset({"out", "allow-remote"})
"""Flags that mean nothing to a worker."""
_NETWORK = Path("/proc/self/ns/net")


class Hello(msgspec.Struct, frozen=True):
    """What a process says of itself, master and worker alike.

    flags: those that were given another value than the default; of a secret a digest. scripts: digests of the
    locustfiles by name. clock: equal where the clock is. network: equal where local ports are shared.
    """

    version: str
    classes: list[str]
    scripts: list[str]
    flags: dict[str, str]
    host: str
    clock: str
    network: str
    pid: int
    parent: int


def of_this_process(environment: Any, options: Any) -> Hello:
    """What there is to say of this one. options: as they were given to it."""
    return Hello(
        __version__,
        sorted(one.__name__ for one in environment.user_classes),
        sorted(_digest(Path(one)) for one in environment.parsed_locustfiles or ()),
        _flags(options),
        platform.node(),
        facts.clock_id(),
        _network(),
        os.getpid(),
        os.getppid(),
    )


def _digest(path: Path) -> str:
    try:
        # As text: the master hands its locustfile to a worker as text.
        return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()[:16]
    except (OSError, UnicodeDecodeError):
        return ""  # an address, or a folder: not compared


def _flags(options: Any) -> dict[str, str]:
    found = {}
    for flag in FLAGS:
        dest = "rt_" + flag.name.replace("-", "_")
        value = getattr(options, dest, None)
        if flag.name in _THE_MASTERS_ALONE or value in (None, "", default_of(flag)):
            continue
        said = str(value)
        found[flag.name] = hashlib.sha256(said.encode()).hexdigest() if dest in SECRETS else said
    return found


def _network() -> str:
    try:
        return f"{facts.clock_id().partition('/')[0]}/{os.stat(_NETWORK).st_ino}"
    except OSError:
        return platform.node()


def other_release(version: str, who: str) -> str:
    """A worker of another release: one line that says what to do about it."""
    return f"{who}: it has realtime-loadtest {version}, the master {__version__}; install the same everywhere"


def misfit(worker: Hello, master: Hello, who: str) -> str | None:
    """Why this worker may not take part: one line that says what to do about it. None: it may."""
    if worker.version != master.version:
        return other_release(worker.version, who)
    missing = sorted(set(master.classes) - set(worker.classes))
    if missing:
        return f"{who}: its locustfile has no {_and(missing)}; give it the master's: -f FILE, or -f -"
    if "" not in (*worker.scripts, *master.scripts) and worker.scripts != master.scripts:
        return f"{who}: its locustfile is not the master's; copy that, or let it fetch it: -f -"
    for name, value in worker.flags.items():
        if value == master.flags.get(name):
            continue
        if f"rt_{name.replace('-', '_')}" in SECRETS:
            return f"{who}: --rt-{name} is not the master's; leave it out, workers take the master's flags"
        differ = f"--rt-{name} is {value}, the master has {master.flags.get(name, 'its default')}"
        return f"{who}: {differ}; leave it out, workers take the master's flags"
    return None


def _and(names: Iterable[str]) -> str:
    return ", ".join(names)
