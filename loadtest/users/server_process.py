"""What does the system say of a process of this machine and its children?

Read from /proc on the hub: a few small files for each process, some tens of microseconds. The CPU of a child that
ended and was waited for is in its parent's account, so the sum loses nothing.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from gevent import get_hub

from loadtest.users.server_source import Silent, Told

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_DEAD = ("Z", "X", "x")


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that are looked at. cpu_s: its own; gone_s: of children that ended."""

    state: str
    cpu_s: float
    gone_s: float
    started: int
    rss_bytes: int


class ProcessTree:
    """A process and its children, as a Source. Raises Silent if there is no such process."""

    keeps_the_dead = True

    def __init__(self, pid: int) -> None:
        self.name = f"pid:{pid}"
        self._pid = pid
        self._started = _alive(pid).started
        self._with_children = os.path.exists(_children_file(pid, str(pid)))
        self._processes = 1

    def ask(self) -> Told:
        """What they use now. Raises Silent once the process has ended, also if another has its number by now."""
        if _alive(self._pid).started != self._started:
            raise Silent("it has ended")
        stats: dict[int, Stat] = {}
        descriptors = 0
        for pid in self._tree():
            try:
                stats[pid] = stat_of(pid)
            except OSError:
                continue  # a child that has just ended
            counted = _descriptors(pid)
            descriptors = -1 if counted < 0 or descriptors < 0 else descriptors + counted
        self._processes = len(stats)
        return Told(
            {str(pid): one.cpu_s for pid, one in stats.items()},
            sum(one.rss_bytes for one in stats.values()),
            descriptors=descriptors,
            gone_s=sum(one.gone_s for one in stats.values()),
        )

    def about(self) -> str:
        """Its name, and whether there is more than one process in it."""
        if not self._with_children:
            return f"{self.name}: /proc, without its children, which this system does not tell"
        return f"{self.name}: /proc" + (
            f"; {self._processes} processes, added up" if self._processes > 1 else ""
        )

    def _tree(self) -> list[int]:
        found = [self._pid]
        if self._with_children:
            for pid in found:
                found += _children(pid)
        return found


def stat_of(pid: int) -> Stat:
    """Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The name of the program stands in parentheses, and may hold anything.
        fields = file.read().rpartition(b")")[2].split()
    user, system, gone_user, gone_system = (int(field) / _TICKS_PER_S for field in fields[11:15])
    return Stat(
        fields[0].decode(),
        user + system,
        gone_user + gone_system,
        int(fields[19]),
        int(fields[21]) * _PAGE_BYTES,
    )


def _alive(pid: int) -> Stat:
    try:
        found = stat_of(pid)
    except OSError:
        found = None
    if found is None or found.state in _DEAD:
        raise Silent("there is no such process")
    return found


def _children_file(pid: int, task: str) -> str:
    return f"/proc/{pid}/task/{task}/children"


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(_children_file(pid, task), "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # a process or a thread that has just ended
    return found


def _descriptors(pid: int) -> int:
    """How many it has open; -1 where that is not told, as of somebody else's process."""
    folder = f"/proc/{pid}/fd"
    try:
        # Newer kernels say it at once. On older ones it is a list, long on a server: not on the hub.
        return os.stat(folder).st_size or len(get_hub().threadpool.apply(os.listdir, (folder,)))
    except OSError:
        return -1
