"""The default contract, loaded once, and the smallest contract there is."""

import pytest

from loadtest.contract import Contract, load

MINIMAL = """
name = "minimal"
format = 1

[send]
emit = "chat message"
args = ["${marker} ${body}"]

[[deliveries]]
operation = "message.deliver"
on = "chat message"
marker_in = "$[0]"
"""


@pytest.fixture(scope="session")
def default() -> Contract:
    return load()


@pytest.fixture(scope="session")
def minimal() -> str:
    return MINIMAL
