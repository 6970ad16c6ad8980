"""What will the system allow this process: file descriptors, local ports? Found out before the run."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from loadtest.measure import sockets
from loadtest.users import sources
from loadtest.users.connection import Place
from loadtest.users.target import Refused

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FD_DIRECTORY = Path("/proc/self/fd")


def raise_descriptors() -> None:
    """Raise the soft limit of descriptors to the hard one; Locust itself stops at 10 000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # `check` says what that means, if it means anything


def descriptors() -> dict[str, Any]:
    """The limit, and how many are in use now."""
    try:
        used: int | None = len(os.listdir(_FD_DIRECTORY))
    except OSError:
        used = None
    return {"fds_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "fds_used": used}


def check(
    users: int,
    processes: int,
    transport: str = "websocket",
    devices: int = 1,
    place: Place | None = None,
    client: str = "native",
) -> None:
    """Raise Refused if ``users`` in ``processes`` processes cannot have their sockets towards ``place``."""
    per_process = -(-users // max(1, processes))
    needed = sockets.descriptors(per_process, devices, transport)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and needed > soft:
        raise Refused(
            f"{per_process} users in a process may need {needed} file descriptors, the limit is {soft}; "
            f"raise it (ulimit -n {needed}) or spread the users: --processes {-(-needed // max(1, soft)) + 1}"
        )
    ports, wanted = _ports(), users * devices
    # Only our own client takes another address when one has no ports left.
    several = place is not None and client == "native"
    addresses = sources.how_many(place.family, place.address) if place is not None and several else 1
    if ports is not None and wanted > ports * addresses:
        raise Refused(
            f"{wanted} devices need more local ports than the {ports * addresses} there are towards one server: "
            f"that takes {-(-wanted // ports)} addresses, so use workers on other machines, or fewer users"
        )


def _ports() -> int | None:
    try:
        low, high = (int(word) for word in _PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        return None
    return high - low + 1
