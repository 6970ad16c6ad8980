"""How does a process own another, so that it is never left behind?

Ended when its owner ends, by the kernel if the owner is killed; what it prints is read, its end is told.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

PATIENCE_S = 2.0
LISTENING = "listening on "
_PR_SET_PDEATHSIG = 1


class Child:
    """One life of a program. To be made on the main thread, inside a running loop; both are called there.

    listening(child, url): it printed a line that says where it listens. ended(child, code): it has gone, also
    if it was asked to. keep: descriptors that it inherits. complaints: where its stderr goes; None: where ours
    does.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        listening: Callable[["Child", str], None],
        ended: Callable[["Child", int], None],
        keep: Sequence[int] = (),
        complaints: IO[bytes] | None = None,
    ) -> None:
        self.asked_to_end = False
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._ended = ended
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            errors="replace",
            process_group=0,  # Ctrl-C is for us; we end the server
            pass_fds=keep,
            preexec_fn=_die_with_parent(),
        )
        threading.Thread(target=self._watch, name="server", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def end(self) -> None:
        """SIGTERM, and SIGKILL if it takes too long."""
        if self.asked_to_end:
            return
        self.asked_to_end = True
        self._process.terminate()
        self._loop.call_later(PATIENCE_S, self._process.kill)

    def _watch(self) -> None:
        out = self._process.stdout
        assert out is not None
        with out:
            # All of it is read: a full pipe would stop the server.
            for line in out:
                if line.startswith(LISTENING):
                    self._tell(self._listening, line.removeprefix(LISTENING).strip())
        self._tell(self._ended, self._process.wait())

    def _tell(self, whom: Callable[..., None], what: object) -> None:
        # A loop that is closed needs no news.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(whom, self, what)


def say_ending(code: int) -> str:
    """``exit code 1``, or ``signal 9``."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the server: the kernel is to kill it when we die. Elsewhere than
    on Linux a server outlives a proxy that was killed, though not one that was ended."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # we died in between
            os._exit(1)

    return ask
