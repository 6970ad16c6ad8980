"""How does a user do something over HTTP? The contract's requests, over the user's own connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Literal

import msgspec
from gevent import Timeout
from gevent.event import AsyncResult

from loadtest.contract import Contract, HttpCall
from loadtest.users.causes import Cause
from loadtest.users.connection import Place
from loadtest.users.cookies import Cookies
from loadtest.users.http import HttpPool, Request, Response, compose
from loadtest.users.link import ACTION_TIMEOUT_S, ActionFailed, Errand, Hearing, Outcome, Variables
from loadtest.users.preflights import Preflights

_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"


def head_of(
    contract: Contract, identity: Variables, place: Place, headers: str, without: frozenset[str] = frozenset()
) -> bytes:
    """The header lines that a library or a browser sends with every request, each ending in CRLF.

    without: names in lower case to leave out.
    """
    lines: list[tuple[str, str]] = [("Host", place.host)]
    if contract.headers is not None:
        variables = {**identity, "host": place.host, "origin": place.base}
        kind: Literal["library", "browser"] = "browser" if headers == "browser" else "library"
        lines = contract.headers.lines(kind, variables)
    kept = [f"{name}: {value}\r\n" for name, value in lines if name.lower() not in without]
    return "".join(kept).encode("latin-1")


class Requests:
    """One user's requests. ``pool``: its connections, for who sends requests of another kind over them."""

    def __init__(
        self,
        contract: Contract,
        identity: Variables,
        place: Place,
        headers: str,
        hearing: Hearing,
        cookies: Cookies | None = None,
    ) -> None:
        self._contract = contract
        self._place = place
        self._headers = headers
        self.dress(identity)
        variables = {**identity, "host": place.host, "origin": place.base}
        self.preflights = Preflights(contract.headers if headers == "browser" else None, variables)
        self.pool = HttpPool(place, perf_counter_ns, hearing.fault, hearing.lag, ACTION_TIMEOUT_S, cookies)

    def dress(self, identity: Variables) -> None:
        """The header lines of every request from here on; they carry the token."""
        self.head = head_of(self._contract, identity, self._place, self._headers)
        lines = self.head.decode("latin-1").splitlines()
        self._names = frozenset(line.partition(":")[0].lower() for line in lines)

    def submit(
        self,
        method: str,
        target: str,
        body: bytes | None,
        left: Callable[[int], None],
        answered: Callable[[Response], None],
        cut: Callable[[Cause, str], None],
        extra: str = "",
        content_type: str = _JSON,
    ) -> None:
        """A request on its way, after a preflight where a browser would send one.

        left, answered, cut: as in Request, of the request itself. extra: header lines for this one alone.
        """
        request = Request(compose(method, target, self.head, body, extra, content_type), left, answered, cut)
        names = self._names if body is None else self._names | {"content-type"}
        asking = self.preflights.before(method, target, names, perf_counter_ns())
        if asking is None:
            self.pool.request(request)
            return
        go_on = partial(self._go_on, target, names, request)
        self.pool.request(Request(asking, lambda sent_ns: None, go_on, cut))

    def _go_on(self, target: str, names: frozenset[str], request: Request, response: Response) -> None:
        if self.preflights.allowed(target, names, response):
            self.pool.request(request)
        else:
            what = f"HTTP {response.status} to the preflight of {target}: a browser would not let the page send it"
            request.cut(Cause.HANDSHAKE_REFUSED, what)

    def send(self, call: HttpCall, variables: Variables, errand: Errand) -> None:
        """Do it without waiting."""
        trip = _Trip(call, errand)
        body, extra, kind = _content(call, variables)
        target = call.target(variables)
        self.submit(call.method, target, body, trip.left, trip.answered, trip.cut, extra, kind)

    def perform(self, call: HttpCall, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""
        return _outcome(call, self.answer(call, variables, ACTION_TIMEOUT_S))

    def answer(self, call: HttpCall, variables: Variables, timeout_s: float) -> Response:
        """The same, and the answer with all headers, whatever it says. Raises ActionFailed."""
        body, extra, kind = _content(call, variables)
        return self.ask(call.method, call.target(variables), body, timeout_s, extra, kind)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None,
        timeout_s: float,
        extra: str = "",
        content_type: str = _JSON,
    ) -> Response:
        """Any request, and its answer. Raises ActionFailed."""
        answer: AsyncResult = AsyncResult()
        self.submit(
            method,
            target,
            body,
            lambda sent_ns: None,
            answer.set,
            lambda cause, detail: answer.set_exception(ActionFailed(cause, detail)),
            extra,
            content_type,
        )
        try:
            response: Response = answer.get(timeout=timeout_s)
        except Timeout:
            raise ActionFailed(Cause.ACK_TIMEOUT, f"no answer to {method} {target} in time") from None
        return response


class _Trip:
    """One errand on its way over HTTP."""

    __slots__ = ("_call", "_errand", "_gone")

    def __init__(self, call: HttpCall, errand: Errand) -> None:
        self._call = call
        self._errand = errand
        self._gone = False

    def left(self, sent_ns: int) -> None:
        self._gone = True
        self._errand.left(sent_ns)

    def answered(self, response: Response) -> None:
        self._errand.answered(_outcome(self._call, response))

    def cut(self, cause: Cause, detail: str) -> None:
        # Once it left, the server may have it: whether it did, the ledger's deadline decides.
        if not self._gone:
            self._errand.failed(cause, detail)


def _outcome(call: HttpCall, response: Response) -> Outcome:
    ok = call.ok(response.status)
    body = parsed(response.body)
    error = None if ok else call.error(body) or f"HTTP {response.status}"
    return Outcome(ok, error, call, body, response.sent_ns, response.read_ns)


def _content(call: HttpCall, variables: Variables) -> tuple[bytes | None, str, str]:
    """(body, header lines of this request alone, type of the body)."""
    extra = call.header_lines(variables) if call.headers else ""
    if call.form is not None:
        return call.filled(variables), extra, _FORM
    body = call.body(variables)
    return None if body is None else msgspec.json.encode(body), extra, _JSON


def parsed(body: bytes) -> object:
    """The JSON of an answer; None for what is none."""
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return None
