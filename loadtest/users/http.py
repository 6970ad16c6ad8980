"""How does a user speak HTTP/1.1 on the hub? Keep-alive connections, one request in flight on each.

Parsed by httptools, driven by the same wire as sockets are, so stamps and bytes mean the same for both.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gevent
import httptools
from gevent import Timeout
from gevent.event import AsyncResult

from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.cookies import Cookies
from loadtest.users.secure import Secure, new_wire
from loadtest.users.tcp import Carried

_GZIP_OR_ZLIB = 47
_INFLATED_AT_MOST = 64 << 20


class Response(NamedTuple):
    """An answer: status, the headers by lower-case name, the whole body, when its last byte was read."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent_ns: int
    read_ns: int
    arrived_ns: int | None = None
    """The kernel's stamp of the last read; None where unknown."""


class Request(NamedTuple):
    """A request, ready to be written, and who hears of it.

    left: when it was written (ns). answered: the whole answer. cut: the connection ended before that.
    again: send it once more, on a new connection, if it was given to a kept one that ended without a byte of
    an answer. Browsers do, because a server may close an idle connection at the moment it is used; ``left``
    is called for both.
    """

    content: bytes
    left: Callable[[int], None]
    answered: Callable[[Response], None]
    cut: Callable[[Cause, str], None]
    again: bool = False


def compose(
    method: str,
    target: str,
    head: bytes,
    body: bytes | None = None,
    extra: str = "",
    content_type: str = "application/json",
) -> bytes:
    """The bytes of a request; ``head`` are the header lines that never change, each ending in CRLF."""
    length = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n" if body is not None else ""
    start = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
    return b"".join((start, head, extra.encode("latin-1"), length.encode("ascii"), b"\r\n", body or b""))


class HttpConnection:
    """One keep-alive connection. ``idle`` says whether it can take a request.

    ``stale``: it served before, and has not said a byte since it was given its newest request.
    """

    __slots__ = (
        "_body",
        "_cookies",
        "_fault",
        "_headers",
        "_parser",
        "_read_ns",
        "_request",
        "_sent_ns",
        "_served",
        "stale",
        "wire",
    )

    def __init__(
        self,
        fault: Callable[[BaseException], None],
        lag: Callable[[int], object],
        cookies: Cookies | None = None,
        secure: Secure | None = None,
    ) -> None:
        self._fault = fault
        self._cookies = cookies
        self.wire = new_wire(secure, self, lag)
        self._request: Request | None = None
        self._parser: Any = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._sent_ns = self._read_ns = 0
        self._served = self.stale = False

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
        self.stale = self._served
        self.wire.write((request.content,))
        if self._request is request:  # a write that finds the connection ended has cut it: it did not leave
            request.left(now_ns)

    # -- called by the wire -----------------------------------------------------------------------------

    def received(self, data: memoryview, read_ns: int) -> None:
        """Bytes of an answer."""
        if self._request is None:
            self.wire.close()
            return
        self._read_ns = read_ns
        self.stale = False
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
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        # The one header that may stand there twice and cannot be joined by a comma.
        kept = key == "set-cookie" and key in self._headers
        self._headers[key] = f"{self._headers[key]}\n{text}" if kept else text

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        parser = self._parser
        if self._cookies is not None and "set-cookie" in self._headers:
            self._cookies.take_all(self._headers["set-cookie"].split("\n"))
        try:
            body = _plain(b"".join(self._body), self._headers.get("content-encoding", ""))
        except ValueError as error:
            self.wire.close()
            self.ended(Cause.PARSE_ERROR, str(error))
            return
        response = Response(
            parser.get_status_code(),
            self._headers,
            body,
            self._sent_ns,
            self._read_ns,
            self.wire.arrived_ns,
        )
        request, self._request = self._request, None
        self._served = True
        if not parser.should_keep_alive():
            self.wire.close()
        if request is not None:
            request.answered(response)


def _plain(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was compressed. Raises ValueError for what cannot be undone."""
    if not body or encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"an answer in {encoding}, which cannot be read here")
    inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = inflate.decompress(body, _INFLATED_AT_MOST)
    except zlib.error as error:
        raise ValueError(f"an answer that is no {encoding} ({error})") from None
    if not inflate.eof:
        raise ValueError(
            f"an answer in {encoding} that breaks off, or of more than {_INFLATED_AT_MOST} bytes"
        )
    return plain


class HttpPool:
    """The connections of one user: an idle one is used again, another is opened only when all are busy.

    cookies: the user's, sent with every request; left out: kept for as long as these connections.
    """

    def __init__(
        self,
        place: Place,
        now: Callable[[], int],
        fault: Callable[[BaseException], None],
        lag: Callable[[int], object],
        timeout_s: float,
        cookies: Cookies | None = None,
    ) -> None:
        self.cookies = Cookies() if cookies is None else cookies
        self._place = place
        self._now = now
        self._fault = fault
        self._lag = lag
        self._timeout_s = timeout_s
        self._open: list[HttpConnection] = []
        self._past = Carried()
        self._closed = self._paused = False

    def request(self, request: Request) -> None:
        """Write it on an idle connection now, or on a new one as soon as that is open."""
        if self.cookies:
            request = request._replace(content=self.cookies.dress(request.content))
        for connection in self._open:
            if connection.idle:
                if request.again:
                    request = request._replace(cut=partial(self._cut, connection, request))
                connection.start(request, self._now())
                return
        self._forget_closed()
        gevent.spawn(self._request_anew, request, None)

    def _request_anew(self, request: Request, why: tuple[Cause, str] | None) -> None:
        """On a new connection. why: what ended an earlier one under this request."""
        try:
            try:
                connection = self.connect()
            except ConnectFailed as error:
                request.cut(*(why or (error.cause, error.detail)))
            else:
                connection.start(request, self._now())
        except Exception as error:
            self._fault(error)

    def _cut(self, connection: HttpConnection, request: Request, cause: Cause, detail: str) -> None:
        if connection.stale and not self._closed:
            gevent.spawn(self._request_anew, request, (cause, detail))
        else:
            request.cut(cause, detail)

    def connect(self) -> HttpConnection:
        """One more connection; blocks. Raises ConnectFailed."""
        connection = HttpConnection(self._fault, self._lag, self.cookies, self._place.secure)
        connection.wire.pause_reading(self._paused)
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

    def cut(self, reset: bool) -> None:
        """End the connections without a word; requests under way hear of it, later ones open new ones."""
        for connection in list(self._open):
            if not connection.wire.closed:
                if reset:
                    connection.wire.abort()
                else:
                    connection.wire.close()
                connection.ended(
                    Cause.TRANSPORT_ERROR if reset else Cause.TRANSPORT_CLOSE, "cut by the run itself"
                )

    @property
    def local_ports(self) -> list[int]:
        """Our ends' ports of the connections open now."""
        ports = [connection.wire.local_port for connection in self._open]
        return [port for port in ports if port is not None]

    def read_now(self) -> None:
        """Take what waits in the sockets, ahead of the hub's turn."""
        for connection in list(self._open):
            connection.wire.read_now()

    def pause_reading(self, paused: bool) -> None:
        """Leave what comes in the sockets, or go on reading; also for connections to come."""
        self._paused = paused
        for connection in self._open:
            connection.wire.pause_reading(paused)

    def close(self, reset: bool = False) -> None:
        """Close all; with ``reset`` as a cut network would."""
        self._closed = True
        for connection in self._open:
            if reset:
                connection.wire.abort()
            else:
                connection.wire.close()


def fetch(
    place: Place,
    target: str,
    timeout_s: float,
    method: str = "GET",
    body: bytes | None = None,
    more: str = "",
) -> Response:
    """One request on a connection of its own; blocks. Raises ConnectFailed, ``cause`` as the socket says.

    more: header lines beside the usual ones, each with its CRLF.
    """
    answer: AsyncResult = AsyncResult()
    connection = HttpConnection(answer.set_exception, lambda lag_ns: None, secure=place.secure)
    connection.wire.connect(place.family, place.address, timeout_s)
    head = f"Host: {place.host}\r\nAccept: */*\r\nConnection: close\r\n{more}".encode("latin-1")
    request = Request(
        compose(method, target, head, body),
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
