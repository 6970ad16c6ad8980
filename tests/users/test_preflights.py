"""What a browser asks before a page of another origin may send a request, and how long it remembers the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gevent.server import StreamServer

from loadtest.contract import Headers, load
from loadtest.measure.units import SECOND
from loadtest.users.causes import Cause
from loadtest.users.connection import Place
from loadtest.users.http import Response
from loadtest.users.link import Hearing
from loadtest.users.preflights import DEFAULT_AGE_S, LONGEST_AGE_S, Preflights
from loadtest.users.requests import Requests

Until = Callable[[Callable[[], object]], None]

VARIABLES = {
    "host": "127.0.0.1:3000",
    "origin": "http://127.0.0.1:3000",
    "user": "u",
    "device": "d",
    "token": "t",
}
NAMES = ("host", "authorization", "user-agent", "if-none-match")
FEED = "/api/messages/feed?limit=100&cursor=a.1"


@pytest.fixture
def asking() -> Preflights:
    """Of the built-in contract's browser."""
    return Preflights(load(None).headers, VARIABLES)


def answer(status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, b"", 0, 0)


YES = answer(access_control_allow_origin="*", access_control_max_age="600")


def test_the_question_is_that_of_a_browser(asking: Preflights) -> None:
    content = asking.before("GET", FEED, NAMES, 0)
    assert content is not None
    lines = content.decode().split("\r\n")
    assert lines[0] == f"OPTIONS {FEED} HTTP/1.1"
    assert "Access-Control-Request-Method: GET" in lines
    assert "Access-Control-Request-Headers: authorization" in lines
    assert "Origin: http://app.example" in lines
    assert not any(line.startswith("Authorization") for line in lines)
    assert lines[-2:] == ["", ""]


def test_a_body_of_json_is_asked_about_too(asking: Preflights) -> None:
    content = asking.before("POST", "/api/messages", (*NAMES, "content-type"), 0)
    assert (
        content is not None and b"Access-Control-Request-Headers: authorization,content-type\r\n" in content
    )


def test_an_answer_is_good_for_its_age_and_for_its_address(asking: Preflights) -> None:
    assert asking.before("GET", FEED, NAMES, 0) is not None
    assert asking.allowed(FEED, NAMES, YES)
    assert asking.before("GET", FEED, NAMES, 599 * SECOND) is None
    assert asking.before("GET", FEED, NAMES, 600 * SECOND) is not None
    assert asking.before("GET", FEED + "0", NAMES, 0) is not None
    assert asking.before("GET", FEED, (*NAMES, "content-type"), 0) is not None
    assert asking.sent == 4


@pytest.mark.parametrize(
    ("age", "good_s"), [("", DEFAULT_AGE_S), ("x", DEFAULT_AGE_S), ("86400", LONGEST_AGE_S)]
)
def test_ages_as_chromium_takes_them(asking: Preflights, age: str, good_s: int) -> None:
    more = {"access_control_max_age": age} if age else {}
    assert asking.allowed(FEED, NAMES, answer(access_control_allow_origin="*", **more))
    assert asking.before("GET", FEED, NAMES, good_s * SECOND) is not None
    assert asking.before("GET", FEED, NAMES, good_s * SECOND - 1) is None


@pytest.mark.parametrize("no", [answer(405, access_control_allow_origin="*"), answer(200)])
def test_a_server_that_does_not_allow_it_is_asked_again(asking: Preflights, no: Response) -> None:
    assert not asking.allowed(FEED, NAMES, no)
    assert asking.before("GET", FEED, NAMES, 0) is not None


def test_a_simple_request_needs_no_question(asking: Preflights) -> None:
    assert asking.before("GET", FEED, ("host", "accept"), 0) is None
    assert asking.before("PUT", FEED, ("host", "accept"), 0) is not None
    assert asking.sent == 1


def test_old_cursors_are_forgotten(asking: Preflights) -> None:
    for number in range(1000):
        asking.allowed(f"{FEED}{number}", NAMES, YES)
    assert asking.before("GET", f"{FEED}999", NAMES, 0) is None
    assert asking.before("GET", f"{FEED}0", NAMES, 0) is not None


@pytest.mark.parametrize("headers", [None, "same origin"])
def test_a_library_and_a_page_of_the_server_itself_ask_nothing(headers: str | None) -> None:
    lists = load(None).headers
    assert lists is not None
    own = None if headers is None else Headers(library=lists.library, browser=lists.browser)
    asking = Preflights(own, VARIABLES)
    assert asking.before("PUT", FEED, NAMES, 0) is None
    assert asking.sent == 0


# -- on the way ------------------------------------------------------------------------------------------


class Server:
    """Logs ``METHOD /path`` of each request and answers 200; an OPTIONS request as ``options`` says."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.options = (
            "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Max-Age: 600\r\n"
            "Content-Length: 0\r\n\r\n"
        )

    def serve(self, sock: Any, _address: object) -> None:
        waiting = b""
        while data := sock.recv(65536):
            waiting += data
            while b"\r\n\r\n" in waiting:
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                line = head.decode().partition(" HTTP")[0]
                self.log.append(line)
                plain = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                sock.sendall((self.options if line.startswith("OPTIONS") else plain).encode())


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def requests(server: Server) -> Iterator[Requests]:
    """A browser's user."""
    stream = StreamServer(("127.0.0.1", 0), server.serve)
    stream.start()
    port = stream.server_port
    place = Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    faults: list[BaseException] = []
    hearing = Hearing(lambda *_: None, lambda *_: None, faults.append, lambda lag_ns: None)
    made = Requests(load(None), {"user": "u", "device": "d", "token": "t"}, place, "browser", hearing)
    yield made
    made.pool.close()
    stream.stop(timeout=0)
    assert not faults


def test_requests_go_after_their_preflight_and_alone_while_it_is_good(
    requests: Requests, server: Server
) -> None:
    for target in ("/feed?cursor=1", "/feed?cursor=1", "/feed?cursor=2"):
        assert requests.ask("GET", target, None, 5).status == 200
    requests.ask("POST", "/messages", b"{}", 5)
    assert server.log == [
        "OPTIONS /feed?cursor=1",
        "GET /feed?cursor=1",
        "GET /feed?cursor=1",
        "OPTIONS /feed?cursor=2",
        "GET /feed?cursor=2",
        "OPTIONS /messages",
        "POST /messages",
    ]
    assert requests.pool.sockets == 1


def test_what_a_browser_would_not_send_is_not_sent(requests: Requests, server: Server, until: Until) -> None:
    server.options = "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
    ends: list[tuple[Cause, str]] = []
    left: list[int] = []
    requests.submit("GET", "/feed", None, left.append, lambda one: None, lambda *end: ends.append(end))
    until(lambda: ends)
    assert ends[0][0] is Cause.HANDSHAKE_REFUSED
    assert "HTTP 405 to the preflight of /feed" in ends[0][1]
    assert server.log == ["OPTIONS /feed"] and not left
