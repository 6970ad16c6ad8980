"""Is the server of a session the process that it is taken for, and is it gone afterwards?"""

from __future__ import annotations

import json
import os
import urllib.request

import pytest
from rich.console import Console

from bench.session import QUICK, open_session
from loadtest.cli.embedded import embedded_server

pytestmark = pytest.mark.e2e


def test_the_server_is_known_by_its_url_and_its_process() -> None:
    with embedded_server() as server, urllib.request.urlopen(f"{server}/__stats", timeout=10) as answer:
        assert json.loads(answer.read())["pid"] == server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_session_leaves_nothing_behind() -> None:
    with open_session(QUICK, Console(quiet=True)) as session:
        assert session.directory.is_dir()
    assert not session.directory.exists()
