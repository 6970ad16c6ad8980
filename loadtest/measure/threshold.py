"""What does ``p(95)<100`` mean, and does it hold for these numbers?

    slo        = selector ":" threshold
    selector   = operation [ "{" label ":" value { "," label ":" value } "}" ]
    threshold  = aggregate operator number
    aggregate  = "p(" number ")" | "med" | "avg" | "min" | "max" | "count" | "rate"
               | "expected" | "late" | "lost" | "open" | "duplicate" | "reordered" | "leaked" | "failed"
    operator   = "<" | "<=" | ">" | ">=" | "==" | "!="

The words are k6's; times are milliseconds of latency from the planned moment. ``count`` is what was
delivered, ``rate`` the share of what was owed that was late, lost or failed. Percentiles and ``max`` are taken
over what was expected: what never came in time is infinitely slow. Arithmetic on counts and histograms only, so
that a running test can be judged as well as a finished one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from loadtest.measure.histogram import Histogram, merged
from loadtest.measure.operations import Operation
from loadtest.measure.plan import Phase
from loadtest.measure.rows import SeriesRow
from loadtest.measure.sockets import SOCKETS
from loadtest.measure.units import MS

COUNTS = ("expected", "late", "lost", "open", "duplicate", "reordered", "leaked", "failed")
_WORDS = ("med", "avg", "min", "max", "count", "rate", *COUNTS)
_LABELS = ("transport", "phase")
_PHASES = tuple(phase.value for phase in Phase)
_ON_THE_WAY_IN = (Operation.SESSION_CONNECT.value, Operation.SESSION_JOIN.value)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PERCENTILE = re.compile(rf"p\(\s*({_NUMBER})\s*\)")
_WORD = re.compile(r"[A-Za-z_]+")
_OPERATOR = re.compile(r"<=|>=|==|!=|<|>")
_SELECTOR = re.compile(r"\s*([A-Za-z_.]+)\s*(?:\{([^}]*)\})?\s*$")
_VALUE = re.compile(r"[\w.-]+")
_T = TypeVar("_T")


class ThresholdError(ValueError):
    """A threshold that cannot be read; ``str`` shows the text with a caret under the place."""

    def __init__(self, text: str, at: int, reason: str) -> None:
        # A tab or a line end would move the caret away from its place.
        shown = "".join(" " if one.isspace() else one for one in text)
        super().__init__(f"{reason}\n  {shown}\n  {' ' * at}^")
        self.text, self.at, self.reason = text, at, reason


class Selector(msgspec.Struct, frozen=True):
    """Which series a threshold is about; ``labels`` narrow it down."""

    operation: str
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def phase(self) -> str:
        """Without a label ``phase`` it is measure; of what people do once, on their way in, connect."""
        usual = Phase.CONNECT if self.operation in _ON_THE_WAY_IN else Phase.MEASURE
        return dict(self.labels).get("phase", usual.value)

    def selects(self, row: SeriesRow) -> bool:
        """Whether a row belongs to it."""
        return (
            row.operation == self.operation
            and row.transport == dict(self.labels).get("transport", row.transport)
            and row.phase == self.phase
        )

    def __str__(self) -> str:
        labels = ",".join(f"{name}:{value}" for name, value in self.labels)
        return f"{self.operation}{{{labels}}}" if labels else self.operation


class Tally:
    """What a threshold looks at: the sums of some series."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self.latency = Histogram()
        self.never_owed = 0
        """Failures that stand in ``failed`` alone: a message that could not leave is in ``lost`` too, once for
        each who was owed it, and must not weigh twice."""

    @property
    def settled(self) -> int:
        """What was owed and came, came late, or was lost. In a running test more is expected: it is on its way."""
        return self.latency.n + self.counts["late"] + self.counts["lost"]

    def add(self, row: SeriesRow) -> None:
        """Add one row."""
        self.count(row)
        self.latency.merge(row.latency)

    def count(self, row: SeriesRow) -> None:
        """Add the counts of one row, and leave its latencies to whoever adds many at once."""
        if not Operation(row.operation).fans_out:
            self.never_owed += row.failed
        for name in COUNTS:
            self.counts[name] += getattr(row, name)


def tally(rows: Iterable[SeriesRow], selector: Selector) -> Tally:
    """The sums of what ``selector`` selects."""
    selected = [row for row in rows if selector.selects(row)]
    found = Tally()
    for row in selected:
        found.count(row)
    found.latency = merged(row.latency for row in selected)
    return found


class Threshold(msgspec.Struct, frozen=True):
    """``aggregate operator limit``; ``quantile`` (0..1) only for percentiles and ``med``."""

    text: str
    aggregate: str
    compare: str
    limit: float
    quantile: float | None = None

    def observe(self, of: Tally) -> float | None:
        """The number that is compared, ms for times; None if there is none (empty, or among what never came)."""
        latency, counts = of.latency, of.counts
        if self.quantile is not None:
            reached = latency.quantile(self.quantile, of.settled) if latency.n else None
            return None if reached is None else reached / MS
        if self.aggregate in counts:
            return float(counts[self.aggregate])
        if self.aggregate == "count":
            return float(latency.n)
        if self.aggregate == "rate":
            owed = of.settled + of.never_owed
            wrong = counts["late"] + counts["lost"] + of.never_owed
            return wrong / owed if owed else None
        if not latency.n:
            return None
        if self.aggregate == "max" and of.settled > latency.n:
            return None
        ns = {"avg": latency.mean_ns, "min": latency.min_ns, "max": latency.max_ns}[self.aggregate]
        return None if ns is None else ns / MS

    def holds(self, of: Tally) -> bool | None:
        """Whether it holds; None if nothing was measured. A quantile among the lost ones is infinite."""
        observed = self.observe(of)
        if observed is None:
            if not self.of_the_slowest or not of.settled:
                return None
            observed = float("inf")
        return self.met_by(observed)

    @property
    def of_the_slowest(self) -> bool:
        """Whether what never came in time takes part, as infinitely slow."""
        return self.quantile is not None or self.aggregate == "max"

    def may_yet_hold(self, of: Tally) -> bool:
        """Whether it may hold once more has been measured, though it does not now: counts only grow."""
        count = self.observe(of) if self.aggregate in ("count", *COUNTS) else None
        if count is None or self.compare in ("<", "<="):
            return False
        return self.compare != "==" or count < self.limit

    def met_by(self, value: float) -> bool:
        """Whether it would hold for this value."""
        return _COMPARE[self.compare](value, self.limit)


def parse_threshold(text: str) -> Threshold:
    """Read ``p(95)<100``. Raises ThresholdError."""
    at = len(text) - len(text.lstrip())
    aggregate, quantile, end = _read_aggregate(text, at)
    at = _skip(text, end)
    compare = _OPERATOR.match(text, at)
    if not compare:
        raise ThresholdError(text, at, f"expected one of {' '.join(_COMPARE)} here")
    at = _skip(text, compare.end())
    number = re.compile(_NUMBER).match(text, at)
    if not number:
        raise ThresholdError(text, at, "expected a number here (times are milliseconds)")
    rest = _skip(text, number.end())
    if rest != len(text):
        raise ThresholdError(
            text, rest, "nothing may follow the number; times are milliseconds, without a unit"
        )
    return Threshold(" ".join(text.split()), aggregate, compare[0], float(number[0]), quantile)


def _skip(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip())


def _read_aggregate(text: str, at: int) -> tuple[str, float | None, int]:
    percentile = _PERCENTILE.match(text, at)
    if percentile:
        q = float(percentile[1])
        if not 0 < q < 100:
            raise ThresholdError(text, at + 2, "a percentile lies between 0 and 100")
        return f"p({percentile[1]})", q / 100, percentile.end()
    word = _WORD.match(text, at)
    if not word or word[0] not in _WORDS:
        raise ThresholdError(text, at, f"expected p(N) or one of {' '.join(_WORDS)} here")
    return word[0], 0.5 if word[0] == "med" else None, word.end()


def parse_selector(text: str) -> Selector:
    """Read ``message.deliver{transport:websocket}``. Raises ThresholdError."""
    match = _SELECTOR.match(text)
    if not match:
        raise ThresholdError(text, 0, "expected an operation, such as message.deliver{transport:websocket}")
    known = [operation.value for operation in Operation]
    if match[1] not in known:
        raise ThresholdError(text, match.start(1), f"no such operation; there are {', '.join(known)}")
    labels: dict[str, str] = {}
    end = match.start(2)
    for part in (match[2] or "").split(","):
        at = _skip(text, end)
        end += len(part) + 1
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not part.strip():
            continue
        if not colon or name not in _LABELS or not _VALUE.fullmatch(value):
            raise ThresholdError(text, at, f"expected label:value, with a label of {', '.join(_LABELS)}")
        if name in labels:
            raise ThresholdError(text, at, f"the label {name} stands here twice")
        if name == "phase" and value not in _PHASES:
            raise ThresholdError(text, at, f"no such phase; there are {', '.join(_PHASES)}")
        if name == "transport" and value not in SOCKETS:
            raise ThresholdError(text, at, f"no such transport; there are {', '.join(SOCKETS)}")
        labels[name] = value
    return Selector(match[1], tuple(sorted(labels.items())))


def parse_slo(text: str) -> tuple[Selector, Threshold]:
    """Read ``message.deliver{transport:websocket}: p(95)<100``. Raises ThresholdError."""
    brace = text.find("}")
    colon = text.find(":", brace + 1)
    if colon < 0:
        raise ThresholdError(text, len(text), 'expected ": " and a threshold, such as p(95)<100')
    return _part_of(text, 0, colon, parse_selector), _part_of(text, colon + 1, len(text), parse_threshold)


def _part_of(text: str, begin: int, end: int, parse: Callable[[str], _T]) -> _T:
    """A part, understood; what is wrong with it is shown in the whole."""
    try:
        return parse(text[begin:end])
    except ThresholdError as error:
        raise ThresholdError(text, begin + error.at, error.reason) from None
