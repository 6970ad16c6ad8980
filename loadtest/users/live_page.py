"""Where can a run be watched while it is on? In Locust's own web UI, on its own port.

A page of ours, the numbers behind it, the same for Prometheus, and a tab among Locust's own. All of it is served
by Locust's Flask app, behind its login if it has one, by the process that keeps the book.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import msgspec
from flask import Blueprint, Response, request
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from loadtest.measure.book import Book
from loadtest.measure.units import SECOND
from loadtest.users.live_board import Board
from loadtest.users.live_fitness import Judged
from loadtest.users.live_metrics import RunCollector, exposition
from loadtest.users.live_view import main_p99_ns, operations, view

PAGE, DATA, METRICS = "/realtime", "/realtime/data", "/metrics/realtime"
_HTML = Path(__file__).with_name("live_page.html")
_TAB = "realtime"
_PAUSE_S = 0.0005
_COLUMNS = {
    "name": "Operation",
    "transport": "Transport",
    "per_second": "Per second",
    "p50": "p50 (ms)",
    "p95": "p95 (ms)",
    "p99": "p99 (ms)",
    "expected": "# expected",
    "late": "# late",
    "lost": "# lost",
}
_LINK = """
    <a href="./realtime" style="position:fixed;left:16px;bottom:16px;z-index:1200;padding:8px 14px;
      border-radius:18px;background:#1f6fb8;color:#fff;font:500 14px/1.3 system-ui,sans-serif;
      text-decoration:none;box-shadow:0 1px 4px rgba(0,0,0,.35)">One-way latency, live</a>
  </body>"""


class Watched(NamedTuple):
    """What the page is about, as it is when somebody looks. state, users: Locust's own."""

    board: Board | None
    book: Book | None
    state: str
    users: int


Look = Callable[[], Watched]


def attach(environment: Any, look: Look) -> None:
    """Add the routes to the web UI of this process."""
    web_ui, options = environment.web_ui, environment.parsed_options
    prefix = getattr(options, "web_base_path", None) or ""
    routes = Blueprint("realtime", __name__, url_prefix=prefix)
    page = _HTML.read_bytes()
    collector = RunCollector(lambda: look().board, lambda board: _judged(look(), board))

    @routes.route(PAGE)
    @web_ui.auth_required_if_enabled
    def show() -> Response:
        return Response(page, mimetype="text/html")

    @routes.route(DATA)
    @web_ui.auth_required_if_enabled
    def data() -> Response:
        told = answer(look(), request.args.get("run", ""), request.args.get("since", "0"))
        return Response(msgspec.json.encode(told), mimetype="application/json")

    @routes.route(METRICS)
    @web_ui.auth_required_if_enabled
    def metrics() -> Response:
        return Response(exposition(collector, _rest), content_type=CONTENT_TYPE_LATEST)

    @web_ui.app.after_request
    def extend(response: Response) -> Response:
        if response.status_code == 200 and request.path == f"{prefix}/":
            response.set_data(response.get_data(as_text=True).replace("</body>", _LINK, 1))
        elif response.status_code == 200 and request.path == f"{prefix}/stats/requests":
            response.set_data(_with_tab(response.get_data(), look().board))
        return response

    web_ui.template_args |= _tab_of(web_ui.template_args)
    web_ui.app.register_blueprint(routes)


def answer(watched: Watched, run: str, since: str) -> dict[str, Any]:
    """The numbers of the page: of single seconds those that changed since what the caller has of this run."""
    board = watched.board
    told: dict[str, Any] = {"state": watched.state, "users": watched.users, "run": None}
    if board is None:
        return told
    known = int(since) if since.isascii() and since.isdigit() and run == board.run.get("id") else 0
    book = watched.book
    server = book.server[-1] if book is not None and book.server else None
    told |= view(board, len(book.gaps) if book is not None else 0, server, known, _rest)
    plan = board.plan
    drain_ns, begun_ns = plan.drain_from_ns, plan.measure_ns
    told["plan"] = {
        "phase": "ended" if board.ended else board.phase,
        "measure_s": None if begun_ns is None else (begun_ns - plan.started_ns) / SECOND,
        "drain_s": None if drain_ns is None else (drain_ns - plan.started_ns) / SECOND,
        "run_time_s": None if plan.run_time_ns is None else plan.run_time_ns / SECOND,
    }
    return told


def _judged(watched: Watched, board: Board) -> Judged:
    gaps = 0 if watched.book is None else len(watched.book.gaps)
    return board.fitness.judge(board.counters, gaps, main_p99_ns(board))


def _rest() -> None:
    """Users first: what somebody wants to see can wait. A sleep of 0 would end before any socket is looked at."""
    gevent.sleep(_PAUSE_S)


def _tab_of(known: dict[str, Any]) -> dict[str, Any]:
    """Locust's page draws these beside its own; whoever else has added some keeps them."""
    structure = [{"key": key, "title": title} for key, title in _COLUMNS.items()]
    return {
        "extended_tabs": [*known.get("extended_tabs", []), {"key": _TAB, "title": "Realtime"}],
        "extended_tables": [*known.get("extended_tables", []), {"key": _TAB, "structure": structure}],
    }


def _with_tab(body: bytes, board: Board | None) -> bytes:
    """Locust's own numbers, and the rows of our tab."""
    told = msgspec.json.decode(body)
    if board is None or not isinstance(told, dict):
        return body
    rows = [
        {
            "name": one["operation"],
            **{key: one[key] for key in _COLUMNS if key in one},
            # A dash for None: Locust's table would show an empty cell, which may be a fault as well.
            **{
                name: "–" if one[f"{name}_ms"] is None else one[f"{name}_ms"]
                for name in ("p50", "p95", "p99")
            },
        }
        for one in operations(board, _rest)
    ]
    told["extended_stats"] = [*told.get("extended_stats", []), {"key": _TAB, "data": rows}]
    return msgspec.json.encode(told)
