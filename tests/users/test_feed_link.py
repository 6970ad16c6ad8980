"""Does a polling user ask at its fixed moments, hear everything once, and never fall silent?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gevent
import msgspec
import pytest
from gevent.server import StreamServer

from loadtest.contract import load
from loadtest.measure.units import MS
from loadtest.users.causes import ConnectFailed
from loadtest.users.clock import Clock
from loadtest.users.connection import Place
from loadtest.users.feed_link import FeedLink
from loadtest.users.link import Hearing
from loadtest.users.requests import Requests

Until = Callable[[Callable[[], object]], None]
INTERVAL_MS = 20


class FeedServer:
    """A feed of ``items``, a page of two at most at a time. ``before`` may answer in its place."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.before: Callable[[str], bytes | None] = lambda target: None
        self.socks: list[Any] = []

    def serve(self, sock: Any, _address: object) -> None:
        self.socks.append(sock)
        try:
            while head := sock.recv(1 << 16):
                target = head.split(b" ")[1].decode()
                self.asked.append(target)
                self.heads.append(head)
                answer = self.before(target)
                if answer == b"":
                    return
                sock.sendall(answer or self._page(target))
        except OSError:
            pass
        finally:
            sock.close()

    def _page(self, target: str) -> bytes:
        cursor = parse_qs(urlsplit(target).query).get("cursor")
        start = len(self.items) if cursor is None else int(cursor[0])
        page = self.items[start : start + 2]
        body = {
            "items": page,
            "cursor": str(start + len(page)),
            "hasMore": start + len(page) < len(self.items),
        }
        return answer(200, body, etag=f'"{start + len(page)}"')

    def say(self, number: int) -> None:
        self.items.append({"event": "message:new", "data": {"n": number}})


def answer(status: int, body: object = None, etag: str | None = None) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    tag = f"ETag: {etag}\r\n" if etag else ""
    return f"HTTP/1.1 {status} X\r\n{tag}Content-Length: {len(text)}\r\n\r\n".encode() + text


class User:
    """What a polling user hears and notes."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.polls: list[tuple[int, int, int, str | None]] = []
        self.faults: list[BaseException] = []
        self.clumsy_at: int | None = None
        self.renewed = 0

    def event(self, name: str, args: list[Any], read_ns: int) -> None:
        assert name == "message:new"
        self.heard.append(args[0]["n"])
        if args[0]["n"] == self.clumsy_at:
            raise ZeroDivisionError("a bug of the scenario")

    def renew(self) -> None:
        self.renewed += 1

    def polled(self, *poll: Any) -> None:
        self.polls.append(poll)

    @property
    def errors(self) -> list[str]:
        return [error for *_, error in self.polls if error is not None]


@pytest.fixture
def server() -> FeedServer:
    return FeedServer()


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def link(server: FeedServer, user: User) -> Iterator[FeedLink]:
    contract = load(None)
    quick = msgspec.structs.replace(contract.feeds[0], interval_ms=INTERVAL_MS)
    contract = msgspec.structs.replace(contract, feeds=(quick,))
    stream = StreamServer(("127.0.0.1", 0), server.serve)
    stream.start()
    port = stream.server_port
    place = Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    clock = Clock(user.faults.append)
    hearing = Hearing(user.event, lambda cause, why: None, user.faults.append, lambda lag_ns: None)
    identity = {"user": "u", "device": "d", "token": "t"}
    requests = Requests(contract, identity, place, "library", hearing)
    made = FeedLink(contract.feeds, identity, requests, clock, Random(1), hearing, user.polled, user.renew)
    yield made
    made.close()
    clock.close()
    for sock in server.socks:
        sock.close()
    stream.stop(timeout=0)


def test_it_begins_where_the_feed_stands_and_hears_what_is_new_once_and_in_order(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    server.say(-1)
    link.open(5)
    assert list(link.phases) == ["tcp", "open"]
    for number in range(7):
        server.say(number)
        if number % 3 == 0:
            gevent.sleep(0.005)
    until(lambda: len(user.heard) == 7)
    asked = len(user.polls)
    until(lambda: len(user.polls) > asked + 3)
    assert user.heard == list(range(7))
    assert not user.errors
    assert not user.faults
    assert len(server.socks) == link.sockets == 1
    assert "cursor" not in server.asked[0]
    assert b"Authorization: Bearer t\r\n" in server.heads[0]


def test_polls_are_due_at_fixed_moments(link: FeedLink, user: User, until: Until) -> None:
    link.open(5)
    until(lambda: len(user.polls) > 8)
    planned = [one[0] for one in user.polls]
    gaps = {later - earlier for earlier, later in pairwise(planned)}
    assert all(gap % (INTERVAL_MS * MS) == 0 for gap in gaps), "the timer is one, whatever the answers took"
    for planned_ns, sent_ns, read_ns, _ in user.polls:
        assert planned_ns <= sent_ns <= read_ns


def test_more_is_fetched_at_once(link: FeedLink, server: FeedServer, user: User, until: Until) -> None:
    link.open(5)
    for number in range(6):
        server.say(number)
    until(lambda: len(user.heard) == 6)
    full = next(n for n, one in enumerate(user.polls) if one[3] is None and len(user.heard) >= 2)
    assert user.heard == list(range(6))
    extra = [one for one in user.polls if (one[0] - user.polls[0][0]) % (INTERVAL_MS * MS)]
    assert len(extra) == 2, "two pages were owed beyond the first"
    assert full >= 0


def test_nothing_new_is_asked_with_the_tag_and_is_no_error(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    server.before = lambda target: answer(304) if len(server.asked) > 1 else None
    link.open(5)
    until(lambda: len(user.polls) > 3)
    assert user.errors == []
    assert all(b'If-None-Match: "0"\r\n' in head for head in server.heads[1:])


def test_an_expired_cursor_is_replaced_and_counted(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    server.before = lambda target: answer(410, {"cursor": "0"}) if len(server.asked) == 2 else None
    link.open(5)
    server.say(1)
    until(lambda: user.heard)
    assert user.errors == ["feed expired"]
    assert "cursor=0" in server.asked[2]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (answer(500, {"error": "x"}), "HTTP 500"),
        (b"", "transport_close: end of stream"),
        (b"junk\r\n\r\n", "parse_error"),
    ],
    ids=["500", "hung up", "junk"],
)
def test_a_poll_that_fails_is_counted_and_the_next_one_comes(
    link: FeedLink, server: FeedServer, user: User, until: Until, bad: bytes, said: str
) -> None:
    server.before = lambda target: bad if len(server.asked) == 2 else None
    link.open(5)
    server.say(1)
    until(lambda: user.heard)
    (error,) = user.errors
    assert said in error
    assert user.heard == [1]


def test_a_200_that_is_no_json_loses_no_place_in_the_feed(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    page = b"<html>a proxy's page</html>"
    html = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    server.before = lambda target: html if len(server.asked) == 2 else None
    link.open(5)
    server.say(1)
    until(lambda: user.heard)
    assert user.heard == [1]
    assert user.faults == []


def test_an_answer_slower_than_the_interval_delays_the_next_poll_to_its_end(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    under_way = 0
    most = 0

    def slow(target: str) -> bytes | None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        gevent.sleep(0.05 if len(server.asked) == 2 else 0)
        under_way -= 1
        return None

    server.before = slow
    link.open(5)
    until(lambda: len(user.polls) > 3)
    assert most == 1
    first, second = user.polls[:2]
    assert second[1] >= first[2], "one poll at a time"
    assert (second[0] - first[0]) % (INTERVAL_MS * MS) == 0, "planned for the tick that it missed"
    assert second[0] < first[2]


def test_a_scenario_that_cannot_take_an_event_still_gets_the_others(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    user.clumsy_at = 1
    link.open(5)
    for number in range(4):
        server.say(number)
    until(lambda: len(user.heard) == 4)
    assert user.heard == [0, 1, 2, 3]
    assert [type(one) for one in user.faults] == [ZeroDivisionError]
    assert user.errors == []


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_feed_that_lets_nobody_in_is_said(link: FeedLink, server: FeedServer, status: int) -> None:
    server.before = lambda target: answer(status, {"error": {"code": "WHY"}})
    with pytest.raises(ConnectFailed) as failed:
        link.open(5)
    assert f"HTTP {status}" in failed.value.detail
    assert "WHY" in failed.value.detail


def test_a_closed_link_asks_no_more(link: FeedLink, server: FeedServer, user: User, until: Until) -> None:
    link.open(5)
    until(lambda: user.polls)
    link.close()
    asked = len(server.asked)
    gevent.sleep(3 * INTERVAL_MS / 1000)
    assert len(server.asked) == asked
    assert link.sockets == 0
    assert user.errors == [], "we hung up, nobody failed"


def test_a_token_that_is_not_taken_any_more_is_renewed(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    link.open(5)
    server.before = lambda target: answer(401, {"ok": False}) if not user.renewed else None
    until(lambda: user.renewed == 1)
    server.say(1)
    until(lambda: user.heard == [1])
    assert user.errors == ["HTTP 401"]


def test_a_link_that_is_cut_asks_again_over_a_new_connection(
    link: FeedLink, server: FeedServer, user: User, until: Until
) -> None:
    link.open(5)
    until(lambda: len(user.polls) > 1)
    assert link.cut(reset=True) is False, "a user without a socket is not lost by it"
    server.say(1)
    until(lambda: user.heard == [1])
    assert len(server.socks) > 1
