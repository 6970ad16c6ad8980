"""Where is Node, and where are the packages that a folder's lock file names?

Installed once for each lock file, into the user's cache: a checkout stays clean, and an installed wheel may be
read-only.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

OLDEST_NODE = 18
INSTALL_S = 150.0
NAMES = ("package.json", "package-lock.json")
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")


class NodeMissing(Exception):
    """Node or its packages cannot be had here; `str` says why and what to do, in one line."""


def node() -> str:
    """The path of a node that is new enough. Raises NodeMissing."""
    path = _which("node")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = said.lstrip("v").partition(".")[0]
    if not major.isdigit() or int(major) < OLDEST_NODE:
        raise NodeMissing(f"node is {said or 'of no version'}, but {OLDEST_NODE} or newer is needed: {path}")
    return path


def packages(folder: Path, name: str) -> Path:
    """The node_modules that `folder`'s package-lock.json asks for, installed on first use into
    `<cache>/realtime-loadtest/<name>-<hash of the lock>`. Raises NodeMissing."""
    npm = _which("npm")
    digest = hashlib.sha256(b"".join((folder / one).read_bytes() for one in NAMES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "realtime-loadtest"
    home = cache / f"{name}-{digest}"
    if not home.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _make(npm, folder, home)
        except OSError as bad:
            raise NodeMissing(f"cannot install into {cache}: {bad.strerror or bad}") from bad
    return home / "node_modules"


def _make(npm: str, folder: Path, home: Path) -> None:
    # Made aside and renamed: an install that was broken off, or that of another process, is never mistaken for
    # whole.
    with tempfile.TemporaryDirectory(dir=home.parent) as aside:
        whole = Path(aside) / "whole"
        whole.mkdir()
        for name in NAMES:
            shutil.copy(folder / name, whole)
        _npm_ci(npm, whole)
        try:
            os.rename(whole, home)
        except OSError:
            if not home.exists():  # else somebody else was faster
                raise


def _npm_ci(npm: str, folder: Path) -> None:
    try:
        ended = subprocess.run([npm, *NPM_CI], cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        raise NodeMissing(f"npm ci did not end within {INSTALL_S:g} s: is the registry reachable?") from None
    if ended.returncode:
        said = [line.removeprefix("npm error").strip() for line in ended.stderr.splitlines()]
        raise NodeMissing(f"npm ci failed: {'; '.join(line for line in said if line)[:300]}")


def _which(command: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise NodeMissing(f"{command} is not installed (Debian: apt-get install nodejs npm)")
    return path
