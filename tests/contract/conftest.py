"""Every test meets every target, and most of them by socket and by polling alike.

`target` and `mode` are parameters; `arrive` brings people to a server and takes them away again.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lacking import lacking

# importlib mode does not make the tools beside the tests importable
sys.path.append(str(Path(__file__).parent))

from contract_people import Caller, Person, Poller
from contract_servers import TARGETS, Server, Servers

from loadtest.targets.node import install
from loadtest.targets.node import server as node_server

Arrive = Callable[..., Person]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder but what only reads the page starts servers."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "every_sentence" not in item.path.name:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture(scope="session")
def node_is_here() -> str | None:
    """None, or why there is no Node server on this machine."""
    try:
        node_server.ready()
    except install.NodeMissing as missing:
        return str(missing)
    return None


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "node" and (missing := request.getfixturevalue("node_is_here")) is not None:
        lacking(missing)
    return name


@pytest.fixture(params=["socket", "polling"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the one acts who is looked at."""
    name: str = request.param
    return name


@pytest.fixture
def kind() -> str:
    """Which server; a test that needs another one says so with `@on(kind)`."""
    return "plain"


@pytest.fixture
def server(servers: Servers, target: str, kind: str) -> Iterator[Server]:
    """Faults of a test end with it."""
    server = servers.get(target, kind)
    yield server
    if kind != "hookless":
        server.fault("none")


@pytest.fixture
def arrive(server: Server) -> Iterator[Arrive]:
    """``arrive(user, mode="polling")``; further arguments are those of Caller and Poller."""
    came: list[Person] = []

    def arrive_one(user: str = "", mode: str = "socket", at: Server = server, **options: Any) -> Person:
        person = {"socket": Caller, "polling": Poller}[mode](at.url, user or uuid.uuid4().hex[:12], **options)
        came.append(person)
        return person

    yield arrive_one
    for person in reversed(came):
        person.go()


@pytest.fixture
def name() -> str:
    """A name nobody else uses: tests share the servers."""
    return uuid.uuid4().hex[:12]
