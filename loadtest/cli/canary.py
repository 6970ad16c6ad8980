"""Was the machine itself the same before a trial and after it?

On a shared machine the same build measures differently from one minute to the next, because of what others
do. A fixed piece of work, timed on either side of a trial, and the time that the hypervisor gave to somebody
else meanwhile tell such a trial apart: it is repeated, not averaged away.
"""

from __future__ import annotations

import hashlib
import time
from typing import NamedTuple

import psutil

APART = 0.10
"""The fixed work may take so much longer on one side of a trial than on the other."""
STOLEN = 0.02
"""And others may have had so much of all processor time."""
_BLOCK = bytes(1 << 20)
_BLOCKS = 40
_TIMES = 5


class Sight(NamedTuple):
    """One look at the machine: the fixed work's time, the fastest of some; processor time so far, in seconds."""

    spin_s: float
    stolen_s: float
    all_s: float


def look() -> Sight:
    """Do the fixed work, some tenths of a second of one core, and read the counters."""
    times = psutil.cpu_times()
    return Sight(min(_spin() for _ in range(_TIMES)), float(getattr(times, "steal", 0.0)), float(sum(times)))


def _spin() -> float:
    begun = time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(_BLOCKS):
        digest.update(_BLOCK)
    digest.digest()
    return time.perf_counter() - begun


def noise(before: Sight, after: Sight) -> str:
    """Why the trial between them must be repeated, in words; empty if the machine was quiet."""
    slower = max(before.spin_s, after.spin_s) / min(before.spin_s, after.spin_s) - 1
    if slower > APART:
        side = "after" if after.spin_s > before.spin_s else "before"
        return f"the same piece of work took {slower * 100:.0f} % longer {side} the trial"
    passed = after.all_s - before.all_s
    stolen = (after.stolen_s - before.stolen_s) / passed if passed > 0 else 0.0
    if stolen > STOLEN:
        return f"{stolen * 100:.1f} % of the processor time went to other guests of the host"
    return ""
