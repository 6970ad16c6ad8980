"""Does an answer reach whoever asked, whole or not at all, and is a connection kept as long as it is good?"""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer

from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import HttpConnection, HttpPool, Request, Response, compose, fetch

Until = Callable[[Callable[[], object]], None]
Answering = Callable[[bytes], bytes]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Web:
    """Answers each request with what ``answer`` makes of it; an empty answer hangs up, None stays silent."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], bytes | None] = lambda request: OK
        self.close_after = False
        self.requests: list[bytes] = []
        self.connections = 0
        self.socks: list[Any] = []

    def serve(self, sock: Any, _address: object) -> None:
        self.connections += 1
        self.socks.append(sock)
        try:
            while data := sock.recv(1 << 16):
                self.requests.append(data)
                answer = self.answer(data)
                if answer == b"":
                    return
                if answer is not None:
                    sock.sendall(answer)
                if self.close_after:
                    return
        except OSError:
            pass
        finally:
            sock.close()


@contextmanager
def _listening(web: Web) -> Iterator[Place]:
    stream = StreamServer(("127.0.0.1", 0), web.serve)
    stream.start()
    try:
        port = stream.server_port
        yield Place(2, ("127.0.0.1", port), f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    finally:
        for sock in web.socks:
            sock.close()
        stream.stop(timeout=0)


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def place(web: Web) -> Iterator[Place]:
    with _listening(web) as where:
        yield where


class Caller:
    """Makes requests and writes down what becomes of them."""

    def __init__(self) -> None:
        self.left: list[int] = []
        self.answers: list[Response] = []
        self.cuts: list[tuple[Cause, str]] = []
        self.faults: list[BaseException] = []
        self.raising: Exception | None = None

    def request(self, target: str = "/") -> Request:
        return Request(
            compose("GET", target, b"Host: h\r\n"),
            self.left.append,
            self._answered,
            lambda *cut: self.cuts.append(cut),
        )

    def _answered(self, response: Response) -> None:
        self.answers.append(response)
        if self.raising is not None:
            raise self.raising


def _answered(caller: Caller, times: int) -> Callable[[], bool]:
    return lambda: len(caller.answers) == times


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def pool(place: Place, caller: Caller) -> Iterator[HttpPool]:
    made = HttpPool(place, perf_counter_ns, caller.faults.append, lambda lag_ns: None, 5)
    yield made
    made.close()


def test_a_request_is_composed_as_the_protocol_has_it() -> None:
    assert compose("GET", "/a?b=c", b"Host: h\r\n", None, "If-None-Match: x\r\n") == (
        b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nIf-None-Match: x\r\n\r\n"
    )
    assert compose("POST", "/", b"Host: h\r\n", b"{}") == (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_one_connection_serves_one_request_after_the_other(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    for number in range(5):
        pool.request(caller.request(f"/{number}"))
        until(_answered(caller, number + 1))
    assert web.connections == pool.sockets == 1
    assert [one.split(b" ")[1] for one in web.requests] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert all(one.status == 200 and one.body == b"ok" for one in caller.answers)
    assert all(0 < one.sent_ns <= one.read_ns for one in caller.answers)
    assert caller.left == [one.sent_ns for one in caller.answers]


def test_requests_at_once_each_have_a_connection_and_leave_them_for_the_next(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    for _ in range(2):
        for _ in range(3):
            pool.request(caller.request())
        count = len(caller.answers)
        until(_answered(caller, count + 3))
    assert web.connections == 3


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_a_body_in_pieces_is_whole(pool: HttpPool, web: Web, caller: Caller, until: Until, size: int) -> None:
    body = bytes(n % 251 for n in range(size))
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[: size // 2], body[size // 2 :]) if c)
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n",
    ]
    web.answer = lambda request: answers[len(web.requests) - 1]
    for number in range(2):
        pool.request(caller.request())
        until(_answered(caller, number + 1))
        assert caller.answers[number].body == body
    assert web.connections == 1


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("GZIP", gzip.compress)],
)
def test_a_compressed_body_is_read(
    pool: HttpPool, web: Web, caller: Caller, until: Until, encoding: str, compress: Any
) -> None:
    body = compress(b"plain " * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n" % encoding.encode()
    web.answer = lambda request: head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pool.request(caller.request())
    until(lambda: caller.answers)
    assert caller.answers[0].body == b"plain " * 1000


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        (b"br", b"xx", "in br, which cannot be read"),
        (b"gzip", b"plain", "no gzip"),
        (b"gzip", gzip.compress(b"x" * 100, mtime=0)[:-12], "breaks off"),
    ],
)
def test_a_body_that_cannot_be_uncompressed_cuts_the_request(
    pool: HttpPool, web: Web, caller: Caller, until: Until, encoding: bytes, body: bytes, said: str
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n" % encoding
    web.answer = lambda request: head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pool.request(caller.request())
    until(lambda: caller.cuts)
    ((cause, detail),) = caller.cuts
    assert cause is Cause.PARSE_ERROR
    assert said in detail
    assert caller.answers == caller.faults == []
    assert pool.sockets == 0


def test_nothing_new_has_no_body_and_keeps_the_connection(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    answers = [b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', b"HTTP/1.1 204 No Content\r\n\r\n", OK]
    web.answer = lambda request: answers[len(web.requests) - 1]
    for number in range(3):
        pool.request(caller.request())
        until(_answered(caller, number + 1))
    assert [one.status for one in caller.answers] == [304, 204, 200]
    assert caller.answers[0].headers["etag"] == '"x"'
    assert [one.body for one in caller.answers] == [b"", b"", b"ok"]
    assert web.connections == 1


def test_connection_close_is_obeyed(pool: HttpPool, web: Web, caller: Caller, until: Until) -> None:
    web.answer = lambda request: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for number in range(2):
        pool.request(caller.request())
        until(_answered(caller, number + 1))
        assert pool.sockets == 0
    assert web.connections == 2
    assert caller.cuts == []


def test_a_server_that_hangs_up_on_an_idle_connection_harms_nobody(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    web.close_after = True
    pool.request(caller.request())
    until(lambda: caller.answers and not pool.sockets)
    pool.request(caller.request())
    until(lambda: len(caller.answers) == 2)
    assert caller.cuts == []
    assert web.connections == 2


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", Cause.TRANSPORT_CLOSE),
        (b"SSH-2.0-OpenSSH\r\n", Cause.PARSE_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", Cause.PARSE_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Cause.TRANSPORT_CLOSE),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Cause.TRANSPORT_CLOSE),
    ],
    ids=["hangs up", "not HTTP", "no length", "half a body", "half a head"],
)
def test_what_is_no_answer_cuts_the_request_once(
    pool: HttpPool, web: Web, caller: Caller, until: Until, answer: bytes, cause: Cause
) -> None:
    web.answer = lambda request: answer
    web.close_after = True
    pool.request(caller.request())
    until(lambda: caller.cuts)
    assert [one for one, _ in caller.cuts] == [cause]
    assert not caller.answers
    assert not caller.faults
    assert pool.sockets == 0
    web.answer = lambda request: OK
    pool.request(caller.request())
    until(lambda: caller.answers)


def _reset(sock: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("again", [True, False])
def test_a_kept_connection_that_the_server_has_just_closed(
    pool: HttpPool, web: Web, caller: Caller, until: Until, again: bool
) -> None:
    pool.request(caller.request())
    until(lambda: caller.answers)
    _reset(web.socks[0])
    pool.request(caller.request("/late")._replace(again=again))
    until(lambda: len(caller.answers) == 2 or caller.cuts)
    assert len(caller.answers) == (2 if again else 1)
    assert web.connections == (2 if again else 1)
    if not again:
        assert caller.cuts[0][0] is Cause.TRANSPORT_ERROR


def test_a_request_is_sent_again_once_and_only_on_a_kept_connection(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    web.answer = lambda request: OK if b" / " in request else b""
    pool.request(caller.request("/new")._replace(again=True))
    until(lambda: caller.cuts)
    assert web.connections == 1, "on a new connection the end is the server's answer"
    pool.request(caller.request())
    until(lambda: caller.answers)
    pool.request(caller.request("/new")._replace(again=True))
    until(lambda: len(caller.cuts) == 2)
    assert [request.split(b" ")[1] for request in web.requests] == [b"/new", b"/", b"/new", b"/new"]
    web.answer = lambda request: OK if b" / " in request else b"HTTP/1.1 200"
    web.requests.clear()
    pool.request(caller.request())
    until(lambda: len(caller.answers) == 2)
    pool.request(caller.request("/half")._replace(again=True))
    until(lambda: len(web.requests) == 2)
    web.socks[-1].close()
    until(lambda: len(caller.cuts) == 3)
    assert len(web.requests) == 2, "it had begun to answer"


def test_what_could_not_be_written_did_not_leave(
    place: Place, web: Web, caller: Caller, until: Until
) -> None:
    connection = HttpConnection(caller.faults.append, lambda lag_ns: None)
    connection.wire.connect(place.family, place.address, 5)
    until(lambda: web.socks)
    _reset(web.socks[0])
    tries = 0
    while not caller.cuts:  # only a write can find out: the hub has no turn in between
        connection._request = None
        connection.start(caller.request(), perf_counter_ns())
        tries += 1
    assert len(caller.left) == tries - 1


def test_an_answer_nobody_asked_for_closes_the_connection(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    pool.request(caller.request())
    until(lambda: caller.answers)
    web.socks[0].sendall(OK)
    until(lambda: not pool.sockets)
    assert len(caller.answers) == 1
    assert not caller.cuts
    assert not caller.faults


def test_an_exception_behind_an_answer_is_told_and_stops_nobody(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    caller.raising = OSError("a file of ours")
    pool.request(caller.request())
    until(lambda: caller.faults)
    assert caller.faults == [caller.raising]
    assert caller.cuts == [], "it was answered"
    caller.raising = None
    pool.request(caller.request())
    until(lambda: len(caller.answers) == 2)


def test_nobody_there_cuts_the_request_with_its_cause(caller: Caller, until: Until) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = Place(2, nobody.getsockname(), "h", "http://h")
        pool = HttpPool(place, perf_counter_ns, caller.faults.append, lambda lag_ns: None, 5)
        pool.request(caller.request())
        until(lambda: caller.cuts)
        assert caller.cuts[0][0] is Cause.CONNECT_REFUSED
        assert caller.left == [], "it never left"
        with pytest.raises(ConnectFailed) as failed:
            fetch(place, "/", 5)
        assert failed.value.cause is Cause.CONNECT_REFUSED


def test_a_pool_closed_while_connecting_leaves_no_connection(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    pool.request(caller.request())
    pool.close()
    until(lambda: caller.cuts)
    assert caller.cuts[0][0] is Cause.CLIENT
    gevent.sleep(0.01)
    assert pool.sockets == 0
    assert caller.answers == []


def test_bytes_of_connections_that_are_gone_still_count(
    pool: HttpPool, web: Web, caller: Caller, until: Until
) -> None:
    answers = [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK, OK]
    web.answer = lambda request: answers[len(web.requests) - 1]
    for number in range(3):
        pool.request(caller.request())
        until(_answered(caller, number + 1))
    carried = pool.carried()
    assert carried.bytes_sent == sum(map(len, web.requests))
    assert carried.bytes_received == sum(map(len, answers))
    pool.close()
    assert pool.carried() == carried


def test_fetching_once_is_a_whole_answer_or_a_reason(place: Place, web: Web) -> None:
    assert fetch(place, "/x", 5).body == b"ok"
    assert b"Connection: close" in web.requests[0]
    web.answer = lambda request: None
    with pytest.raises(ConnectFailed) as failed:
        fetch(place, "/x", 0.05)
    assert failed.value.cause is Cause.CONNECT_TIMEOUT
    web.answer = lambda request: b"junk\r\n"
    with pytest.raises(ConnectFailed) as failed:
        fetch(place, "/x", 5)
    assert failed.value.cause is Cause.PARSE_ERROR


def test_a_connection_is_busy_until_its_answer(place: Place, web: Web, caller: Caller, until: Until) -> None:
    connection = HttpConnection(caller.faults.append, lambda lag_ns: None)
    connection.wire.connect(place.family, place.address, 5)
    assert connection.idle
    connection.start(caller.request(), perf_counter_ns())
    busy = not connection.idle
    assert busy
    until(lambda: caller.answers)
    until(lambda: connection.idle)
    connection.wire.close()
    until(lambda: not connection.idle)
