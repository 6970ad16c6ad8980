"""What should a user cost in bytes per second, by polling and by push, and where does one become the cheaper?

The closed form. Per user, at so many messages delivered to it per second, of which every member of a room of M
says its share:

    polling:  sum over feeds of quiet / I  +  p (news - quiet + preflight) / I  +  copies * item  +  said * post
    push:     (beat + p' apart) / T  +  delivered * heard  +  said * emitted

said = delivered / (M - 1); copies = delivered + said, the sender's own among them; p = 1 - exp(-copies I) is the
share of polls that find something, as messages come independently of one another, and p' that of heartbeats with
a message since the one before. quiet is a poll and its answer without news, news the same with an empty list of
them, each with all its segments; what one interval brought shares one answer, so polling becomes cheaper per
message the more is said. With news = quiet, no preflights and a large room this is

    P(I, l) = (Hq + Hr + (2 + a) h) / I + l b        W(l) = (3 + 7 + 3 h) / T + l (b' + f + 2 h)

for which the rate of a given saving has a closed form too. Sizes are measured, never assumed: of a real exchange
of the contract (loadtest.users.weighing), or of a handful of numbers in a test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from loadtest.analysis.bandwidth import HEADER_BYTES

SOCKET, WIRE = "socket", "wire"
LEVELS = (SOCKET, WIRE)
"""Levels B and C."""
LIBRARY, BROWSER = "library", "browser"
PLAIN, DEFLATE = "plain", "deflate"
_TRIMMED = 0.15
"""Of each end: a heartbeat, or a retransmission, that fell among the exchanges weighed."""
_MOST = 1e4
"""Messages per second and user; nobody reads as fast."""


class Exchange(NamedTuple):
    """What went over the sockets for one thing: bytes, and segments of either direction, bare ACKs among them."""

    bytes: float
    segments: float

    def at(self, level: str) -> float:
        """Bytes on that level."""
        return self.bytes + (HEADER_BYTES * self.segments if level == WIRE else 0.0)


NOTHING = Exchange(0.0, 0.0)
BEAT = Exchange(3 + 7, 3)
"""Engine.IO's "2" in a frame, its "3" in a masked one, and an ACK (RFC 6455, 5.2)."""


DEFLATED_BEAT = Exchange(BEAT.bytes + 2 * 2, BEAT.segments)
"""A single byte becomes three (RFC 7692, 7.2.3.2)."""
ACK = Exchange(0, 1)
"""Linux lets an ACK wait for an answer that it can travel with, until one has waited in vain: a message is
answered by nothing, so the heartbeat after it is acknowledged at once, and its pong is a segment more."""


class Feed(NamedTuple):
    """A feed that is asked every ``interval_s``; ``news`` without its items."""

    interval_s: float
    quiet: Exchange
    news: Exchange
    item: Exchange = NOTHING
    preflight: Exchange = NOTHING


class Polling(NamedTuple):
    """A user that polls: messages come by the first feed, the others stay quiet."""

    feeds: Sequence[Feed]
    post: Exchange = NOTHING

    def cost(self, delivered: float, members: float, level: str) -> float:
        """Bytes per second of one user, that hears ``delivered`` messages of others per second."""
        said = delivered / (members - 1)
        messages = self.feeds[0]
        copies = delivered + said
        finds = -math.expm1(-copies * messages.interval_s)
        more = messages.news.at(level) - messages.quiet.at(level) + messages.preflight.at(level)
        return (
            sum(feed.quiet.at(level) / feed.interval_s for feed in self.feeds)
            + finds * more / messages.interval_s
            + copies * messages.item.at(level)
            + said * self.post.at(level)
        )


class Pushing(NamedTuple):
    """A user with a WebSocket; ``emitted``: what it says, the acknowledgement and its own copy.

    apart: what a heartbeat costs more after a message.
    """

    period_s: float
    heard: Exchange
    emitted: Exchange = NOTHING
    beat: Exchange = BEAT
    apart: Exchange = NOTHING

    def cost(self, delivered: float, members: float, level: str) -> float:
        """As of Polling."""
        said = delivered / (members - 1)
        after = -math.expm1(-(delivered + said) * self.period_s)
        beats = (self.beat.at(level) + after * self.apart.at(level)) / self.period_s
        return beats + delivered * self.heard.at(level) + said * self.emitted.at(level)


class Pair(NamedTuple):
    """Both, for rooms of ``members``."""

    polling: Polling
    pushing: Pushing
    members: float

    def ratio(self, delivered: float, level: str) -> float:
        """Push over polling: below 1 push is the cheaper."""
        push = self.pushing.cost(delivered, self.members, level)
        return push / self.polling.cost(delivered, self.members, level)

    def saving(self, delivered: float, level: str) -> float:
        """What push saves of the bytes of polling; negative where polling is the cheaper."""
        return 1 - self.ratio(delivered, level)


def textbook(
    request: float,
    response: float,
    body: float,
    interval_s: float,
    period_s: float = 25.0,
    acks: float = 2.0,
    frame: float = 4.0,
) -> Pair:
    """The closed form of few numbers: heads in bytes, a body that is the same in a list and in a frame."""
    poll = Exchange(request + response, 2 + acks)
    feed = Feed(interval_s, poll, poll, Exchange(body, 0))
    return Pair(Polling((feed,)), Pushing(period_s, Exchange(body + frame, 2)), math.inf)


def rate_of_saving(pair: Pair, saving: float, level: str) -> float:
    """By the closed form: up to how many messages per second push saves that much; for ``textbook`` pairs.

    ((1 - s) P0 - w0) / (c - (1 - s) b), P0 and w0 the idle costs, c and b those of a message. Negative: it never
    saves that much; inf: it always does.
    """
    kept = 1 - saving
    idle = kept * pair.polling.cost(0, pair.members, level) - pair.pushing.cost(0, pair.members, level)
    each = pair.pushing.heard.at(level) - kept * pair.polling.feeds[0].item.at(level)
    return idle / each if each > 0 else math.inf


def crossing(ratio: Callable[[float], float], wanted: float) -> float | None:
    """Where a rising ratio of push to polling passes ``wanted``.

    0.0 if it lies above from the start, None if it stays below up to any rate that people could read at.
    """
    from scipy.optimize import brentq  # takes half a second to import

    if ratio(0.0) >= wanted:
        return 0.0
    high = 0.01
    while ratio(high) < wanted:
        high *= 2
        if high > _MOST:
            return None
    return float(brentq(lambda rate: ratio(rate) - wanted, 0.0, high, xtol=1e-9, rtol=1e-9))


# -- sizes, from exchanges that were weighed ---------------------------------------------------------------


class Weight(msgspec.Struct, frozen=True):
    """One exchange as it was weighed; see loadtest.users.weighing."""

    kind: str
    way: str
    bytes: int
    segments: int
    feed: str = ""
    items: int = 0
    preflights: int = 0


class Weighed(msgspec.Struct, frozen=True):
    """All of them. poll_s: the interval of each feed, in the order of the contract; None: no heartbeat."""

    poll_s: dict[str, float]
    weights: list[Weight]
    ping_interval_s: float | None = None


class UnweighedError(ValueError):
    """Too little was weighed for a model; ``str`` says what is missing."""


def polling(weighed: Weighed, headers: str, feeds: int) -> Polling:
    """A user that polls with these headers the first of the feeds, or all of them. Raises UnweighedError."""
    named = list(weighed.poll_s.items())[:feeds]
    found = [_feed(weighed, headers, name, interval_s) for name, interval_s in named]
    if not found:
        raise UnweighedError("the contract has no feeds")
    return Polling(tuple(found), _mean(weighed, "post", headers))


def pushing(weighed: Weighed, way: str) -> Pushing:
    """A user with a socket, ``plain`` or ``deflate``. Raises UnweighedError."""
    if not weighed.ping_interval_s:
        raise UnweighedError("the server did not say how often it pings")
    heard, said = _mean(weighed, "heard", way), _mean(weighed, "said", way)
    # A server that does not agree to compress is spoken to as if nobody had asked.
    deflated = way == DEFLATE and heard.bytes < 0.99 * _mean(weighed, "heard", PLAIN).bytes
    return Pushing(weighed.ping_interval_s, heard, said, DEFLATED_BEAT if deflated else BEAT, ACK)


def _feed(weighed: Weighed, headers: str, name: str, interval_s: float) -> Feed:
    polls = [one for one in weighed.weights if (one.kind, one.way, one.feed) == ("poll", headers, name)]
    if not polls:
        raise UnweighedError(f"no poll of {name} with {headers} headers was weighed")
    if not any(one.items for one in polls):
        quiet = Exchange(*np.mean([(one.bytes, one.segments) for one in polls], axis=0).tolist())
        return Feed(interval_s, quiet, quiet)
    # Least squares over all polls: what each costs without news, with some, for each item, for a preflight.
    rows = [(not one.items, one.items > 0, one.items, one.preflights) for one in polls]
    sizes = [(one.bytes, one.segments) for one in polls]
    fitted, *_ = np.linalg.lstsq(np.array(rows, float), np.array(sizes, float), rcond=None)
    quiet, news, item, preflight = (Exchange(*row) for row in fitted.tolist())
    return Feed(interval_s, quiet, news, item, preflight)


def _mean(weighed: Weighed, kind: str, way: str) -> Exchange:
    from scipy.stats import trim_mean  # takes half a second to import

    found = [(one.bytes, one.segments) for one in weighed.weights if (one.kind, one.way) == (kind, way)]
    if not found:
        raise UnweighedError(f"nothing of the kind {kind!r} was weighed ({way})")
    return Exchange(*trim_mean(np.array(found, float), _TRIMMED, axis=0).tolist())


def models(weighed: Weighed, members: float) -> Mapping[tuple[str, int, str], Pair]:
    """By (headers, feeds, way of the socket): one feed and all of them."""
    counts = sorted({1, len(weighed.poll_s)})
    return {
        (headers, feeds, way): Pair(polling(weighed, headers, feeds), pushing(weighed, way), members)
        for headers in (LIBRARY, BROWSER)
        for feeds in counts
        for way in (PLAIN, DEFLATE)
    }
