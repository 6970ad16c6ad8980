"""Can this machine make a load, and with how many processes? Asked before a run, not learned from it."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from loadtest.measure.sockets import LOOPBACK_ADDRESSES

if TYPE_CHECKING:
    from loadtest.analysis.event_cost import Cost
    from loadtest.analysis.floors import Load
    from loadtest.analysis.sizing import Fit, Machine

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class CannotRun(Exception):
    """What no number of processes helps against; ``str`` has a line for each reason."""


def machine(shared: bool = True, client: str = "native") -> Machine:
    """What this one has. shared: whether the server under test runs here too.

    Connections of our own client to a server on this machine leave from several addresses, each with its ports.
    """
    from loadtest.analysis.sizing import Machine

    several = shared and client == "native" and sys.platform.startswith("linux")
    ports = _ports()

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        descriptors=None if hard == resource.RLIM_INFINITY else hard,
        ports=ports and ports * (LOOPBACK_ADDRESSES if several else 1),
        memory_bytes=psutil.virtual_memory().total,
        shared=shared,
    )


def _ports() -> int | None:
    try:
        low, high = (int(word) for word in _PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        return None
    return high - low + 1


def fits(load: Load, reports: Path = Path("reports"), shared: bool = True) -> Fit:
    """A load beside this machine, by the newest cost that was measured here. Raises ValueError."""
    from loadtest.analysis.sizing import fit

    return fit(load.need(measured_cost(load, reports)), machine(shared, load.client))


def check(
    users: int,
    rate_per_s: float,
    room_size: str = "10",
    transport: str = "websocket",
    devices: int = 1,
    client: str = "native",
    reports: Path = Path("reports"),
    shared: bool = True,
) -> list[str]:
    """What is scarce for such a load, a line each; nothing if there is enough of everything.

    reports: where calibrations lie; shared: whether the server under test runs on this machine too.
    Raises CannotRun with what no number of processes helps against, and ValueError for a load that makes no sense.
    """
    from loadtest.analysis.floors import Load

    found = fits(Load(users, rate_per_s, room_size, transport, devices, client), reports, shared)
    if found.impossible:
        raise CannotRun("\n".join(found.impossible))
    return found.short


def measured_cost(load: Load, reports: Path) -> Cost | None:
    """Of the newest calibration on this machine with such a client over such a transport; None: there is none.

    For want of one, the stock client has a dearer default than ours.
    """
    from loadtest.analysis.event_cost import STOCK
    from loadtest.cli.floors import read_floors
    from loadtest.measure.run import FLOORS, RunError

    here = {"host": platform.node(), "cores": os.cpu_count(), "python": platform.python_version()}
    for path in _newest_first(reports.glob(f"*-calibration-*/{FLOORS}")):
        try:
            found = read_floors(path.parent)
        except RunError:
            continue  # of a newer version, or damaged: as if it were not there
        if found is None or found.cost is None:
            continue
        of = found.load
        if (of.transport, of.client) == (load.transport, load.client) and _says(found.machine, here):
            return found.cost
    return STOCK if load.client != "native" else None


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.parent.name, reverse=True)


def _says(told: dict[str, str | int | float | None], here: dict[str, str | int | None]) -> bool:
    return all(told.get(name) == value for name, value in here.items())
