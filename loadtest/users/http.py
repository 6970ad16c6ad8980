"""How does a user speak HTTP/1.1 on the hub? Keep-alive connections, one request in flight on each.

Parsed by httptools, driven by the same wire as sockets are, so stamps and bytes mean the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gevent
import httptools
from gevent import Timeout
from gevent.event import AsyncResult

from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.tcp import Carried
from loadtest.users.wire import Wire


class Response(NamedTuple):
    """An answer: status, the headers by lower-case name, the whole body, when its last byte was read."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent_ns: int
    read_ns: int


class Request(NamedTuple):
    """A request, ready to be written, and who hears of it.

    left: when it was written (ns). answered: the whole answer. cut: the connection ended before that.
    """

    content: bytes
    left: Callable[[int], None]
    answered: Callable[[Response], None]
    cut: Callable[[Cause, str], None]


def compose(method: str, target: str, head: bytes, body: bytes | None = None, extra: str = "") -> bytes:
    """The bytes of a request; ``head`` are the header lines that never change, each ending in CRLF."""
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body is not None else ""
    start = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
    return b"".join((start, head, extra.encode("latin-1"), length.encode("ascii"), b"\r\n", body or b""))


class HttpConnection:
    """One keep-alive connection. ``idle`` says whether it can take a request."""

    __slots__ = ("_body", "_fault", "_headers", "_parser", "_read_ns", "_request", "_sent_ns", "wire")

    def __init__(self, fault: Callable[[BaseException], None], lag: Callable[[int], object]) -> None:
        self._fault = fault
        self.wire = Wire(self, lag)
        self._request: Request | None = None
        self._parser: Any = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._sent_ns = self._read_ns = 0

    @property
    def idle(self) -> bool:
        """Whether it is open and nothing is in flight."""
        return self._request is None and not self.wire.closed

    def start(self, request: Request, now_ns: int) -> None:
        """Write a request; the connection must be idle."""
        self._request = request
        self._headers, self._body = {}, []
        self._parser = httptools.HttpResponseParser(self)
        self._sent_ns = now_ns
        request.left(now_ns)
        self.wire.write((request.content,))

    # -- called by the wire -----------------------------------------------------------------------------

    def received(self, data: memoryview, read_ns: int) -> None:
        """Bytes of an answer."""
        if self._request is None:
            self.wire.close()
            return
        self._read_ns = read_ns
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except httptools.HttpParserError as error:
            self.wire.close()
            self.ended(Cause.PARSE_ERROR, f"not an HTTP answer ({error})")

    def ended(self, cause: Cause, detail: str) -> None:
        """The connection is over; an idle one ends in peace, servers close those after a while."""
        request, self._request = self._request, None
        if request is not None:
            request.cut(cause, detail)

    def failed(self, error: BaseException) -> None:
        """Code of ours raised."""
        self._fault(error)
        self.ended(Cause.INTERNAL, str(error))

    # -- called by the parser ---------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        request, self._request = self._request, None
        parser = self._parser
        response = Response(
            parser.get_status_code(), self._headers, b"".join(self._body), self._sent_ns, self._read_ns
        )
        if not parser.should_keep_alive():
            self.wire.close()
        if request is not None:
            request.answered(response)


class HttpPool:
    """The connections of one user: an idle one is used again, another is opened only when all are busy."""

    def __init__(
        self,
        place: Place,
        now: Callable[[], int],
        fault: Callable[[BaseException], None],
        lag: Callable[[int], object],
        timeout_s: float,
    ) -> None:
        self._place = place
        self._now = now
        self._fault = fault
        self._lag = lag
        self._timeout_s = timeout_s
        self._open: list[HttpConnection] = []
        self._past = Carried()
        self._closed = False

    def request(self, request: Request) -> None:
        """Write it on an idle connection now, or on a new one as soon as that is open."""
        for connection in self._open:
            if connection.idle:
                connection.start(request, self._now())
                return
        self._forget_closed()
        gevent.spawn(self._request_anew, request)

    def _request_anew(self, request: Request) -> None:
        try:
            connection = self.connect()
            connection.start(request, self._now())
        except ConnectFailed as error:
            request.cut(error.cause, error.detail)
        except Exception as error:
            self._fault(error)

    def connect(self) -> HttpConnection:
        """One more connection; blocks. Raises ConnectFailed."""
        connection = HttpConnection(self._fault, self._lag)
        connection.wire.connect(self._place.family, self._place.address, self._timeout_s)
        if self._closed:
            connection.wire.close()
            raise ConnectFailed(Cause.CLIENT, "closed meanwhile")
        self._open.append(connection)
        return connection

    def _forget_closed(self) -> None:
        for connection in [one for one in self._open if one.wire.closed]:
            self._past = self._past.plus(connection.wire.carried())
            self._open.remove(connection)

    def carried(self) -> Carried:
        """Bytes and segments of all connections so far."""
        total = self._past
        for connection in self._open:
            total = total.plus(connection.wire.carried())
        return total

    @property
    def sockets(self) -> int:
        """Connections open now."""
        return sum(not connection.wire.closed for connection in self._open)

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of the newest read of any of them."""
        return max((c.wire.arrived_ns for c in self._open if c.wire.arrived_ns is not None), default=None)

    def close(self) -> None:
        """Close all."""
        self._closed = True
        for connection in self._open:
            connection.wire.close()


def fetch(place: Place, target: str, timeout_s: float, method: str = "GET") -> Response:
    """One request on a connection of its own; blocks. Raises ConnectFailed, ``cause`` as the socket says."""
    answer: AsyncResult = AsyncResult()
    connection = HttpConnection(answer.set_exception, lambda lag_ns: None)
    connection.wire.connect(place.family, place.address, timeout_s)
    head = f"Host: {place.host}\r\nAccept: */*\r\nConnection: close\r\n".encode("latin-1")
    request = Request(
        compose(method, target, head),
        lambda sent_ns: None,
        answer.set,
        lambda cause, detail: answer.set_exception(ConnectFailed(cause, detail)),
    )
    connection.start(request, 0)
    try:
        response: Response = answer.get(timeout=timeout_s)
    except Timeout:
        raise ConnectFailed(Cause.CONNECT_TIMEOUT, f"no answer to {target} within {timeout_s:g} s") from None
    finally:
        connection.wire.close()
    return response
