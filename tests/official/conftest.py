"""The official implementation as fixtures; whatever a test leaves running is ended by its process id.

Our own client runs in this process, on gevent, beside an unpatched library: see tests/users/conftest.py.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lacking import lacking

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
try:
    import locust  # noqa: F401
finally:
    del os.environ["LOCUST_SKIP_MONKEY_PATCH"]

# importlib mode does not make the tools beside the tests importable
sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "e2e"))

import gevent
from e2e_running import Program, Server
from official_running import Driver, Missing, RoomServer, install
from official_users import User

NewUser = Callable[..., User]
StartRooms = Callable[..., RoomServer]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts processes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def official() -> Path:
    """Where the official packages are."""
    try:
        return install()
    except Missing as missing:
        lacking(str(missing))


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """What was started; ended after the test."""
    started: list[Program] = []
    yield started
    for program in reversed(started):
        program.end()


@pytest.fixture
def rooms(official: Path, tmp_path: Path, programs: list[Program]) -> StartRooms:
    """``rooms(CSR="1")`` starts the room server on the official Socket.IO."""
    number = itertools.count()

    def start(**settings: str) -> RoomServer:
        server = RoomServer(official, tmp_path / f"rooms{next(number)}.log", **settings)
        programs.append(server)
        return server

    return start


@pytest.fixture
def driver(official: Path, tmp_path: Path, programs: list[Program]) -> Driver:
    """The official client."""
    driver = Driver(official, tmp_path / "driver.log")
    programs.append(driver)
    return driver


@pytest.fixture
def reference(official: Path, tmp_path: Path, programs: list[Program]) -> Server:
    """Our reference server, limiting nobody."""
    server = Server(tmp_path / "reference.log", ("--rate-limit", "0"))
    programs.append(server)
    return server


@pytest.fixture
def new_user() -> Iterator[NewUser]:
    """``new_user(server, name, make)``: a user on our client; its connection is closed after the test."""
    made: list[User] = []

    def new(*args: Any) -> User:
        made.append(User(*args))
        return made[-1]

    yield new
    for user in made:
        user.connection.close()
    gevent.sleep(0)
    assert [user.faults for user in made if user.faults] == []
