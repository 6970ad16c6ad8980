"""How does a user act without a socket? Requests for what it does, a feed polled for what it hears.

The timer is fixed-rate with a random phase, as an application's own timer is: an answer does not move it.
An answer slower than the interval delays the next poll to its end; the moments stay where they were.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import perf_counter_ns

from loadtest.contract import Action, Contract, Feed, HttpCall
from loadtest.measure.units import MS
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.clock import Clock, Timer
from loadtest.users.connection import Place
from loadtest.users.http import Request, Response, compose
from loadtest.users.link import ActionFailed, Errand, Hearing, Heartbeat, Outcome, Variables
from loadtest.users.requests import Requests, parsed
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
        self._feed: Feed = contract.feeds[0]
        self._hearing = hearing
        self._clock = clock
        self._rng = rng
        self._on_poll = on_poll
        self._identity = identity
        self._requests = Requests(contract, identity, place, headers, hearing)
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
        self._requests.pool.connect()
        connected_ns = perf_counter_ns()
        try:
            response = self._requests.ask("GET", self._feed.target(self._identity), None, timeout_s)
        except ActionFailed as error:
            raise ConnectFailed(error.cause, error.detail) from None
        body = parsed(response.body)
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
        content = compose("GET", target, self._requests.head, None, extra)
        poll = _Poll(self, planned_ns)
        self._requests.pool.request(Request(content, poll.left, poll.answered, poll.cut))

    def polled(self, poll: _Poll, response: Response) -> None:
        """An answer of the feed: news first, then the books, then the next poll if one is owed."""
        if not self._open:
            return
        feed = self._feed
        outcome = feed.outcome(response.status)
        error = None
        more = False
        if outcome == "news":
            body = parsed(response.body)
            self._cursor = feed.next_cursor(body) or self._cursor
            self._etag = response.headers.get("etag")
            for name, args in feed.events(body):
                # One event that a scenario cannot take must not cost it the others, nor all polls to come.
                try:
                    self._hearing.event(name, args, response.read_ns)
                except Exception as bug:
                    self._hearing.fault(bug)
            more = feed.has_more(body)
        elif outcome == "expired":
            self._cursor, self._etag, error = feed.fresh_cursor(parsed(response.body)), None, "feed expired"
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
        if not self._open:
            errand.failed(Cause.CLIENT, "not connected")
            return
        self._requests.send(_http(action), variables, errand)

    def perform(self, action: Action, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""
        return self._requests.perform(_http(action), variables)

    # -- the rest of the seam ---------------------------------------------------------------------------

    def check(self, now_ns: int) -> None:
        """A poll that fails says so itself."""

    def carried(self) -> Carried:
        """Bytes and segments of all connections so far."""
        return self._requests.pool.carried()

    @property
    def sockets(self) -> int:
        """Connections open now."""
        return self._requests.pool.sockets

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of what is being read."""
        return self._requests.pool.arrived_ns

    @property
    def heartbeat(self) -> Heartbeat | None:
        """A poll; two fit into any window worth measuring, and the users' phases differ."""
        return Heartbeat(self._feed.interval_ms * MS, 2, None)

    @property
    def name(self) -> str:
        """A feed has no session; the user is known by its name."""
        return ""

    def close(self) -> None:
        """Stop polling, close all connections."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        self._requests.pool.close()


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


def _http(action: Action) -> HttpCall:
    if action.http is None:
        raise ActionFailed(Cause.INTERNAL, "the contract has no HTTP request for this action")
    return action.http
