"""A real Redis for a test: on a free port, in memory, and gone with the test."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from lacking import lacking

PATIENCE_S = 10.0


class RedisServer:
    """One that runs. `url` is for REDIS_URL."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"

    def pause(self) -> None:
        """Keeps its connections and answers nobody, until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answers whatever came meanwhile."""
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """What it answers to one command, as it goes over the wire."""
        command = "".join([f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)])
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as wire:
            wire.sendall(command.encode())
            return wire.recv(1 << 16)

    def stop(self) -> None:
        """Ends it, paused or not; ending twice is no fault."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait(PATIENCE_S)


@contextlib.contextmanager
def redis_server(port: int = 0) -> Iterator[RedisServer]:
    """Runs one until the end: on `port`, or on one that is free. Without redis-server the test is skipped, or
    fails where nothing may be skipped."""
    command = shutil.which("redis-server")
    if command is None:
        missing = "redis-server is not installed (Debian: apt-get install redis-server)"
        lacking(missing)
    port = port or _free_port()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [command, *arguments, "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        server = RedisServer(process, port)
        try:
            _wait_for(server, process)
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(server: RedisServer, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError):
            if server.ask("PING") == b"+PONG\r\n":
                return
        assert process.poll() is None, f"redis-server ended with {process.returncode}"
        assert time.monotonic() < end, "redis-server does not answer"
        time.sleep(0.02)
