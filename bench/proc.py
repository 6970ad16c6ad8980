"""What has a process used so far? Read from /proc, so that every process is asked in the same way."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def cpu_ns(pid: int) -> int:
    """User and system time of a process and its threads, to the kernel's tick (10 ms)."""
    # The name before ") " may hold blanks; what follows are fields 3, 4, ...: utime is 14, stime 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_NS


def memory(pid: int) -> tuple[int, int]:
    """(RSS, its anonymous part) in bytes.

    Not PSS: a library's page counts for less there while another Python runs, so neighbours that come and go
    would move the result by several KB a user.
    """
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    return sizes["Rss"], sizes["Anonymous"]
