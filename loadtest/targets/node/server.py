"""How is the Node server started?"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from loadtest.targets.node import install

HERE = Path(__file__).resolve().parent


def ready() -> tuple[str, Path]:
    """The path of node, and its packages, installed if need be. Raises install.NodeMissing."""
    return install.node(), install.packages(HERE, "node")


def become(environment: Mapping[str, str]) -> NoReturn:
    """Turns this process into the Node server, with its switches from `environment`: signals, output and exit
    code are the server's own. Raises install.NodeMissing."""
    node, packages = ready()
    os.execve(node, [node, str(HERE / "server.js")], {**environment, "NODE_PATH": str(packages)})
