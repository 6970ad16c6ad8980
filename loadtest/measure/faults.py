"""Which faults are part of a run, when do they strike, and how many?

A fault is written ``KIND@START[xCOUNT/EVERY][~SHARE][:ARG]``: ``abort@0x3/15~0.3`` cuts the connections of 30 %
of the users at seconds 0, 15 and 30 of measure, others each time; ``blackhole@10:30s`` lets nothing through
for 30 seconds from second 10 on. Several are separated by commas or blanks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from loadtest.measure.units import MS, SECOND, parse_duration


class Means(Enum):
    """Who can carry a fault out."""

    CLIENT = "the users themselves"
    TARGET = "the target's fault route (hooks.fault of the contract)"
    PROXY = "a fault proxy (loadtest serve --through-faults, or --rt-fault-control URL)"


class Kind(NamedTuple):
    """What a kind of fault is, and what stands behind its colon.

    lasting_ns: how long it lasts by default; 0: it strikes at once. amount: what else it needs, in the
    ``unit`` of its ARG, None if nothing; then ``:AMOUNT/DURATION`` says both. down: whether nobody can be
    reached while it lasts.
    """

    means: Means
    says: str
    lasting_ns: int = 0
    amount: float | None = None
    unit: str = ""
    down: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "abort": Kind(Means.CLIENT, "connections are reset (RST)"),
        "close": Kind(Means.CLIENT, "connections are closed without a goodbye"),
        "bad-sid": Kind(Means.CLIENT, "connections are cut, and come back with a session nobody knows"),
        "stop-reading": Kind(Means.CLIENT, "clients stop reading", 10 * SECOND),
        "kick": Kind(Means.TARGET, "the server puts clients out"),
        "freeze": Kind(Means.TARGET, "the server stands still", SECOND, down=True),
        "refuse-upgrade": Kind(Means.TARGET, "WebSockets are cut and refused", 10 * SECOND, down=True),
        "slow-accept": Kind(Means.TARGET, "the server accepts slowly", 10 * SECOND, 1500 * MS, "time"),
        "blackhole": Kind(Means.PROXY, "nothing gets through, and nobody is told", 10 * SECOND, down=True),
        "delay": Kind(Means.PROXY, "the way is longer", 10 * SECOND, 80 * MS, "time"),
        "slow": Kind(Means.PROXY, "the way is narrow", 10 * SECOND, 10_000, "bytes per second"),
        "refuse": Kind(Means.PROXY, "connections are reset and refused", 5 * SECOND, down=True),
        "restart": Kind(Means.PROXY, "the server is restarted", 5 * SECOND, down=True),
    }
)
_WRITTEN = re.compile(
    r"(?P<kind>[a-z-]+)@(?P<start>[0-9.]+[a-z]*)"
    r"(?:x(?P<count>[0-9]+)(?:/(?P<every>[0-9.]+[a-z]*))?)?"
    r"(?:~(?P<share>[0-9.]+))?(?::(?P<argument>[^:]+))?"
)
_FORM = "KIND@START[xCOUNT/EVERY][~SHARE][:ARG], such as abort@10x3/15~0.3"
OFF = "none"


class Fault(NamedTuple):
    """One fault as it was asked for. Moments are ns from the start of measure.

    amount: ns for a time, a number otherwise, None where the kind needs none.
    """

    kind: str
    start_ns: int
    times: int
    every_ns: int
    share: float
    lasting_ns: int
    amount: float | None
    text: str

    @property
    def means(self) -> Means:
        """Who can carry it out."""
        return KINDS[self.kind].means

    @property
    def last_ns(self) -> int:
        """When it strikes for the last time."""
        return self.start_ns + (self.times - 1) * self.every_ns


class Occurrence(NamedTuple):
    """One strike of a fault: ``abort#0`` is the first of all of the run's. ``at_ns`` from the start of measure."""

    name: str
    number: int
    at_ns: int
    fault: Fault

    @property
    def until_ns(self) -> int | None:
        """When it ends; None if it strikes at once."""
        return self.at_ns + self.fault.lasting_ns if self.fault.lasting_ns else None


def parse(text: str) -> tuple[Fault, ...]:
    """The faults of a flag; none for an empty one and for ``none``. Raises ValueError, one line."""
    words = [word for word in re.split(r"[,\s]+", text) if word]
    if words == [OFF]:
        return ()
    return tuple(_parse_one(word) for word in words)


def _parse_one(text: str) -> Fault:
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no fault: write {_FORM}")
    name = match["kind"]
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"{text!r}: there is no fault {name!r}; there are {', '.join(KINDS)}")
    count = int(match["count"] or 1)
    every_ns = _duration(text, match["every"]) if match["every"] else 0
    if count < 1 or (count > 1 and not every_ns):
        raise ValueError(f"{text!r}: several strikes are written xCOUNT/EVERY, such as x3/15")
    share = _number(text, match["share"] or "1")
    if not 0 < share <= 1:
        raise ValueError(f"{text!r}: a share is a part of the users, more than 0 and at most 1")
    amount, lasting_ns = _argument(text, kind, match["argument"])
    if count > 1 and lasting_ns > every_ns:
        raise ValueError(f"{text!r}: lasts longer than until its next strike")
    start_ns = _duration(text, match["start"])
    return Fault(name, start_ns, count, every_ns, share, lasting_ns, amount, text)


def _argument(text: str, kind: Kind, given: str | None) -> tuple[float | None, int]:
    """(amount, lasting_ns) of ``ARG``: a duration, or an amount with a duration behind a slash."""
    if given is None:
        return kind.amount, kind.lasting_ns
    if not kind.lasting_ns:
        raise ValueError(f"{text!r}: this fault strikes at once and takes no argument")
    if kind.amount is None:
        lasting_ns = _duration(text, given)
        if lasting_ns <= 0:
            raise ValueError(f"{text!r}: must last longer than nothing")
        return None, lasting_ns
    first, slash, last = given.partition("/")
    amount = float(_duration(text, first)) if kind.unit == "time" else _number(text, first)
    lasting_ns = _duration(text, last) if slash else kind.lasting_ns
    if amount <= 0 or lasting_ns <= 0:
        raise ValueError(f"{text!r}: {kind.unit} and duration must be more than nothing")
    return amount, lasting_ns


def _duration(text: str, given: str) -> int:
    try:
        return parse_duration(given)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _number(text: str, given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        raise ValueError(f"{text!r}: {given!r} is no number") from None
    return number if math.isfinite(number) else 0.0


def occurrences(faults: Iterable[Fault]) -> list[Occurrence]:
    """Every strike, in the order of time."""
    strikes = [
        (fault.start_ns + index * fault.every_ns, place, fault)
        for place, fault in enumerate(faults)
        for index in range(fault.times)
    ]
    strikes.sort(key=lambda one: one[:2])
    return [
        Occurrence(f"{fault.kind}#{number}", number, at_ns, fault)
        for number, (at_ns, _, fault) in enumerate(strikes)
    ]


def longest_outage_ns(faults: Iterable[Fault], silence_ns: int) -> int:
    """How long somebody may be out of reach because of a fault, until the way is open again.

    silence_ns: how long it takes to find out that a server has fallen silent (ping interval + timeout): who
    does not find out while a black hole lasts does so after it, at worst that much later.
    """
    longest = 0
    for fault in faults:
        lasting_ns = fault.lasting_ns if KINDS[fault.kind].down else 0
        if fault.kind == "blackhole":
            lasting_ns = max(lasting_ns, silence_ns)
        longest = max(longest, lasting_ns)
    return longest
