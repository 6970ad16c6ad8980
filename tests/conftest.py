"""What all tests may ask for."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not make lacking.py importable

from lacking import lacking

from loadtest.targets.node import install
from loadtest.targets.node import server as node_server


@pytest.fixture(scope="session")
def node() -> None:
    """Node and its packages, or the reason why they are not here."""
    try:
        node_server.ready()
    except install.NodeMissing as missing:
        lacking(str(missing))
