"""On what machine, and with which versions, was this measured?"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("locust", "gevent", "python-socketio", "websockets", "msgspec", "numpy")


def facts() -> dict[str, str | int | None]:
    """All of it by name."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def line() -> str:
    """One line for the head of a table."""
    known = facts()
    return f"{known['cores']} cores, {known['cpu']}, {known['kernel']}, Python {known['python']}"


def _cpu() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
