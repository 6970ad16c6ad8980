"""How does a user act without a socket? Requests for what it does, a feed polled for what it hears.

The timer is fixed-rate with a random phase, as an application's own timer is: an answer does not move it.
An answer slower than the interval delays the next poll to its end; the moments stay where they were.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import perf_counter_ns

import msgspec
from gevent import Timeout
from gevent.event import AsyncResult

from loadtest.contract import Action, Contract, Feed, HttpCall
from loadtest.measure.units import MS
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.clock import Clock, Timer
from loadtest.users.connection import Place
from loadtest.users.http import HttpPool, Request, Response, compose
from loadtest.users.link import ACTION_TIMEOUT_S, ActionFailed, Errand, Hearing, Outcome, Variables
from loadtest.users.tcp import Carried

OnPoll = Callable[[int, int, int, str | None], None]
"""(planned_ns, sent_ns, read_ns, error) of each poll that was answered or cut."""


class FeedLink:
    """The contract's requests and one feed, over the connections of one user."""

    transport = "interval-polling"
    ordered = False

    def __init__(
        self,
        contract: Contract,
        identity: Variables,
        place: Place,
        headers: str,
        clock: Clock,
        rng: Random,
        hearing: Hearing,
        on_poll: OnPoll,
    ) -> None:
        assert contract.headers is not None
        self._feed: Feed = contract.feeds[0]
        self._hearing = hearing
        self._clock = clock
        self._rng = rng
        self._on_poll = on_poll
        variables = {**identity, "host": place.host, "origin": place.base}
        lines = contract.headers.lines("browser" if headers == "browser" else "library", variables)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1")
        self._identity = identity
        self._pool = HttpPool(place, perf_counter_ns, hearing.fault, hearing.lag, ACTION_TIMEOUT_S)
        self._cursor: str | None = None
        self._etag: str | None = None
        self._timer: Timer | None = None
        self._due_ns = 0
        self._polling = False
        self._open = False
        self.phases: dict[str, int] = {}

    def open(self, timeout_s: float) -> None:
        """Connect, and ask where the feed stands; the timer runs from then on. Raises ConnectFailed."""
        begun_ns = perf_counter_ns()
        self._pool.connect()
        connected_ns = perf_counter_ns()
        try:
            response = self._ask("GET", self._feed.target(self._identity), None, timeout_s)
        except ActionFailed as error:
            raise ConnectFailed(error.cause, error.detail) from None
        body = _json(response.body)
        if self._feed.outcome(response.status) != "news":
            shown = response.body[:200].decode("utf-8", "replace")
            raise ConnectFailed(Cause.HANDSHAKE_REFUSED, f"HTTP {response.status} from the feed {shown}")
        self._cursor, self._etag = self._feed.next_cursor(body), response.headers.get("etag")
        self.phases = {"tcp": connected_ns - begun_ns, "open": response.read_ns - connected_ns}
        self._open = True
        interval_ns = self._feed.interval_ms * MS
        self._due_ns = perf_counter_ns() + int(self._rng.random() * interval_ns)
        self._timer = self._clock.call_at(self._due_ns, self._tick)

    # -- polling ----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        planned_ns = self._due_ns
        if not self._polling:
            self._poll(planned_ns)
        now_ns = perf_counter_ns()
        interval_ns = self._feed.interval_ms * MS
        while self._due_ns <= now_ns:
            self._due_ns += interval_ns
        if self._open:
            self._timer = self._clock.call_at(self._due_ns, self._tick)

    def _poll(self, planned_ns: int) -> None:
        self._polling = True
        extra = f"If-None-Match: {self._etag}\r\n" if self._feed.etag and self._etag else ""
        target = self._feed.target(self._identity, self._cursor)
        content = compose("GET", target, self._head, None, extra)
        poll = _Poll(self, planned_ns)
        self._pool.request(Request(content, poll.left, poll.answered, poll.cut))

    def polled(self, poll: _Poll, response: Response) -> None:
        """An answer of the feed: news first, then the books, then the next poll if one is owed."""
        if not self._open:
            return
        feed = self._feed
        outcome = feed.outcome(response.status)
        error = None
        more = False
        if outcome == "news":
            body = _json(response.body)
            self._cursor = feed.next_cursor(body) or self._cursor
            self._etag = response.headers.get("etag")
            for name, args in feed.events(body):
                self._hearing.event(name, args, response.read_ns)
            more = feed.has_more(body)
        elif outcome == "expired":
            self._cursor, self._etag, error = feed.fresh_cursor(_json(response.body)), None, "feed expired"
        elif outcome == "failed":
            error = f"HTTP {response.status}"
        self._on_poll(poll.planned_ns, response.sent_ns, response.read_ns, error)
        self._after_poll(poll.planned_ns, more)

    def poll_cut(self, poll: _Poll, cause: Cause, detail: str) -> None:
        """The connection ended before the answer."""
        if self._open:
            self._on_poll(poll.planned_ns, poll.sent_ns, perf_counter_ns(), f"{cause}: {detail}")
            self._after_poll(poll.planned_ns, False)

    def _after_poll(self, planned_ns: int, more: bool) -> None:
        self._polling = False
        owed_ns = self._due_ns - self._feed.interval_ms * MS
        if more:
            self._poll(perf_counter_ns())
        elif owed_ns > planned_ns:
            self._poll(owed_ns)  # a tick passed while the answer was on its way

    # -- actions ----------------------------------------------------------------------------------------

    def send(self, action: Action, variables: Variables, errand: Errand) -> None:
        """Do it without waiting."""
        call = _http(action)
        if not self._open:
            errand.failed(Cause.CLIENT, "not connected")
            return
        trip = _Trip(call, errand)
        body = call.body(variables)
        content = compose(call.method, call.target(variables), self._head, _encoded(body))
        self._pool.request(Request(content, trip.left, trip.answered, trip.cut))

    def perform(self, action: Action, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""
        call = _http(action)
        body = _encoded(call.body(variables))
        response = self._ask(call.method, call.target(variables), body, ACTION_TIMEOUT_S)
        return _outcome(call, response)

    def _ask(self, method: str, target: str, body: bytes | None, timeout_s: float) -> Response:
        answer: AsyncResult = AsyncResult()
        content = compose(method, target, self._head, body)
        self._pool.request(
            Request(
                content,
                lambda sent_ns: None,
                answer.set,
                lambda cause, detail: answer.set_exception(ActionFailed(cause, detail)),
            )
        )
        try:
            response: Response = answer.get(timeout=timeout_s)
        except Timeout:
            raise ActionFailed(Cause.ACK_TIMEOUT, f"no answer to {method} {target} in time") from None
        return response

    # -- the rest of the seam ---------------------------------------------------------------------------

    def check(self, now_ns: int) -> None:
        """A poll that fails says so itself."""

    def carried(self) -> Carried:
        """Bytes and segments of all connections so far."""
        return self._pool.carried()

    @property
    def sockets(self) -> int:
        """Connections open now."""
        return self._pool.sockets

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of what is being read."""
        return self._pool.arrived_ns

    @property
    def name(self) -> str:
        """A feed has no session; the user is known by its name."""
        return ""

    def close(self) -> None:
        """Stop polling, close all connections."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        self._pool.close()


class _Poll:
    """One poll on its way."""

    __slots__ = ("_link", "planned_ns", "sent_ns")

    def __init__(self, link: FeedLink, planned_ns: int) -> None:
        self._link = link
        self.planned_ns = planned_ns
        self.sent_ns = planned_ns

    def left(self, sent_ns: int) -> None:
        self.sent_ns = sent_ns

    def answered(self, response: Response) -> None:
        self._link.polled(self, response)

    def cut(self, cause: Cause, detail: str) -> None:
        self._link.poll_cut(self, cause, detail)


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


def _http(action: Action) -> HttpCall:
    if action.http is None:
        raise ActionFailed(Cause.INTERNAL, "the contract has no HTTP request for this action")
    return action.http


def _outcome(call: HttpCall, response: Response) -> Outcome:
    ok = call.ok(response.status)
    body = _json(response.body)
    error = None if ok else call.error(body) or f"HTTP {response.status}"
    return Outcome(ok, error, call, body, response.sent_ns, response.read_ns)


def _encoded(body: object | None) -> bytes | None:
    return None if body is None else msgspec.json.encode(body)


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return None
