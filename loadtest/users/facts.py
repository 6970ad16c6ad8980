"""What machine and what versions was a run made with? For people, and for telling runs apart."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import psutil

from loadtest.measure.addresses import without_credentials
from loadtest.users.options import FLAGS, SECRETS

_PACKAGES = ("realtime-loadtest", "locust", "gevent", "python-socketio", "websockets", "msgspec", "numpy")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_OFFSETS = Path("/proc/self/timens_offsets")


def clock_id() -> str:
    """Processes with the same one share the clock: one boot, one time namespace."""
    try:
        return f"{_BOOT_ID.read_text().strip()}/{_TIME_OFFSETS.read_text().split()}"
    except OSError:
        return platform.node()


def environment() -> dict[str, Any]:
    """The machine and the versions; ``fingerprint`` is equal where runs may be compared."""
    memory_gib = round(psutil.virtual_memory().total / 2**30)
    machine = {
        "os": platform.system(),
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": memory_gib,
        "python": platform.python_version(),
    }
    fingerprint = hashlib.sha256(msgspec.json.encode(machine, order="sorted")).hexdigest()[:12]
    return {
        "fingerprint": fingerprint,
        "host": platform.node(),
        **machine,
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the working directory, if it is one."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None


def command() -> str:
    """The command line, fit to be shown: what carries a secret is replaced."""
    names = {"--" + name.replace("_", "-") for name in SECRETS}
    words: list[str] = []
    hide = False
    for word in ["locust", *sys.argv[1:]]:
        flag, equals, _ = word.partition("=")
        if hide:
            word = "***"
        elif equals and _means(flag, names):
            word = f"{flag}=***"
        hide = not hide and not equals and _means(flag, names)
        words.append(shlex.quote(without_credentials(word)))
    return " ".join(words)


def _means(flag: str, secrets: set[str]) -> bool:
    """Whether argparse would take ``flag`` for one of ``secrets``; it takes unambiguous beginnings too."""
    if not flag.startswith("--rt-"):
        return False
    known = [f"--rt-{one.name}" for one in FLAGS]
    meant = [flag] if flag in known else [name for name in known if name.startswith(flag)]
    return any(name in secrets for name in meant)
