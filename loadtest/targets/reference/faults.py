"""What goes wrong on purpose, and to whom?

Faults prove that a harness sees failures, so they are countable: seeded, or every n-th, and counted
where they strike. Delivery faults (loseDeliveries, duplicate, reorder) strike single deliveries of
`message:new`: one message on its way to one socket or one feed.
"""

import math
import random
from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.refusal import Refusal

AT_ONCE = frozenset({"dropSockets", "kick", "freeze"})
LASTING = frozenset(
    {
        "delay",
        "acceptDelay",
        "refuseUpgrade",
        "limitThroughput",
        "loseDeliveries",
        "duplicate",
        "reorder",
        "denyAuth",
    }
)
DELIVERY_FAULTS = frozenset({"delay", "limitThroughput", "loseDeliveries", "duplicate", "reorder"})
STRIKES_SOCKETS = ("dropSockets", "kick")
TRANSPORTS = ("websocket", "polling")
NEEDS_MS = frozenset({"freeze", "delay", "acceptDelay"})
HELD_AT_MOST_NS = 2 * SECOND
D = TypeVar("D")


class Fault(msgspec.Struct, frozen=True):
    """One order: strike `ratio` of the cases by chance, or every n-th case if `every_nth` is given.
    dropSockets and kick pass by the sockets of any other transport than `transport`, if one is given."""

    kind: str
    ratio: float = 1.0
    ms: float = 0.0
    per_second: float = 0.0
    seed: int = 1
    every_nth: int = 0
    transport: str = ""

    @property
    def ns(self) -> int:
        return int(self.ms * MS)


def parse_fault(payload: object) -> Fault:
    """`{kind, ratio?, ms?, perSecond?, seed?, everyNth?, transport?}`. Raises PAYLOAD_INVALID."""
    if not isinstance(payload, Mapping):
        raise Refusal("PAYLOAD_INVALID", "the payload must be one JSON object")
    kind = payload.get("kind")
    if not isinstance(kind, str) or kind not in AT_ONCE | LASTING | {"none"}:
        raise Refusal("PAYLOAD_INVALID", f"kind must be one of {', '.join(sorted(AT_ONCE | LASTING))}, none")
    fault = Fault(
        kind=kind,
        ratio=_number(payload, "ratio", 1.0, 1.0),
        ms=_number(payload, "ms", 0.0, 600_000.0),
        per_second=_number(payload, "perSecond", 0.0, 1e9),
        seed=int(_number(payload, "seed", 1, 2**53)),
        every_nth=int(_number(payload, "everyNth", 0, 1e9)),
        transport=payload.get("transport", ""),
    )
    if "transport" in payload and (kind not in STRIKES_SOCKETS or fault.transport not in TRANSPORTS):
        raise Refusal(
            "PAYLOAD_INVALID", "transport must be websocket or polling, and the fault dropSockets or kick"
        )
    if kind in NEEDS_MS and fault.ms <= 0:
        raise Refusal("PAYLOAD_INVALID", f"{kind} needs ms, the milliseconds it lasts")
    if kind == "limitThroughput" and fault.per_second <= 0:
        raise Refusal("PAYLOAD_INVALID", "limitThroughput needs perSecond, the deliveries it lets through")
    return fault


def _number(payload: Mapping[str, Any], name: str, default: float, highest: float) -> float:
    value = payload.get(name, default)
    # NaN passes every comparison the wrong way round, hence the positive form.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= highest:
        raise Refusal("PAYLOAD_INVALID", f"{name} must be a number from 0 to {highest:g}")
    return value


class Dice:
    """Decides case by case whether a fault strikes, the same way in every run."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._random = random.Random(fault.seed)
        self._cases = 0

    def strikes(self) -> bool:
        self._cases += 1
        if self.fault.every_nth:
            return self._cases % self.fault.every_nth == 0
        return self._random.random() < self.fault.ratio


def chosen(fault: Fault, candidates: list[str]) -> list[str]:
    """Whom a fault at once strikes: exactly the ratio (rounded half up), or every n-th, of the candidates
    in order."""
    ordered = sorted(candidates)
    if fault.every_nth:
        return ordered[fault.every_nth - 1 :: fault.every_nth]
    count = math.floor(fault.ratio * len(ordered) + 0.5)
    return random.Random(fault.seed).sample(ordered, count)


class Faults(Generic[D]):
    """The faults under way, and the deliveries that `reorder` holds back. `D` is a delivery, opaque in
    here."""

    def __init__(self) -> None:
        self._dice: dict[str, Dice] = {}
        self._held: dict[Hashable, tuple[int, D]] = {}
        self.counts = {"lost": 0, "duplicated": 0, "reordered": 0}

    @property
    def quiet(self) -> bool:
        """True while no fault can touch a delivery."""
        return not self._dice and not self._held

    def start(self, fault: Fault) -> None:
        self._dice[fault.kind] = Dice(fault)

    def stop(self) -> list[D]:
        """Ends everything; returns the deliveries held back, to be made now."""
        self._dice.clear()
        held = [delivery for _, delivery in self._held.values()]
        self._held.clear()
        return held

    def strikes(self, kind: str) -> bool:
        dice = self._dice.get(kind)
        return dice is not None and dice.strikes()

    def lasting(self, kind: str) -> Fault | None:
        dice = self._dice.get(kind)
        return None if dice is None else dice.fault

    def shape(self, line: Hashable, delivery: D, now_ns: int) -> list[D]:
        """What becomes of one delivery: nothing, itself, itself twice, itself and the one held back before
        it.

        `line` names (room, sender, receiver). A delivery held back goes out right after the next one of
        its line that is not lost, so each makes exactly one inversion; that next one is never held back
        itself.
        """
        if self.strikes("loseDeliveries"):
            self.counts["lost"] += 1
            return []
        out = [delivery]
        if self.strikes("duplicate"):
            self.counts["duplicated"] += 1
            out.append(delivery)
        struck = self.strikes("reorder")
        if line in self._held:
            out.append(self._held.pop(line)[1])
            self.counts["reordered"] += 1
        elif struck and len(out) == 1:
            self._held[line] = (now_ns, delivery)
            return []
        return out

    def overdue(self, now_ns: int) -> list[D]:
        """Deliveries held back for two seconds without a successor: late, but not lost."""
        lines = [line for line, (since_ns, _) in self._held.items() if now_ns - since_ns >= HELD_AT_MOST_NS]
        return [self._held.pop(line)[1] for line in lines]


class Pacing:
    """When does a delivery leave under `delay` and `limitThroughput`? Times never fall, so order is kept."""

    def __init__(self) -> None:
        self._last_ns = 0
        self._slot_ns = 0

    def due_ns(self, now_ns: int, delay: Fault | None, throughput: Fault | None) -> int:
        due = max(self._last_ns, now_ns + (delay.ns if delay is not None else 0))
        if throughput is not None:
            due = max(due, self._slot_ns)
            self._slot_ns = due + int(SECOND / throughput.per_second)
        self._last_ns = due
        return due
