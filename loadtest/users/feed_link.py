"""How does a user act without a socket? Requests for what it does, and feeds that it polls for the rest.

Polling as an application does it: at a fixed rate per feed, from a phase that differs from user to user, never
two requests of one feed at a time. A tick that comes while an answer is still on its way polls as soon as it is
there. All feeds and requests of a user share its connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter_ns

from loadtest.contract import Action, Feed, HttpCall
from loadtest.measure.units import MS
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.clock import Clock, Timer
from loadtest.users.connection import dialled
from loadtest.users.http import Response
from loadtest.users.link import ActionFailed, Errand, Hearing, Heartbeat, Outcome, Variables
from loadtest.users.requests import Requests, parsed
from loadtest.users.tcp import Carried

OnPoll = Callable[[int, int, int, str | None], None]
"""(planned_ns, sent_ns, read_ns, error) of each poll that was answered or cut."""

_UNAUTHORIZED = 401


class FeedLink:
    """The contract's requests and some of its feeds, over the connections of one user.

    renew: gets a new token, where the server no longer takes the one the user has.
    """

    transport = "interval-polling"
    ordered = False

    def __init__(
        self,
        feeds: Sequence[Feed],
        identity: Variables,
        requests: Requests,
        clock: Clock,
        rng: Random,
        hearing: Hearing,
        on_poll: OnPoll,
        renew: Callable[[], None],
    ) -> None:
        self.requests = requests
        self.identity = identity
        self.hearing = hearing
        self.clock = clock
        self.rng = rng
        self.on_poll = on_poll
        self._renew = renew
        self._pollers = [_Poller(self, feed) for feed in feeds]
        self.is_open = False
        self.phases: dict[str, int] = {}
        self.captured: dict[str, object] = {}

    def open(self, timeout_s: float) -> None:
        """Connect, and ask where the feeds stand; the timers run from then on. Raises ConnectFailed."""
        begun_ns = perf_counter_ns()
        wire = self.requests.pool.connect().wire
        connected_ns = perf_counter_ns()
        try:
            answered_ns = [poller.begin(timeout_s) for poller in self._pollers]
        except ActionFailed as error:
            raise ConnectFailed(error.cause, error.detail) from None
        dialling = dialled(wire, connected_ns - begun_ns)
        self.phases = {**dialling, "open": max(answered_ns) - connected_ns}
        self.is_open = True
        for poller in self._pollers:
            poller.start()

    def refused(self) -> None:
        """The server does not take the token any more."""
        self._renew()
        self.requests.dress(self.identity)

    # -- actions ----------------------------------------------------------------------------------------

    def send(self, action: Action, variables: Variables, errand: Errand) -> None:
        """Do it without waiting."""
        if not self.is_open:
            errand.failed(Cause.CLIENT, "not connected")
            return
        self.requests.send(_http(action), variables, errand)

    def perform(self, action: Action, variables: Variables) -> Outcome:
        """Do it and wait for the answer. Raises ActionFailed."""
        return self.requests.perform(_http(action), variables)

    # -- the rest of the seam ---------------------------------------------------------------------------

    def check(self, now_ns: int) -> None:
        """A poll that fails says so itself."""

    def cut(self, reset: bool) -> bool:
        """End the connections; the next request makes another, so the link is not lost by it."""
        self.requests.pool.cut(reset)
        return False

    def pause_reading(self, paused: bool) -> None:
        """Leave the answers in the sockets."""
        self.requests.pool.pause_reading(paused)

    def carried(self) -> Carried:
        """Bytes and segments of all connections so far."""
        return self.requests.pool.carried()

    @property
    def sockets(self) -> int:
        """Connections open now."""
        return self.requests.pool.sockets

    @property
    def arrived_ns(self) -> int | None:
        """The kernel's stamp of what is being read."""
        return self.requests.pool.arrived_ns

    @property
    def heartbeat(self) -> Heartbeat | None:
        """A poll of the slowest feed; two fit into any window worth measuring, and the users' phases differ."""
        slowest_ms = max((poller.feed.interval_ms for poller in self._pollers), default=0)
        return Heartbeat(slowest_ms * MS, 2, None) if slowest_ms else None

    @property
    def patience_ns(self) -> int | None:
        """Nobody waits for a sign of life of a polling user."""
        return None

    @property
    def name(self) -> str:
        """A feed has no session; the user is known by its name."""
        return ""

    def close(self) -> None:
        """Stop polling, close all connections."""
        self.is_open = False
        for poller in self._pollers:
            poller.stop()
        self.requests.pool.close()


class _Poller:
    """One feed, asked at its rate."""

    def __init__(self, link: FeedLink, feed: Feed) -> None:
        self._link = link
        self.feed = feed
        self._cursor: str | None = None
        self._etag: str | None = None
        self._timer: Timer | None = None
        self._due_ns = 0
        self._polling = False

    def begin(self, timeout_s: float) -> int:
        """Ask where the feed stands; when that was answered. Raises ActionFailed, ConnectFailed."""
        feed = self.feed
        response = self._link.requests.ask("GET", feed.target(self._link.identity), None, timeout_s)
        if feed.outcome(response.status) != "news":
            shown = response.body[:200].decode("utf-8", "replace")
            raise ConnectFailed(
                Cause.HANDSHAKE_REFUSED, f'HTTP {response.status} from the feed "{feed.name}" {shown}'
            )
        self._cursor, self._etag = feed.next_cursor(parsed(response.body)), response.headers.get("etag")
        return response.read_ns

    def start(self) -> None:
        """Poll from here on, at a phase of its own."""
        interval_ns = self.feed.interval_ms * MS
        self._due_ns = perf_counter_ns() + int(self._link.rng.random() * interval_ns)
        self._timer = self._link.clock.call_at(self._due_ns, self._tick)

    def stop(self) -> None:
        """Poll no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        planned_ns = self._due_ns
        if not self._polling:
            self._poll(planned_ns)
        now_ns = perf_counter_ns()
        interval_ns = self.feed.interval_ms * MS
        while self._due_ns <= now_ns:
            self._due_ns += interval_ns
        if self._link.is_open:
            self._timer = self._link.clock.call_at(self._due_ns, self._tick)

    def _poll(self, planned_ns: int) -> None:
        self._polling = True
        extra = f"If-None-Match: {self._etag}\r\n" if self.feed.etag and self._etag else ""
        target = self.feed.target(self._link.identity, self._cursor)
        poll = _Poll(self, planned_ns)
        self._link.requests.submit("GET", target, None, poll.left, poll.answered, poll.cut, extra)

    def polled(self, poll: _Poll, response: Response) -> None:
        """An answer of the feed: news first, then the books, then the next poll if one is owed."""
        link, feed = self._link, self.feed
        if not link.is_open:
            return
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
                    link.hearing.event(name, args, response.read_ns)
                except Exception as bug:
                    link.hearing.fault(bug)
            more = feed.has_more(body)
        elif outcome == "expired":
            self._cursor, self._etag, error = feed.fresh_cursor(parsed(response.body)), None, "feed expired"
        elif outcome == "failed":
            error = f"HTTP {response.status}"
            if response.status == _UNAUTHORIZED:
                link.refused()
        link.on_poll(poll.planned_ns, response.sent_ns, response.read_ns, error)
        self._after_poll(poll.planned_ns, more)

    def poll_cut(self, poll: _Poll, cause: Cause, detail: str) -> None:
        """The connection ended before the answer."""
        if self._link.is_open:
            self._link.on_poll(poll.planned_ns, poll.sent_ns, perf_counter_ns(), f"{cause}: {detail}")
            self._after_poll(poll.planned_ns, False)

    def _after_poll(self, planned_ns: int, more: bool) -> None:
        self._polling = False
        owed_ns = self._due_ns - self.feed.interval_ms * MS
        if more:
            self._poll(perf_counter_ns())
        elif owed_ns > planned_ns:
            self._poll(owed_ns)  # a tick passed while the answer was on its way


class _Poll:
    """One poll on its way."""

    __slots__ = ("_poller", "planned_ns", "sent_ns")

    def __init__(self, poller: _Poller, planned_ns: int) -> None:
        self._poller = poller
        self.planned_ns = planned_ns
        self.sent_ns = planned_ns

    def left(self, sent_ns: int) -> None:
        self.sent_ns = sent_ns

    def answered(self, response: Response) -> None:
        self._poller.polled(self, response)

    def cut(self, cause: Cause, detail: str) -> None:
        self._poller.poll_cut(self, cause, detail)


def _http(action: Action) -> HttpCall:
    if action.http is None:
        raise ActionFailed(Cause.INTERNAL, "the contract has no HTTP request for this action")
    return action.http
