"""Does a user keep what a proxy sets, and send it back on every way it has to the server?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gevent.event import AsyncResult
from polling_server import PollingServer, listening
from socketio_server import SocketIoServer, Visit
from socketio_server import listening as serving

from loadtest.users.causes import UNSTICKY, Cause, ConnectFailed
from loadtest.users.connection import Listeners, NativeConnection, Place
from loadtest.users.cookies import Cookies
from loadtest.users.http import HttpPool, Request, compose
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.upgrading import UpgradingConnection

Until = Callable[[Callable[[], object]], None]
HEAD = b"Host: h\r\n"
LISTENERS = Listeners(lambda *_: None, lambda *_: None, lambda error: None, lambda lag_ns: None)


def kept(*lines: str) -> list[tuple[str, str]]:
    cookies = Cookies()
    for line in lines:
        cookies.take(line)
    return cookies.headers


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (["server=a; path=/; HttpOnly"], "server=a"),
        (["server=a", "server=b"], "server=b"),
        (["one=1; Path=/", "two=2; Secure; SameSite=None"], "one=1; two=2"),
        (["token=a=b=="], "token=a=b=="),
        (["empty="], "empty="),
        (["server=a; Max-Age=60"], "server=a"),
        (["server=a; Max-Age=soon; Expires=never"], "server=a"),
        (["server=a; Expires=Tue, 19 Jan 2038 03:14:07 GMT"], "server=a"),
        (["server=a; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "server=a"),
    ],
)
def test_what_is_set_is_sent(lines: list[str], sent: str) -> None:
    assert kept(*lines) == [("Cookie", sent)]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["nothing"],
        ["=a"],
        ["server=a\rX: y"],
        ["sörver=a"],
        ["server=a; Max-Age=0"],
        ["server=a", "server=; Max-Age=-1"],
        ["server=a", "server=a; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        ["server=a", "server=a; Expires=Thu, 01-Jan-1970 00:00:00 GMT"],
    ],
)
def test_what_is_taken_back_or_cannot_be_sent_is_not_kept(lines: list[str]) -> None:
    assert kept(*lines) == []


def test_a_request_is_dressed_in_its_head_and_nowhere_else() -> None:
    cookies = Cookies()
    request = compose("POST", "/", HEAD, b"\r\n\r\nCookie: body")
    assert cookies.dress(request) == request
    cookies.take("server=a")
    dressed = cookies.dress(request)
    head, _, body = dressed.partition(b"\r\n\r\n")
    assert head.endswith(b"\r\nCookie: server=a")
    assert body == b"\r\n\r\nCookie: body"
    own = compose("GET", "/", b"Host: h\r\ncookie: mine=1\r\nAccept: */*\r\n")
    assert b"\r\ncookie: mine=1; server=a\r\nAccept: */*\r\n\r\n" in cookies.dress(own)


class Proxied(PollingServer):
    """Sets a cookie with the answer that opens a session, as a proxy does for who has none."""

    def _answer(self, head: bytes, body: str) -> bytes:
        answer = super()._answer(head, body)
        if self.log[-1] != "GET open":
            return answer
        return answer.replace(b"OK\r\n", b"OK\r\nSet-Cookie: server=a; path=/\r\nSet-Cookie: more=1\r\n", 1)

    @property
    def cookies(self) -> list[str]:
        """The Cookie header of each request, empty where there is none."""
        found = [re.findall(rb"(?i)\r\ncookie: ([^\r]*)", head + b"\r\n") for head in self.heads]
        assert all(len(one) < 2 for one in found)
        return [one[0].decode() if one else "" for one in found]


@pytest.fixture
def server() -> Proxied:
    return Proxied()


@pytest.fixture
def place(server: Proxied) -> Iterator[Place]:
    with listening(server) as where:
        yield where


def test_long_polling_sends_it_back_with_every_request(place: Place, server: Proxied, until: Until) -> None:
    cookies = Cookies()
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, LISTENERS, cookies=cookies)
    connection.open(5)
    until(lambda: server.hanging)
    assert server.cookies == ["", *["server=a; more=1"] * (len(server.heads) - 1)]
    assert len(server.heads) >= 3
    connection.cut(reset=False)
    server.say("6")
    until(lambda: not server.hanging)
    server.heads.clear()
    server.out.clear()
    again = LongPollingConnection(place, "/socket.io", None, HEAD, LISTENERS, cookies=cookies)
    again.open(5)
    assert set(server.cookies) == {"server=a; more=1"}, "a phone keeps them over its connections"
    again.cut(reset=False)


def test_so_does_the_websocket_that_a_session_moves_to(place: Place, server: Proxied, until: Until) -> None:
    connection = UpgradingConnection(place, "/socket.io", None, HEAD, (), False, LISTENERS)
    connection.open(5)
    until(lambda: server.upgraded)
    upgrade = next(
        cookie for head, cookie in zip(server.heads, server.cookies, strict=True) if b"websocket" in head[:80]
    )
    assert upgrade == "server=a; more=1"
    connection.cut(reset=False)


def test_a_websocket_keeps_what_its_handshake_brings() -> None:
    def upgrade(visit: Visit, request: Any) -> None:
        answer = visit.ws.accept(request)
        answer.headers["Set-Cookie"] = "server=a; path=/; HttpOnly"
        answer.headers["Set-Cookie"] = "more=1"
        visit.ws.send_response(answer)

    server = SocketIoServer()
    server.upgrade = upgrade
    cookies = Cookies()
    with serving(server) as place:
        for _ in range(2):
            headers = cookies.headers
            made = NativeConnection(place, "/socket.io", None, headers, False, LISTENERS, cookies=cookies)
            made.open(5)
            made.close()
    sent = [visit.request.headers.get("Cookie") for visit in server.visits if visit.request is not None]
    assert sent == [None, "server=a; more=1"]


def _asked(pool: HttpPool) -> Any:
    answer: AsyncResult = AsyncResult()
    content = compose("GET", "/socket.io/?EIO=4", HEAD)
    pool.request(Request(content, lambda sent_ns: None, answer.set, lambda *why: answer.set(why)))
    return answer.get(timeout=5)


def test_and_whoever_polls(place: Place, server: Proxied) -> None:
    pool = HttpPool(place, lambda: 0, LISTENERS.fault, LISTENERS.lag, 5)
    for _ in range(2):
        assert _asked(pool).status == 200
    assert server.cookies == ["", "server=a; more=1"]
    pool.close()


@pytest.mark.parametrize("said", [b'{"code":1,"message":"Session ID unknown"}', b'"Invalid session abc"'])
def test_a_session_that_another_server_has_is_named_for_what_it_is(
    place: Place, server: Proxied, said: bytes
) -> None:
    server.connects = ""
    connection = LongPollingConnection(place, "/socket.io", None, HEAD, LISTENERS)
    server.hears = lambda *_: None
    server.posts.clear()
    opening = server.handshake

    def handshake() -> str:
        packet = opening()
        server.refuse("400 Bad Request", said)  # whatever comes next
        server.posts.set()
        return packet

    server.handshake = handshake  # type: ignore[method-assign]
    with pytest.raises(ConnectFailed) as failed:
        connection.open(5)
    assert failed.value.cause is Cause.SESSION_UNKNOWN
    assert "sticky" in UNSTICKY
