"""Servers and locust processes as fixtures; whatever a test leaves running is ended by its process id."""

import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(
    str(Path(__file__).parent)
)  # importlib mode does not make the tools beside the tests importable

from e2e_running import Locust, Program, Result, Server

Serve = Callable[..., Server]
RunLocust = Callable[..., Result]
StartLocust = Callable[..., Locust]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts processes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """What was started; ended after the test."""
    started: list[Program] = []
    yield started
    for program in reversed(started):
        program.end()


@pytest.fixture
def serve(tmp_path: Path, programs: list[Program]) -> Serve:
    """``serve("--rate-limit", "0")`` starts a server and returns it; without flags it limits nobody."""
    number = itertools.count()

    def start(*flags: str, **options: Any) -> Server:
        chosen = flags or ("--rate-limit", "0")
        server = Server(tmp_path / f"server{next(number)}.log", chosen, **options)
        programs.append(server)
        return server

    return start


@pytest.fixture
def start_locust(tmp_path: Path, programs: list[Program]) -> StartLocust:
    """Starts locust and returns it at once. Headless unless ``--web-port`` is among the arguments."""
    number = itertools.count()

    def start(*args: object, **options: Any) -> Locust:
        which = next(number)
        words = list(args) if "--web-port" in args else ["--headless", "--only-summary", *args]
        locust = Locust(words, tmp_path / f"runs{which}", tmp_path / f"locust{which}.log", **options)
        programs.append(locust)
        return locust

    return start


@pytest.fixture
def run_locust(start_locust: StartLocust) -> RunLocust:
    """Runs locust to its end: exit code, output and the Run."""

    def run(*args: object, **options: Any) -> Result:
        return start_locust(*args, **options).result()

    return run


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def hog(tmp_path: Path, programs: list[Program]) -> Callable[[int], Program]:
    """``hog(core)`` keeps a core busy, ahead of everybody else where that is allowed."""

    def start(core: int) -> Program:
        def pin() -> None:
            os.sched_setaffinity(0, {core})
            with contextlib.suppress(OSError):
                os.nice(-20)

        program = Program([sys.executable, "-c", "while True: pass"], tmp_path / "hog.log", preexec_fn=pin)
        programs.append(program)
        return program

    return start
