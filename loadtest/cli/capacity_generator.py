"""Can the generator make a level at all, and with how many processes? No plan stands on a generator at its limit.

Asked before a level is run. Whether it kept up then, the run itself says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from loadtest.measure.units import parse_rate

_KNOWN = "messaging"
"""The scenario whose events per message the sizing knows; of others the run itself is asked."""
_DEFAULTS = {"rate": "6/m", "room-size": "10", "transport": "websocket", "devices": "1", "client": "native"}


class Guard(NamedTuple):
    """flags: of locust, for as many processes as it takes. refused: why there can be no such
    level; short: what is scarce, a line each."""

    flags: list[str]
    refused: str
    short: list[str]


def guard(users: int, scenario: str, flags: Sequence[str], reports: Path, shared: bool) -> Guard:
    """For so many users with these flags of locust. shared: whether the server runs on this machine too."""
    from loadtest.analysis.floors import Load
    from loadtest.cli.sizing import fits

    if scenario != _KNOWN:
        return Guard([], "", [])
    told = {name: given(name, flags, os.environ) for name in _DEFAULTS}
    try:
        rate, devices = parse_rate(told["rate"]), int(told["devices"])
        load = Load(users, rate, told["room-size"], told["transport"], devices, told["client"])
        found = fits(load, reports, shared)
    except (ValueError, KeyError):
        return Guard([], "", [])  # locust itself says what is wrong with them
    if found.impossible:
        return Guard([], found.impossible[0], found.short)
    processes = min(found.processes, found.machine.cores - shared)
    chosen = any(one.partition("=")[0] in ("--processes", "--master", "--worker") for one in flags)
    return Guard(["--processes", str(processes)] if processes > 1 and not chosen else [], "", found.short)


def given(name: str, flags: Sequence[str], environment: Mapping[str, str]) -> str:
    """What ``--rt-NAME`` is: as typed, last one first, else from the environment, else its default."""
    for index in range(len(flags) - 1, -1, -1):
        flag, equals, value = flags[index].partition("=")
        if flag == f"--rt-{name}":
            return value if equals else flags[index + 1] if index + 1 < len(flags) else _DEFAULTS[name]
    return environment.get(f"LOCUST_RT_{name.upper().replace('-', '_')}") or _DEFAULTS[name]
