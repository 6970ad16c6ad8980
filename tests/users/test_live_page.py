"""Is the page among Locust's own, with what the run has so far, before, during and after one?"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from locust import User
from locust.argument_parser import get_parser
from locust.env import Environment

from loadtest.measure.book import Book
from loadtest.measure.histogram import Histogram
from loadtest.measure.plan import Plan
from loadtest.measure.rows import Delta, HealthRow, SeriesRow, ServerRow
from loadtest.measure.units import MS
from loadtest.users import live_page
from loadtest.users.live_board import Board
from loadtest.users.live_page import Watched


class Nobody(User):
    """Locust's page wants a class of users."""

    host = "http://127.0.0.1:1"


class Ui:
    """Locust's own web UI, not started, and what it looks at."""

    def __init__(self, *flags: str, **web: Any) -> None:
        environment = Environment(user_classes=[Nobody], parsed_options=get_parser().parse_args(list(flags)))
        environment.create_local_runner()
        web_ui = environment.create_web_ui(delayed_start=True, **web)
        self.board: Board | None = None
        self.book = Book()
        live_page.attach(environment, lambda: Watched(self.board, self.book, "running", 3))
        self.client: FlaskClient = web_ui.app.test_client()
        self.end = environment.runner.quit

    def begin(self, run: str = "1f3a5c") -> Board:
        self.board = Board({"id": run, "scenario": "messaging", "deadline_s": 10.0}, Plan(0, 60_000_000_000))
        return self.board

    def data(self, **query: object) -> Any:
        answer = self.client.get("/realtime/data", query_string=query)
        assert answer.status_code == 200
        return answer.json


@pytest.fixture
def ui(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ui]]:
    monkeypatch.setattr(sys, "argv", ["locust"])  # what its page takes for the command line
    made: list[Ui] = []

    def make(*flags: str, **web: Any) -> Ui:
        made.append(Ui(*flags, **web))
        return made[-1]

    yield make
    for one in made:
        one.end()


def some(second: int) -> Delta:
    histogram = Histogram()
    histogram.record(5 * MS)
    row = SeriesRow("message.deliver", "websocket", "measure", second, 2, lost=1, latency=histogram.counts())
    return Delta(second, [row, HealthRow("0", "measure", second, 12.0, 4)])


def test_the_page_needs_nothing_from_outside(ui: Callable[..., Ui]) -> None:
    answer = ui().client.get("/realtime")
    assert answer.mimetype == "text/html"
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", answer.text) == []
    assert not re.search(r"@import|<script[^>]+src|<link", answer.text)


def test_before_the_first_run_it_says_so(ui: Callable[..., Ui]) -> None:
    shown = ui()
    assert shown.data() == {"state": "running", "users": 3, "run": None}
    assert shown.client.get("/metrics/realtime").text == ""


def test_a_run_under_way(ui: Callable[..., Ui]) -> None:
    shown = ui()
    board = shown.begin()
    board.add("0", some(1))
    shown.book.server.append(ServerRow(1, 4, 33.0, 1_000_000, 0.5))
    told = shown.data()
    assert told["run"]["id"] == "1f3a5c"
    assert told["connections"]["now"] == 4
    assert told["server"] == {
        "cpu_percent": 33.0,
        "rss_bytes": 1_000_000,
        "loop_lag_ms": 0.5,
        "sockets": 4,
        "descriptors": None,
    }
    assert told["validity"] == {"state": "valid", "reasons": []}
    assert told["plan"]["run_time_s"] == 60
    board.add("0", some(2))
    assert [one["second"] for one in shown.data(run="1f3a5c", since=told["revision"])["seconds"]] == [2]
    assert "loadtest_lost_total" in shown.client.get("/metrics/realtime").text


def test_a_second_run_begins_anew_whatever_the_caller_has(ui: Callable[..., Ui]) -> None:
    shown = ui()
    shown.begin().add("0", some(1))
    before = shown.data()
    shown.begin("2b4c6d").add("0", some(1))
    again = shown.data(run="1f3a5c", since=before["revision"])
    assert again["run"]["id"] == "2b4c6d"
    assert [one["second"] for one in again["seconds"]] == [1]
    for nonsense in ("-1", "x", "", "²"):
        assert [one["second"] for one in shown.data(run="2b4c6d", since=nonsense)["seconds"]] == [1]


def test_numbers_lost_on_the_way_make_it_invalid(ui: Callable[..., Ui]) -> None:
    shown = ui()
    shown.begin().add("0", some(1))
    shown.book.gaps.append("1: delta 3 where 2 was due")
    assert shown.data()["validity"]["state"] == "invalid"


def test_locust_s_page_has_a_tab_and_a_link(ui: Callable[..., Ui]) -> None:
    shown = ui()
    index = shown.client.get("/").text
    assert '<a href="./realtime"' in index
    assert '"extended_tabs": [{"key": "realtime", "title": "Realtime"}]' in index
    assert "extended_stats" not in shown.client.get("/stats/requests").json
    shown.begin().add("0", some(1))
    told = shown.client.get("/stats/requests").json
    assert told["state"] == "ready" and "stats" in told
    (tab,) = told["extended_stats"]
    (row,) = tab["data"]
    assert tab["key"] == "realtime"
    assert row == {
        "name": "message.deliver",
        "transport": "websocket",
        "per_second": 1.0,
        "p50": 5.0,
        "p95": "–",
        "p99": "–",
        "expected": 2,
        "late": 0,
        "lost": 1,
    }
    assert shown.client.get("/").text.count("extended_tabs") == 1


def test_it_stands_below_the_path_that_locust_was_given(ui: Callable[..., Ui]) -> None:
    shown = ui("--web-base-path", "/load", web_base_path="/load")
    assert shown.client.get("/realtime").status_code == 404
    assert shown.client.get("/load/realtime").status_code == 200
    assert '<a href="./realtime"' in shown.client.get("/load/").text


def test_it_is_behind_locust_s_login(ui: Callable[..., Ui]) -> None:
    shown = ui(web_login=True)
    shown.client.application.secret_key = "tests"
    shown.client.application.login_manager.user_loader(lambda name: None)  # type: ignore[attr-defined]
    for path in ("/realtime", "/realtime/data", "/metrics/realtime"):
        answer = shown.client.get(path)
        assert answer.status_code == 302 and "login" in answer.headers["Location"]
