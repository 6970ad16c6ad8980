"""How does a command get a server of its own, and never leave one behind?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_STOP_S = 10.0
_LISTENING = "listening on "


class ServerFailed(Exception):
    """The embedded server did not start; ``str`` is what it said."""


class Embedded(str):
    """The URL of a server that runs; ``pid`` is its process."""

    pid: int

    def __new__(cls, url: str, pid: int) -> Embedded:
        """Of both."""
        made = super().__new__(cls, url)
        made.pid = pid
        return made


@contextmanager
def embedded_server(*flags: str, environment: Mapping[str, str] | None = None) -> Iterator[Embedded]:
    """Start the reference server on a free port of 127.0.0.1, yield its URL, and stop it whatever happens.

    Its limit of messages per minute is off: it is there to be measured, and the report says so.
    ``environment``: switches beside those of this process. Raises ServerFailed.
    """
    # Complaints go to a file: nobody reads a pipe while the server runs, and a full one would stop it.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        child = subprocess.Popen(
            [sys.executable, "-m", "loadtest", "serve", "--port", "0", "--rate-limit", "0", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for us; the server is stopped when nobody needs it any more
        )
        try:
            assert child.stdout is not None
            first = child.stdout.readline()
            if not first.startswith(_LISTENING):
                said = first + child.stdout.read()
                complaints.seek(0)
                raise ServerFailed((said + complaints.read()).strip() or "it ended without a word")
            yield Embedded(first.removeprefix(_LISTENING).strip(), child.pid)
        finally:
            stop(child)


def stop(child: subprocess.Popen[str]) -> None:
    """End a process of ours, kindly first, and close the pipe it spoke through."""
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
