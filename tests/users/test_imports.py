"""What does an import load, and what does it make? Asked in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest


def _ask(code: str) -> Any:
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


def test_importing_the_users_makes_nothing() -> None:
    """--processes forks after the import: threads, sockets and greenlets made before it would run twice."""
    made = _ask(
        """
import locust                       # patches, and makes what it makes
import gc, gevent, json, os, threading
from gevent._hub_local import get_hub_if_exists

def alive():
    gc.collect()
    return {
        "threads": threading.active_count(),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "greenlets": sum(isinstance(one, gevent.Greenlet) for one in gc.get_objects()),
        "hub": get_hub_if_exists() is not None,
    }

before = alive()
import loadtest.users, scenarios.messaging
import loadtest.users.stock
print(json.dumps([before, alive()]))
"""
    )
    assert made[0] == made[1]


@pytest.mark.parametrize("module", ["loadtest.report", "loadtest.cli.app", "loadtest.analysis.summary"])
def test_the_number_house_loads_neither_gevent_nor_locust(module: str) -> None:
    loaded = _ask(
        f"import json, sys, pkgutil, importlib, {module}\n"
        f"print(json.dumps([name for name in ('gevent', 'locust', 'socketio', 'zmq') if name in sys.modules]))"
    )
    assert loaded == []


def test_every_module_of_the_report_stays_out_of_the_gevent_house() -> None:
    loaded = _ask(
        """
import importlib, json, pkgutil, sys
import loadtest.report, loadtest.analysis
for package in (loadtest.report, loadtest.analysis):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
print(json.dumps([name for name in ("gevent", "locust") if name in sys.modules]))
"""
    )
    assert loaded == []


def test_only_who_asks_for_the_stock_client_pays_for_it() -> None:
    loaded = _ask(
        "import json, sys, loadtest.users\n"
        "print(json.dumps([name for name in ('socketio', 'engineio') if name in sys.modules]))"
    )
    assert loaded == [] or loaded == _ask(
        "import json, sys, locust\n"
        "print(json.dumps([name for name in ('socketio', 'engineio') if name in sys.modules]))"
    ), "Locust itself loads no more than it always did"
