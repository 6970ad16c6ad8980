"""Does the page say which server each user was on?"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from loadtest.analysis.summary import summarise
from loadtest.measure import run as runs
from loadtest.measure.recorder import Recorder
from loadtest.measure.run import Run
from loadtest.measure.servers import way
from loadtest.measure.units import MS
from loadtest.report.render import render


@pytest.fixture(scope="module")
def clustered(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    class Cluster(made.Maker):  # type: ignore[name-defined,misc]
        def _message(self, recorder: Recorder, sender: int, planned: int) -> None:
            super()._message(recorder, sender, planned)
            interval = recorder.interval("message.deliver", self.transport, planned)
            for reader in ("a", "b<i>"):
                interval.record_phase(way("a", reader), (2 if reader == "a" else 4) * MS)

    maker = Cluster()
    maker.book.counters |= {
        "servers.connections.a": 21,
        "servers.connections.b<i>": 10,
        "servers.connected.a": 20,
        "servers.moved": 10,
        f"servers.missing.{way('a', 'b<i>')}": 3,
    }
    folder: Path = maker.write(tmp_path_factory.mktemp("reports"))
    return runs.read(folder)


def text_of(page: str) -> str:
    found = re.search(r'<section id="servers">.*?</section>', page, re.DOTALL)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])).replace("&lt;", "<").replace("&gt;", ">")


def test_users_servers_and_what_was_lost_between_them(clustered: Run) -> None:
    page = render([clustered], [summarise(clustered)])
    assert '<a href="#servers">Servers</a>' in page
    assert "Within one server, across two" in page
    text = text_of(page)
    assert "2 servers took connections; at the end there were 20 on a, 0 on b<i>." in text
    assert "10 connections came back on another server than before. Nobody was on b<i> any more." in text
    spread = summarise(clustered).spread
    assert spread is not None
    a, b = spread.servers
    assert f"a 20 21 {a.within:,} 0 0" in text
    assert f"b<i> 0 10 0 {b.across:,} 3" in text
    assert f"to another server {b.across + 3:,} 3" in text


def test_a_run_on_one_server_says_nothing_of_it(push: Run, clustered: Run) -> None:
    page = render([push], [summarise(push)])
    assert "#servers" not in page and "across two" not in page
    both = render([push, clustered], [summarise(push), summarise(clustered)])
    assert text_of(both).count("servers took connections") == 1
