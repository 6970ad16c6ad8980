"""When does a client that lost its connection try again, and what does it do with what is said meanwhile?

A policy is what one client library does, as numbers: pure, with the chance as an argument. Which losses are
repaired at all is not its matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, inf, nextafter
from typing import Protocol

import msgspec

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

CONNECT_TIMEOUT_NS = 20 * _NS_PER_S
"""How long one attempt may take: the default of socket.io-client (its option ``timeout``)."""


class Rule(Protocol):
    """How long to wait before an attempt; attempts count from 1."""

    def delay_ns(self, attempt: int, draw: float) -> int:
        """The wait before this attempt, for a ``draw`` from [0, 1)."""

    def band_ns(self, attempt: int) -> tuple[int, int]:
        """The shortest and the longest wait that any draw gives."""


class Policy(msgspec.Struct, frozen=True):
    """What a client does about a lost connection.

    ``attempts``            before it gives up; None: it never does; 0: it does not even begin
    ``connect_timeout_ns``  how long one attempt may take
    ``buffers``             what is to be sent while it is offline is kept and sent on connect; else it fails
    ``retries_refused``     a CONNECT_ERROR is an attempt that failed like any other; else it is the end
    """

    name: str
    attempts: int | None
    buffers: bool
    retries_refused: bool
    rule: Rule
    connect_timeout_ns: int = CONNECT_TIMEOUT_NS

    def delay_ns(self, attempt: int, draw: float) -> int:
        """The wait before ``attempt`` (from 1), for a draw from [0, 1); ns since the attempt before it failed.

        Raises ValueError for an attempt that this policy never makes.
        """
        self._check(attempt)
        return self.rule.delay_ns(attempt, draw)

    def band_ns(self, attempt: int) -> tuple[int, int]:
        """The shortest and the longest wait before ``attempt`` that the rule allows. Raises as delay_ns."""
        self._check(attempt)
        return self.rule.band_ns(attempt)

    def _check(self, attempt: int) -> None:
        if attempt < 1 or (self.attempts is not None and attempt > self.attempts):
            limit = "" if self.attempts is None else f" to {self.attempts}"
            raise ValueError(f"policy {self.name} has attempts from 1{limit}, not {attempt}")


class Listed(msgspec.Struct, frozen=True):
    """The n-th wait is the n-th of a list; no chance in it."""

    delays_ns: tuple[int, ...]

    def delay_ns(self, attempt: int, draw: float) -> int:
        """As listed, whatever is drawn."""
        return self.delays_ns[attempt - 1]

    def band_ns(self, attempt: int) -> tuple[int, int]:
        """A single value."""
        return self.delays_ns[attempt - 1], self.delays_ns[attempt - 1]


# The largest draws on either side of backo2's coin: an even first decimal shortens the wait, an odd one
# lengthens it. The very last float below 0.9, times ten, is rounded up to 9: hence two steps.
_LAST_SHORTENING = nextafter(nextafter(0.9, 0), 0)
_LAST_LENGTHENING = nextafter(1.0, 0)


class Backo(msgspec.Struct, frozen=True):
    """``backo2`` as socket.io-client uses it (its contrib/backo2.ts and manager.ts), to the millisecond.

    Fields are the options of the client. Doubling, then ± ``randomization`` of the wait, then the cap: at the
    cap most clients wait exactly as long as each other, whatever they draw.
    """

    delay_ms: float = 1_000
    delay_max_ms: float = 5_000
    randomization: float = 0.5

    def __post_init__(self) -> None:
        # JavaScript takes a 0 for "not given", and cuts to 32 bits what does not fit: neither is meant.
        if not (0 < self.delay_ms < 2**31 and 0 < self.delay_max_ms < 2**31 and 0 <= self.randomization <= 1):
            raise ValueError(f"delays must be in (0, 2**31) ms and the randomization in [0, 1]: {self}")

    def delay_ms_of(self, attempt: int, draw: float) -> int:
        """``duration()`` of the attempt-th call, in ms; one draw decides both how far and which way."""
        try:
            ms = self.delay_ms * 2.0 ** (attempt - 1)
        except OverflowError:
            ms = inf
        if self.randomization:
            shortens = floor(draw * 10) % 2 == 0
            if ms == inf and shortens:
                # After about a thousand attempts JavaScript has Infinity - Infinity here, of which ``| 0`` makes
                # 0: half of the clients of an outage of more than an hour do not wait any more.
                return 0
            if ms != inf:
                deviation = floor(draw * self.randomization * ms)
                ms += -deviation if shortens else deviation
        return floor(min(ms, self.delay_max_ms))

    def delay_ns(self, attempt: int, draw: float) -> int:
        """As delay_ms_of."""
        return self.delay_ms_of(attempt, draw) * _NS_PER_MS

    def band_ns(self, attempt: int) -> tuple[int, int]:
        """Not symmetric: the largest draws lengthen, so a wait is cut by less than 0.9 of the randomization."""
        return self.delay_ns(attempt, _LAST_SHORTENING), self.delay_ns(attempt, _LAST_LENGTHENING)


class Additive(msgspec.Struct, frozen=True):
    """As python-socketio's client: doubling, then the cap, then ± ``spread_s`` seconds, however long it is."""

    delay_s: float = 1.0
    delay_max_s: float = 5.0
    spread_s: float = 0.5

    def delay_ns(self, attempt: int, draw: float) -> int:
        """Never below zero: its wait for a negative time returns at once."""
        try:
            doubled_s = self.delay_s * 2.0 ** (attempt - 1)
        except OverflowError:
            doubled_s = inf
        delay_s = min(doubled_s, self.delay_max_s) + self.spread_s * (2 * draw - 1)
        return max(0, round(delay_s * _NS_PER_S))

    def band_ns(self, attempt: int) -> tuple[int, int]:
        """Of the same width for every attempt."""
        return self.delay_ns(attempt, 0.0), self.delay_ns(attempt, 1.0)


def documented(delays_ms: Sequence[int]) -> Policy:
    """What an application documents of itself: these waits, one attempt each, no jitter.

    Of socket.io-client it is a configuration, so all else is as there. Raises ValueError without a delay.
    """
    if not delays_ms:
        raise ValueError("a documented reconnection needs at least one delay")
    delays_ns = tuple(delay * _NS_PER_MS for delay in delays_ms)
    return Policy("documented", len(delays_ns), buffers=True, retries_refused=False, rule=Listed(delays_ns))


def javascript(delay_ms: float = 1_000, delay_max_ms: float = 5_000, randomization: float = 0.5) -> Policy:
    """socket.io-client with its options reconnectionDelay, reconnectionDelayMax and randomizationFactor."""
    rule = Backo(delay_ms, delay_max_ms, randomization)
    return Policy("js", None, buffers=True, retries_refused=False, rule=rule)


# python-socketio gives the answer to CONNECT one second when it comes back, and that cannot be set: a server that
# is merely slow is hung up on and reads as dead. A harness that did the same would report its own impatience,
# so the waits are that client's and the timeout is the other's.
_PYTHON = Policy("python", None, buffers=False, retries_refused=True, rule=Additive())

POLICIES: dict[str, Policy] = {
    "documented": documented((1_000, 2_000, 4_000, 8_000, 16_000)),
    "js": javascript(),
    "python": _PYTHON,
    "none": Policy("none", 0, buffers=False, retries_refused=False, rule=Listed(())),
}
"""By the name that ``--rt-reconnect`` takes."""
